"""The page that Prometheus reads, made of samples. The one module that knows prometheus-client; it is loaded late."""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from signal_contract.errors import ConfigInvalid
from signal_contract.metrics.samples import Distribution, Measured, Sample, checked
from signal_contract.metrics.table import Kind, Metric

if TYPE_CHECKING:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PACKAGE = "prometheus_client"


def check_installed() -> None:
    """Raise ConfigInvalid where prometheus-client is missing."""
    if importlib.util.find_spec(_PACKAGE) is None:
        raise ConfigInvalid(
            "metrics need the package prometheus-client, which is not installed",
            hint="Run: pip install 'catalyst-signals[metrics]'",
        )


def page(measured: Iterable[Measured], metrics: Sequence[Metric]) -> bytes:
    """The page in Prometheus' text format, in the table's order.

    Raises ConfigInvalid without prometheus-client, ValueError for a sample that is not in the table.
    """
    check_installed()
    from prometheus_client import CollectorRegistry, generate_latest

    table = {each.name: each for each in metrics}
    by_name: dict[str, list[Measured]] = defaultdict(list)
    for each in checked(measured, table):
        by_name[each.name].append(each)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected([(table[name], by_name[name]) for name in table if name in by_name]))
    return bytes(generate_latest(registry))


class _Collected:
    """What prometheus-client calls a collector: it is asked once and says everything."""

    def __init__(self, found: Sequence[tuple[Metric, Sequence[Measured]]]) -> None:
        self._found = found

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
        for metric, measured in self._found:
            yield _family(metric, measured)


def _family(
    metric: Metric, measured: Sequence[Measured]
) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    names = [label.name for label in metric.labels]
    if metric.kind is Kind.HISTOGRAM:
        spread = HistogramMetricFamily(metric.name, metric.help, labels=names)
        for each in measured:
            if isinstance(each, Distribution):
                spread.add_metric(list(each.labels), _cumulative(metric, each), each.total)
        return spread
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(metric.name.removesuffix("_total"), metric.help, labels=names)
    for each in measured:
        if isinstance(each, Sample):
            family.add_metric(list(each.labels), float(each.value))
    return family


def _cumulative(metric: Metric, spread: Distribution) -> list[tuple[str, float]]:
    bounds = [*(str(float(each)) for each in metric.buckets), "+Inf"]
    return [(bound, float(count)) for bound, count in zip(bounds, accumulate(spread.counts), strict=True)]
