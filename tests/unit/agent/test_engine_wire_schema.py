"""The published schema of the engine protocol is what the code says."""

from decimal import Decimal
from pathlib import Path

from subscriber_agent.accounting.book import Leg, Side
from subscriber_agent.engines.wire import OPS, plan_document
from subscriber_agent.engines.wire_schema import protocol_schema, schema_text
from subscriber_agent.risk.decision import OrderPlan, OrderType, TimeInForce

PUBLISHED = Path(__file__).resolve().parents[3] / "docs" / "engines" / "protocol.schema.json"


def references(value):
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_the_published_schema_is_made_from_the_code():
    assert PUBLISHED.read_text(encoding="utf-8") == schema_text()


def test_every_operation_has_a_request_and_a_result_and_every_reference_leads_somewhere():
    schema = protocol_schema()
    for op in OPS:
        assert f"request.{op}" in schema["$defs"]
        assert f"result.{op}" in schema["$defs"]
    assert {each.removeprefix("#/$defs/") for each in references(schema)} <= set(schema["$defs"])


def test_the_schema_names_every_field_of_an_order():
    plan = OrderPlan(
        "A", Side.BUY, Leg.ENTRY, Decimal(1), OrderType.MARKET, None, None, None, TimeInForce.DAY, None, None, "fda"
    )
    assert set(protocol_schema()["$defs"]["Order"]["properties"]) == set(plan_document(plan, "cs-1"))
