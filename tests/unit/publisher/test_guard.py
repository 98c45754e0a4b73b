"""The guard rails: what is capped, what is merged, and what never is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from publisher.guard import GuardCode, GuardLimits, Known, aged, counts, is_near_title, judged, memory_start
from signal_contract.codec import encode, signal_id_from
from signal_contract.model import Action, Signal
from signal_contract.resources import resource_path

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
TITLE = "Acme Pharma wins approval of its new drug for rare disease"
LIMITS = GuardLimits()


def a_signal(
    news: str = "n1",
    *,
    title: str = TITLE,
    source: str = "prnewswire",
    age_s: float = 0,
    action: str = "buy",
    ticker: str = "ACME",
    **changes: object,
) -> Signal:
    document = json.loads(resource_path("config/samples/signal.v1.json").read_bytes())
    at = NOW - timedelta(seconds=age_s)
    fields = {
        "signal_id": signal_id_from(news, ticker, Action(action)),
        "ticker": ticker,
        "action": action,
        "news": {**document["news"], "id": news, "title": title, "source": source},
        "classified_at": at.isoformat(),
        "published_at": at.isoformat(),
        "reference_price_at": at.isoformat(),
        "expires_at": (at + timedelta(hours=2)).isoformat() if action == "buy" else None,
        "meta": {},
    }
    return Signal.model_validate_json(json.dumps({**document, **fields, **changes}))


def codes(signals: list[Signal], known: list[Signal] = [], limits: GuardLimits = LIMITS, **more: bool) -> list[str]:  # noqa: B006
    kept = [Known(each, NOW) for each in known]
    rulings = judged(signals, kept, limits, NOW, is_capped=more.get("is_capped", True))
    return [each.code.value if each.code else "passed" for each in rulings]


def test_over_the_cap_is_refused_by_name_and_in_order():
    many = [a_signal(f"n{n}", ticker=f"T{n}") for n in range(5)]
    limits = GuardLimits(max_per_minute=3)
    assert codes(many, [], limits) == ["passed"] * 3 + ["RATE_CAPPED"] * 2
    assert codes(many[2:], many[:2], limits) == ["passed", "RATE_CAPPED", "RATE_CAPPED"]


def test_what_a_person_hands_over_is_not_capped():
    many = [a_signal(f"n{n}", ticker=f"T{n}") for n in range(5)]
    assert codes(many, [], GuardLimits(max_per_minute=1), is_capped=False) == ["passed"] * 5


@pytest.mark.parametrize(
    "free",
    [
        a_signal("x", action="close"),
        a_signal("x", meta={"drill": "true"}),
        a_signal("x", event="retract", revision=2),
        a_signal("x", age_s=2 * 3600 + 1),
    ],
    ids=["exit", "drill", "retraction", "history"],
)
def test_exits_drills_revisions_and_history_are_free_of_the_cap(free: Signal):
    assert not counts(free, NOW)
    full = [a_signal(f"n{n}", ticker=f"T{n}") for n in range(3)]
    assert codes([free], full, GuardLimits(max_per_minute=1)) == ["passed"]


def test_what_is_known_passes_as_a_duplicate_also_over_the_cap():
    known = [a_signal(f"n{n}", ticker=f"T{n}") for n in range(3)]
    assert codes(known, known, GuardLimits(max_per_minute=1)) == ["passed"] * 3


def test_the_same_news_of_another_source_is_merged_with_its_provenance():
    first, later = a_signal(), a_signal("n2", source="globenewswire", title=TITLE.upper() + "!", age_s=600)
    rulings = judged([first, later], [], LIMITS, NOW, is_capped=True)
    assert [each.code for each in rulings] == [None, GuardCode.MERGED]
    assert rulings[0].signal.meta["also_from"] == "globenewswire"
    assert rulings[1].into == first.signal_id
    assert codes([later], [first]) == ["MERGED"]


@pytest.mark.parametrize(
    "other",
    [
        a_signal("n2"),
        a_signal("n2", source="b", ticker="ACMF"),
        a_signal("n2", source="b", action="close"),
        a_signal("n2", source="b", catalyst="clinical", catalysts=["clinical"]),
        a_signal("n2", source="b", age_s=901),
        a_signal("n2", source="b", title="Acme Pharma names a chief financial officer from outside"),
        a_signal("n2", source="b", meta={"drill": "true"}),
    ],
    ids=["own source", "ticker", "action", "subject", "window", "title", "drill"],
)
def test_what_differs_is_another_signal(other: Signal):
    assert codes([other], [a_signal()]) == ["passed"]


def test_a_merge_window_of_zero_merges_nothing():
    assert codes([a_signal("n2", source="b")], [a_signal()], GuardLimits(merge_window_s=0)) == ["passed"]


def test_numbers_in_titles_must_agree():
    two, three = (f"Acme Pharma completes phase {n} trial of its new drug for rare disease" for n in (2, 3))
    assert not is_near_title(two, three, Decimal("0.5"))
    assert is_near_title(two, two.replace("completes", "concludes"), Decimal("0.8"))


VOCABULARY = ["acme", "wins", "drug", "phase", "2", "3", "q1", "of", "the", "new"]
WORDS = st.lists(st.sampled_from(VOCABULARY), max_size=12).map(" ".join)


@given(WORDS, WORDS)
def test_near_is_symmetric_and_every_title_is_near_itself(one: str, other: str):
    assert is_near_title(one, other, Decimal("0.8")) == is_near_title(other, one, Decimal("0.8"))
    assert is_near_title(one, one, Decimal(1)) == bool(one)


@given(
    st.lists(
        st.builds(
            a_signal,
            st.sampled_from(["n1", "n2", "n3", "n4"]),
            source=st.sampled_from(["a", "b"]),
            age_s=st.integers(0, 8000),
            action=st.sampled_from(["buy", "close"]),
            ticker=st.sampled_from(["AA", "BB"]),
        ),
        max_size=12,
    ),
    st.integers(1, 4),
)
def test_judging_again_what_passed_changes_nothing_and_no_exit_is_ever_capped(signals: list[Signal], cap: int):
    limits = GuardLimits(max_per_minute=cap)
    rulings = judged(signals, [], limits, NOW, is_capped=True)
    assert len(rulings) == len(signals)
    out = [each.signal for each in rulings if each.code is None]
    assert set(codes(out, out, limits)) <= {"passed"}
    assert all(each.signal.action is Action.BUY for each in rulings if each.code is GuardCode.RATE_CAPPED)
    firsts = {each.signal_id: each for each in reversed(out)}
    assert sum(1 for each in firsts.values() if counts(each, NOW)) <= cap
    ids = set(firsts)
    assert all(each.into in ids for each in rulings if each.code is GuardCode.MERGED)


def test_memory_reaches_back_over_the_window_of_the_oldest():
    assert memory_start([], LIMITS, NOW) == NOW - timedelta(minutes=1)
    assert memory_start([a_signal(age_s=3600)], LIMITS, NOW) == NOW - timedelta(seconds=3600 + 900)


def test_an_exit_on_old_news_is_followed_as_watch():
    old, fresh = a_signal(action="close", age_s=86_401), a_signal(action="close", age_s=86_399)
    watched = aged(old, LIMITS, NOW)
    assert (watched.action, watched.meta["was_action"]) == (Action.WATCH, "close")
    assert watched.signal_id == signal_id_from("n1", "ACME", Action.WATCH)
    assert aged(fresh, LIMITS, NOW) is fresh
    assert encode(aged(a_signal(age_s=86_401), LIMITS, NOW)) == encode(a_signal(age_s=86_401))


@pytest.mark.parametrize(
    "wrong", [{"max_per_minute": 0}, {"merge_overlap": "0.4"}, {"cap": 1}, {"merge_window_s": "9"}]
)
def test_wrong_limits_are_refused(wrong: dict[str, object]):
    with pytest.raises(ValidationError):
        GuardLimits.model_validate_json(json.dumps(wrong))
