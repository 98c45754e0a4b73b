"""`catalyst health`: whether the server of a data directory works, for containers and monitoring; without a log-in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from signal_admin.cli.options import DataOption, JsonOption
from signal_contract.cli.answer import finish
from signal_contract.envelope import Envelope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from signal_admin.companions import Companion

HealthOption = Annotated[
    bool,
    typer.Option(
        "--health",
        envvar="CATALYST_HEALTH",
        help="Prove every 15 s that signals can be stored, for `catalyst health`; under systemd always.",
    ),
]


def health(
    data: DataOption = None,
    max_age_s: Annotated[float, typer.Option("--max-age", min=1, max=3600, help="Seconds a proof counts for.")] = 45.0,
    as_json: JsonOption = False,
) -> None:
    """Whether the server was proven to work within the last 45 s; exit status 0 when it was.

    It reads what `catalyst up --health` writes after each round trip through JetStream, so asking costs nothing and
    leaves no log-in behind in the audit log.

    Example: catalyst health
    """
    from signal_admin.desk import Desk, data_directory
    from signal_admin.service.proof import proof_checked, read_proof

    now = datetime.now(UTC)
    proof = proof_checked(read_proof(Desk(data_directory(data))), now, max_age_s=max_age_s)
    facts = {"at": proof.at.isoformat(), "age_s": round(proof.age_s(now), 1), "last_sequence": proof.last_sequence}
    text = f"works: proven {facts['age_s']} s ago, stream at {proof.last_sequence}"
    finish(Envelope("catalyst health", facts), as_json=as_json, render=lambda out: out.print(text, markup=False))


def with_minding(companions: Sequence[Companion], *, is_wanted: bool) -> tuple[Companion, ...]:
    """The companions of `catalyst up`, with the one that proves the server when systemd or the operator wants it."""
    from signal_contract.notify import this_process

    if not (is_wanted or this_process().is_listening):
        return tuple(companions)
    from signal_admin.service.minding import minding

    return (*companions, minding)
