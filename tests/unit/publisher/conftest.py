"""Input records of the publisher's unit tests; each test gets copies that it may change."""

from __future__ import annotations

import copy
from typing import Any

import pytest

_MERGED: dict[str, Any] = {
    "news_item": {
        "id": "a2547523ff13ec575b62a9dfbdb1aa1c19703d6d",
        "title": "Clene gives an update",
        "link": "https://example.com/clene",
        "ts": "2026-03-02T14:20:00+00:00",
        "source": "ibn",
        "ticker": "CLNN",
        "summary": None,
    },
    "scored_item": {
        "relevance": 1.775,
        "sentiment": 0.25,
        "source_weight": 1.775,
        "keyword_hits": ["partnership", "fda", "unknown"],
        "total": 3.150625,
    },
    "trading_signal": {
        "signal_id": "fd8d4f97-2dad-45c6-9013-5bdcb43e26f0",
        "ticker": "CLNN",
        "timestamp": "2026-03-02T14:25:00.5+00:00",
        "action": "buy",
        "confidence": 0.92,
        "entry_price": "5.40",
        "current_price": "5.41",
        "stop_loss_price": "5.14",
        "take_profit_price": "6.06",
        "position_size_pct": 3.4,
        "signal_type": "catalyst",
        "timeframe": "intraday",
        "strategy": "keyword_signal_generator",
        "metadata": {},
    },
    "no_signal_reason": None,
}
_ACCEPTED: dict[str, Any] = {
    "ts": "2026-03-02T14:26:00+00:00",
    "ticker": "CLNN",
    "title": "Clene gives an update",
    "source": "ibn",
    "summary": "",
    "link": "https://example.com/clene",
    "price": 5.41,
    "cls": {"score": 1.775, "sentiment": 0.25, "keywords": ["fda", "partnership"]},
    "accepted": True,
}


@pytest.fixture
def merged() -> dict[str, Any]:
    """A merged Catalyst-Bot record with a buy signal."""
    return copy.deepcopy(_MERGED)


@pytest.fixture
def accepted() -> dict[str, Any]:
    """A line of the bot's accepted-items log."""
    return copy.deepcopy(_ACCEPTED)
