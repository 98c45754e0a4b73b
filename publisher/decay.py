"""How long an entry stays worth acting on: the half-life of its catalyst's decay.

Upstream weighs a signal with `exp(-λ · age_hours)`. Its own half-life table says days, its formulas use hours; hours
is what its trades were made with, and the shorter reading is the safe one.
"""

from __future__ import annotations

import math
from datetime import timedelta

# λ in 1/hour, from the classifier's decay table.
DECAY_PER_HOUR: dict[str, float] = {
    "fda": 0.35,
    "trial": 0.30,
    "merger": 0.25,
    "acquisition": 0.20,
    "clinical": 0.15,
    "partnership": 0.10,
    "uplisting": 0.05,
}
DEFAULT_DECAY_PER_HOUR = 0.15


def time_to_live(catalyst: str) -> timedelta:
    """Half-life ln 2 / λ of a catalyst in whole seconds: about 2 h for fda, 14 h for uplisting, 4.6 h by default."""
    hours = math.log(2) / DECAY_PER_HOUR.get(catalyst, DEFAULT_DECAY_PER_HOUR)
    return timedelta(seconds=round(hours * 3600))
