"""The closed list of catalysts, what each one means for a trade, and the names people use for them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import StrEnum

from signal_contract.errors import CatalystUnknown

OTHER = "other"


class Stance(StrEnum):
    """What the classifier's generator does with a catalyst: buy it, close on it, keep away from it."""

    BUY = "buy"
    CLOSE = "close"
    AVOID = "avoid"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Catalyst:
    """One catalyst; `confidence` (0..1) is the generator's base value and ranks the BUY ones among each other."""

    name: str
    stance: Stance
    confidence: float = 0.0


def _table() -> dict[str, Catalyst]:
    buy = {
        "merger": 0.95,
        "fda": 0.92,
        "acquisition": 0.90,
        "clinical": 0.88,
        "trial": 0.88,
        "uplisting": 0.87,
        "partnership": 0.85,
        # Behind a flag upstream; real records carry .86 for advanced_therapies, the others follow its .78-.86 range.
        "advanced_therapies": 0.86,
        "guidance": 0.84,
        "earnings": 0.83,
        "energy_discovery": 0.82,
        "tech_contracts": 0.82,
        "activist_institutional": 0.81,
        "ai_quantum": 0.80,
        "crypto_blockchain": 0.79,
        "mining_resources": 0.79,
        "compliance": 0.78,
    }
    close = ("going_concern", "distress_negative", "bankruptcy", "delisting", "fraud")
    avoid = (
        "dilution",
        "offering_negative",
        "warrant_negative",
        "dilution_negative",
        "offering",
        "warrant",
        "rs",
        "reverse_split",
    )
    rows = [
        *(Catalyst(name, Stance.BUY, confidence) for name, confidence in buy.items()),
        *(Catalyst(name, Stance.CLOSE) for name in close),
        *(Catalyst(name, Stance.AVOID) for name in avoid),
        Catalyst(OTHER, Stance.NONE),
    ]
    return {row.name: row for row in rows}


CATALYSTS: dict[str, Catalyst] = _table()

# An alias may stand for several catalysts in an entitlement (`M&A` lets a friend read both);
# for publishing, the first counts.
ALIASES: dict[str, tuple[str, ...]] = {
    "m&a": ("acquisition", "merger"),
    "mna": ("acquisition", "merger"),
    "takeover": ("acquisition", "merger"),
    "buyout": ("acquisition", "merger"),
    "fda_approval": ("fda",),
    "clinical_trial": ("clinical", "trial"),
    "phase_3": ("clinical", "trial"),
    "insider_buy": ("activist_institutional",),
    "insider": ("activist_institutional",),
    "13d": ("activist_institutional",),
    "contract": ("tech_contracts",),
    "nasdaq_listing": ("uplisting",),
    "offerings": ("offering", "offering_negative"),
    "secondary": ("offering", "offering_negative"),
    "warrants": ("warrant", "warrant_negative"),
    "split": ("rs", "reverse_split"),
    "distress": ("distress_negative", "going_concern", "bankruptcy", "delisting"),
    "crypto": ("crypto_blockchain",),
    "mining": ("mining_resources",),
    "ai": ("ai_quantum",),
    "quantum": ("ai_quantum",),
    "catalyst": (OTHER,),
    "unknown": (OTHER,),
}

_RANK = {Stance.CLOSE: 3, Stance.AVOID: 2, Stance.BUY: 1, Stance.NONE: 0}


def _key(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def catalysts_from_name(name: str) -> tuple[str, ...]:
    """Expand a name or alias, in any case, to the catalysts it stands for; the first is the one to publish under.

    Raises CatalystUnknown, with the nearest known name, for anything not on the list.
    """
    key = _key(name)
    if key in CATALYSTS:
        return (key,)
    if key in ALIASES:
        return ALIASES[key]
    near = difflib.get_close_matches(key, [*CATALYSTS, *ALIASES], n=1)
    raise CatalystUnknown(
        f"unknown catalyst {name[:40]!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
    )


def leading_catalyst(names: list[str]) -> str:
    """The one catalyst a signal is published under: CLOSE before AVOID before the strongest BUY (the generator's rule).

    Unknown names do not count; with none left the answer is `other`. Ties go to the name that stands first.
    """
    known = [CATALYSTS[name] for name in names if name in CATALYSTS]
    if not known:
        return OTHER
    return max(known, key=lambda each: (_RANK[each.stance], each.confidence)).name
