"""Which file is run, in which folder, with which environment: settled before anything is started."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from signal_contract.errors import EngineUnusable
from subscriber_agent.engines.command.settings import CommandSettings
from subscriber_agent.engines.context import EngineContext

# What a program cannot do without: where programs are, where the user's files are, how text is encoded.
_ALWAYS = ("PATH", "HOME", "LANG")
# Without these, Windows programs find neither their libraries nor a place for files.
_ALWAYS_ON_WINDOWS = ("SYSTEMROOT", "PATHEXT", "USERPROFILE", "TEMP")


@dataclass(frozen=True, slots=True)
class Program:
    """What to start. The environment may hold the friend's keys, so it is never shown."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(repr=False)

    @property
    def title(self) -> str:
        """What it is called in logs and errors: its file's name, never its arguments."""
        return Path(self.argv[0]).name


def program_from(settings: CommandSettings, context: EngineContext) -> Program:
    """Find the program. Raises EngineUnusable when it, its folder or one of its variables is not there."""
    if not settings.argv:
        raise EngineUnusable(
            "engine.command.argv names no program", hint="Write it as a list: argv: [python3, my_engine.py]."
        )
    cwd = context.path(settings.cwd) if settings.cwd is not None else context.home
    if not cwd.is_dir():
        raise EngineUnusable(f"engine.command.cwd: {cwd} is not a folder")
    name, *arguments = settings.argv
    return Program((_found(name, context), *arguments), cwd, _environment(settings.env_pass, context.environ))


def _found(name: str, context: EngineContext) -> str:
    """A name alone is looked for on PATH first, then beside the config; a path is relative to the config."""
    beside = context.path(Path(name))
    on_path = None if _is_path(name) else shutil.which(name, path=context.environ.get("PATH", os.defpath))
    found = Path(on_path) if on_path is not None else beside
    if not found.is_file():
        where = f"at {beside}" if _is_path(name) else f"on PATH nor at {beside}"
        raise EngineUnusable(f"engine.command.argv: there is no program {name!r} {where}")
    if not os.access(found, os.X_OK):
        raise EngineUnusable(
            f"engine.command.argv: {found} may not be executed",
            hint=f"Name the interpreter first, such as [python3, {found.name}], or run: chmod u+x {found}",
        )
    return str(found.absolute())


def _is_path(name: str) -> bool:
    return "/" in name or os.sep in name or name.startswith("~")


def _environment(names: tuple[str, ...], environ: Mapping[str, str]) -> dict[str, str]:
    missing = [name for name in names if name not in environ]
    if missing:
        raise EngineUnusable(
            f"engine.command.env_pass: {', '.join(missing)} not set in the agent's environment",
            hint="Set it where the agent is started, or take it out of env_pass.",
        )
    always = (*_ALWAYS, *_ALWAYS_ON_WINDOWS) if sys.platform == "win32" else _ALWAYS
    return {name: environ[name] for name in (*always, *names) if name in environ}
