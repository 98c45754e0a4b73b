"""Write the generated files of the repository anew: `make generate`. Tests compare them with the code."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from signal_contract.codec import encode, signal_id_from
from signal_contract.model import (
    Action,
    Classifier,
    ClassifierMode,
    Event,
    Market,
    News,
    Priority,
    Session,
    Signal,
)
from subscriber_agent.config import example_yaml

ROOT = Path(__file__).resolve().parent.parent
AT = datetime(2026, 1, 2, 14, 30, tzinfo=UTC)


def golden_signals() -> dict[str, Signal]:
    """One signal of each kind, every field filled in or null on purpose."""
    buy = Signal(
        schema_version=1,
        signal_id=signal_id_from("news-1", "BRK.B", Action.BUY),
        revision=1,
        event=Event.NEW,
        action=Action.BUY,
        ticker="BRK.B",
        catalyst="fda",
        catalysts=("fda", "partnership"),
        confidence=Decimal("0.92"),
        score=Decimal("1.775"),
        sentiment=Decimal("-0.1"),
        reference_price=Decimal("5.41"),
        reference_price_at=AT,
        stop_price=Decimal("5.14"),
        target_price=Decimal("6.06"),
        suggested_size_fraction=Decimal("0.0294"),
        news=News(
            id="news-1",
            title="Example Bio – “approved”",
            url="https://example.com/1",
            source="example",
            published_at=AT - timedelta(seconds=260),
        ),
        market=Market(session=Session.REGULAR, rvol=Decimal("3.5"), sector="Healthcare"),
        classified_at=AT,
        published_at=AT + timedelta(microseconds=1500),
        expires_at=AT + timedelta(hours=2),
        classifier=Classifier(name="catalyst-bot", version="1.0", mode=ClassifierMode.LLM, degraded=False),
        priority=Priority.FLASH,
        meta={"strategy": "keyword_signal_generator"},
    )
    close = buy.model_copy(
        update={
            "signal_id": signal_id_from("news-1", "BRK.B", Action.CLOSE),
            "action": Action.CLOSE,
            "catalyst": "going_concern",
            "catalysts": ("going_concern",),
            "stop_price": None,
            "target_price": None,
            "suggested_size_fraction": None,
            "expires_at": None,
            "priority": Priority.NORMAL,
            "meta": {},
        }
    )
    retract = buy.model_copy(update={"revision": 2, "event": Event.RETRACT, "meta": {"reason": "wrong ticker"}})
    return {"signal_v1_buy": buy, "signal_v1_close": close, "signal_v1_retract": retract}


def main() -> None:
    golden = ROOT / "tests" / "unit" / "golden"
    golden.mkdir(parents=True, exist_ok=True)
    for name, signal in golden_signals().items():
        (golden / f"{name}.json").write_bytes(encode(signal))
    (ROOT / "config" / "agent.example.yaml").write_text(example_yaml())
    schema = json.dumps(Signal.model_json_schema(), indent=2, sort_keys=True) + "\n"
    (ROOT / "config" / "schema" / "signal.v1.schema.json").write_text(schema)


if __name__ == "__main__":
    main()
