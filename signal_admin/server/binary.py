"""Finds the nats-server binary and checks its version."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from signal_contract.errors import ServerBinaryMissing, ServerStartFailed, ServerTooOld

BINARY_VARIABLE = "CATALYST_NATS_SERVER"
OLDEST = (2, 12)
_VERSION = re.compile(r"nats-server: v(\d+)\.(\d+)\.(\d+)")


def find_binary(chosen: Path | None) -> Path:
    """The nats-server to run: as chosen, else CATALYST_NATS_SERVER, else beside this Python, else on PATH.

    An explicit choice that does not exist is refused, never replaced by another one. Raises ServerBinaryMissing.
    """
    named = os.environ.get(BINARY_VARIABLE)
    explicit = chosen or (Path(named) if named else None)
    if explicit is not None:
        if explicit.is_file():
            return explicit.absolute()
        raise ServerBinaryMissing(f"there is no nats-server at {explicit}")
    name = "nats-server.exe" if os.name == "nt" else "nats-server"
    beside = Path(sys.executable).parent / name
    if beside.is_file():
        return beside
    found = shutil.which("nats-server")
    if found is None:
        raise ServerBinaryMissing("nats-server is not installed: it is neither beside this Python nor on PATH")
    return Path(found)


def version_from(text: str) -> tuple[int, int, int]:
    """(major, minor, patch) from the answer to `nats-server --version`; raises ServerStartFailed."""
    found = _VERSION.search(text)
    if found is None:
        raise ServerStartFailed(f"this is not a nats-server: it answers {text.strip()[:80]!r}")
    return int(found[1]), int(found[2]), int(found[3])


def version_checked(binary: Path) -> str:
    """Ask the binary for its version (`2.15.1`); raises ServerTooOld below 2.12, ServerStartFailed if it cannot run."""
    try:
        answer = subprocess.run([str(binary), "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerStartFailed(f"{binary} cannot be run: {error}") from error
    version = version_from(answer.stdout + answer.stderr)
    text = ".".join(str(part) for part in version)
    if version[:2] < OLDEST:
        raise ServerTooOld(f"{binary} is nats-server {text}, 2.12 or newer is needed")
    return text
