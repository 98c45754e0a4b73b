"""Finds plug-ins by their entry point and checks, before anything is traded, that what they make is an engine."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from signal_contract.errors import CatalystError, EngineUnusable
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.engine import Engine
from subscriber_agent.engines.plugin.answers import capabilities_flaw
from subscriber_agent.engines.plugin.guard import GuardedEngine
from subscriber_agent.engines.plugin.settings import PluginSettings

GROUP = "catalyst_signals.engines"
_LONGEST_NAME = 40

# Method and how many arguments it is called with.
_ASYNC = {
    "start": 0,
    "close": 0,
    "submit": 2,
    "lookup": 1,
    "cancel": 1,
    "account": 0,
    "positions": 0,
    "orders": 0,
    "quote": 1,
    "symbol": 1,
    "observe": 3,
}
_PLAIN = {"capabilities": 0, "events": 0}


def installed() -> tuple[EntryPoint, ...]:
    """The plug-ins of this environment, sorted by name; nothing of theirs is imported."""
    return tuple(sorted(entry_points(group=GROUP), key=lambda each: (each.name, each.value)))


def load(settings: PluginSettings, context: EngineContext) -> Engine:
    """Import and make the chosen plug-in, and put the guard around it. Raises EngineUnusable."""
    entry = _entry(settings.name)
    try:
        return _guarded(entry.load()(dict(settings.options), context), entry, settings)
    except CatalystError:
        raise
    except (Exception, SystemExit) as error:
        # A stranger's code: whatever it throws while it is made, it can never work as it is set up.
        raise EngineUnusable(
            f"the plug-in {entry.name} ({entry.value}) could not be made: {type(error).__name__}: {error}"[:500],
            hint="The plug-in's own documentation says which options it needs.",
        ) from error


def _entry(name: str) -> EntryPoint:
    found = installed()
    known = ", ".join(each.name for each in found) or "none"
    if not name:
        raise EngineUnusable(f"engine.python.name names no plug-in. Installed: {known}.")
    fitting = [each for each in found if each.name == name]
    if not fitting:
        raise EngineUnusable(
            f"no plug-in called {name} is installed. Installed: {known}.",
            hint=f"Install its package beside this agent; it must declare an entry point in the group {GROUP}.",
        )
    if len({each.value for each in fitting}) > 1:
        raise EngineUnusable(
            f"two packages bring a plug-in called {name}: {', '.join(each.value for each in fitting)}",
            hint="Uninstall one of them: which of them would trade is not left to chance.",
        )
    return fitting[0]


def _guarded(made: Any, entry: EntryPoint, settings: PluginSettings) -> Engine:
    what = f"the plug-in {entry.name} ({entry.value})"
    problems = list(problems_of(made))
    if problems:
        raise EngineUnusable("\n  ".join([f"{what} is no engine:", *problems]), hint="Tell whoever wrote it.")
    if settings.is_paper and not made.is_paper:
        raise EngineUnusable(
            f"{what} trades real money, but engine.python.is_paper is true",
            hint="Set engine.python.is_paper to false; real money has a gate of its own.",
        )
    return GuardedEngine(made, made.name, settings.is_paper, made.capabilities())


def problems_of(made: Any) -> Iterator[str]:
    """What keeps an object from being an engine, all of it at once; it is not called but for its capabilities."""
    shape = [*_method_problems(made, _ASYNC, is_async=True), *_method_problems(made, _PLAIN, is_async=False)]
    yield from shape
    name = getattr(made, "name", None)
    if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
        yield f"name must be a text of 1 to {_LONGEST_NAME} characters"
    if not isinstance(getattr(made, "is_paper", None), bool):
        yield "is_paper must be true or false"
    if not shape and not isinstance(made, type):
        flaw = capabilities_flaw(made.capabilities())
        if flaw is not None:
            yield f"capabilities(): {flaw}"


def _method_problems(made: Any, methods: dict[str, int], *, is_async: bool) -> Iterator[str]:
    if isinstance(made, type):
        if is_async:
            yield "it is a class: the factory must return an object of it"
        return
    for name, count in methods.items():
        method = getattr(made, name, None)
        if not callable(method):
            yield f"{name}() is missing"
        elif is_async and not inspect.iscoroutinefunction(method):
            yield f"{name}() must be `async def`; an SDK that blocks belongs into a ThreadedEngine"
        elif not is_async and inspect.iscoroutinefunction(method):
            yield f"{name}() must be a plain `def`"
        elif not _takes(method, count):
            yield f"{name}() must take {count} arguments"


def _takes(method: Any, count: int) -> bool:
    try:
        inspect.signature(method).bind(*range(count))
    except TypeError:
        return False
    return True
