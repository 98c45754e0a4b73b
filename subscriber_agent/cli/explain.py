"""`subscriber-agent explain`: why a signal was traded or not, and what would have to change for it to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_contract.cli.answer import finish, table
from signal_contract.envelope import Envelope
from signal_contract.errors import CredsInvalid, InputError, NotFound
from subscriber_agent.cli.place import ConfigOption, JsonOption, config_path, open_place

if TYPE_CHECKING:
    from rich.console import Console

    from signal_contract.model import Signal
    from subscriber_agent.explaining import Explained
    from subscriber_agent.journal import Journal, Stored
    from subscriber_agent.settings.config import AgentConfig

# A signal is 64 kB at most; more than this is no signal.
_LARGEST_FILE = 1_000_000
_WORDS = {"PASS": "passes", "REFUSE": "REFUSES", "CLAMP": "cuts down"}
_PLAN_WORDS = (
    ("limit_price", "limit"),
    ("stop_price", "stop"),
    ("target_price", "target"),
    ("trailing_stop_percent", "trailing stop %"),
    ("max_hold_s", "held at most (s)"),
)

FileOption = Annotated[Path | None, typer.Option("--file", help="A signal as JSON, offline; checked by today's rules.")]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is told about one signal: how it was decided (nothing for a file), and how it would be now (when asked)."""

    signal: Signal
    stream_seq: int | None
    attempts: list[dict[str, Any]]
    orders: list[dict[str, Any]]
    now: Explained | None

    def as_dict(self) -> dict[str, Any]:
        return {
            "signal": self.signal.model_dump(mode="json"),
            "decision": self.attempts[-1] if self.attempts else None,
            "attempts": self.attempts,
            "orders": self.orders,
            "now": None if self.now is None else self.now.as_dict(),
        }


def explain(
    context: typer.Context,
    signal_id: Annotated[str | None, typer.Argument(help="The signal's id, or how it begins.")] = None,
    last: Annotated[bool, typer.Option("--last", help="The signal that came last.")] = False,
    file: FileOption = None,
    now: Annotated[bool, typer.Option("--now", help="Also every check by the rules and the account of now.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Why a signal was traded or not: every check with its number and its limit.

    With --now (always with --file) all checks are made again, and for each that refuses it says what would have to
    change. Nothing is ordered or written.

    Example: subscriber-agent explain 3f9a --now
    """
    if sum((signal_id is not None, last, file is not None)) != 1:
        context.fail("Name one signal: its id, or --last, or --file signal.json.")
    answer = _from_journal(signal_id, config, is_now=now) if file is None else _from_file(file, config)
    finish(
        Envelope("subscriber-agent explain", answer.as_dict()), as_json=as_json, render=lambda out: _render(out, answer)
    )


def _from_journal(signal_id: str | None, config: Path | None, *, is_now: bool) -> _Answer:
    place = open_place(config)
    with place.journal() as journal:
        stored = _last_signal(journal) if signal_id is None else _one_signal(journal, signal_id)
        signal = stored.signal
        orders = [
            {"order_id": row.intent.order_id, "outcome": row.outcome.as_dict() if row.outcome else None}
            for row in journal.orders_of(signal.signal_id)
        ]
        again = _decided_again(stored, journal, place.config) if is_now else None
        attempts = journal.decisions_of(signal.signal_id, signal.revision)
    return _Answer(signal, stored.stream_seq, attempts, orders, again)


def _decided_again(stored: Stored, journal: Journal, config: AgentConfig) -> Explained:
    from subscriber_agent.explaining import explained_by_journal

    return explained_by_journal(stored, journal, config, datetime.now(UTC))


def _from_file(path: Path, config: Path | None) -> _Answer:
    """The file's signal by the journal's account where there is one, else by the config alone."""
    from subscriber_agent.explaining import explained_alone, explained_by_journal
    from subscriber_agent.journal import Stored
    from subscriber_agent.settings.config import load_config

    payload, now = _read(path), datetime.now(UTC)
    signal = _decoded(path, payload)
    loaded = load_config(config_path(config))
    try:
        journal = open_place(config).journal()
    except (CredsInvalid, NotFound):
        return _Answer(signal, None, [], [], explained_alone(signal, loaded, now))
    with journal:
        # As if it came next.
        stored = Stored(journal.last_sequence() + 1, signal.subject, payload, now, signal)
        return _Answer(signal, None, [], [], explained_by_journal(stored, journal, loaded, now))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            payload = file.read(_LARGEST_FILE)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", hint="Name a file with one signal.") from error
    if len(payload) == _LARGEST_FILE:
        raise InputError(f"{path} is too large for a signal", hint="Name a file with one signal as JSON.")
    return payload


def _decoded(path: Path, payload: bytes) -> Signal:
    """The file's signal, also when it is set out on several lines."""
    import orjson

    from signal_contract.codec import decode

    try:
        return decode(orjson.dumps(orjson.loads(payload)))
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path} holds no JSON: {error}", hint="A signal in the wire schema.") from error


def _one_signal(journal: Journal, prefix: str) -> Stored:
    """The latest revision of the one signal whose id begins so; raises NotFound or InputError."""
    found = journal.find(prefix.lower())
    ids = sorted({each.signal.signal_id for each in found})
    if not ids:
        raise NotFound(f"no signal's id begins with {prefix[:40]!r}", hint="`subscriber-agent signals` lists them.")
    if len(ids) > 1:
        raise InputError(f"{len(ids)} signals begin with {prefix!r}", hint=f"Such as {ids[0][:10]} and {ids[1][:10]}.")
    return max(found, key=lambda each: each.signal.revision)


def _last_signal(journal: Journal) -> Stored:
    rows = journal.signals(1)
    stored = journal.stored(rows[0].signal_id, rows[0].revision) if rows else None
    if stored is None:
        raise NotFound("no signal came yet", hint="`subscriber-agent run` receives them.")
    return stored


def _render(out: Console, answer: _Answer) -> None:
    signal = answer.signal
    place = "" if answer.stream_seq is None else f", stream sequence {answer.stream_seq}"
    out.print(f"{signal.action} {signal.ticker} on {signal.catalyst}: {signal.news.title}", markup=False)
    out.print(f"{signal.signal_id} revision {signal.revision}{place}", markup=False)
    for number, decision in enumerate(answer.attempts, 1):
        again = f" (decided for the {number}. time)" if number > 1 else ""
        out.print(f"\nAs it was decided{again}", markup=False, style="bold")
        _render_decision(out, decision)
    if not answer.attempts and answer.stream_seq is not None:
        out.print("not decided yet", markup=False)
    if answer.now is not None:
        out.print("\nBy the rules and the account of now", markup=False, style="bold")
        _render_decision(out, answer.now.decision.as_dict())
        _render_remedies(out, answer.now)


def _render_decision(out: Console, decision: Mapping[str, Any]) -> None:
    code = f": {decision['code']}" if decision["code"] else ""
    decided_at = datetime.fromisoformat(decision["decided_at"])
    out.print(f"{decision['verdict']}{code} at {decided_at:%Y-%m-%d %H:%M:%S} UTC", markup=False)
    if decision["code"]:
        out.print(_meaning(decision["code"]), markup=False)
    out.print()
    rows = [
        (each["name"], each["observed"], each["limit"], _WORDS[each["outcome"]], each["code"])
        for each in decision["checks"]
    ]
    table("check", "seen", "limit", "verdict", "code", rows=rows, empty="no checks were needed")(out)
    if decision["plan"] is not None:
        out.print(f"\norder: {_plan_line(decision['plan'])}", markup=False)
    cut_by = [f"{each['name']} to {each['limit']}" for each in decision["checks"] if each["outcome"] == "CLAMP"]
    if cut_by:
        out.print(f"cut down by {'; '.join(cut_by)}", markup=False)


def _meaning(code: str) -> str:
    from subscriber_agent.risk.codes import CODE_MEANING

    return {each.value: text for each, text in CODE_MEANING.items()}.get(code, "")


def _plan_line(plan: Mapping[str, Any]) -> str:
    parts = [f"{plan['side']} {plan['quantity']} {plan['ticker']}, {plan['order_type']}, {plan['time_in_force']}"]
    parts += [f"{word} {plan[key]}" for key, word in _PLAN_WORDS if plan.get(key) is not None]
    return ", ".join([*parts, *(["also outside regular hours"] if plan.get("extended_hours") else [])])


def _render_remedies(out: Console, explained: Explained) -> None:
    rows = [(each.check, each.code, each.words) for each in explained.remedies]
    if rows:
        out.print("\nWhat would have to change, check by check", markup=False, style="bold")
        table("check", "code", "change", rows=rows)(out)
    for each in explained.unknown:
        out.print(f"note: {each}", markup=False)
