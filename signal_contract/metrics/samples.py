"""Measured values that keep to the table, and the counting of them. Pure.

A label value outside its list becomes `other`, and so do the values beyond the first thousand of an open label: a
hostile report cannot make a thousand series of one.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import product

from signal_contract.metrics.table import MAX_OPEN_VALUES, OTHER, Kind, Metric

Number = int | float | Decimal
Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a counter or gauge; `labels` in the table's order."""

    name: str
    value: Number
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class Distribution:
    """One histogram: how many values fell into each bucket (the last one holds what is above all), and their sum."""

    name: str
    counts: tuple[int, ...]
    total: float
    labels: Labels = ()


Measured = Sample | Distribution


class Tallies:
    """Counters and histograms that begin at 0, each series with closed labels being there from the start."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = {each.name: each for each in metrics if each.kind is not Kind.GAUGE}
        self._counts: dict[tuple[str, Labels], int] = {}
        self._values: dict[tuple[str, Labels], tuple[list[int], list[float]]] = {}
        for metric in self._metrics.values():
            for labels in _closed(metric):
                self._begin(metric, labels)

    def _begin(self, metric: Metric, labels: Labels) -> None:
        # A rate misses the step from "no such series" to its first value.
        if metric.kind is Kind.COUNTER:
            self._counts.setdefault((metric.name, labels), 0)
        else:
            self._values.setdefault((metric.name, labels), ([0] * (len(metric.buckets) + 1), [0.0]))

    def count(self, name: str, *labels: str, by: int = 1) -> None:
        """Add to a counter; raises ValueError for one that is not in the table, or a negative step."""
        metric = self._metric(name, Kind.COUNTER, labels)
        if by < 0:
            raise ValueError("a counter only rises")
        key = (name, _bounded(metric, labels))
        self._counts[key] = self._counts.get(key, 0) + by

    def observe(self, name: str, value: Number, *labels: str) -> None:
        """Put a value into a histogram; raises ValueError for one that is not in the table, or no number."""
        metric, number = self._metric(name, Kind.HISTOGRAM, labels), float(value)
        if not math.isfinite(number):
            raise ValueError("a histogram holds numbers")
        bounded = _bounded(metric, labels)
        self._begin(metric, bounded)
        counts, total = self._values[name, bounded]
        counts[bisect_left(metric.buckets, number)] += 1
        total[0] += number

    def _metric(self, name: str, kind: Kind, labels: Sequence[str]) -> Metric:
        metric = self._metrics.get(name)
        if metric is None or metric.kind is not kind or len(labels) != len(metric.labels):
            raise ValueError(f"{name} with {len(labels)} labels is no {kind} of this table")
        return metric

    def samples(self) -> list[Measured]:
        """All of them as they stand."""
        counters = [Sample(name, count, labels) for (name, labels), count in self._counts.items()]
        spread = [
            Distribution(name, tuple(counts), total[0], labels)
            for (name, labels), (counts, total) in self._values.items()
        ]
        return [*counters, *spread]


# More combinations than this are not made in advance.
_MOST_IN_ADVANCE = 300


def _closed(metric: Metric) -> Iterable[Labels]:
    lists = [label.values for label in metric.labels]
    if not all(lists) or math.prod(len(each) for each in lists) > _MOST_IN_ADVANCE:
        return ()
    return product(*lists)


def _bounded(metric: Metric, labels: Sequence[str]) -> Labels:
    return tuple(label.bounded(value) for label, value in zip(metric.labels, labels, strict=True))


def one_of(name: str, current: str | None, states: Iterable[str], *before: str) -> list[Measured]:
    """A state as samples: 1 for the current one, 0 for the others; nothing when it is not known (None)."""
    if current is None:
        return []
    known = [each for each in states if each != OTHER]
    found: list[Measured] = [Sample(name, int(each == current), (*before, each)) for each in known]
    return found if current in known else [*found, Sample(name, 1, (*before, OTHER))]


def maybe(name: str, value: Number | None, *labels: str) -> list[Measured]:
    """One sample, or none for what is not known: a missing number is not zero."""
    return [] if value is None else [Sample(name, value, labels)]


def checked(measured: Iterable[Measured], table: Mapping[str, Metric]) -> list[Measured]:
    """Samples within the table's bounds, equal ones added up. Raises ValueError for one that is not in the table."""
    found: dict[tuple[str, Labels], Measured] = {}
    seen: dict[tuple[str, int], set[str]] = defaultdict(set)
    for each in measured:
        metric = table.get(each.name)
        if metric is None or len(each.labels) != len(metric.labels):
            raise ValueError(f"{each.name} with {len(each.labels)} labels is not in the table of metrics")
        labels = tuple(
            _admitted(value, seen[each.name, at]) if not metric.labels[at].values else value
            for at, value in enumerate(_bounded(metric, each.labels))
        )
        key = (each.name, labels)
        found[key] = replace(each, labels=labels) if key not in found else _together(found[key], each)
    return list(found.values())


def _admitted(value: str, seen: set[str]) -> str:
    if value not in seen and len(seen) >= MAX_OPEN_VALUES:
        return OTHER
    seen.add(value)
    return value


def _together(one: Measured, other: Measured) -> Measured:
    if isinstance(one, Sample) and isinstance(other, Sample):
        return replace(one, value=float(one.value) + float(other.value))
    if isinstance(one, Distribution) and isinstance(other, Distribution):
        counts = tuple(a + b for a, b in zip(one.counts, other.counts, strict=True))
        return replace(one, counts=counts, total=one.total + other.total)
    raise ValueError(f"{one.name} is a counter and a histogram")
