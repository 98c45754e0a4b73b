"""How often Python looks for garbage: seldom while modules load, which make none; as usual in what runs for long; and
not once more where a process ends."""

from __future__ import annotations

import gc

# Loading makes up to 250,000 objects that all stay; Python's 700 would look through them dozens of times.
_SELDOM = 500_000
_USUAL = gc.get_threshold()


def collect_seldom() -> None:
    """For the start, and for commands that end at once."""
    gc.set_threshold(_SELDOM)


def collect_as_usual() -> None:
    """For what runs for long: the modules that are loaded by now are never looked through again."""
    gc.freeze()
    gc.set_threshold(*_USUAL)


def collect_no_more() -> None:
    """For the end: Python would look through all that was ever loaded, several times, before it lets go of it."""
    gc.freeze()
