"""Halt, reduce, resume: the friend's own latch. It works with no network, stays over restarts, and nothing skips it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from signal_contract.cli.answer import finish
from signal_contract.envelope import Envelope
from signal_contract.errors import ConfigInvalid
from subscriber_agent.cli.account import hold_line, holds_now
from subscriber_agent.cli.place import ConfigOption, JsonOption, Latches, open_latches

if TYPE_CHECKING:
    from subscriber_agent.journal import Journal
    from subscriber_agent.risk.market import TradingState

ReasonOption = Annotated[str, typer.Option("--reason", help="Why; shown by `status`.")]


def halt(config: ConfigOption = None, reason: ReasonOption = "", as_json: JsonOption = False) -> None:
    """Order nothing any more, neither entries nor exits, until `resume`.

    Example: subscriber-agent halt --reason "earnings day"
    """
    _latch("halt", "HALTED", config, reason, as_json)


def reduce(config: ConfigOption = None, reason: ReasonOption = "", as_json: JsonOption = False) -> None:
    """Allow exits only, until `resume`.

    Example: subscriber-agent reduce
    """
    _latch("reduce", "REDUCING", config, reason, as_json)


def resume(config: ConfigOption = None, reason: ReasonOption = "", as_json: JsonOption = False) -> None:
    """Trade again. What still stops entries is named: a halt by the operator, a broken loss limit, a pause.

    Example: subscriber-agent resume
    """
    _latch("resume", "ACTIVE", config, reason, as_json)


def _latch(command: str, value: str, config: ConfigOption, reason: str, as_json: bool) -> NoReturn:
    from subscriber_agent.receiving.control_state import LOCAL_LATCH, OPERATOR_LATCH, OPERATOR_USER_LATCH, stricter
    from subscriber_agent.risk.market import TradingState

    now = datetime.now(UTC)
    found = open_latches(config)
    with found.journal as journal:
        if value == TradingState.ACTIVE:
            journal.check_is_current()
        kept = journal.latch(LOCAL_LATCH)
        before = TradingState.from_text(kept.value if kept else None)
        _set(journal, found, before, TradingState(value), reason, now)
        latches = [journal.latch(name) for name in (OPERATOR_LATCH, OPERATOR_USER_LATCH)]
        operator = stricter(*(TradingState.from_text(each.value) for each in latches if each is not None))
        holds = holds_now(journal, found.config, now) if value == TradingState.ACTIVE and found.config else []
    data = {"before": before.value, "after": value, "operator": operator.value, "holds": holds}
    note = "" if operator is TradingState.ACTIVE else f" (the operator's word, {operator}, still counts)"
    lines = [
        f"trading of {found.user}: {before} → {value}{note}",
        *([] if found.mistakes is None else [f"beside this, the config cannot be used: {found.mistakes.message}"]),
        *(f"entries are still stopped: {hold_line(each)}" for each in holds),
    ]
    finish(
        Envelope(f"subscriber-agent {command}", data),
        as_json=as_json,
        render=lambda out: out.print("\n".join(lines), markup=False),
    )


def _set(
    journal: Journal, found: Latches, before: TradingState, after: TradingState, reason: str, now: datetime
) -> None:
    """Set the friend's latch; what lets more through than before is journaled with the config's hash.

    Raises the config's mistakes when it is needed: a halt needs none, loosening does.
    """
    from subscriber_agent.receiving.control_state import LOCAL_LATCH, stricter

    with journal.transaction():
        # A halt must also work on the journal of an earlier version, which cannot keep this row.
        if before is not after and stricter(before, after) is before:
            what = {"before": before.value, "after": after.value, "reason": reason}
            if found.config is None:
                raise found.mistakes or ConfigInvalid("the config cannot be used")
            journal.write_loosening("trading_loosened", what, found.config.config_hash(), now)
        journal.set_latch(LOCAL_LATCH, after.value, reason, now)
