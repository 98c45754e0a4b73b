"""`subscriber-agent doctor`: what is wrong between this machine and the signals, and what to do about it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from signal_contract.cli.doctor import ExplainOption, OnlyOption, WaitOption, progress, show_check, show_examination
from subscriber_agent.cli.place import ConfigOption, CredsOption, JsonOption, config_home

_COMMAND = "subscriber-agent doctor"


def doctor(
    config: ConfigOption = None,
    creds: CredsOption = None,
    only: OnlyOption = "",
    explain: ExplainOption = "",
    wait_s: WaitOption = 4.0,
    canary: Annotated[
        bool, typer.Option("--canary", help="Also send one report to your operator, and see it stored.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at everything between this machine and the signals: each check OK, WARN or FAIL, with what to do.

    It changes nothing and may run beside the agent. Exit status 3 when a check fails.

    Example: subscriber-agent doctor --only D12,D15
    """
    from signal_contract.doctor.checks import check_of, chosen
    from signal_contract.doctor.finding import Side
    from subscriber_agent.doctor.checks import examine_agent

    if explain:
        show_check(_COMMAND, Side.AGENT, check_of(explain), as_json=as_json)
    wanted = chosen(only, Side.AGENT)
    with progress() as tell:
        findings = asyncio.run(
            examine_agent(
                config or config_home(None) / "agent.yaml",
                clock=lambda: datetime.now(UTC),
                creds_file=creds,
                only=wanted,
                wait_s=wait_s,
                has_canary=canary or "D29" in wanted,
                tell=tell,
            )
        )
    show_examination(_COMMAND, Side.AGENT, findings, as_json=as_json)
