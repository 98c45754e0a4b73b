"""`catalyst up`: the server in the foreground, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from signal_admin.cli.beside import COMPANIONS, METRIC_SOURCES
from signal_admin.cli.cluster import keeping_consumers, run_cluster
from signal_admin.cli.health import HealthOption, with_minding
from signal_admin.cli.options import DataOption
from signal_admin.cli.serving import (
    CaOption,
    CertOption,
    EncryptOption,
    HostOption,
    KeyOption,
    MaxStoreOption,
    MetricsOption,
    MonitorPortOption,
    NatsServerOption,
    NoTlsOption,
    PortOption,
    PublicOption,
    ServingFlags,
    TlsOption,
    WssPortOption,
)
from signal_contract.cli.answer import print_json, say
from signal_contract.cli.interrupts import Interrupts
from signal_contract.envelope import Envelope

if TYPE_CHECKING:
    from signal_admin.companions import Companion
    from signal_admin.settings import UpSettings
    from signal_admin.up import Up


def up(
    data: DataOption = None,
    host: HostOption = None,
    port: PortOption = None,
    monitor_port: MonitorPortOption = None,
    nats_server: NatsServerOption = None,
    max_store: MaxStoreOption = None,
    tls: TlsOption = None,
    no_tls: NoTlsOption = False,
    cert: CertOption = None,
    key: KeyOption = None,
    ca: CaOption = None,
    wss_port: WssPortOption = None,
    public: PublicOption = None,
    encrypt: EncryptOption = False,
    metrics: MetricsOption = None,
    no_relay: Annotated[
        bool, typer.Option("--no-relay", help="Send nothing from the outbox here; `catalyst relay` runs elsewhere.")
    ] = False,
    proves_health: HealthOption = False,
    cluster: Annotated[
        int | None, typer.Option(metavar="N", help="Run 3 or 5 nodes on this machine instead of one server.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line on stdout when it is ready.")] = False,
) -> None:
    """Start the server with accounts, stream and durables, and keep it running until Ctrl-C.

    What it is told is kept: the next `catalyst up` needs no options.

    Example: catalyst up --tls signals.example.org
    """
    from signal_admin.cli.serving import settings_with

    flags = ServingFlags(
        host, port, monitor_port, nats_server, max_store, tls, no_tls, cert, key, ca, wss_port, public, encrypt, metrics
    )
    settings = settings_with(data, flags)
    _warn_of_clear_text(settings)
    companions = with_minding(
        [keeping_consumers, *(() if no_relay else COMPANIONS), *_metrics(settings)], is_wanted=proves_health
    )
    if cluster is not None:
        raise typer.Exit(run_cluster(data, settings, cluster, companions, as_json=as_json))
    raise typer.Exit(asyncio.run(_up(data, settings, companions, as_json=as_json)))


def _metrics(settings: UpSettings) -> list[Companion]:
    if settings.metrics in (None, "off"):
        return []
    from signal_admin.metrics.serving import metrics_companion
    from signal_contract.metrics.endpoint import address_from
    from signal_contract.metrics.exposition import check_installed

    check_installed()
    return [metrics_companion(address_from(settings.metrics or ""), METRIC_SOURCES)]


def _warn_of_clear_text(settings: UpSettings) -> None:
    from signal_admin.settings import is_local

    if not settings.has_tls and not is_local(settings.listen_host):
        say(f"warning: listening on {settings.listen_host} in clear text. Agents refuse that from another machine;")
        say("  give the server a certificate: catalyst up --tls HOST")


async def _up(data: Path | None, settings: UpSettings, companions: Sequence[Companion], *, as_json: bool) -> int:
    from signal_admin.companions import accompanied
    from signal_admin.up import brought_up

    task: asyncio.Task[int] | None = asyncio.current_task()
    assert task is not None  # noqa: S101  # runs inside asyncio.run
    started: list[Up] = []

    def stop() -> None:
        task.cancel()

    def kill() -> None:
        for each in started:
            each.supervisor.kill()

    interrupts = Interrupts(
        stop=stop,
        hurry=kill,
        message="stopping the server (Ctrl-C again to kill it)",
    )
    say("starting nats-server …")
    try:
        async with brought_up(data, settings, say) as running:
            started.append(running)
            _show_ready(running, as_json)
            async with accompanied(companions, running.desk.root, say):
                # Shielded: a duty that loses its cancellation (Python 3.11's wait_for can) must not hold up the stop;
                # on leaving, all duties get 5 s to end.
                await asyncio.shield(running.watching)
    except asyncio.CancelledError:
        say("stopped")
    return int(interrupts.exit_code)


def _show_ready(up: Up, as_json: bool) -> None:
    from signal_admin.addresses import public_servers

    public = public_servers(up.desk)
    if up.running.wss_url:
        public += public_servers(up.desk, websocket=True)
    facts = {
        "url": up.running.url,
        "wss_url": up.running.wss_url,
        "public": public,
        "data": str(up.desk.root),
        "pid": os.getpid(),
        "nats_pid": up.running.nats_pid,
        "nats_server": up.version,
        "monitor_url": up.running.monitor_url,
    }
    if as_json:
        print_json(Envelope("catalyst up", facts).as_dict())
        return
    say(f"ready: {up.running.url} (nats-server {up.version}, data in {up.desk.root})")
    if public != [up.running.url]:
        say(f"friends reach it at: {', '.join(public)}")
    if up.running.monitor_url:
        say(f"monitoring, for this machine only: {up.running.monitor_url}")
    say("next, in another terminal:")
    say("  catalyst user invite alice --catalysts fda,acquisition    let a friend in: one file for him")
    say("  catalyst publish signals.jsonl                            publish the classifier's output")
    say("  subscriber-agent join alice.invite                        what he does with it, then: subscriber-agent run")
    say("Ctrl-C stops the server; nothing is lost by that.")
