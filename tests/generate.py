"""Write the generated files of the repository anew: `make generate`. Tests compare them with the code."""

import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from pydantic.fields import FieldInfo

from signal_admin.roles import permissions_markdown
from signal_admin.service.units import unit_files
from signal_contract.cli.help_page import COLUMNS, PAGE
from signal_contract.codec import encode, signal_id_from
from signal_contract.doctor.troubleshooting import symptoms_markdown, troubleshooting_markdown
from signal_contract.errors import EXIT_MEANING
from signal_contract.metrics.document import BLOCKS as METRIC_BLOCKS
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
from subscriber_agent.accounting.book import Book
from subscriber_agent.engines.registry import ENGINE_KINDS
from subscriber_agent.engines.wire_schema import schema_text
from subscriber_agent.receiving.link_state import TABLE
from subscriber_agent.risk.checks import CHECKS, Scope
from subscriber_agent.risk.codes import CODE_MEANING
from subscriber_agent.risk.decide import decide
from subscriber_agent.risk.limits import Limits
from subscriber_agent.risk.market import Market as RiskMarket
from subscriber_agent.settings.config import EngineConfig
from subscriber_agent.settings.example import example_yaml, schema_json
from subscriber_agent.settings.fields import allowed_text, default_of, leaves, plain, section_of, text_of_value, unit_of

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


def _default(value: object) -> str:
    if isinstance(value, tuple | dict):
        return ", ".join(value)
    return str(value).lower()


# The names carry the units; the first that fits counts.
_UNITS = {"_s": "s", "_s_by_catalyst": "s", "_percent": "%", "_usd": "USD", "_quantity": "shares"}


def _unit(name: str) -> str:
    return next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), "")


def risk_settings() -> str:
    rows = (
        (
            f"`{name}`",
            _default(each.default),
            _unit(name),
            allowed_text(each),
            each.description or "",
        )
        for name, each in Limits.model_fields.items()
    )
    return _table(("setting", "default", "unit", "allowed", "what it does"), *rows)


def engine_kinds() -> str:
    rows = (
        (f"`{each.kind}`", each.title, each.needs, f"`{each.install_hint}`" if each.extra else "–")
        for each in ENGINE_KINDS.values()
    )
    return _table(("`kind`", "what it is", "its section needs", "install"), *rows)


def engine_settings() -> str:
    """One table for what is the engines' together, one for each kind."""
    common = [(name, each) for name, each in EngineConfig.model_fields.items() if section_of(each) is None]
    parts = [_settings_table(common)]
    for kind in ENGINE_KINDS:
        section = section_of(EngineConfig.model_fields[kind])
        found = [(path[-1], each) for path, each in leaves(section)] if section is not None else []
        parts.append(f"\n`engine: {{{kind}: {{…}}}}`\n\n{_settings_table(found)}")
    return "".join(parts)


def _settings_table(found: Iterable[tuple[str | int, FieldInfo]]) -> str:
    rows = (
        (f"`{name}`", _shown_default(each), unit_of(str(name)), allowed_text(each), each.description or "")
        for name, each in found
    )
    return _table(("setting", "default", "unit", "allowed", "what it does"), *rows)


def _shown_default(field: FieldInfo) -> str:
    default = plain(default_of(field))
    return text_of_value(default) if default != "" else "none"


def risk_checks() -> str:
    applies = {Scope.ALL: "everything", Scope.ENTRY: "entries", Scope.EXIT: "exits"}
    rows = (
        (str(n), each.name, applies[each.scope], ", ".join(f"`{code}`" for code in each.codes))
        for n, each in enumerate(CHECKS, 1)
    )
    return _table(("#", "check", "meets", "codes"), *rows)


def sizing_examples() -> str:
    """What each method makes of one and the same entry, by the code itself."""
    signal = golden_signals()["signal_v1_buy"].model_copy(
        update={
            "reference_price": Decimal(5),
            "stop_price": Decimal("4.75"),
            "target_price": Decimal(6),
            "suggested_size_fraction": Decimal("0.03"),
        }
    )
    rows = ((f"`{name}`", sums, _first_size(signal, name)) for name, sums in _SUMS.items())
    return _table(("`sizing`", "with the defaults", "comes to"), *rows)


# Equity 10,000 USD, a buy at 5.00 with stop 4.75 and target 6.00, confidence 0.92, suggested share 0.03.
_SUMS = {
    "fixed_usd": "500 USD ÷ 5.00",
    "percent_of_equity": "5 % of 10,000 = 500 USD ÷ 5.00",
    "risk_per_trade": "0.5 % of 10,000 = 50 USD may be lost ÷ (5.00 − 4.75)",
    "suggested": "0.03 × 1 × 10,000 = 300 USD ÷ 5.00",
    "kelly": "p 0.55, gain 1.00, loss 0.25: 0.25 × (0.55 × 1.00 − 0.45 × 0.25) ÷ 1.00 = 10.9 %, "
    "at most 5 % = 500 USD ÷ 5.00",
}


def _first_size(signal: Signal, sizing: str) -> str:
    """What the check `order size` lets through, before the caps."""
    limits = Limits.model_validate({"sizing": sizing})
    market = RiskMarket(engine="paper", is_paper=True, latest_revision=1, session=Session.REGULAR)
    checks = decide(signal, Book(cash=Decimal(10_000)), limits, market, signal.published_at, show_all=True).checks
    return next(each.observed for each in checks if each.name == "order size").split(" at ")[0]


def risk_words() -> str:
    """What the checks say, by the cases that the agent's tests have."""
    sys.path.insert(0, str(ROOT / "tests/unit/agent"))
    from word_cases import words_document

    return json.dumps(words_document(), indent=1, ensure_ascii=False) + "\n"


def link_states() -> str:
    rows = ((f"`{state}`", reason, "signals flow" if state.is_flowing else "alert") for state, _, reason in TABLE)
    return _table(("state", "the first that holds", "when it lasts"), *rows)


BLOCKS = {
    "link states": link_states,
    "exit codes": exit_codes,
    "refusal codes": refusal_codes,
    "risk settings": risk_settings,
    "risk checks": risk_checks,
    "engine kinds": engine_kinds,
    "engine settings": engine_settings,
    "sizing examples": sizing_examples,
    **METRIC_BLOCKS,
    "symptoms": symptoms_markdown,
}


def with_blocks(text: str) -> str:
    """A document with each `<!-- generated: name -->` block written anew."""

    def block(found: re.Match[str]) -> str:
        return f"<!-- generated: {found[1]} -->\n{BLOCKS[found[1]]()}<!-- end -->"

    return re.sub(r"<!-- generated: ([a-z ]+) -->\n.*?<!-- end -->", block, text, flags=re.DOTALL)


@functools.cache
def help_page(package: str, name: str) -> bytes:
    """The help of a whole command as Typer draws it from its commands, with colours."""
    code = f"from {package}.cli.application import app; app(prog_name={name!r})"
    unset = {"NO_COLOR", "TERM", "TERMINAL_WIDTH", "_TYPER_FORCE_DISABLE_TERMINAL"}
    kept = {key: value for key, value in os.environ.items() if key not in unset}
    environment = {**kept, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "TERM": "xterm", "PYTHONUTF8": "1"}
    command = [sys.executable, "-P", "-c", code, "--help"]
    return subprocess.run(command, env=environment, capture_output=True, check=True).stdout


def help_pages() -> dict[Path, bytes]:
    commands = {"signal_admin": "catalyst", "subscriber_agent": "subscriber-agent"}
    return {ROOT / package / "cli" / PAGE: help_page(package, name) for package, name in commands.items()}


def generated_files() -> dict[Path, bytes]:
    """Every generated file with its content."""
    files = {ROOT / "tests/unit/golden" / f"{name}.json": encode(each) for name, each in golden_signals().items()}
    files[ROOT / "tests/unit/golden/risk_words.json"] = risk_words().encode()
    schema = json.dumps(Signal.model_json_schema(), indent=2, sort_keys=True) + "\n"
    files[ROOT / "config/schema/signal.v1.schema.json"] = schema.encode()
    files[ROOT / "config/agent.example.yaml"] = example_yaml().encode()
    files[ROOT / "config/schema/agent.v1.schema.json"] = schema_json().encode()
    files[ROOT / "docs/engines/protocol.schema.json"] = schema_text().encode()
    files[ROOT / "docs/permissions.md"] = permissions_markdown().encode()
    files[ROOT / "docs/troubleshooting.md"] = troubleshooting_markdown().encode()
    files |= help_pages()
    files |= {ROOT / "deploy/systemd" / name: content for name, content in unit_files().items()}
    for name in ("README.md", "docs/risk.md", "docs/delivery.md", "docs/metrics.md", "docs/engines/config.md"):
        files[ROOT / name] = with_blocks((ROOT / name).read_text(encoding="utf-8")).encode()
    return files


def main() -> None:
    for path, content in generated_files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    main()
