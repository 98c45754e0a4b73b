"""What the operator may set about the intake: `<data>/publisher/intake.json`. Without the file the defaults hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from publisher.decay import DEFAULT, time_to_live
from signal_contract.catalysts import CATALYSTS
from signal_contract.errors import ConfigInvalid

INTAKE_FILE = "intake.json"
# In the order of the fields of Rules.
_SWITCHES = ("avoid_as_watch", "approve")
_MAX_BYTES = 64 * 1024
_SHORTEST_H, _LONGEST_H = 1 / 60, 24 * 14


@dataclass(frozen=True, slots=True)
class Rules:
    """`half_lives` by catalyst (and `default`); whether AVOID news goes out as `watch` instead of not at all; whether
    nothing goes out without the operator's word.
    """

    half_lives: Mapping[str, timedelta] = field(default_factory=lambda: MappingProxyType({}))
    avoid_as_watch: bool = False
    approve: bool = False

    def time_to_live(self, catalyst: str) -> timedelta:
        """How long an entry on this catalyst may be acted on, counted from its classification."""
        return time_to_live(catalyst, self.half_lives)


def read_rules(data: Path) -> Rules:
    """The rules of a data directory; raises ConfigInvalid with every mistake in the file."""
    path = data / "publisher" / INTAKE_FILE
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigInvalid(f"{path} is too large to be a settings file")
        document = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return Rules()
    except (OSError, orjson.JSONDecodeError) as error:
        raise ConfigInvalid(f"{path} cannot be read: {error}") from error
    violations = _violations(document)
    if violations:
        hint = 'Such as {"half_life_hours": {"fda": 2, "default": 4.5}, "approve": true}; or delete it.'
        raise ConfigInvalid(f"{path} has mistakes", violations=violations, hint=hint)
    hours = document.get("half_life_hours", {})
    lives = {name: timedelta(seconds=round(value * 3600)) for name, value in hours.items()}
    return Rules(MappingProxyType(lives), *(document.get(name, False) for name in _SWITCHES))


def _violations(document: Any) -> tuple[str, ...]:
    if not isinstance(document, dict):
        return ("it is not a JSON object",)
    found = [f"{key}: not a setting" for key in document if key not in ("half_life_hours", *_SWITCHES)]
    found += [f"{name}: true or false" for name in _SWITCHES if not isinstance(document.get(name, False), bool)]
    hours = document.get("half_life_hours", {})
    if not isinstance(hours, dict):
        return (*found, "half_life_hours: an object of hours by catalyst")
    found += [f"half_life_hours.{name}: not a catalyst" for name in hours if name not in (*CATALYSTS, DEFAULT)]
    found += [
        f"half_life_hours.{name}: hours from 1/60 to {_LONGEST_H}"
        for name, value in hours.items()
        if not _is_fit(value)
    ]
    return tuple(found)


def _is_fit(hours: Any) -> bool:
    is_number = isinstance(hours, int | float) and not isinstance(hours, bool)
    return is_number and _SHORTEST_H <= hours <= _LONGEST_H
