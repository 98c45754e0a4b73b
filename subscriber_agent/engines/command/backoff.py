"""How long to wait before a program is started again. Pure: the dice are an argument."""

from __future__ import annotations

FIRST_S = 0.2
# A program that lived so long had nothing wrong with its start.
STEADY_S = 30.0
_LARGEST_POWER = 30


def pause_s(failures: int, longest_s: float, dice: float) -> float:
    """Seconds before the next start after `failures` (1 and more) in a row; `dice` is 0..1 and takes up to half off.

    Without the dice, several agents whose broker went away would all knock at the same moments.
    """
    full = min(longest_s, FIRST_S * 2 ** min(failures - 1, _LARGEST_POWER))
    return float(full * (1 - dice / 2))


def failures_after(failures: int, lived_s: float) -> int:
    """The failures in a row once a program has ended that lived so long."""
    return 1 if lived_s >= STEADY_S else failures + 1
