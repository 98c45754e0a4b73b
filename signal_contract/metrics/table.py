"""How a metric is described: name, kind, unit, labels, meaning and source. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# What a label says when its value is not one of the known ones, or when there are too many.
OTHER = "other"
# An open label (a friend's name) takes so many values; all further ones are counted as `other`.
MAX_OPEN_VALUES = 1000


class Kind(StrEnum):
    """COUNTER only rises, GAUGE is a value of now, HISTOGRAM counts values in buckets."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Part(StrEnum):
    """Whose endpoint shows it: a friend's `subscriber-agent run`, or the operator's `catalyst up`."""

    AGENT = "agent"
    PUBLISHER = "publisher"
    SERVER = "server"
    FRIENDS = "friends"


@dataclass(frozen=True, slots=True)
class Label:
    """A label and the values it may have. Without `values` it is open: up to MAX_OPEN_VALUES of them."""

    name: str
    values: tuple[str, ...] = ()
    about: str = ""

    def bounded(self, value: str) -> str:
        """The value, or `other` for one that is not on the list."""
        return value if not self.values or value in self.values else OTHER


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `unit` is for people, `source` where its numbers come from; `buckets` are upper bounds, ascending."""

    name: str
    kind: Kind
    unit: str
    help: str
    source: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    part: Part = Part.AGENT

    @property
    def series(self) -> tuple[str, ...]:
        """The names that a query may use."""
        if self.kind is not Kind.HISTOGRAM:
            return (self.name,)
        return tuple(f"{self.name}_{each}" for each in ("bucket", "count", "sum"))
