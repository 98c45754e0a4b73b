"""The answer of a command: one value that is rendered once, as text for people or as JSON for machines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from signal_contract.errors import CatalystError, ExitCode

ENVELOPE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that went wrong: stable code, what happened, what to do next."""

    code: str
    message: str
    hint: str = ""

    @classmethod
    def from_error(cls, error: CatalystError) -> Problem:
        return cls(error.code, error.message, error.hint)


@dataclass(frozen=True, slots=True)
class Envelope:
    """`{version, command, status, exit_code, data, errors}`; status is ok, partial or error."""

    command: str
    data: Any = None
    exit_code: ExitCode = ExitCode.OK
    errors: tuple[Problem, ...] = field(default=())

    @property
    def status(self) -> str:
        if self.exit_code is ExitCode.OK:
            return "ok"
        return "partial" if self.exit_code is ExitCode.PARTIAL else "error"

    def as_dict(self) -> dict[str, Any]:
        return {
            "version": ENVELOPE_VERSION,
            "command": self.command,
            "status": self.status,
            "exit_code": int(self.exit_code),
            "data": self.data,
            "errors": [{"code": p.code, "message": p.message, "hint": p.hint} for p in self.errors],
        }
