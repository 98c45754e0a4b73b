"""The demonstration on a terminal (live), or line by line into a pipe, and its summary."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from signal_admin.demo.cast import FRIENDS
from signal_admin.demo.story import Outcome, Story, sample_records
from signal_admin.demo.summary import FriendLog, latency_rows
from signal_contract.cli.answer import console, finish, table
from signal_contract.envelope import Envelope, Problem
from signal_contract.errors import ExitCode
from signal_contract.resources import resource_path

_SAMPLE = "config/samples/catalyst_bot_signals.jsonl"
# A person follows the live view; a pipe does not care.
_LIVE_PACE_S, _PLAIN_PACE_S = 0.45, 0.1
_STYLE = {"accepted": "green", "refused": "yellow", "noted": "dim"}


def wire_line(signal: dict[str, Any]) -> str:
    """A published signal in one line."""
    price = signal["reference_price"] or "?"
    return (
        f"{signal['action']:<5} {signal['ticker']:<6} {signal['catalyst']:<13.13} {signal['confidence']:>4} {price:>7}"
    )


def decision_line(report: dict[str, Any]) -> str:
    """A friend's decision in one line: what and how much, or why not."""
    head = f"{report['action']:<5} {report['ticker']:<6}"
    if report["verdict"] != "accepted":
        return f"{head} {report['verdict']:<8} {report['code'] or ''}"
    done = f"{report['side']} {report['quantity']} @ {report['price']}" if report.get("price") else "accepted"
    return f"{head} {done}"


class PlainStage:
    """One line an event: for pipes, logs and terminals without cursor control."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._started = time.monotonic()
        self._step = 0

    def _line(self, text: str) -> None:
        self._out.print(f"{time.monotonic() - self._started:6.2f} s  {text}", markup=False)

    def step(self, text: str, command: str = "") -> None:
        self._step += 1
        self._line(f"── {self._step}. {text}")
        if command:
            self._line(f"   $ {command}")

    def wire(self, signal: dict[str, Any]) -> None:
        self._line(f"wire   | {wire_line(signal)}")

    def friend(self, name: str, event: str, report: dict[str, Any]) -> None:
        if event == "decision":
            self._line(f"{name:<6} | {decision_line(report)}")
        elif event == "caught_up" and report["missed"]:
            outcomes = ", ".join(f"{count} {what}" for what, count in report["outcomes"].items())
            self._line(f"{name:<6} | caught up: {report['missed']} missed: {outcomes}")

    def note(self, text: str) -> None:
        self._line(f"   {text}")


class LiveStage:
    """The wire on the left, each friend's decisions on the right, the steps below."""

    def __init__(self, live: Live, rows: int) -> None:
        self._live = live
        self._rows = rows
        self._wire: list[Text] = []
        self._friends: dict[str, list[Text]] = {friend.name: [] for friend in FRIENDS}
        self._steps: list[Text] = []

    def step(self, text: str, command: str = "") -> None:
        self._steps.append(Text(f"▸ {text}", style="bold"))
        if command:
            self._steps.append(Text(f"    $ {command}", style="dim"))
        self._show()

    def wire(self, signal: dict[str, Any]) -> None:
        self._wire.append(Text(wire_line(signal)))
        self._show()

    def friend(self, name: str, event: str, report: dict[str, Any]) -> None:
        lines = self._friends[name]
        if event == "decision":
            lines.append(Text(decision_line(report), style=_STYLE.get(str(report["verdict"]), "")))
        elif event == "stopped":
            lines.append(Text("── offline ──", style="red"))
        elif event == "caught_up":
            lines.append(Text(f"── online; caught up, {report['missed']} missed ──", style="cyan"))
        self._show()

    def note(self, text: str) -> None:
        self._steps.append(Text(f"    {text}"))
        self._show()

    def _show(self) -> None:
        self._live.update(self.picture())

    def picture(self) -> Group:
        """The whole view, cut to the newest lines."""
        width = max(30, self._live.console.width // 3 - 1)
        panels = [self._panel("the wire", self._wire, width)]
        panels += [self._panel(f"{name} decides", lines, width) for name, lines in self._friends.items()]
        return Group(Columns(panels, padding=(0, 1)), Text(), *self._steps[-7:])

    def _panel(self, title: str, lines: list[Text], width: int) -> Panel:
        shown = lines[-self._rows :]
        body = Text("\n", no_wrap=True, overflow="ellipsis").join([*shown, *[Text()] * (self._rows - len(shown))])
        return Panel(body, title=f"{title} · {len(lines)}", width=width)


def _summary(logs: list[FriendLog]) -> list[tuple[str, ...]]:
    return [
        (
            log.name,
            str(len(log.decisions)),
            str(log.verdicts["accepted"]),
            str(log.verdicts["refused"]),
            ", ".join(f"{code} {count}" for code, count in log.codes.most_common()),
            str(sum(int(each["missed"]) for each in log.caught_up)),
        )
        for log in logs
    ]


def _document(outcome: Outcome, elapsed_s: float) -> dict[str, Any]:
    logs = list(outcome.logs.values())
    return {
        "published": len(outcome.wire),
        "elapsed_s": round(elapsed_s, 2),
        "friends": [
            {"name": log.name, "filters": log.filters, "decided": len(log.decisions), "refusals": dict(log.codes)}
            | dict(log.verdicts)
            for log in logs
        ],
        "latency_ms": [
            dict(zip(("stage", "p50", "p95", "max"), row, strict=True))
            for row in latency_rows([each for log in logs for each in log.live])
        ],
        "checks": [{"promise": each.promise, "kept": each.is_kept, "seen": each.seen} for each in outcome.checks],
    }


def _render(outcome: Outcome, elapsed_s: float, out: Console) -> None:
    logs = list(outcome.logs.values())
    out.print()
    columns = ("friend", ">decided", ">accepted", ">refused", "refused because", ">missed while away")
    table(*columns, rows=_summary(logs), title=f"{len(outcome.wire)} signals published")(out)
    out.print()
    rows = latency_rows([each for log in logs for each in log.live])
    title = "milliseconds, live signals of this run (server, publisher and two agents share this machine)"
    table("stage", ">p50", ">p95", ">max", rows=rows, title=title)(out)
    out.print()
    kept = [("kept" if each.is_kept else "BROKEN", each.promise, each.seen) for each in outcome.checks]
    table("", "promise", "seen", rows=kept, title="What was promised")(out)
    out.print(
        f"\n{elapsed_s:.1f} s. Next: the README's “five minutes for the operator”, or `catalyst up`.", markup=False
    )


def _end(outcome: Outcome, elapsed_s: float, as_json: bool) -> NoReturn:
    broken = [each for each in outcome.checks if not each.is_kept]
    problems = tuple(Problem("DEMO_FAILED", f"{each.promise}: {each.seen}", "Please report it.") for each in broken)
    envelope = Envelope("demo", _document(outcome, elapsed_s), ExitCode.UNEXPECTED if broken else ExitCode.OK, problems)
    finish(envelope, as_json=as_json, render=lambda out: _render(outcome, elapsed_s, out))


async def _play(folder: Path, sample: list[bytes], *, is_plain: bool, out: Console) -> Outcome:
    if is_plain:
        return await Story(folder, PlainStage(out), sample, pace_s=_PLAIN_PACE_S).play()
    with Live(console=out, refresh_per_second=12, vertical_overflow="crop") as live:
        stage = LiveStage(live, rows=max(6, min(16, out.height - 12)))
        return await Story(folder, stage, sample, pace_s=_LIVE_PACE_S).play()


def show_demo(*, is_plain: bool, as_json: bool, is_kept: bool) -> NoReturn:
    """Play the story in a temporary directory and end with its summary."""
    sample = sample_records(resource_path(_SAMPLE).read_text(encoding="utf-8"))
    folder = Path(tempfile.mkdtemp(prefix="catalyst-demo-"))
    started = time.monotonic()
    out = console(sys.stderr) if as_json else console()
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        # A closed terminal ends it as Ctrl-C does: in order, with nothing left running.
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    is_plain = is_plain or as_json or not out.is_terminal
    try:
        outcome = asyncio.run(_play(folder, sample, is_plain=is_plain, out=out))
    finally:
        if is_kept:
            console(sys.stderr).print(f"kept: {folder}", markup=False)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    _end(outcome, time.monotonic() - started, as_json)
