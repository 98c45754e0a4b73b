"""The registry: every check of both doctors, found by id. Pure.

`--explain`, docs/troubleshooting.md and the README are made from it. Ids are stable: one that is no longer used is not
given to another check.
"""

from __future__ import annotations

from signal_contract.doctor.finding import Check, Side
from signal_contract.doctor.way_checks import WAY_CHECKS
from signal_contract.doctor.wire_checks import WIRE_CHECKS
from signal_contract.errors import InputError

CHECKS: tuple[Check, ...] = (*WAY_CHECKS, *WIRE_CHECKS)

_BY_ID = {each.id: each for each in CHECKS}


def check_of(check_id: str) -> Check:
    """The check with an id, in any case. Raises InputError for one that does not exist."""
    found = _BY_ID.get(check_id.strip().upper())
    if found is None:
        raise InputError(f"there is no check {check_id.strip()[:20]!r}", hint=f"{CHECKS[0].id} to {CHECKS[-1].id}.")
    return found


def checks_of(side: Side) -> tuple[Check, ...]:
    """All checks of one side, in their order."""
    return tuple(each for each in CHECKS if side in each.sides)


def chosen(text: str, side: Side) -> frozenset[str]:
    """`D03,D04` → their ids; empty: all. Raises InputError for one that this side does not have."""
    ids = [check_of(part).id for part in text.split(",") if part.strip()]
    strange = [each for each in ids if side not in _BY_ID[each].sides]
    if strange:
        other = "catalyst doctor" if side is Side.AGENT else "subscriber-agent doctor"
        raise InputError(f"{', '.join(strange)} is a check of `{other}`", hint="--explain shows what it looks at.")
    return frozenset(ids)


def with_needs(wanted: frozenset[str], side: Side) -> frozenset[str]:
    """The checks and all that has to be looked at before them; D01 always: the others find their files by it."""
    found: set[str] = set()
    left = [CHECKS[0].id, *wanted]
    while left:
        each = left.pop()
        if each not in found:
            found.add(each)
            left.extend(_BY_ID[each].needs_of(side))
    return frozenset(found)
