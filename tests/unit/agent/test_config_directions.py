"""Looser or stricter: a direction for every setting, and never a looser config without the friend's word."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from agent_samples import NOW, PAPER, a_book, a_config, a_short, a_signal
from hypothesis import given, settings
from hypothesis import strategies as st

from signal_contract.model import Session
from subscriber_agent.risk.decide import decide
from subscriber_agent.risk.decision import Verdict as Ruling
from subscriber_agent.risk.limits import Limits
from subscriber_agent.settings.config import AgentConfig, Mode
from subscriber_agent.settings.directions import (
    DIRECTIONS,
    ORDERS,
    Direction,
    Verdict,
    changes,
    direction_of,
    is_loosening,
    needs_restart,
    running,
    tightened,
)
from subscriber_agent.settings.fields import bounds_of, choices_of, is_list, leaves
from subscriber_agent.settings.yaml_source import dotted

BASE = a_config(Path("data"))
NAMES = ("*", "fda", "merger", "offering")


def with_risk(**values):
    """A config with these limits, not validated: fields are compared one by one, so contradictions matter not."""
    return BASE.model_copy(update={"risk": BASE.risk.model_copy(update=values)})


def verdicts(old, new):
    return {each.key: each.direction for each in changes(old, new)}


def test_every_limit_has_a_direction_and_every_direction_a_limit():
    limits = {f"risk.{name}" for name in Limits.model_fields}
    assert sorted(limits - DIRECTIONS.keys()) == []
    assert sorted(each for each in DIRECTIONS if each.startswith("risk.") and each not in limits) == []


def test_every_setting_outside_risk_is_judged_or_read_at_the_start():
    rest = [dotted(path) for path, _ in leaves(AgentConfig) if path[0] not in ("risk", "extends")]
    assert [key for key in rest if key not in DIRECTIONS and not needs_restart(key, None)] == []


def test_every_order_of_words_is_the_models():
    for path, field in leaves(AgentConfig):
        if dotted(path) in ORDERS:
            assert sorted(ORDERS[dotted(path)]) == sorted(choices_of(field))


def test_a_risk_setting_that_nobody_judged_counts_as_loosening():
    assert direction_of("risk.brand_new") is Direction.UNKNOWN
    assert verdicts(with_risk(sizing="fixed_usd"), with_risk(sizing="kelly")) == {"risk.sizing": Verdict.LOOSER}


def number(field, end):
    low, high, is_open = bounds_of(field)
    value = Decimal(str(high)) if end == "high" else Decimal(str(low)) + (Decimal("0.01") if is_open else 0)
    return int(value) if field.annotation is int else value


def extremes(key, field):
    """Two values of a setting, the stricter one first."""
    match DIRECTIONS[key]:
        case Direction.ALLOWS:
            return ((Session.REGULAR,), tuple(Session)) if key == "risk.sessions" else (("fda",), ("*",))
        case Direction.DENIES:
            return ("fda", "merger"), ("fda",)
        case Direction.MORE if key in ORDERS:
            return ORDERS[key][0], ORDERS[key][-1]
        case Direction.MORE if field.annotation is bool:
            return False, True
        case Direction.LESS if field.annotation is bool:
            return True, False
        case Direction.MORE:
            return number(field, "low"), number(field, "high")
        case _:
            return number(field, "high"), number(field, "low")


@pytest.mark.parametrize("name", sorted(Limits.model_fields))
def test_each_limit_is_looser_one_way_and_stricter_the_other(name):
    key, field = f"risk.{name}", Limits.model_fields[name]
    if DIRECTIONS[key] in (Direction.UNKNOWN, Direction.FREE):
        return
    strict, loose = (with_risk(**{name: value}) for value in extremes(key, field))
    assert verdicts(strict, loose) == {key: Verdict.LOOSER}
    assert verdicts(loose, strict) == {key: Verdict.STRICTER}
    assert tightened(strict, loose) == strict
    assert tightened(loose, strict) == strict


def test_modes_and_privacy_loosen_upwards():
    notify, paper = BASE.model_copy(update={"mode": Mode.NOTIFY}), BASE
    assert verdicts(notify, paper) == {"mode": Verdict.LOOSER}
    assert verdicts(paper, notify) == {"mode": Verdict.STRICTER}
    assert ORDERS["mode"] == ("notify", "paper", "approve", "live")
    assert verdicts(a_config(Path("data"), privacy="none"), BASE) == {"privacy": Verdict.LOOSER}


def test_what_risks_nothing_counts_at_once():
    new = a_config(Path("data"), alert_after_s=300)
    assert verdicts(BASE, new) == {"alert_after_s": Verdict.OTHER}
    assert not is_loosening(changes(BASE, new))
    assert tightened(BASE, new).alert_after_s == 300


def test_of_two_lists_the_common_names_are_allowed_and_all_names_denied():
    old = with_risk(allow_catalysts=("fda", "merger"), deny_tickers=("GME",))
    new = with_risk(allow_catalysts=("merger", "offering"), deny_tickers=("AMC",))
    assert set(verdicts(old, new).values()) == {Verdict.LOOSER}
    mixed = tightened(old, new).risk
    assert (mixed.allow_catalysts, mixed.deny_tickers) == (("merger",), ("AMC", "GME"))
    assert tightened(with_risk(), old).risk.allow_catalysts == ("fda", "merger")


def test_a_mixed_change_keeps_the_loose_part_back_and_takes_the_strict_one():
    old, new = with_risk(fixed_usd=Decimal(500), max_age_s=Decimal(60)), with_risk(fixed_usd=Decimal(100))
    mixed = tightened(old, new)
    assert (mixed.risk.fixed_usd, mixed.risk.max_age_s) == (100, 60)
    assert verdicts(mixed, running(mixed, new)) == {"risk.max_age_s": Verdict.LOOSER}


def test_where_oversized_orders_are_refused_a_smaller_size_is_not_stricter():
    old = with_risk(oversize="refuse", fixed_usd=Decimal(5000))
    new = with_risk(oversize="refuse", fixed_usd=Decimal(500))
    assert verdicts(old, new) == {"risk.fixed_usd": Verdict.LOOSER}
    assert tightened(old, new) == old


def test_what_is_read_at_the_start_stays_while_running():
    new = a_config(Path("elsewhere"), servers=["nats://127.0.0.1:9"], engine={"paper": {"slippage_bps": 10}})
    assert {each.key for each in changes(BASE, new)} == {"servers", "data", "engine.paper.slippage_bps"}
    assert all(needs_restart(each.key, each.after) for each in changes(BASE, new))
    assert tightened(BASE, new) == BASE
    assert running(BASE, new) == BASE


@pytest.mark.parametrize(
    ("engine", "verdict"),
    [
        ({"kind": "alpaca"}, Verdict.LOOSER),
        ({"alpaca": {"endpoint": "live"}}, Verdict.LOOSER),
        ({"command": {"is_paper": True}}, Verdict.LOOSER),
        ({"paper": {"slippage_bps": 10}}, Verdict.OTHER),
    ],
    ids=["kind", "endpoint", "is_paper", "slippage"],
)
def test_what_leads_to_real_money_or_past_its_gate_is_looser(engine, verdict):
    (change,) = changes(BASE, a_config(Path("data"), engine=engine))
    assert change.direction is verdict


def test_live_is_entered_by_a_start_only_and_left_at_any_time():
    live = BASE.model_copy(update={"mode": Mode.LIVE})
    assert needs_restart("mode", "live")
    assert running(BASE, live) == tightened(BASE, live) == BASE
    assert running(live, BASE).mode is tightened(live, BASE).mode is BASE.mode


def test_a_list_that_denies_everything_may_lose_a_name_without_becoming_looser():
    old, new = with_risk(deny_catalysts=("*", "fda")), with_risk(deny_catalysts=("*",))
    assert verdicts(old, new) == {"risk.deny_catalysts": Verdict.STRICTER}
    assert tightened(old, new) == new


def test_spelling_and_extends_are_no_difference():
    assert changes(BASE, with_risk(min_confidence=Decimal("0.7"))) == ()
    assert changes(BASE, BASE.model_copy(update={"extends": "balanced"})) == ()


def test_a_change_is_told_in_plain_values():
    (change,) = changes(BASE, with_risk(min_confidence=Decimal("0.50")))
    assert change.as_dict() == {
        "key": "risk.min_confidence",
        "before": "0.7",
        "after": "0.5",
        "direction": "looser",
    }


def values_of(key, field):
    if key == "risk.sessions":
        return st.sets(st.sampled_from(Session)).map(lambda found: tuple(each for each in Session if each in found))
    if is_list(field):
        return st.sets(st.sampled_from(NAMES)).map(lambda found: tuple(sorted(found)))
    if choices_of(field):
        return st.sampled_from(choices_of(field))
    if field.annotation is bool:
        return st.booleans()
    if isinstance(field.default, dict):
        return st.dictionaries(st.sampled_from(NAMES), st.integers(1, 100).map(Decimal), max_size=2)
    low, high, _ = bounds_of(field)
    return st.integers(int(low) + 1, max(int(high), int(low) + 1)).map(int if field.annotation is int else Decimal)


CONFIGS = st.fixed_dictionaries(
    {}, optional={name: values_of(f"risk.{name}", field) for name, field in Limits.model_fields.items()}
).map(lambda values: with_risk(**values))


@settings(max_examples=150, deadline=None)
@given(CONFIGS, CONFIGS, st.sampled_from(Mode), st.sampled_from(Mode))
def test_what_counts_without_the_friends_word_is_never_looser_than_before_in_any_field(old, new, before, after):
    old, new = old.model_copy(update={"mode": before}), new.model_copy(update={"mode": after})
    mixed = tightened(old, new)
    assert not is_loosening(changes(old, mixed))
    # Once taken it is settled, and the word then brings exactly the file's settings.
    assert tightened(mixed, new) == mixed
    is_entry_to_live = needs_restart("mode", after) and before is not after
    assert running(mixed, new) == (new.model_copy(update={"mode": before}) if is_entry_to_live else new)
    if not is_loosening(changes(old, new)):
        assert mixed == new


# Not approve_above_usd: a smaller order may be below what needs the friend's word, which he gave for it beforehand.
FEW = (
    st.sets(st.sampled_from(sorted(Limits.model_fields.keys() - {"approve_above_usd"})), max_size=5)
    .flatmap(lambda names: st.fixed_dictionaries({n: values_of(f"risk.{n}", Limits.model_fields[n]) for n in names}))
    .map(lambda values: with_risk(**values))
)


def test_the_config_in_force_before_the_word_never_accepts_what_the_old_one_refused():
    accepted = []

    @settings(max_examples=400, deadline=None)
    @given(FEW, FEW, st.sampled_from([a_signal(), a_short(), a_signal(catalysts=("fda", "merger"))]))
    def check(old, new, signal):
        before, after = (
            decide(signal, a_book(), each.risk, PAPER, NOW + timedelta(seconds=20))
            for each in (old, tightened(old, new))
        )
        if after.verdict is not Ruling.ACCEPTED:
            return
        accepted.append(signal)
        assert before.verdict is Ruling.ACCEPTED
        assert before.plan.quantity >= after.plan.quantity

    check()
    assert len(accepted) > 20, "the examples hardly ever make an order, so they prove nothing"
