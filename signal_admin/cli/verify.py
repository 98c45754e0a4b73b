"""`catalyst verify`: does the wire, or a backup of it, hold what it promises?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from signal_admin.cli.options import DataOption, JsonOption
from signal_admin.cli.serving import NatsServerOption

if TYPE_CHECKING:
    from rich.console import Console

    from signal_admin.backup.verifying import Verdict


def verify(
    backup: Annotated[
        Path | None, typer.Option("--backup", metavar="FILE", help="A backup, instead of the data directory.")
    ] = None,
    data: DataOption = None,
    nats_server: NatsServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every stored message, signature, sequence and durable, and the outbox against the stream.

    Works on a copy that is put back like a restore; the server may run. The copy needs as much room as the streams: in
    the data directory, or for a backup in the system's folder for temporary files (TMPDIR). Ends with status 3 when
    something does not hold. Examples: catalyst verify; catalyst verify --backup catalyst-20260102.backup
    """
    import asyncio

    from signal_contract.cli.answer import say

    verdict = asyncio.run(_of_file(backup, nats_server) if backup is not None else _of_data(data, nats_server))
    source = {"backup": str(backup)} if backup is not None else {"data": verdict.manifest.source}
    if not as_json:
        made = verdict.manifest
        say(f"{made.host}:{made.source} at {made.created_at:%Y-%m-%d %H:%M:%S} UTC, nats-server {made.server}")
    answered("catalyst verify", source, verdict, as_json=as_json)


async def _of_data(data: Path | None, nats_server: Path | None) -> Verdict:
    from signal_admin.backup.taking import verified_directory
    from signal_admin.desk import open_desk
    from signal_contract.cli.answer import say

    return await verified_directory(open_desk(data), say, binary=nats_server)


async def _of_file(file: Path, nats_server: Path | None) -> Verdict:
    import tempfile

    from signal_admin.backup.archive import is_sealed_backup
    from signal_admin.backup.passphrases import passphrase_of_file
    from signal_admin.backup.private_files import scratch_folder
    from signal_admin.backup.taking import verified_file
    from signal_contract.cli.answer import say

    passphrase = passphrase_of_file() if is_sealed_backup(file) else None
    with scratch_folder(Path(tempfile.gettempdir()), "catalyst-verify-") as scratch:
        return await verified_file(file, passphrase, scratch / "check", say, binary=nats_server)


def answered(command: str, facts: dict[str, Any], verdict: Verdict | None, *, as_json: bool) -> NoReturn:
    """End a command with facts and findings; status 3 when a finding failed."""
    from signal_admin.backup.findings import Level
    from signal_contract.cli.answer import finish
    from signal_contract.envelope import Envelope, Problem
    from signal_contract.errors import ExitCode

    findings = verdict.findings if verdict is not None else ()
    answer = {**facts, "findings": [each.as_dict() for each in findings]}
    failed = [each for each in findings if each.level is Level.FAIL]
    hint = "Keep this copy as it is. `catalyst verify --backup FILE` tells whether an earlier backup is sound."
    problems = tuple(Problem("NOT_SOUND", f"{each.what}: {each.text}", hint) for each in failed)
    exit_code = ExitCode.PARTIAL if failed else ExitCode.OK
    finish(Envelope(command, answer, exit_code, problems), as_json=as_json, render=_render(facts, verdict))


def _render(facts: dict[str, Any], verdict: Verdict | None) -> Any:
    from signal_contract.cli.answer import table

    def render(out: Console) -> None:
        rows = [(key.replace("_", " "), _words(value)) for key, value in facts.items()]
        table("", "", rows=rows)(out)
        if verdict is not None:
            found = [(each.level.value, each.what, each.text) for each in verdict.findings]
            table("", "what", "finding", rows=found)(out)

    return render


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(value) or "nothing"
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_stream(each)}" for name, each in value.items())
    return str(value)


def _stream(facts: dict[str, int]) -> str:
    return f"{facts['messages']:,} messages, {facts['first_sequence']:,} to {facts['last_sequence']:,}"
