"""`catalyst doctor`: what is wrong with the operator's side, and what to do about it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from signal_admin.cli.options import DataOption, JsonOption
from signal_contract.cli.doctor import ExplainOption, OnlyOption, WaitOption, progress, show_check, show_examination

_COMMAND = "catalyst doctor"


def doctor(
    data: DataOption = None,
    only: OnlyOption = "",
    explain: ExplainOption = "",
    wait_s: WaitOption = 4.0,
    canary: Annotated[
        bool,
        typer.Option("--canary", help="Also send one signed notice the whole way, to nobody; nothing is traded."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Look at server, streams, friends and publisher: each check OK, WARN or FAIL, with what to do.

    It changes nothing and may run beside everything else. Exit status 3 when a check fails.

    Example: catalyst doctor --canary
    """
    from signal_admin.doctor.checks import examine_operator
    from signal_contract.doctor.checks import check_of, chosen
    from signal_contract.doctor.finding import Side

    if explain:
        show_check(_COMMAND, Side.OPERATOR, check_of(explain), as_json=as_json)
    wanted = chosen(only, Side.OPERATOR)
    with progress() as tell:
        findings = asyncio.run(
            examine_operator(
                data,
                clock=lambda: datetime.now(UTC),
                only=wanted,
                wait_s=wait_s,
                has_canary=canary or "D29" in wanted,
                tell=tell,
            )
        )
    show_examination(_COMMAND, Side.OPERATOR, findings, as_json=as_json)
