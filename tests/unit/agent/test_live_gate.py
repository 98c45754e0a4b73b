"""Real money needs three words at three places, and an engine that has some."""

import pytest
from agent_samples import a_config

from signal_contract.errors import ConfigInvalid
from subscriber_agent.settings.live import LIVE_VARIABLE, check_engine_fits, live_gate

PHRASE = "alice trades real money with broker"
YES = {LIVE_VARIABLE: "yes"}


def _gate(tmp_path, *, mode="live", environ=YES, typed=PHRASE, is_paper=False, **risk):
    config = a_config(tmp_path, mode=mode, risk=risk)
    return live_gate(config, environ, typed, user="alice", engine="broker", is_paper=is_paper)


def test_all_three_words_open_it(tmp_path):
    gate = _gate(tmp_path)
    assert (gate.is_open, gate.phrase) == (True, PHRASE)
    assert _gate(tmp_path, typed=f"  {PHRASE}\n").is_open


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "paper"},
        {"mode": "approve"},
        {"environ": {}},
        {"environ": {LIVE_VARIABLE: "YES"}},
        {"environ": {LIVE_VARIABLE: "1"}},
        {"typed": None},
        {"typed": ""},
        {"typed": PHRASE.upper()},
        {"typed": "yes"},
        {"is_paper": True},
    ],
)
def test_any_one_missing_keeps_it_shut_and_is_named(tmp_path, change):
    gate = _gate(tmp_path, **change)
    assert not gate.is_open
    assert len(gate.missing) == 1


def test_it_says_what_it_will_do(tmp_path):
    text = "\n".join(_gate(tmp_path, max_notional_usd=750, flatten_on_breach=True, typed=None).will_do)
    for part in ("real money", "without asking", "up to 750 USD an order", "no short sales", "positions are closed"):
        assert part in text
    assert "asked before each above 100 USD" in _gate(tmp_path, approve_above_usd=100).will_do[0]


def test_mode_live_is_refused_by_name_with_an_engine_that_pretends(tmp_path):
    with pytest.raises(ConfigInvalid, match="mode live needs an engine with real money"):
        check_engine_fits(a_config(tmp_path, mode="live"), engine="paper", is_paper=True)
    check_engine_fits(a_config(tmp_path, mode="approve"), engine="paper", is_paper=True)
    check_engine_fits(a_config(tmp_path, mode="live"), engine="broker", is_paper=False)
