"""Catalyst-Bot's own voice: wraps `send_alert_safe` in its running module, so that what it alerts is published first.

The bot is not edited: a signal is committed to the outbox on the way, in a few milliseconds, and sent by other
threads. `hook` is what happens on each alert; this puts it in place, and starts the bot.
"""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from publisher.intake.hook import ALERT, MARK, Guard, Installed, Publisher
from signal_contract.errors import CatalystError, Conflict, NotFound

__all__ = ["Installed", "install", "main", "run", "runner_module"]

RUNNER = "catalyst_bot.runner"

_log = logging.getLogger(__name__)


def runner_module() -> ModuleType:
    """The bot's runner: the one that runs as the program, else the imported one. Raises NotFound or Conflict."""
    program = sys.modules.get("__main__")
    is_program = getattr(getattr(program, "__spec__", None), "name", None) == RUNNER
    try:
        module = program if is_program and program is not None else importlib.import_module(RUNNER)
    except ModuleNotFoundError as error:
        raise NotFound(
            f"{RUNNER} cannot be imported: there is no module {error.name}",
            hint="Run this in Catalyst-Bot's own environment and folder (its package must be importable), with"
            " catalyst-signals installed there.",
        ) from error
    if not callable(getattr(module, ALERT, None)):
        raise Conflict(f"{RUNNER} has no {ALERT}", hint="This version of Catalyst-Bot calls it otherwise; tell us.")
    return module


def install(
    publisher: Publisher | None = None,
    *,
    data: Path | None = None,
    approve: bool = False,
    module: ModuleType | None = None,
    strict: bool = False,
) -> Installed:
    """Publish what the bot alerts from now on, before it acts on it. Installing it twice is installing it once.

    Without `publisher` one is started on the data directory `data` (default: CATALYST_DATA, else the usual one), and
    closed at the program's end within 5 s. The guard rails stand before it; with `approve` (or `approve` in
    intake.json) every signal waits for `catalyst approve`. Without `strict` nothing is raised: what stands in the way
    is logged and in `Installed.problem`, and the bot runs as ever. With it, raises NotFound, ConfigInvalid,
    CredsInvalid, StorageFailed.
    """
    try:
        target = module or runner_module()
        before = getattr(getattr(target, ALERT), MARK, None)
        if isinstance(before, Installed):
            if approve:
                before.hold()
            return before
        chosen, guard = _chosen(publisher, data, approve=approve)
    except CatalystError as error:
        if strict:
            raise
        _log.error("catalyst-signals: nothing is published: %s → %s", error, error.hint)
        return Installed(module or ModuleType(RUNNER), problem=error)
    installed = Installed(target, chosen, guard)
    installed.put_in_place(chosen.folder)
    _at_end(lambda: installed.close(is_clean=not _has_crashed()))
    return installed


def _chosen(given: Publisher | None, data: Path | None, *, approve: bool) -> tuple[Publisher, Guard]:
    from publisher.intake.starting import started

    publisher = started(data) if given is None else given
    try:
        return publisher, publisher.rails(is_approved=approve)
    except CatalystError:
        if given is None:
            publisher.close(0)
        raise


def _has_crashed() -> bool:
    # Set when the interpreter has printed what ended the program; Ctrl-C is no Exception.
    return isinstance(getattr(sys, "last_exc", None) or getattr(sys, "last_value", None), Exception)


def run(arguments: list[str], *, data: Path | None = None, approve: bool = False) -> int:
    """Run the bot as its own `python -m catalyst_bot.runner` does, with the hook installed; its exit status.

    Raises what `install(strict=True)` raises.
    """
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as `python -m` does
    module = runner_module()
    if not callable(getattr(module, "main", None)):
        raise Conflict(
            f"{RUNNER} has no main()", hint="Call publisher.intake.catalyst_bot.install() in the bot itself."
        )
    installed = install(data=data, approve=approve, module=module, strict=True)
    before, sys.argv = sys.argv, [str(module.__file__), *arguments]
    is_clean = True
    try:
        return int(module.main() or 0)
    except Exception:
        is_clean = False
        raise
    finally:
        sys.argv = before
        installed.close(is_clean=is_clean)


def main(arguments: list[str]) -> int:
    """`python -m publisher.intake.catalyst_bot [--data DIR] -- …`: the exit status."""
    words = list(arguments)
    data = Path(words[1]) if len(words) > 1 and words[0] == "--data" else None
    words = words[2:] if data is not None else words
    try:
        return run(words[1:] if words[:1] == ["--"] else words, data=data)
    except CatalystError as error:
        sys.stderr.write(f"error [{error.code}]: {error.message}\n  → {error.hint}\n")
        return int(error.exit_code)


def _at_end(close: Callable[[], None]) -> None:
    # `atexit` proper would be too late: by then no thread may be given work, and nothing more could be sent.
    register: Callable[[Callable[[], None]], object] | None = getattr(threading, "_register_atexit", None)
    if register is None:
        import atexit

        register = atexit.register
    register(close)


if __name__ == "__main__":
    # Not this copy of the module, which has another name: the one that everything else imports.
    from publisher.intake.catalyst_bot import main as program

    sys.exit(program(sys.argv[1:]))
