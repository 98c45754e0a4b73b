"""What `catalyst` mounts of the publisher: options and help; what a command does is in a module of its name.

Not in the package itself: there `publish` is that module as soon as it is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from publisher.metrics import PublisherSource

# What the application mounts; the groups come last in its help.
_VERBS = ("publish", "relay", "tail", "stats", "held", "approve", "reject")
COMMANDS = {each: f"publisher.cli.commands:{each}" for each in _VERBS}
GROUPS = {
    "signal": "publisher.cli.commands:signal_app",
    "intake": "publisher.cli.commands:intake_app",
    "bot": "publisher.cli.bot:bot_app",
}

DataOption = Annotated[
    Path | None, typer.Option("--data", envvar="CATALYST_DATA", help="The operator's data directory.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer with one JSON document.")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Show what would go out; send and keep nothing.")]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=0.1, max=3600, help="Seconds without a receipt until it gives up waiting.")
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The signal's id, or the beginning of it.")]

signal_app = typer.Typer(
    help="Signals that went out: list and show them, take them back, change them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


intake_app = typer.Typer(
    help="Take signals from programs on this machine.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
IdsArgument = Annotated[list[str], typer.Argument(metavar="ID…", help="Ids of held signals, or their beginnings.")]
LinesOption = Annotated[bool, typer.Option("--json", help="One JSON line on stdout for everything that happens.")]
ApproveOption = Annotated[
    bool, typer.Option("--approve", help="Hold the signals until `catalyst approve ID`; nothing goes out by itself.")
]


async def relaying(data: Path, tell: Callable[[str], None]) -> None:
    """Run the publisher beside the server until cancelled; `tell` gets a line for each change.

    Raises CatalystError when settings, keys or outbox cannot be read.
    """
    from publisher.cli.relay import relaying as run

    await run(data, tell)


def publisher_source(data: Path) -> PublisherSource:
    """What `catalyst up --metrics` reads of the publisher."""
    from publisher.metrics import PublisherSource

    return PublisherSource(data)


def publish(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="A file of JSON lines; - reads from the pipe.")],
    data: DataOption = None,
    drill: Annotated[
        bool, typer.Option("--drill", help="Send as a fire drill: dated now, acted on by agents on paper only.")
    ] = False,
    dry_run: DryOption = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Publish what is appended to FILE, or to *.jsonl in a directory.")
    ] = False,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="With --follow: begin with what is there already.")
    ] = False,
    approve_first: ApproveOption = False,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = 30.0,
) -> None:
    """Publish signals from a file of JSON lines, or from a pipe.

    \b
    Examples:
      catalyst publish signals.jsonl
      catalyst publish signals.jsonl --dry-run     what would go out
      catalyst publish signals.jsonl --drill       a fire drill, dated now
      catalyst publish signals.jsonl --approve     wait for your word: catalyst held, approve, reject
      catalyst publish --follow accepted.jsonl     what is written to a file, or into a directory, until Ctrl-C
      my-classifier | catalyst publish -           line by line

    Lines are Catalyst-Bot records (news_item, scored_item, trading_signal),
    lines of its accepted_items.jsonl, or signals in the wire's own schema.
    What is published once is never published again.

    Signals are kept in a durable outbox first: with the server away they go
    out later, by `catalyst relay` or the next publish.
    """
    if (from_start and not follow) or (follow and (dry_run or file == "-")):
        raise typer.BadParameter("--follow takes a FILE or directory, no --dry-run; --from-start goes with it")
    if follow:
        from publisher.cli.follow import FollowRequest, run_follow

        followed = FollowRequest(Path(file), data, from_start, is_drill=drill, is_approved=approve_first)
        raise typer.Exit(run_follow(followed, as_json=as_json))
    from publisher.cli.publish import PublishRequest, answer_publish

    request = PublishRequest(file, data, is_drill=drill, timeout_s=timeout_s, is_approved=approve_first)
    answer_publish(request, is_dry=dry_run, as_json=as_json)


@intake_app.command("serve")
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0 lets the system choose.")] = 8787,
    data: DataOption = None,
    approve_first: ApproveOption = False,
    as_json: LinesOption = False,
) -> None:
    """Take signals over HTTP from programs on this machine: POST /signals with a bearer token, GET /health.

    Example: catalyst intake serve --port 8787
    """
    from publisher.cli.serve import ServeRequest, run_serve

    raise typer.Exit(run_serve(ServeRequest(port, data, approve_first), as_json=as_json))


def tail(
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="Such as signals.fda.* or signals.*.AAPL; may be repeated.")
    ] = None,
    data: DataOption = None,
    as_json: LinesOption = False,
) -> None:
    """Show what goes out, as it goes out, until Ctrl-C.

    Example: catalyst tail --filter 'signals.fda.*'
    """
    from publisher.cli.tail import run_tail

    raise typer.Exit(run_tail(data, filters or [], as_json=as_json))


def stats(
    since: Annotated[str, typer.Option(help="How far back: 12h, 7d, 4w.")] = "30d",
    png: Annotated[Path | None, typer.Option(help="Draw it to this file (needs matplotlib).", dir_okay=False)] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count the signals by hour, catalyst and confidence.

    Example: catalyst stats --since 30d --png signals.png
    """
    from publisher.cli.stats import answer_stats

    answer_stats(data, since, png, as_json=as_json)


def held(data: DataOption = None, as_json: JsonOption = False) -> None:
    """The signals that wait for your word; those that expired are dropped.

    Example: catalyst held
    """
    from publisher.cli.approvals import answer_held

    answer_held(data, as_json=as_json)


def approve(
    ids: IdsArgument, data: DataOption = None, as_json: JsonOption = False, timeout_s: TimeoutOption = 30.0
) -> None:
    """Send signals that were held.

    Example: catalyst approve 3f9a
    """
    from publisher.cli.approvals import answer_approve

    answer_approve(data, ids, timeout_s, as_json=as_json)


def reject(ids: IdsArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Put held signals away for good: they are not held again when their source is read again.

    Example: catalyst reject 3f9a
    """
    from publisher.cli.approvals import answer_reject

    answer_reject(data, ids, as_json=as_json)


def relay(
    data: DataOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON line on stdout for everything that happens.")
    ] = False,
) -> None:
    """Send what comes into the outbox, until Ctrl-C.

    \b
    Examples:
      catalyst relay
      catalyst relay --json | jq .                 one JSON line for everything that happens

    A heartbeat goes out every 15 s. `catalyst up` does the same beside the
    server; run this one where the classifier runs without it.
    """
    from publisher.cli.relay import run_relay

    raise typer.Exit(run_relay(data, as_json=as_json))


@signal_app.command("list")
def list_signals(
    since: Annotated[str, typer.Option(help="How far back: 90m, 12h, 7d, 4w.")] = "7d",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """The signals of this outbox, newest first, each in its last revision.

    Example: catalyst signal list --since 1d
    """
    from publisher.cli.signals import answer_list

    answer_list(data, since, limit, as_json=as_json)


@signal_app.command("show")
def show(signal_id: IdArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """One signal in all its revisions.

    Example: catalyst signal show 3f9a
    """
    from publisher.cli.signals import answer_show

    answer_show(data, signal_id, as_json=as_json)


@signal_app.command("retract")
def retract(
    signal_id: IdArgument,
    reason: Annotated[str, typer.Option(help="Why; the friends' agents show it.")],
    data: DataOption = None,
    dry_run: DryOption = False,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = 30.0,
) -> None:
    """Take a signal back: agents that have not acted on it never will.

    Example: catalyst signal retract 3f9a --reason "the news was withdrawn"
    """
    from publisher.cli.signals import RevisionRequest, answer_retract

    request = RevisionRequest("catalyst signal retract", signal_id, data, dry_run, timeout_s)
    answer_retract(request, reason, as_json=as_json)


@signal_app.command("update")
def update(
    signal_id: IdArgument,
    confidence: Annotated[str | None, typer.Option(help="The new confidence, 0 to 1.")] = None,
    stop: Annotated[str | None, typer.Option(help="The new stop price in USD.")] = None,
    target: Annotated[str | None, typer.Option(help="The new target price in USD.")] = None,
    expires: Annotated[str | None, typer.Option(help="When it expires, from now: 90m, 2h, 1d.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why; the friends' agents show it.")] = None,
    data: DataOption = None,
    dry_run: DryOption = False,
    as_json: JsonOption = False,
    timeout_s: TimeoutOption = 30.0,
) -> None:
    """Change a signal that is out: a later revision on the same subject.

    Example: catalyst signal update 3f9a --stop 4.90 --expires 2h
    """
    from publisher.cli.signals import RevisionRequest, answer_update
    from publisher.revision import Change

    request = RevisionRequest("catalyst signal update", signal_id, data, dry_run, timeout_s)
    answer_update(request, Change(confidence, stop, target, expires, reason), as_json=as_json)
