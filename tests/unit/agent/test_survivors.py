"""What mutation testing found that no other test noticed (`make mutants`)."""

from agent_samples import D, a_close, a_position, a_signal, decided, outcome_of

from subscriber_agent.accounting.book import Book, Side
from subscriber_agent.risk.plans import closing_plan


def test_kelly_divides_by_the_gain():
    # p 0.55, gain 2, loss 0.25: 0.25 × (1.1 − 0.1125) ÷ 2 = 12.34 % of 10,000 USD, 246 shares at 5.
    signal = a_signal(target_price=D(7))
    decision = decided(signal, sizing="kelly", kelly_cap_percent=25, show_all=True)
    assert outcome_of(decision, "order size").observed == "246 shares at 5"


def test_an_exit_without_a_reason_of_its_own_keeps_the_catalyst_that_opened_it():
    assert closing_plan(a_position(catalyst="fda"), D(100)).catalyst == "fda"


def test_part_of_a_share_is_closed_on_its_own_side():
    held = a_position(quantity=1)
    book = Book(cash=D(1), positions={"ABCD": held})
    assert decided(a_close(), book).plan.side is Side.SELL
    assert closing_plan(held, D(1)).side is Side.SELL
    assert closing_plan(a_position(quantity=-1), D(1)).side is Side.BUY


def test_oversize_refuse_is_about_value_and_quantity_only_and_shares_of_equity_still_cut_down():
    decision = decided(oversize="refuse", max_ticker_exposure_percent=1)
    assert decision.plan.quantity == 20
    assert [each.name for each in decision.clamps] == ["ticker exposure"]
