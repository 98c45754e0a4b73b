"""Real money needs three words at three places; the friend's own counts for its engine and rules, or stricter ones."""

import os
import stat
from dataclasses import replace

import orjson
import pytest
from agent_samples import NOW, a_config

from signal_contract.errors import ConfigInvalid, StorageFailed
from subscriber_agent.settings.config import Mode
from subscriber_agent.settings.directions import needs_restart, running, tightened
from subscriber_agent.settings.live import (
    LIVE_VARIABLE,
    check_engine_fits,
    check_gate,
    consent_from,
    is_phrase,
    live_gate,
    phrase_of,
)
from subscriber_agent.settings.live_consent import CONSENT_FILE, read_consent, remove_consent, write_consent

YES = {LIVE_VARIABLE: "yes"}
REAL = {"kind": "command", "command": {"argv": ["broker"]}}
ALICE = {"user": "alice", "account": "AX"}


def a_real_config(tmp_path, *, mode="live", engine=REAL, **risk):
    return a_config(tmp_path, mode=mode, engine=engine, risk=risk)


def a_consent(config, **who):
    return consent_from(config, **{**ALICE, **who}, at=NOW)


def gate_of(config, *, environ=YES, consent=None, is_paper=False, **who):
    return live_gate(config, environ, consent, **{**ALICE, **who}, is_paper=is_paper)


@pytest.mark.parametrize("mode", ["approve", "live"])
def test_all_three_words_open_it(tmp_path, mode):
    config = a_real_config(tmp_path, mode=mode)
    gate = gate_of(config, consent=a_consent(config))
    assert (gate.is_needed, gate.is_open, gate.missing) == (True, True, ())
    check_gate(gate, "command")


@pytest.mark.parametrize("mode", ["approve", "live"])
@pytest.mark.parametrize("value", ["", "YES", "1", "true", None])
def test_without_the_variable_it_stays_shut_and_says_so(tmp_path, mode, value):
    config = a_real_config(tmp_path, mode=mode)
    gate = gate_of(config, environ={} if value is None else {LIVE_VARIABLE: value}, consent=a_consent(config))
    assert gate.missing == (f"{LIVE_VARIABLE}=yes in the environment",)
    with pytest.raises(ConfigInvalid, match=LIVE_VARIABLE) as caught:
        check_gate(gate, "command")
    assert "live status" in caught.value.hint


@pytest.mark.parametrize("mode", ["approve", "live"])
def test_without_the_friends_word_it_stays_shut_and_names_the_next_step(tmp_path, mode):
    gate = gate_of(a_real_config(tmp_path, mode=mode))
    assert len(gate.missing) == 1
    assert "subscriber-agent live confirm" in gate.missing[0]
    assert gate.is_word_missing


def test_the_word_is_asked_for_only_when_it_is_all_that_is_missing(tmp_path):
    gate = gate_of(a_real_config(tmp_path), environ={})
    assert len(gate.missing) == 2
    assert not gate.is_word_missing


@pytest.mark.parametrize(("mode", "is_paper"), [("notify", False), ("approve", True), ("paper", True)])
def test_paper_and_looking_on_need_no_gate(tmp_path, mode, is_paper):
    gate = gate_of(a_real_config(tmp_path, mode=mode), environ={}, is_paper=is_paper)
    assert (gate.is_needed, gate.is_open, gate.will_do) == (False, True, ())


@pytest.mark.parametrize(
    ("typed", "is_it"),
    [
        ("alice trades real money with command", True),
        ("  alice trades real money with command\n", True),
        ("ALICE TRADES REAL MONEY WITH COMMAND", False),
        ("alice trades real money with alpaca", False),
        ("yes", False),
        ("", False),
        (None, False),
    ],
    ids=["exact", "spaces", "capitals", "another engine", "yes", "nothing", "no keyboard"],
)
def test_the_phrase_is_typed_letter_by_letter(typed, is_it):
    assert is_phrase(typed, phrase_of("alice", "command")) is is_it


def test_a_word_is_the_identitys_own(tmp_path):
    config = a_real_config(tmp_path)
    consent = a_consent(config)
    for who in ({"user": "bob"}, {"account": "AY"}):
        gate = gate_of(config, consent=consent, **who)
        assert "of another identity" in gate.missing[0]


@pytest.mark.parametrize(
    "engine",
    [
        {"kind": "webhook"},
        {"kind": "command", "command": {"argv": ["broker", "--other-account"]}},
        {"kind": "python", "python": {"name": "broker"}},
    ],
    ids=["kind", "arguments", "plug-in"],
)
def test_another_engine_asks_again(tmp_path, engine):
    consent = a_consent(a_real_config(tmp_path))
    gate = gate_of(a_real_config(tmp_path, engine=engine), consent=consent)
    assert "the engine's settings are not the ones of then" in gate.missing[0]


def test_the_sections_of_engines_that_are_not_asked_do_not_count(tmp_path):
    consent = a_consent(a_real_config(tmp_path))
    config = a_real_config(tmp_path, engine={**REAL, "paper": {"slippage_bps": 5}, "watch_s": 3})
    assert gate_of(config, consent=consent).is_open


def test_looser_rules_ask_again_and_are_named(tmp_path):
    consent = a_consent(a_real_config(tmp_path))
    gate = gate_of(a_real_config(tmp_path, max_notional_usd=2000, max_open_positions=9), consent=consent)
    assert "looser since then: risk.max_notional_usd, risk.max_open_positions" in gate.missing[0]
    assert gate.is_word_missing


def test_trading_by_itself_is_looser_than_being_asked(tmp_path):
    consent = a_consent(a_real_config(tmp_path, mode="approve"))
    assert "mode" in gate_of(a_real_config(tmp_path, mode="live"), consent=consent).missing[0]
    consent = a_consent(a_real_config(tmp_path, mode="live"))
    assert gate_of(a_real_config(tmp_path, mode="approve"), consent=consent).is_open


def test_stricter_rules_do_not_ask_again(tmp_path):
    consent = a_consent(a_real_config(tmp_path))
    assert gate_of(a_real_config(tmp_path, max_notional_usd=500), consent=consent).is_open


@pytest.mark.parametrize("risk", [{"unheard_of": "1"}, {"max_age_s": "never"}], ids=["name", "value"])
def test_rules_of_another_version_ask_again(tmp_path, risk):
    config = a_real_config(tmp_path)
    consent = replace(a_consent(config), risk=risk, config_hash="0" * 16)
    assert "cannot be read by this version" in gate_of(config, consent=consent).missing[0]


def test_it_says_what_it_will_do(tmp_path):
    config = a_real_config(tmp_path, max_notional_usd=750, flatten_on_breach=True)
    text = "\n".join(gate_of(config).will_do)
    for part in ("real money", "without asking", "up to 750 USD an order", "no short sales", "positions are closed"):
        assert part in text
    assert "asked before each above 100 USD" in gate_of(a_real_config(tmp_path, approve_above_usd=100)).will_do[0]
    assert "asked before each entry" in gate_of(a_real_config(tmp_path, mode="approve")).will_do[0]


# Where the word is kept ---------------------------------------------------------------------------------------------


def test_the_word_is_kept_for_its_owner_only_and_read_back_as_it_was(tmp_path):
    consent = a_consent(a_real_config(tmp_path, max_age_s_by_catalyst={"fda": "60"}))
    path = write_consent(tmp_path, consent)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kept = read_consent(tmp_path)
    assert kept == consent
    config = a_real_config(tmp_path, max_age_s_by_catalyst={"fda": "60"}, max_notional_usd=10)
    assert gate_of(config, consent=kept).is_open


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such file modes")
def test_a_word_that_others_can_read_is_no_word(tmp_path):
    write_consent(tmp_path, a_consent(a_real_config(tmp_path))).chmod(0o644)
    assert read_consent(tmp_path) is None


@pytest.mark.parametrize("change", [("at", "2026-01-02T14:30:00"), ("version", 2), ("risk", []), ("user", 1)], ids=str)
def test_a_word_of_another_shape_is_no_word(tmp_path, change):
    path = write_consent(tmp_path, a_consent(a_real_config(tmp_path)))
    path.write_bytes(orjson.dumps({**orjson.loads(path.read_bytes()), change[0]: change[1]}))
    assert read_consent(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}"])
def test_a_damaged_word_is_no_word(tmp_path, content):
    path = tmp_path / CONSENT_FILE
    path.write_text(content)
    path.chmod(0o600)
    assert read_consent(tmp_path) is None


def test_a_word_is_taken_back_for_good(tmp_path):
    write_consent(tmp_path, a_consent(a_real_config(tmp_path)))
    assert remove_consent(tmp_path)
    assert read_consent(tmp_path) is None
    assert not remove_consent(tmp_path)


def test_a_word_that_cannot_be_taken_back_is_an_error(tmp_path):
    (tmp_path / CONSENT_FILE).mkdir()
    with pytest.raises(StorageFailed, match="cannot be removed"):
        remove_consent(tmp_path)


# Which mode goes with which engine ----------------------------------------------------------------------------------


def test_mode_live_is_refused_with_an_engine_that_pretends(tmp_path):
    with pytest.raises(ConfigInvalid, match="mode live needs an engine with real money"):
        check_engine_fits(a_config(tmp_path, mode="live"), engine="paper", is_paper=True)
    check_engine_fits(a_config(tmp_path, mode="approve"), engine="paper", is_paper=True)
    check_engine_fits(a_real_config(tmp_path), engine="broker", is_paper=False)


def test_mode_paper_is_refused_with_real_money(tmp_path):
    with pytest.raises(ConfigInvalid, match="mode paper trades pretend money only"):
        check_engine_fits(a_real_config(tmp_path, mode="paper"), engine="broker", is_paper=False)
    check_engine_fits(a_real_config(tmp_path, mode="notify"), engine="broker", is_paper=False)


@pytest.mark.parametrize("is_paper", [True, False])
def test_an_engine_that_contradicts_its_settings_is_refused(tmp_path, is_paper):
    config = a_real_config(tmp_path, mode="approve") if is_paper else a_config(tmp_path, mode="approve")
    with pytest.raises(ConfigInvalid, match="its settings say"):
        check_engine_fits(config, engine="odd", is_paper=is_paper)


@pytest.mark.parametrize("before", ["notify", "paper"])
def test_no_reload_leads_past_the_gate(tmp_path, before):
    old, new = a_real_config(tmp_path, mode=before), a_real_config(tmp_path, mode="approve")
    assert needs_restart("mode", "approve", old)
    assert running(old, new).mode is tightened(old, new).mode is Mode(before)


def test_on_paper_a_reload_may_begin_to_ask(tmp_path):
    old, new = a_config(tmp_path, mode="notify"), a_config(tmp_path, mode="approve")
    assert running(old, new).mode is Mode.APPROVE


def test_a_reload_may_always_ask_again_instead_of_trading_by_itself(tmp_path):
    old, new = a_real_config(tmp_path, mode="live"), a_real_config(tmp_path, mode="approve")
    assert running(old, new).mode is tightened(old, new).mode is Mode.APPROVE
