"""What the settings models say about themselves: sections, allowed values, values as plain text. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from subscriber_agent.risk.decision import text_of
from subscriber_agent.settings.yaml_source import KeyPath

_UNITS = {
    "_s": "seconds",
    "_usd": "USD",
    "_percent": "percent",
    "_bps": "basis points",
    "_minutes": "minutes",
    "_days": "days",
    "_ms": "milliseconds",
}


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that is a section of its own, None for a plain setting."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def model_at(root: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    """The model of the section at `path` below `root`; None when there is no such section."""
    here: type[BaseModel] | None = root
    for step in path:
        field = here.model_fields.get(str(step)) if here is not None else None
        here = section_of(field) if field is not None else None
    return here


def field_at(root: type[BaseModel], path: KeyPath) -> FieldInfo | None:
    """The setting at `path`, or the nearest one around it (a list's entry belongs to the list)."""
    for cut in range(len(path), 0, -1):
        model = model_at(root, path[: cut - 1])
        if model is not None and str(path[cut - 1]) in model.model_fields:
            return model.model_fields[str(path[cut - 1])]
    return None


def leaves(root: type[BaseModel], prefix: KeyPath = ()) -> Iterator[tuple[KeyPath, FieldInfo]]:
    """Every setting below `root` in the order of the models, sections opened."""
    for name, field in root.model_fields.items():
        section = section_of(field)
        if section is None:
            yield (*prefix, name), field
        else:
            yield from leaves(section, (*prefix, name))


def value_at(model: BaseModel, path: KeyPath) -> Any:
    """The value of the setting at `path`; raises AttributeError when there is none."""
    here: Any = model
    for step in path:
        here = getattr(here, str(step))
    return here


def plain(value: Any) -> Any:
    """A value as JSON types: exact numbers as their shortest text, so that 0.7 and 0.70 are one value."""
    match value:
        case Decimal():
            return text_of(value)
        case Enum():
            return value.value
        case Path():
            return str(value)
        case dict() | BaseModel():
            return {str(key): plain(each) for key, each in dict(value).items()}
        case tuple() | list():
            return [plain(each) for each in value]
        case _:
            return value


def text_of_value(value: Any) -> str:
    """A plain value for people: `true`, `0.7`, `fda, merger`, `none`."""
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case list():
            return ", ".join(map(text_of_value, value)) or "[]"
        case dict():
            return ", ".join(f"{key}: {text_of_value(each)}" for key, each in value.items()) or "{}"
        case _:
            return str(value)


def choices_of(field: FieldInfo) -> tuple[str, ...]:
    """The words that a setting, or each of its list, may take; empty for numbers and free text."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if get_origin(kind) is Literal:
            return tuple(map(str, get_args(kind)))
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            return tuple(each.value for each in kind)
    return ()


def default_of(field: FieldInfo) -> Any:
    """What a setting is when nobody writes it; only for settings that need not be written."""
    return field.get_default(call_default_factory=True)


def type_of(field: FieldInfo) -> Any:
    """The type of a setting's value, without the None of one that may be left out."""
    kinds = [each for each in get_args(field.annotation) if each is not type(None)]
    is_optional = type(None) in get_args(field.annotation) and len(kinds) == 1
    found = kinds[0] if is_optional else field.annotation
    return get_args(found)[0] if get_origin(found) is Annotated else found


def is_list(field: FieldInfo) -> bool:
    """Whether a setting is a list of names."""
    return get_origin(type_of(field)) is tuple


def bounds_of(field: FieldInfo) -> tuple[float, float, bool]:
    """Lowest and highest number, and whether the lowest is itself left out; infinite where there is no bound."""
    low, high, is_open = -math.inf, math.inf, False
    for each in _metadata(field):
        match each:
            case annotated_types.Ge(ge):
                low = float(str(ge))
            case annotated_types.Gt(gt):
                low, is_open = float(str(gt)), True
            case annotated_types.Le(le):
                high = float(str(le))
    return low, high, is_open


def allowed_text(field: FieldInfo) -> str:
    """The values that a setting may take, in words; empty when there is nothing to say."""
    if type_of(field) is bool:
        return "true or false"
    choices = choices_of(field)
    if choices:
        return f"any of {', '.join(choices)}" if is_list(field) else " or ".join(choices)
    low, high, is_open = bounds_of(field)
    if math.isinf(low) or math.isinf(high):
        return ""
    return f"{'more than ' if is_open else ''}{_number(low)} to {_number(high)}"


def unit_of(name: str) -> str:
    """The unit that a setting's name carries, such as `seconds`; empty when it has none."""
    return next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), "")


def _metadata(field: FieldInfo) -> list[Any]:
    """The field's own bounds, and those inside `Annotated[...] | None`."""
    found = list(field.metadata)
    for kind in get_args(field.annotation):
        found += getattr(kind, "__metadata__", ())
    return [part for each in found for part in getattr(each, "metadata", [each])]


def _number(value: float) -> str:
    return format(Decimal(str(value)).normalize(), "f")
