"""Taking the engine's word on what is held: one execution, at a price that somebody knows, and no order."""

from __future__ import annotations

from datetime import timedelta

import pytest
from agent_samples import NOW, D
from hypothesis import given
from hypothesis import strategies as st
from reconcile_samples import bought

from subscriber_agent.accounting.adjusting import adjustment
from subscriber_agent.accounting.book import Leg, Side, book_from
from subscriber_agent.accounting.differences import Difference, DifferenceKind


def differing(ours, engines, *, price=None, kind=DifferenceKind.QUANTITY_DIFFERS):
    return Difference(kind, "AAPL", D(ours), D(engines), price=price)


def ours(*fills):
    return book_from(fills, start_cash=D(10_000)).positions.get("AAPL")


@given(st.integers(-500, 500), st.integers(-500, 500))
def test_after_it_our_log_holds_what_the_engine_holds(held, there):
    if held == there:
        return
    before = [bought(shares=abs(held), side=Side.BUY if held > 0 else Side.SELL)] if held else []
    fill = adjustment(differing(held, there, price=D(6)), ours(*before), NOW)
    after = ours(*before, fill)
    assert (D(0) if after is None else after.quantity) == there
    assert (fill.leg, fill.price) == (Leg.ADJUST, D(6))


def test_the_price_is_the_engines_then_the_last_then_what_we_paid():
    own = ours(bought(price="5"))
    assert adjustment(differing(100, 60, price=D(6)), own, NOW, last=D(7)).price == D(6)
    assert adjustment(differing(100, 60), own, NOW, last=D(7)).price == D(7)
    assert adjustment(differing(100, 60, price=D("NaN")), own, NOW, last=D(0)).price == D(5)


@pytest.mark.parametrize(
    "difference",
    [
        differing(0, 7, kind=DifferenceKind.POSITION_UNKNOWN),
        differing(100, "NaN", price=D(5)),
        differing(0, 7, price=D(5), kind=DifferenceKind.ORDER_UNKNOWN),
    ],
    ids=["no price", "no number", "no position"],
)
def test_what_is_not_known_cannot_be_accepted(difference):
    with pytest.raises(ValueError, match=r"known|gives no number|not about shares"):
        adjustment(difference, None, NOW)


def test_one_acceptance_has_one_id_and_another_one_another():
    one, again = (adjustment(differing(100, 60, price=D(6)), None, NOW) for _ in range(2))
    later = adjustment(differing(100, 60, price=D(6)), None, NOW + timedelta(seconds=1))
    assert one.order_id == again.order_id != later.order_id
    assert one.order_id.startswith("cs-adjust-")
    assert len(one.order_id) <= 48
