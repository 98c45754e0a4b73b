"""Halt, reduce, resume: the friend's own latch. It works with no network, stays over restarts, and nothing skips it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, NoReturn

import typer

from signal_contract.cli.answer import finish
from signal_contract.envelope import Envelope
from subscriber_agent.cli.place import ConfigOption, JsonOption, open_latches

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
    """Trade again. A halt by the operator still counts.

    Example: subscriber-agent resume
    """
    _latch("resume", "ACTIVE", config, reason, as_json)


def _latch(command: str, value: str, config: ConfigOption, reason: str, as_json: bool) -> NoReturn:
    from subscriber_agent.desk import LOCAL_LATCH, OPERATOR_LATCH

    user, opened = open_latches(config)
    with opened as journal:
        before = journal.latch(LOCAL_LATCH)
        journal.set_latch(LOCAL_LATCH, value, reason, datetime.now(UTC))
        operator = journal.latch(OPERATOR_LATCH)
    data = {
        "before": before.value if before else "ACTIVE",
        "after": value,
        "operator": operator.value if operator else "ACTIVE",
    }
    text = f"trading of {user}: {data['before']} → {value}"
    note = "" if data["operator"] == "ACTIVE" else f" (the operator's word, {data['operator']}, still counts)"
    finish(
        Envelope(f"subscriber-agent {command}", data),
        as_json=as_json,
        render=lambda out: out.print(text + note, markup=False),
    )
