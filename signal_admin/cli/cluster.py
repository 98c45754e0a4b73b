"""`catalyst cluster`: three nodes instead of one, copies of the streams, consumers in memory, a copy far away."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from signal_admin.cli.beside import COMPANIONS
from signal_admin.cli.options import DataOption, JsonOption
from signal_admin.cli.report import DryRunOption, printed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from signal_admin.cluster.replicas import Migration
    from signal_admin.cluster.running import ClusterUp
    from signal_admin.companions import Companion
    from signal_admin.settings import UpSettings

cluster_app = typer.Typer(
    no_args_is_help=True,
    help="Three nodes instead of one: run them, write their files, copy the streams, keep consumers in memory.",
)


def run_cluster(
    data: Path | None, settings: UpSettings, nodes: int, companions: Sequence[Companion], *, as_json: bool
) -> int:
    """Run nodes on this machine until Ctrl-C; the exit status. `catalyst up --cluster N` ends here."""
    return asyncio.run(_run(data, settings, nodes, companions, as_json=as_json))


async def _run(
    data: Path | None, settings: UpSettings, nodes: int, companions: Sequence[Companion], *, as_json: bool
) -> int:
    from signal_admin.cluster.running import cluster_brought_up
    from signal_admin.companions import accompanied
    from signal_contract.cli.answer import say
    from signal_contract.cli.interrupts import Interrupts

    task: asyncio.Task[int] | None = asyncio.current_task()
    assert task is not None  # noqa: S101  # runs inside asyncio.run
    started: list[ClusterUp] = []

    def stop() -> None:
        task.cancel()

    def kill() -> None:
        for process in (each for up in started for each in up.processes):
            process.kill()

    interrupts = Interrupts(stop=stop, hurry=kill, message="stopping the nodes (Ctrl-C again to kill them)")
    say(f"starting {nodes} nodes …")
    try:
        async with cluster_brought_up(data, settings, nodes, say) as running:
            started.append(running)
            _show_ready(running, as_json=as_json)
            async with accompanied(companions, running.desk.root, say):
                await running.watching
    except asyncio.CancelledError:
        say("stopped")
    return int(interrupts.exit_code)


def _show_ready(up: ClusterUp, *, as_json: bool) -> None:
    from signal_contract.cli.answer import print_json, say
    from signal_contract.envelope import Envelope

    facts = {
        "urls": list(up.urls),
        "public": list(up.public),
        "data": str(up.desk.root),
        "pid": os.getpid(),
        "nodes": {each.node.name: each.pid for each in up.processes},
        "nats_server": up.version,
    }
    if as_json:
        print_json(Envelope("catalyst cluster up", facts).as_dict())
        return
    say(f"ready: {len(up.urls)} nodes (nats-server {up.version}, data in {up.desk.root})")
    say(f"friends reach them at: {', '.join(up.public)}")
    say("one machine holds all of them: this survives the end of a node, not of the machine")
    say("Ctrl-C stops them; nothing is lost by that.")


@cluster_app.command("up")
def cluster_up(
    nodes: Annotated[int, typer.Option(help="How many: 3 or 5.")] = 3,
    port: Annotated[
        int | None, typer.Option(help="Port of the first node; the others follow.", show_default="4222")
    ] = None,
    tls: Annotated[
        str | None, typer.Option("--tls", metavar="HOST[,HOST…]", help="Encrypt with a certificate of your own CA.")
    ] = None,
    no_relay: Annotated[bool, typer.Option("--no-relay", help="Send nothing from the outbox here.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run all nodes on this machine, watched and started again when one dies: for development and for trying it.

    Example: catalyst cluster up --data ./three
    """
    from signal_admin.cli.serving import ServingFlags, settings_with

    settings = settings_with(data, ServingFlags(port=port, tls=tls))
    companions = (keeping_consumers, *(() if no_relay else COMPANIONS))
    raise typer.Exit(run_cluster(data, settings, nodes, companions, as_json=as_json))


@cluster_app.command()
def adopt(
    nodes: Annotated[int, typer.Option(help="How many: 3 or 5.")] = 3,
    port: Annotated[int | None, typer.Option(help="Port of the first node.", show_default="4222")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Carry a single server's log over to nodes: streams, durables and places. Its server must be stopped.

    The old store is kept. Afterwards: catalyst cluster up.

    Example: catalyst cluster adopt
    """
    from signal_admin.cli.serving import ServingFlags, settings_with
    from signal_admin.cluster.adopting import carried_over
    from signal_contract.cli.answer import finish, say
    from signal_contract.envelope import Envelope

    settings = settings_with(data, ServingFlags(port=port))
    done = asyncio.run(carried_over(data, settings, nodes, say))
    lines = [
        f"{name}: {each.messages} messages, sequences {each.first} to {each.last}"
        for name, each in done.streams.items()
    ]
    lines += [f"{done.places} durables, each at its place", f"the old store is kept: {done.kept}"]
    lines += ["next: catalyst cluster up; friends need the new addresses (a new invite, or their config)"]
    finish(Envelope("catalyst cluster adopt", done.as_dict()), as_json=as_json, render=printed(lines))


@cluster_app.command()
def migrate(
    replicas: Annotated[int, typer.Option(help="How many copies of each stream: 1, 3 or 5.")] = 3,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for each stream's copies.")] = 300.0,
    dry_run: DryRunOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change how many copies of the streams there are, while signals go on; then count that nothing is missing.

    Example: catalyst cluster migrate --replicas 3
    """
    from signal_admin.cluster.moving import move
    from signal_admin.desk import open_desk
    from signal_contract.cli.answer import finish, say
    from signal_contract.envelope import Envelope

    done = asyncio.run(move(open_desk(data), replicas, say, timeout_s=timeout, dry_run=dry_run))
    finish(Envelope("catalyst cluster migrate", done.as_dict()), as_json=as_json, render=printed(_lines(done)))


def _lines(done: Migration) -> list[str]:
    if done.is_dry_run:
        what = ", ".join(done.due) if done.due else "nothing: every stream has them"
        return [f"{done.replicas} copies, dry run; it would change: {what}"]
    lines = [
        f"{each.stream}: {each.replicas} copies, {each.after.messages} messages, {each.consumers} durables; "
        f"{each.after.last - each.before.last} came in meanwhile"
        for each in done.moved
    ]
    return [*lines, *(f"{name}: not there, nothing to do" for name in done.missing)]


@cluster_app.command()
def consumers(
    memory_above: Annotated[
        int | None, typer.Option(metavar="USERS", help="Keep consumers in memory with more users than this.")
    ] = None,
    on_disk: Annotated[
        bool, typer.Option("--on-disk", help="Keep them on disk, however many users there are.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show or choose where the server keeps the friends' places: on disk, or in memory above a number of users.

    In memory the server does a third of the work. What a restart loses is made again from the positions that the
    agents reported. It takes effect at the next `catalyst up`.

    Example: catalyst cluster consumers --memory-above 100
    """
    from signal_admin.cluster.settings import ScaleSettings, keep_scale, limit_checked, read_scale
    from signal_admin.desk import open_desk
    from signal_admin.registry import all_users
    from signal_contract.cli.answer import finish
    from signal_contract.envelope import Envelope
    from signal_contract.errors import InputError

    if on_disk and memory_above is not None:
        raise InputError("--on-disk contradicts --memory-above", hint="Choose one of them.")
    desk = open_desk(data)
    is_change = on_disk or memory_above is not None
    if is_change:
        keep_scale(desk, ScaleSettings(limit_checked(memory_above)))
    settings, users = read_scale(desk), len(all_users(desk))
    place = "in memory" if settings.wants_memory(users) else "on disk"
    above = settings.memory_consumers_above
    rule = "always on disk" if above is None else f"in memory above {above} users"
    lines = [f"{rule}; with {users} users: {place}"]
    if is_change:
        lines.append("next: stop `catalyst up` and start it; each friend goes on where he was")
    answer = {"memory_consumers_above": above, "users": users, "in_memory": settings.wants_memory(users)}
    finish(Envelope("catalyst cluster consumers", answer), as_json=as_json, render=printed(lines))


async def keeping_consumers(data: Path, say: Callable[[str], None]) -> None:
    """What runs beside the server: lost consumers are made again. Its import is late, as that of every command."""
    from signal_admin.cluster.consumers import consumers_kept

    await consumers_kept(data, say)


@cluster_app.command()
def config(
    hosts: Annotated[str, typer.Option(metavar="A,B,C", help="Names or addresses of the machines, 3 or 5.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where the folders are written.")],
    port: Annotated[int | None, typer.Option(help="Port for friends, on each machine.", show_default="4222")] = None,
    route_port: Annotated[int, typer.Option(help="Port between the nodes.")] = 6222,
    at: Annotated[str, typer.Option(help="Where the folder will lie on each machine.")] = "/var/lib/catalyst-node",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a folder for each of three machines: configuration, certificates, and a README of what to run.

    Example: catalyst cluster config --hosts n1.example.org,n2.example.org,n3.example.org -o nodes
    """
    from datetime import UTC, datetime
    from pathlib import PurePosixPath

    from signal_admin.cli.serving import ServingFlags, settings_with
    from signal_admin.cluster.hosts import written
    from signal_admin.desk import make_desk
    from signal_contract.cli.answer import finish
    from signal_contract.envelope import Envelope

    settings = settings_with(data, ServingFlags(port=port))
    done = written(
        make_desk(data), settings, hosts, out, now=datetime.now(UTC), at=PurePosixPath(at), route_port=route_port
    )
    answer = {"folders": [str(each) for each in done.folders], "hosts": list(done.hosts), "public": list(done.public)}
    lines = [f"written: {each} (private: it holds keys)" for each in done.folders]
    lines += [f"friends reach it at: {', '.join(done.public)}", "next: the README in each folder"]
    finish(Envelope("catalyst cluster config", answer), as_json=as_json, render=printed(lines))


@cluster_app.command()
def attend(
    server: Annotated[list[str], typer.Option(help="A node's address, such as tls://n1.example.org:4222; one each.")],
    no_relay: Annotated[bool, typer.Option("--no-relay", help="Send nothing from the outbox here.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look after nodes that run on other machines: what `catalyst up` does, without a server of its own.

    Keep it running where the data directory is; the other commands find the nodes through it.

    Example: catalyst cluster attend --server tls://a:4222 --server tls://b:4222 --server tls://c:4222
    """
    from signal_admin.cli.serving import ServingFlags, settings_with

    settings = settings_with(data, ServingFlags())
    companions = (keeping_consumers, *(() if no_relay else COMPANIONS))
    raise typer.Exit(asyncio.run(_attend(data, settings, server, companions, as_json=as_json)))


async def _attend(
    data: Path | None, settings: UpSettings, servers: list[str], companions: Sequence[Companion], *, as_json: bool
) -> int:
    from signal_admin.cluster.attending import attended
    from signal_admin.companions import accompanied
    from signal_contract.cli.answer import print_json, say
    from signal_contract.cli.interrupts import Interrupts
    from signal_contract.envelope import Envelope

    task: asyncio.Task[int] | None = asyncio.current_task()
    assert task is not None  # noqa: S101  # runs inside asyncio.run

    def stop() -> None:
        task.cancel()

    interrupts = Interrupts(stop=stop, hurry=stop, message="leaving the nodes to themselves")
    try:
        async with attended(data, settings, servers, say) as running:
            if as_json:
                print_json(Envelope("catalyst cluster attend", {"urls": list(running.urls)}).as_dict())
            say(f"looking after {len(running.urls)} nodes; Ctrl-C ends that, the nodes go on")
            async with accompanied(companions, running.desk.root, say):
                await running.watching
    except asyncio.CancelledError:
        say("stopped")
    return int(interrupts.exit_code)
