"""Reads single values off foreign objects, dict or attributes, and turns them into plain ones the repairs know. Pure.

Whatever the object is or does, reading it never raises; what is there and cannot be read is named in `unread`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, TypeVar

from publisher.intake.outcome import Unusable

T = TypeVar("T")
_MAX_BITS = 200
_MAX_HITS = 200


class _Unreadable:
    """Stands for a value that no repair takes."""


UNREADABLE = _Unreadable()


def plain(value: Any) -> Any:
    """None, bool, str, int, float or Decimal as they are; times as RFC 3339 text; all else UNREADABLE."""
    if isinstance(value, Enum):
        value = value.value
    if hasattr(value, "dtype") and callable(getattr(value, "item", None)):
        value = value.item()  # a number of numpy's or of a data frame
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        return UNREADABLE  # turning it into text is an error of its own beyond 4300 digits
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None or isinstance(value, bool | str | int | float | Decimal) else UNREADABLE


@dataclass(slots=True)
class Reader:
    """Reads values and notes the names of those that are there but cannot be read."""

    _names: dict[str, None] = field(default_factory=dict)

    @property
    def unread(self) -> tuple[str, ...]:
        """The names of what could not be read, in order and once each."""
        return tuple(self._names)

    def note(self, label: str) -> None:
        """Say that `label` could not be read."""
        self._names[label] = None

    def raw(self, source: Any, name: str, label: str) -> Any:
        """What the object holds under `name`, None when it has nothing there."""
        try:
            return source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
        except Exception:  # noqa: BLE001  # a property of a foreign object may raise anything
            self.note(label)
            return None

    def value(self, source: Any, name: str, label: str) -> Any:
        """The same as a plain value; UNREADABLE when there is something of no use."""
        try:
            return plain(self.raw(source, name, label))
        except Exception:  # noqa: BLE001  # the same for what it takes to convert it
            return UNREADABLE

    def repaired(self, source: Any, name: str, label: str, repair: Callable[[Any], T | None]) -> T | None:
        """The value after `repair`, or None, noted by name, when the repair does not take it."""
        value = self.value(source, name, label)
        if value is None:
            return None
        try:
            repaired = None if value is UNREADABLE else repair(value)
        except (Unusable, OverflowError, ValueError):
            repaired = None
        if repaired is None:
            self.note(label)
        return repaired

    def texts(self, source: Any, name: str, label: str) -> list[str] | None:
        """A list, tuple, set or dict of texts, at most 200; None when it is missing or something else."""
        try:
            value = self.raw(source, name, label)
            if value is None:
                return None
            if not isinstance(value, list | tuple | set | frozenset | Mapping):
                raise TypeError("not a collection of texts")
            found = list(value)[:_MAX_HITS]
        except Exception:  # noqa: BLE001  # iterating over a foreign collection may raise anything
            self.note(label)
            return None
        texts = [each for each in found if isinstance(each, str)]
        if len(texts) < len(found):
            self.note(label)
        return sorted(texts) if isinstance(value, set | frozenset) else texts

    def names(self, source: Any, prefix: str) -> list[str]:
        """The keys or attributes that begin with `prefix`."""
        try:
            found = source if isinstance(source, Mapping) else getattr(source, "__dict__", None) or _slots(source)
            return [name for name in found if isinstance(name, str) and name.startswith(prefix)]
        except Exception:  # noqa: BLE001
            return []


def _slots(source: Any) -> list[str]:
    names = getattr(type(source), "__slots__", ())
    return [names] if isinstance(names, str) else list(names)
