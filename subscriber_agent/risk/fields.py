"""The kinds of value that a setting can have, and how each is read from text: strictly, or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from signal_contract.catalysts import catalysts_from_name
from signal_contract.errors import CatalystError
from signal_contract.model import Number, Session
from signal_contract.subject import ticker_checked

EVERYTHING = "*"
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,10})?")
_COUNT = re.compile(r"\d{1,9}")
_LONGEST_S = 86_400


def _amount(value: Any) -> Any:
    """Settings come as text, so that 0.7 in a file is 0.7 and never the nearest binary fraction."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, Decimal) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        return value
    raise ValueError("is not a plain number such as 12.5")


def _count(value: Any) -> Any:
    if isinstance(value, str):
        if not _COUNT.fullmatch(value):
            raise ValueError("is not a whole number")
        return int(value)
    return value


def _flag(value: Any) -> Any:
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise ValueError("is neither")
        return value == "true"
    return value


def _names(value: Any) -> Any:
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return tuple(value)
    raise ValueError("must be a list, such as [fda, merger] or [] or ['*']")


def _catalysts(names: tuple[str, ...]) -> tuple[str, ...]:
    found: list[str] = []
    for name in names:
        try:
            found.extend([name] if name == EVERYTHING else catalysts_from_name(name))
        except CatalystError as error:
            raise ValueError(error.message) from error
    return tuple(sorted(set(found)))


def _tickers(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        try:
            if name != EVERYTHING:
                ticker_checked(name)
        except CatalystError as error:
            raise ValueError(error.message) from error
    return tuple(sorted(set(names)))


def _texts(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names that have no closed list: compared without regard to case and to spaces around them."""
    if not all(name.strip() for name in names):
        raise ValueError("holds an empty name")
    return tuple(sorted({folded(name) for name in names}))


def folded(name: str) -> str:
    """A source's or sector's name as it is compared."""
    return name.strip().casefold()


def _sessions(value: Any) -> Any:
    choices = tuple(each.value for each in Session)
    names = _names(value)
    if any(name not in choices for name in names):
        raise ValueError(f"may hold {', '.join(choices)} and nothing else")
    return tuple(each for each in Session if each.value in names)


def _seconds_by_catalyst(value: Any) -> Any:
    """`{fda: 60}`, each 1 to 86400; an alias stands for each of its catalysts, '*' for all that are not named."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError("must be lines of `catalyst: seconds`")
    found: dict[str, Any] = {}
    for name, text in value.items():
        seconds = _amount(text)
        if not 1 <= Decimal(seconds) <= _LONGEST_S:
            raise ValueError(f"{name}: is outside the range (allowed: 1 to {_LONGEST_S})")
        for catalyst in _catalysts((name,)):
            if catalyst in found:
                raise ValueError(f"{catalyst} is given twice, {name} means it as well")
            found[catalyst] = Decimal(seconds)
    return dict(sorted(found.items()))


Amount = Annotated[Number, BeforeValidator(_amount)]
Count = Annotated[int, BeforeValidator(_count)]
Flag = Annotated[bool, BeforeValidator(_flag)]
CatalystNames = Annotated[tuple[str, ...], BeforeValidator(_names), AfterValidator(_catalysts)]
TickerNames = Annotated[tuple[str, ...], BeforeValidator(_names), AfterValidator(_tickers)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_names), AfterValidator(_texts)]
Sessions = Annotated[tuple[Session, ...], BeforeValidator(_sessions)]
SecondsByCatalyst = Annotated[Mapping[str, Number], BeforeValidator(_seconds_by_catalyst)]


class Settings(BaseModel):
    """What all settings models have in common: frozen, strict, and a misspelt key is an error."""

    # A section is read as a part of the whole: with `defer_build` it gets no validator of its own that nobody calls.
    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        validate_default=True,
        defer_build=True,
    )
