"""How an action on a user is asked for and answered: the confirmation, the passphrase, the steps as text or JSON."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from signal_admin.commit import Report
    from signal_admin.invites import Invited
    from signal_contract.cli.answer import Render
    from signal_contract.envelope import Envelope

PASSPHRASE_VARIABLE = "CATALYST_PASSPHRASE"  # noqa: S105  # a name, not a secret

NameArgument = Annotated[str, typer.Argument(help="The user's name.")]
ConfirmOption = Annotated[
    str | None, typer.Option("--confirm", metavar="NAME", help="The name once more, instead of the question.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")]
CatalystsOption = Annotated[str, typer.Option(help="Catalysts or aliases, separated by commas.")]
FilterOption = Annotated[
    list[str] | None, typer.Option("--filter", help="A subject filter such as signals.*.AAPL; may be repeated.")
]
OutOption = Annotated[Path | None, typer.Option("-o", "--out", help="The invite file.", show_default="NAME.invite")]
PassphraseOption = Annotated[
    bool, typer.Option("--passphrase", help=f"Encrypt the file; asks, or takes it from {PASSPHRASE_VARIABLE}.")
]
PublicKeyOption = Annotated[
    str | None, typer.Option(metavar="U…", help="The public key that `subscriber-agent enroll` printed.")
]


def confirm(name: str, given: str | None, what: str) -> None:
    """Return when the user's name was given once more; raises InputError otherwise, also without a terminal."""
    from signal_contract.errors import InputError

    if given is None:
        if not sys.stdin.isatty():
            raise InputError(f"not done without a confirmation. {what}", hint=f"Add: --confirm {name}")
        given = typer.prompt(f"{what}. Type the name to go on", err=True)
    if given != name:
        raise InputError(f"{given[:40]!r} is not {name!r}; nothing was changed", hint=f"--confirm {name}")


def passphrase_for(*, wanted: bool) -> str | None:
    """The passphrase of an invite when one is wanted: from the environment, else asked for twice on the terminal."""
    from signal_contract.errors import InputError

    if not wanted:
        return None
    told = os.environ.get(PASSPHRASE_VARIABLE)
    if told:
        return told
    if not sys.stdin.isatty():
        raise InputError("there is no terminal to ask for a passphrase", hint=f"Set {PASSPHRASE_VARIABLE}.")
    return str(typer.prompt("Passphrase of the invite", hide_input=True, confirmation_prompt=True, err=True))


def listed(text: str) -> list[str]:
    """The parts of a comma-separated option."""
    return [each.strip() for each in text.split(",") if each.strip()]


def day(instant: datetime | None) -> str | None:
    """An instant for people, or None."""
    return f"{instant:%Y-%m-%d %H:%M} UTC" if instant else None


def answer(report: Report, data: dict[str, Any] | None = None) -> Envelope:
    """The envelope of an action: PARTIAL, with one problem for each step that did not work."""
    from signal_admin.commit import Outcome
    from signal_contract.envelope import Envelope, Problem
    from signal_contract.errors import ExitCode

    failed = [step for step in report.steps if step.outcome is Outcome.FAILED]
    problems = tuple(
        Problem("BROKER_REFUSED", f"{step.what}: {step.detail}", "Repair it with: catalyst user sync")
        for step in failed
    )
    return Envelope(
        f"catalyst {report.action}",
        {**report.as_dict(), **(data or {})},
        ExitCode.PARTIAL if failed else ExitCode.OK,
        problems,
    )


def lines_of(report: Report) -> list[str]:
    """A report for people: the difference of a dry run, else each step's result."""
    if report.is_dry_run:
        differences = [f"  {each.what}: {_value(each.before)} → {_value(each.after)}" for each in report.changes]
        return [f"{report.action} {report.user}, dry run; it would change:", *(differences or ["  nothing"])]
    steps = [f"  {step.what}: {step.outcome}{f' ({step.detail})' if step.detail else ''}" for step in report.steps]
    return [f"{report.action} {report.user}", *steps]


def _value(value: Any) -> str:
    import json

    return "–" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)


def printed(lines: list[str]) -> Render:
    """A renderer for plain lines."""
    from rich.console import Console

    def render(out: Console) -> None:
        for line in lines:
            out.print(line, markup=False)

    return render


def finish_report(report: Report, *, as_json: bool, then: str = "") -> NoReturn:
    """Print the answer of an action and end; `then` is the next command to run."""
    from signal_contract.cli.answer import finish

    lines = lines_of(report) + ([f"next: {then}"] if then and report.is_complete and not report.is_dry_run else [])
    finish(answer(report), as_json=as_json, render=printed(lines))


def finish_invited(invited: Invited, *, as_json: bool) -> NoReturn:
    """Print the answer of an action that made an invite, and end."""
    from signal_contract.cli.answer import finish

    user, lines = invited.user, lines_of(invited.report)
    if invited.file is not None:
        lines += [
            f"  {user.name} may read {', '.join(user.filters)}, until {day(user.expires_at) or 'no end'}",
            *([f"  stream: from sequence {user.start_sequence} on"] if user.start_sequence is not None else []),
            f"  invite: {invited.file}   (a password: hand it over privately)",
            f"next: send it to him; he runs  subscriber-agent join {invited.file.name}",
        ]
    data = {**user.as_dict(), "invite": str(invited.file) if invited.file else None}
    finish(answer(invited.report, data), as_json=as_json, render=printed(lines))
