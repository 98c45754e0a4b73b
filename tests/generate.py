"""Write the generated files of the repository anew: `make generate`. Tests compare them with the code."""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from signal_admin.roles import permissions_markdown
from signal_contract.codec import encode, signal_id_from
from signal_contract.errors import EXIT_MEANING
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
from subscriber_agent.config import allowed_text, example_yaml
from subscriber_agent.risk.checks import CHECKS, Scope
from subscriber_agent.risk.codes import CODE_MEANING
from subscriber_agent.risk.limits import Limits

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


def _table(*rows: tuple[str, ...]) -> str:
    head, *rest = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *rest]) + "\n"


def exit_codes() -> str:
    return _table(("exit status", "meaning"), *((str(int(code)), text) for code, text in EXIT_MEANING.items()))


def refusal_codes() -> str:
    return _table(("code", "meaning"), *((f"`{code}`", text) for code, text in CODE_MEANING.items()))


def risk_settings() -> str:
    rows = (
        (
            f"`{name}`",
            ", ".join(each.default) if isinstance(each.default, tuple) else str(each.default).lower(),
            allowed_text(each),
            each.description or "",
        )
        for name, each in Limits.model_fields.items()
    )
    return _table(("setting", "default", "allowed", "what it does"), *rows)


def risk_checks() -> str:
    applies = {Scope.ALL: "everything", Scope.ENTRY: "entries", Scope.EXIT: "exits"}
    rows = ((str(n), each.name, applies[each.scope]) for n, each in enumerate(CHECKS, 1))
    return _table(("#", "check", "meets"), *rows)


BLOCKS = {
    "exit codes": exit_codes,
    "refusal codes": refusal_codes,
    "risk settings": risk_settings,
    "risk checks": risk_checks,
}


def with_blocks(text: str) -> str:
    """A document with each `<!-- generated: name -->` block written anew."""

    def block(found: re.Match[str]) -> str:
        return f"<!-- generated: {found[1]} -->\n{BLOCKS[found[1]]()}<!-- end -->"

    return re.sub(r"<!-- generated: ([a-z ]+) -->\n.*?<!-- end -->", block, text, flags=re.DOTALL)


def generated_files() -> dict[Path, bytes]:
    """Every generated file with its content."""
    files = {ROOT / "tests/unit/golden" / f"{name}.json": encode(each) for name, each in golden_signals().items()}
    schema = json.dumps(Signal.model_json_schema(), indent=2, sort_keys=True) + "\n"
    files[ROOT / "config/schema/signal.v1.schema.json"] = schema.encode()
    files[ROOT / "config/agent.example.yaml"] = example_yaml().encode()
    files[ROOT / "docs/permissions.md"] = permissions_markdown().encode()
    for name in ("README.md", "docs/risk.md"):
        files[ROOT / name] = with_blocks((ROOT / name).read_text(encoding="utf-8")).encode()
    return files


def main() -> None:
    for path, content in generated_files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    main()
