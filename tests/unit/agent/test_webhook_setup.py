"""The webhook engine before its first request: addresses, secrets, signatures, templates, and what is refused."""

import json
from datetime import UTC, datetime
from decimal import Decimal as D
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_contract.errors import EngineUnusable
from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.webhook.address import address_from
from subscriber_agent.engines.webhook.assuming import AssumingEngine
from subscriber_agent.engines.webhook.engine import WebhookEngine
from subscriber_agent.engines.webhook.make import make
from subscriber_agent.engines.webhook.settings import WebhookSettings
from subscriber_agent.engines.webhook.signing import signature, signed_headers
from subscriber_agent.engines.webhook.template import PLACEHOLDERS, template_from, values_of
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce

AT = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
HOST = "https://orders.example"
DOC = Path(__file__).resolve().parents[3] / "docs" / "engines" / "webhook.md"


def a_plan(**changes) -> OrderPlan:
    fields = {
        "ticker": "ABCD",
        "side": Side.BUY,
        "leg": Leg.ENTRY,
        "quantity": D("0.10"),
        "order_type": OrderType.LIMIT,
        "limit_price": D("5.05"),
        "stop_price": D("4.50"),
        "target_price": None,
        "time_in_force": TimeInForce.DAY,
        "reference_price": D("5"),
        "reference_price_at": AT,
        "catalyst": "fda",
    }
    return OrderPlan(**{**fields, **changes})


def made(home, *, files=None, **settings):
    for name, (content, mode) in (files or {}).items():
        (home / name).write_text(content)
        (home / name).chmod(mode)
    context = EngineContext(data=home / "data", home=home, user="alice", environ={})
    return make(WebhookSettings.model_validate(settings), context)


GOOD_SECRET = {"secret": ("0123456789abcdef\n", 0o600)}


@pytest.mark.parametrize(
    "text",
    [
        "https://orders.example/hook",
        "https://orders.example:8443/",
        "http://127.0.0.1:8080/",
        "http://localhost/",
        "http://[::1]:1/",
    ],
)
def test_https_and_this_machine_are_accepted(text):
    assert address_from(text, is_secret=False).url == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "must look like", id="nothing"),
        pytest.param("orders.example/hook", "must look like", id="no-scheme"),
        pytest.param("ftp://orders.example/", "must look like", id="ftp"),
        pytest.param("https:///hook", "must look like", id="no-host"),
        pytest.param("http://orders.example/sesame", "clear text", id="clear-text"),
        pytest.param("http://127.0.0.1.evil.example/sesame", "clear text", id="looks-like-loopback"),
        pytest.param("https://friend:sesame@orders.example/", "a name, a password", id="password"),
        pytest.param("https://orders.example/?token=sesame", "a name, a password", id="query"),
        pytest.param("https://orders.example/#sesame", "after #", id="fragment"),
        pytest.param("https://orders.example/a b", "blanks", id="blank"),
        pytest.param("https://orders.example:sesame/", "is not one", id="no-port"),
        pytest.param("https://orders.example/\x1b[2J", "control characters", id="escape"),
    ],
)
def test_other_addresses_are_refused_without_repeating_their_secrets(text, says):
    with pytest.raises(EngineUnusable, match=says) as refusal:
        address_from(text, is_secret=False)
    assert "sesame" not in refusal.value.message + refusal.value.hint


def test_an_address_from_a_secret_file_may_carry_a_token_and_is_never_shown():
    address = address_from("https://friend:sesame@orders.example/hook/sesame?t=sesame", is_secret=True)
    assert address.shown == "https://orders.example/…"
    assert "sesame" not in repr(address)


def test_the_signature_is_that_of_the_documented_example():
    documented = "sha256=2f0050e646e7174d810ad38eadd7721029f2de60b5d4decb550fb1ab0de102a0"
    assert signature(b"0123456789abcdef", "1767364200", b'{"v":1,"id":1,"op":"health"}') == documented
    assert documented in DOC.read_text(encoding="utf-8")


def test_time_body_and_secret_each_change_the_signature():
    parts = ((b"s", "1", b"a"), (b"s", "2", b"a"), (b"s", "1", b"b"), (b"t", "1", b"a"))
    assert len({signature(*each) for each in parts}) == 4


def test_without_a_secret_nothing_is_signed():
    assert signed_headers(None, b"x", AT, "cs-1") == {"Idempotency-Key": "cs-1"}
    assert set(signed_headers(b"s" * 16, b"x", AT)) == {"X-Catalyst-Timestamp", "X-Catalyst-Signature"}


def test_settings_as_they_should_be_make_the_engine(tmp_path):
    engine = made(tmp_path, files=GOOD_SECRET, url=f"{HOST}/hook", secret_file="secret")
    assert isinstance(engine, WebhookEngine)
    assert (engine.name, engine.is_paper) == ("webhook", False)


def test_traderspost_needs_no_secret_beside_its_address(tmp_path):
    files = {"url": (f"{HOST}/trading/webhook/a/b\n", 0o600)}
    engine = made(tmp_path, files=files, url_file="url", template="traderspost", assumed_cash_usd="1000")
    assert isinstance(engine, AssumingEngine)


@pytest.mark.parametrize(
    ("files", "settings", "says"),
    [
        pytest.param({}, {}, "needs an address", id="no-address"),
        pytest.param({}, {"url": HOST, "url_file": "url"}, "not both", id="two-addresses"),
        pytest.param({}, {"url": HOST}, "secret_file is missing", id="no-secret"),
        pytest.param({}, {"url": HOST, "secret_file": "secret"}, "does not exist", id="secret-not-there"),
        pytest.param(
            {"secret": ("0123456789abcdef", 0o644)},
            {"url": HOST, "secret_file": "secret"},
            "can be read by others",
            id="secret-for-all-to-read",
        ),
        pytest.param(
            {"secret": ("too short", 0o600)}, {"url": HOST, "secret_file": "secret"}, "fewer than 16", id="short-secret"
        ),
        pytest.param(
            {"url": (HOST, 0o640)}, {"url_file": "url"}, "can be read by others", id="address-for-all-to-read"
        ),
        pytest.param(
            {},
            {"url": HOST, "template": "traderspost", "assumed_cash_usd": "1"},
            "password",
            id="traderspost-in-config",
        ),
        pytest.param({}, {"url": HOST, "template": "tradingview"}, "assumed_cash_usd", id="no-cash"),
        pytest.param({}, {"url": HOST, "template": "mine.json"}, "cannot be read", id="no-template"),
        pytest.param(
            {"mine.json": ("{", 0o644)}, {"url": HOST, "template": "mine.json"}, "no JSON object", id="broken-template"
        ),
        pytest.param(
            {"mine.json": ('{"entry": [1]}', 0o644)}, {"url": HOST, "template": "mine.json"}, "no JSON", id="entry-list"
        ),
        pytest.param(
            {"mine.json": ('{"t": "{ticker}", "q": "{shares}"}', 0o644)},
            {"url": HOST, "template": "mine.json"},
            "{shares} is not known",
            id="unknown-placeholder",
        ),
        pytest.param(
            {"mine.json": ('{"t": "{ticker:number}"}', 0o644)},
            {"url": HOST, "template": "mine.json"},
            "{ticker:number} is not known",
            id="a-ticker-is-no-number",
        ),
        pytest.param(
            {"mine.json": ('{"t": "{ticker}", "a": "{side}"}', 0o644)},
            {"url": HOST, "template": "mine.json"},
            "must carry",
            id="no-quantity",
        ),
        pytest.param(
            {"mine.json": ('{"a":' * 20 + "1" + "}" * 20, 0o644)},
            {"url": HOST, "template": "mine.json"},
            "within each other",
            id="too-deep",
        ),
    ],
)
def test_settings_that_can_never_work_are_refused_by_name(tmp_path, files, settings, says):
    with pytest.raises(EngineUnusable) as refusal:
        made(tmp_path, files=files, **settings)
    assert says in refusal.value.message
    assert "0123456789abcdef" not in refusal.value.message + refusal.value.hint


def message(template, plan, **changes):
    values = values_of(plan, "cs-1-entry", price=D("5.05"), held_after=D("0.10"), at="2026-03-02T15:00:00Z")
    return json.loads(template.message(template.entry, {**values, **changes}), parse_float=str)


def own(tmp_path, document):
    (tmp_path / "mine.json").write_text(json.dumps(document))
    return template_from("mine.json", tmp_path)


def test_numbers_are_digit_for_digit_and_missing_values_leave_their_field_or_inner_object_out(tmp_path):
    template = own(
        tmp_path,
        {
            "entry": {
                "s": "{side} {quantity} {ticker}",
                "q": "{quantity:number}",
                "target": "{target_price}",
                "stop": {"kind": "stop", "at": "{stop_price:number}"},
                "profit": {"kind": "limit", "at": "{target_price:number}"},
                "list": ["{ticker}", "{target_price}"],
                "fixed": [1, None, True],
            }
        },
    )
    assert template.carries_stop
    assert message(template, a_plan()) == {
        "s": "buy 0.1 ABCD",
        "q": "0.1",
        "stop": {"kind": "stop", "at": "4.5"},
        "fixed": [1, None, True],
    }


def test_a_message_copied_from_tradingview_works_as_it_is(tmp_path):
    template = own(
        tmp_path,
        {"ticker": "{{ticker}}", "action": "{{strategy.order.action}}", "contracts": "{{strategy.order.contracts}}"},
    )
    assert message(template, a_plan()) == {"ticker": "ABCD", "action": "buy", "contracts": "0.1"}
    assert template.exit == template.entry
    assert template.cancel is None
    assert not template.carries_stop


def test_every_placeholder_stands_for_something(tmp_path):
    template = own(tmp_path, {**{name: f"{{{name}}}" for name in PLACEHOLDERS}})
    filled = message(template, a_plan(target_price=D(6)))
    assert set(filled) == set(PLACEHOLDERS)
    assert (filled["position"], filled["action"], filled["at"]) == ("long", "buy", "2026-03-02T15:00:00Z")


@given(st.text(max_size=40))
def test_a_value_can_never_break_out_of_its_field(text):
    template = template_from("tradingview", Path())
    assert message(template, a_plan(), ticker=text)["ticker"] == text


def test_the_documentation_names_every_placeholder_as_the_code_does():
    text = DOC.read_text(encoding="utf-8")
    assert all(f"| `{{{name}}}` | {meaning} |" in text for name, meaning in PLACEHOLDERS.items())
