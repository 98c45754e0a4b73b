"""Where a value comes from: layers laid over each other, the last one wins, and every value remembers its origin. Pure.

A later file replaces a setting as a whole: a list or a mapping means what the line says, not what a profile added.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from pydantic import BaseModel

from subscriber_agent.settings.fields import model_at
from subscriber_agent.settings.yaml_source import KeyPath


class Rank(IntEnum):
    """The order in which mistakes are reported: the friend's own file first."""

    FILE = 0
    PROFILE = 1
    ENVIRONMENT = 2
    OPTION = 3
    DEFAULT = 4


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written. `name` is a profile, a path, a variable or an option; `line` from 1, 0 without one.

    `file` is the path behind a profile's name.
    """

    rank: Rank
    name: str = ""
    line: int = 0
    file: str = ""

    def __str__(self) -> str:
        match self.rank:
            case Rank.DEFAULT:
                return "default"
            case Rank.ENVIRONMENT:
                return f"env {self.name}"
            case Rank.OPTION:
                return self.name
            case Rank.PROFILE:
                return f"profile {self.name}:{self.line}"
            case Rank.FILE:
                return f"{self.name}:{self.line}"

    @property
    def place(self) -> str:
        """The place to correct: `base.yaml:4` also where the value is shown as of a profile."""
        return f"{self.file}:{self.line}" if self.file else str(self)


DEFAULT = Origin(Rank.DEFAULT)


@dataclass(frozen=True, slots=True)
class Violation:
    """One mistake: where (`alice.yaml:4`, `env VARIABLE`) and what."""

    rank: Rank
    where: str
    line: int
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"

    @property
    def order(self) -> tuple[int, str, int, str]:
        """Sorts mistakes as a reader meets them: by file, then by line."""
        name = "" if self.rank is Rank.FILE else self.where.rpartition(":")[0] or self.where
        return int(self.rank), name, self.line, self.problem


@dataclass(frozen=True, slots=True)
class Layer:
    """One source of settings. `lines` (from 1) by path; `name` as in Origin."""

    rank: Rank
    name: str
    data: Mapping[str, Any]
    lines: Mapping[KeyPath, int]
    file: str = ""

    def origin(self, path: KeyPath) -> Origin:
        """Where this layer wrote the value at `path`."""
        return Origin(self.rank, self.name, self.lines.get(path, 0), self.file)


@dataclass(frozen=True, slots=True)
class Merged:
    """The settings of all layers together, not validated yet, and where each path was written last."""

    data: dict[str, Any]
    origins: dict[KeyPath, Origin]

    def origin_of(self, path: KeyPath) -> Origin:
        """Where the value at `path` was written, or the nearest section around it; DEFAULT when nowhere."""
        while path and path not in self.origins:
            path = path[:-1]
        return self.origins.get(path, DEFAULT)


def merge(root: type[BaseModel], layers: Iterable[Layer]) -> Merged:
    """Lay the layers over each other, the last one on top. Only sections of the model `root` are merged key by key."""
    merged = Merged({}, {})
    for layer in layers:
        _lay(root, layer, merged, (), layer.data, merged.data)
    return merged


def _lay(
    root: type[BaseModel],
    layer: Layer,
    merged: Merged,
    path: KeyPath,
    incoming: Mapping[str, Any],
    target: dict[str, Any],
) -> None:
    for key, value in incoming.items():
        here = (*path, key)
        # `risk:` with every line below it commented out is an empty section: it takes nothing from a profile's.
        if model_at(root, here) is not None and (value is None or isinstance(value, dict)):
            merged.origins[here] = layer.origin(here)
            if not isinstance(target.get(key), dict):
                target[key] = {}
            _lay(root, layer, merged, here, value or {}, target[key])
            continue
        for old in [each for each in merged.origins if each[: len(here)] == here]:
            del merged.origins[old]
        target[key] = value
        merged.origins.update({each: layer.origin(each) for each in layer.lines if each[: len(here)] == here})
        merged.origins.setdefault(here, layer.origin(here))
