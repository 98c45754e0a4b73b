"""Writes and removes the file of a definition, and asks the manager how the service is. Knows no command line."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from signal_contract.errors import Conflict, NotFound, StorageFailed
from subscriber_agent.service.definition import Definition

_ASK_TIMEOUT_S = 10.0
# Only these words of `show`, `list` and `query` say that it runs.
_RUNNING = ("activestate=active", "activestate=activating", '"pid" =', "status: running")


def is_current(definition: Definition) -> bool | None:
    """Whether the file says what it should; None when there is no file. Raises StorageFailed."""
    try:
        return Path(definition.path).read_bytes() == definition.content
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageFailed(f"cannot read {definition.path}: {error.strerror or error}") from error


def write(definition: Definition, *, may_replace: bool) -> bool:
    """Write the file, whole or not at all; False when it says that already. Raises Conflict, StorageFailed."""
    path, current = Path(definition.path), is_current(definition)
    if current:
        return False
    if current is False and not may_replace:
        raise Conflict(
            f"{path} is there already and says something else",
            hint="`service show` prints what would be written; --replace puts it there.",
        )
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(definition.content)
        draft.replace(path)
    except OSError as error:
        raise StorageFailed(f"cannot write {path}: {error.strerror or error}") from error
    return True


def remove(definition: Definition) -> None:
    """Remove the file. Raises NotFound, StorageFailed."""
    try:
        Path(definition.path).unlink()
    except FileNotFoundError as error:
        raise NotFound(f"there is no {definition.path}", hint="Nothing is installed for this identity.") from error
    except OSError as error:
        raise StorageFailed(f"cannot remove {definition.path}: {error.strerror or error}") from error


async def asked(look: Sequence[str]) -> str | None:
    """What the manager says of the service; None when it cannot be asked here."""
    program = shutil.which(look[0])
    if program is None:
        return None
    process = await asyncio.create_subprocess_exec(
        program,
        *look[1:],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_ASK_TIMEOUT_S):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    return out.decode(errors="replace").strip() if process.returncode == 0 else None


def is_running(answer: str | None) -> bool | None:
    """Whether the manager's answer says that it runs; None when there is no answer. Pure."""
    return None if answer is None else any(word in answer.lower() for word in _RUNNING)
