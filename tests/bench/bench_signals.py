"""The signals that are measured with: real ones by schema, about 600 bytes and a signature each, all different."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from string import ascii_uppercase

import orjson

from signal_contract.codec import encode, signal_id_from
from signal_contract.model import Action, Signal

_DOCUMENT = {
    "schema_version": 1,
    "revision": 1,
    "event": "new",
    "score": "1.775",
    "sentiment": "0.6",
    "confidence": "0.92",
    "suggested_size_fraction": "0.0294",
    "market": {},
    "priority": "normal",
    "meta": {},
    "classifier": {"name": "catalyst-bot", "version": "1.0", "mode": "llm", "degraded": False},
}


def ticker(number: int) -> str:
    """A ticker of four letters, another one for each number below 456,976."""
    letters = []
    for _ in range(4):
        number, letter = divmod(number, 26)
        letters.append(ascii_uppercase[letter])
    return "".join(letters)


def bench_signal(
    label: str, number: int, *, catalyst: str = "fda", action: Action = Action.BUY, at: datetime
) -> Signal:
    """A buy at 5.00 with its stop, or what closes it, published at `at`."""
    name, text = ticker(number), at.isoformat()
    is_entry = action.is_entry
    return Signal.model_validate_json(
        orjson.dumps(
            {
                **_DOCUMENT,
                "signal_id": signal_id_from(f"{label}-{number}", name, action),
                "action": action.value,
                "ticker": name,
                "catalyst": catalyst,
                "catalysts": [catalyst],
                "reference_price": "5.00",
                "reference_price_at": text,
                "stop_price": "4.75" if is_entry else None,
                "target_price": "6.00" if is_entry else None,
                "news": {
                    "id": f"{label}-{number}",
                    "title": "x",
                    "url": None,
                    "source": "bench",
                    "published_at": text,
                },
                "classified_at": text,
                "published_at": text,
                "expires_at": (at + timedelta(hours=2)).isoformat() if is_entry else None,
            }
        )
    )


def fresh(label: str, number: int, **changes: str) -> tuple[str, Signal, bytes]:
    """A buy of this moment: its id, itself, and its bytes on the wire."""
    signal = bench_signal(label, number, at=datetime.now(UTC), **changes)  # type: ignore[arg-type]
    return signal.signal_id, signal, encode(signal)
