"""The example config and the JSON Schema for editors, both made from the models. Pure."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from subscriber_agent.engines.registry import ENGINE_KINDS
from subscriber_agent.settings.config import AgentConfig
from subscriber_agent.settings.directions import ORDERS, Direction, direction_of
from subscriber_agent.settings.fields import (
    allowed_text,
    bounds_of,
    choices_of,
    default_of,
    is_list,
    section_of,
    type_of,
    unit_of,
)
from subscriber_agent.settings.yaml_source import KeyPath, dotted

SCHEMA_FILE = "schema/agent.v1.schema.json"
_SHOWN_ENGINE = "paper"
_EXAMPLES = {
    "extends": "# extends: cautious",
    "servers": 'servers: ["tls://signals.example.org:4222"]',
    "creds": "creds: alice.creds",
    "publisher_key": f'publisher_key: "ed25519:{"A" * 43}"',
    "ca_file": "# ca_file: alice-ca.pem",
    "data": "# data: /home/alice/signals",
}
_HEADER = f"""\
# yaml-language-server: $schema={SCHEMA_FILE}
# Settings of subscriber-agent, with every default. Only servers, creds and publisher_key are required;
# delete what you do not change. A misspelt key or a value outside its range stops the agent before it starts.
# Your editor completes and checks this file with `subscriber-agent config schema > {SCHEMA_FILE}`.
# While the agent runs, stricter settings count at once; looser ones after `subscriber-agent config accept --confirm`.
"""
_CONSEQUENCE = {
    Direction.MORE: "Higher is looser.",
    Direction.LESS: "Lower is looser.",
    Direction.ALLOWS: "More names are looser.",
    Direction.DENIES: "Fewer names are looser.",
}


def example_yaml() -> str:
    """The example config: each setting with its meaning, unit, range, consequence and default."""
    return _HEADER + "\n".join(_example_lines(AgentConfig, ())) + "\n"


def _example_lines(model: type[BaseModel], path: KeyPath) -> Iterator[str]:
    indent = "  " * len(path)
    for name, field in model.model_fields.items():
        yield ""
        section = section_of(field)
        if section is not None and path == ("engine",) and name != _SHOWN_ENGINE:
            yield from _commented(section, name)
            continue
        if section is not None:
            yield f"{indent}{name}:"
            yield from list(_example_lines(section, (*path, name)))[1:]
            continue
        for text in (field.description or "", _words(name, dotted((*path, name)), field)):
            yield from textwrap.wrap(text, 116, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
        yield _EXAMPLES.get(name, "") if not path and name in _EXAMPLES else indent + _line(name, field)


def _commented(section: type[BaseModel], kind: str) -> Iterator[str]:
    """An engine that is not chosen: its settings with their defaults, one line each, all of it commented out."""
    words = f"kind {kind}: {ENGINE_KINDS[kind].title}. It needs {ENGINE_KINDS[kind].needs}."
    yield from textwrap.wrap(words, 116, initial_indent="  # ", subsequent_indent="  # ")
    yield f"  # {kind}:"
    for name, field in section.model_fields.items():
        allowed, unit = allowed_text(field), unit_of(name)
        note = f"   # {allowed}{f' {unit}' if unit else ''}" if allowed else ""
        yield f"  #   {name}: {_yaml_value(default_of(field))}".rstrip() + note


def _words(name: str, key: str, field: FieldInfo) -> str:
    """`Allowed: 1 to 86400 seconds. Higher is looser.`"""
    allowed, unit = allowed_text(field), unit_of(name)
    parts = [f"Allowed: {allowed}{f' {unit}' if unit else ''}." if allowed else "", consequence_of(key, field)]
    return " ".join(each for each in parts if each)


def consequence_of(key: str, field: FieldInfo) -> str:
    """Which way a setting is looser, as a sentence; empty where there is no such way."""
    order = [each for each in ORDERS.get(key, ()) if each in choices_of(field)]
    if order:
        return f"From strict to loose: {', '.join(order)}."
    direction = direction_of(key)
    if field.annotation is bool:
        return {Direction.MORE: "true is looser.", Direction.LESS: "false is looser."}.get(direction, "")
    return _CONSEQUENCE.get(direction, "")


def _line(name: str, field: FieldInfo) -> str:
    default = default_of(field)
    if default is None:
        return f"# {name}:   # off unless it is written"
    return f"{name}: {_yaml_value(default)}"


def _yaml_value(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case "":
            return '""'
        case Decimal():
            return format(value, "f")
        case Enum():
            return str(value.value)
        case tuple():
            return "[" + ", ".join(f'"{each}"' for each in value) + "]"
        case dict():
            return "{" + ", ".join(f"{key}: {_yaml_value(each)}" for key, each in value.items()) + "}"
        case _:
            return str(value)


# The schema --------------------------------------------------------------------------------------------------------


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the settings file. It guides an editor; `config check` is what decides."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of subscriber-agent, version 1",
        **_object(AgentConfig, ()),
    }


def schema_json() -> str:
    """The schema as the text of its file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _object(model: type[BaseModel], path: KeyPath) -> dict[str, Any]:
    fields = model.model_fields
    required = [name for name, field in fields.items() if field.is_required()]
    found: dict[str, Any] = {
        "type": ["object", "null"] if path else "object",
        "additionalProperties": False,
        "properties": {name: _property((*path, name), field) for name, field in fields.items()},
    }
    return {**found, "required": required} if required else found


def _property(path: KeyPath, field: FieldInfo) -> dict[str, Any]:
    section = section_of(field)
    if section is not None:
        return _object(section, path)
    name, key = str(path[-1]), dotted(path)
    words = " ".join(each for each in (field.description or "", _words(name, key, field)) if each)
    found = {"description": words, **_type_of(field)}
    default = None if field.is_required() else default_of(field)
    if default is not None:
        found["default"] = _json_value(default)
    return found


def _type_of(field: FieldInfo) -> dict[str, Any]:
    choices, kind = choices_of(field), type_of(field)
    if is_list(field):
        return {"type": "array", "items": {"enum": list(choices)} if choices else {"type": "string"}}
    if choices:
        return {"enum": list(choices)}
    if kind is bool:
        return {"type": "boolean"}
    if get_origin(kind) is Mapping:
        values = ["string", "number"] if get_args(kind)[1] is str else "number"
        return {"type": "object", "additionalProperties": {"type": values}}
    if kind in (int, Decimal):
        return _number_type(field)
    return {"type": "string"}


def _number_type(field: FieldInfo) -> dict[str, Any]:
    low, high, is_open = bounds_of(field)
    found: dict[str, Any] = {"type": "integer" if type_of(field) is int else "number"}
    if not math.isinf(low):
        found["exclusiveMinimum" if is_open else "minimum"] = _plain_number(low)
    if not math.isinf(high):
        found["maximum"] = _plain_number(high)
    return found


def _json_value(value: object) -> Any:
    match value:
        case Decimal():
            return _plain_number(float(value))
        case Enum():
            return value.value
        case tuple():
            return [_json_value(each) for each in value]
        case dict():
            return {key: _json_value(each) for key, each in value.items()}
        case _:
            return value


def _plain_number(value: float) -> float | int:
    return int(value) if value == int(value) else value
