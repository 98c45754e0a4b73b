"""The tables of docs/metrics.md, made from the table of metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from signal_contract.metrics.agent_table import AGENT_METRICS
from signal_contract.metrics.operator_table import FRIENDS_METRICS, OPERATOR_METRICS, PUBLISHER_METRICS, SERVER_METRICS
from signal_contract.metrics.table import MAX_OPEN_VALUES, Label, Metric


def metrics_table(metrics: Sequence[Metric]) -> str:
    """One row a metric, as Markdown."""
    return _table(("metric", "kind", "unit", "labels", "what it says"), (_row(each) for each in metrics))


def labels_table() -> str:
    """Every label with the values that it may have."""
    labels = {label for each in (*AGENT_METRICS, *OPERATOR_METRICS) for label in each.labels}
    ordered = sorted(labels, key=lambda each: (each.name, each.values, each.about))
    rows = ((f"`{each.name}`", ", ".join(f"`{value}`" for value in each.values) or _open(each)) for each in ordered)
    return _table(("label", "values"), rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "agent metrics": partial(metrics_table, AGENT_METRICS),
    "server metrics": partial(metrics_table, SERVER_METRICS),
    "publisher metrics": partial(metrics_table, PUBLISHER_METRICS),
    "friends metrics": partial(metrics_table, FRIENDS_METRICS),
    "metric labels": labels_table,
}


def _row(metric: Metric) -> tuple[str, ...]:
    labels = ", ".join(f"`{each.name}`" for each in metric.labels) or "–"
    return (f"`{metric.name}`", metric.kind.value, metric.unit or "–", labels, f"{metric.help} ({metric.source})")


def _open(label: Label) -> str:
    return f"{label.about or 'as it is'}; at most {MAX_OPEN_VALUES:,}, then `other`"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]]) + "\n"
