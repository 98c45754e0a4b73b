"""`subscriber-agent metrics`, and the endpoint beside `subscriber-agent run`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_contract.cli.answer import say
from signal_contract.errors import CatalystError
from subscriber_agent.cli.place import ConfigOption, Place, open_place

if TYPE_CHECKING:
    from signal_contract.metrics.endpoint import Address
    from subscriber_agent.metrics.source import AgentSource, Identity

Report = Callable[[str, dict[str, Any]], None]
MetricsOption = Annotated[
    str | None,
    typer.Option("--metrics", metavar="HOST:PORT", help="Show metrics for Prometheus there, such as 127.0.0.1:9465."),
]


def metrics(config: ConfigOption = None) -> None:
    """Print the metrics once, from the journal alone, as Prometheus reads them; the agent need not run.

    Example: subscriber-agent metrics > /var/lib/node_exporter/catalyst.prom
    """
    from subscriber_agent.metrics.source import AgentSource

    place = open_place(config)
    with AgentSource.open(_identity(place, place.is_running), is_live=False) as source:
        sys.stdout.write(source.page(datetime.now(UTC), time.monotonic()).decode())


def address_of(place: Place, told: str | None) -> Address | None:
    """Where to show metrics: as told, else as the config says, else nowhere. Raises ConfigInvalid."""
    chosen = told or place.config.metrics
    if chosen is None:
        return None
    from signal_contract.metrics.endpoint import address_from
    from signal_contract.metrics.exposition import check_installed

    check_installed()
    return address_from(chosen)


@contextmanager
def shown(place: Place, address: Address | None, report: Report) -> Iterator[Report]:
    """Show metrics for the length of the block; yields the report to give to the worker, which is counted then.

    An endpoint that cannot be opened is told and done without: it is no reason not to receive and not to exit.
    """
    if address is None:
        yield report
        return
    from signal_contract.metrics.endpoint import Endpoint
    from subscriber_agent.metrics.source import AgentSource

    try:
        source = AgentSource.open(_identity(place, lambda: True), is_live=True)
    except CatalystError as error:
        say(f"no metrics: {error.message}; {error.hint}")
        yield report
        return
    with source:
        try:
            endpoint = Endpoint.start(address, _page_of(source))
        except CatalystError as error:
            say(f"no metrics: {error.message}; {error.hint}")
            yield report
            return
        if not address.is_local:
            say(f"warning: whoever reaches {endpoint.address} can read what your account is worth")
        say(f"metrics: {endpoint.url}")
        with closing(endpoint):
            yield source.counting(report)


def _page_of(source: AgentSource) -> Callable[[], bytes]:
    return lambda: source.page(datetime.now(UTC), time.monotonic())


def _identity(place: Place, is_running: Callable[[], bool]) -> Identity:
    from subscriber_agent.metrics.source import Identity

    creds = place.creds
    return Identity(creds.user, place.config, place.journal_file, creds.expires_at, is_running)
