"""A start with real money behind the engine, as a process: refused with the next step, or let through and journaled.

The server's address is a port where nobody listens: exit status 10 means that the gate was passed.
"""

import json
import stat
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("there are no terminals of this kind on Windows", allow_module_level=True)

from live_samples import at_a_keyboard  # isort: split

from engine_samples import PHRASE, REAL, a_config_file, agent

from subscriber_agent.journal import Journal
from subscriber_agent.journal.journal import JOURNAL_FILE
from subscriber_agent.settings.live import LIVE_VARIABLE
from subscriber_agent.settings.live_consent import CONSENT_FILE

PASSED, SHUT, NO_PHRASE = 10, 4, 5
YES = {LIVE_VARIABLE: "yes"}
RUN = ("run", "--connect-timeout", "0.5")


@pytest.fixture(params=["approve", "live"])
def mode(request):
    return request.param


def loosenings(folder):
    with Journal.open(folder / "data" / JOURNAL_FILE, read_only=True, is_owner=False) as journal:
        return [each.type for each in journal.loosenings(10)]


def test_a_start_without_any_word_is_refused_and_names_each_part(tmp_path, mode):
    a_config_file(tmp_path, f"{REAL}mode: {mode}\n")
    done = agent(tmp_path, *RUN, "--json")
    (problem,) = json.loads(done.stdout)["errors"]
    assert (done.returncode, problem["code"]) == (SHUT, "CONFIG_INVALID")
    assert f"{LIVE_VARIABLE}=yes in the environment" in problem["message"]
    assert "subscriber-agent live confirm" in problem["message"]
    assert not (tmp_path / "data" / JOURNAL_FILE).exists()


def test_the_variable_alone_opens_nothing(tmp_path, mode):
    a_config_file(tmp_path, f"{REAL}mode: {mode}\n")
    assert agent(tmp_path, *RUN, **YES).returncode == SHUT


def test_the_word_alone_opens_nothing(tmp_path, mode):
    a_config_file(tmp_path, f"{REAL}mode: {mode}\n")
    assert agent(tmp_path, "live", "confirm", "--phrase", PHRASE).returncode == 0
    assert agent(tmp_path, *RUN).returncode == SHUT


def test_word_and_variable_let_a_start_through_which_says_what_it_does_and_is_journaled(tmp_path, mode):
    a_config_file(tmp_path, f"{REAL}mode: {mode}\n")
    assert agent(tmp_path, "live", "confirm", "--phrase", PHRASE).returncode == 0
    assert stat.S_IMODE((tmp_path / "data" / CONSENT_FILE).stat().st_mode) == 0o600
    done = agent(tmp_path, *RUN, **YES)
    assert done.returncode == PASSED, done.stderr
    assert "with real money" in done.stderr
    assert loosenings(tmp_path).count("live_started") == 1


def test_a_looser_config_after_the_word_is_refused_and_a_stricter_one_is_not(tmp_path):
    a_config_file(tmp_path, REAL + "mode: live\n")
    assert agent(tmp_path, "live", "confirm", "--phrase", PHRASE).returncode == 0
    a_config_file(tmp_path, REAL + "mode: live\nrisk: {max_notional_usd: 9000}\n")
    done = agent(tmp_path, *RUN, **YES)
    assert done.returncode == SHUT
    assert "looser since then: risk.max_notional_usd" in done.stderr
    a_config_file(tmp_path, REAL + "mode: approve\nrisk: {max_notional_usd: 90}\n")
    assert agent(tmp_path, *RUN, **YES).returncode == PASSED


def test_another_engine_after_the_word_is_refused(tmp_path):
    a_config_file(tmp_path, REAL + "mode: live\n")
    assert agent(tmp_path, "live", "confirm", "--phrase", PHRASE).returncode == 0
    a_config_file(tmp_path, f"engine: {{kind: command, command: {{argv: ['{sys.executable}', x.py]}}}}\nmode: live\n")
    done = agent(tmp_path, *RUN, **YES)
    assert done.returncode == SHUT
    assert "the engine's settings are not the ones of then" in done.stderr


def test_a_word_taken_back_is_none(tmp_path):
    a_config_file(tmp_path, REAL + "mode: live\n")
    assert agent(tmp_path, "live", "confirm", "--phrase", PHRASE).returncode == 0
    assert agent(tmp_path, "live", "revoke").returncode == 0
    assert agent(tmp_path, *RUN, **YES).returncode == SHUT


def test_paper_is_not_a_mode_for_real_money(tmp_path):
    a_config_file(tmp_path, REAL + "mode: paper\n")
    done = agent(tmp_path, *RUN, **YES)
    assert done.returncode == SHUT
    assert "mode paper trades pretend money only" in done.stderr


@pytest.mark.parametrize("text", ["mode: live\n", "mode: live\nengine: {kind: alpaca}\n"], ids=["paper", "alpaca"])
def test_live_is_not_a_mode_for_pretend_money(tmp_path, text):
    a_config_file(tmp_path, text)
    keys = {"APCA_API_KEY_ID": "PK" + "A" * 18, "APCA_API_SECRET_KEY": "s" * 40}
    done = agent(tmp_path, *RUN, **YES, **keys)
    assert done.returncode == SHUT
    assert "mode live needs an engine with real money" in done.stderr


def test_looking_on_needs_no_gate(tmp_path):
    a_config_file(tmp_path, REAL + "mode: notify\n")
    done = agent(tmp_path, *RUN)
    assert done.returncode == PASSED, done.stderr
    assert "live_started" not in loosenings(tmp_path)


def test_at_a_keyboard_a_start_asks_for_the_phrase(tmp_path):
    a_config_file(tmp_path, REAL + "mode: live\n")
    with at_a_keyboard(tmp_path, *RUN, **YES) as typist:
        typist.typed(PHRASE, after=f"type exactly: {PHRASE}")
        assert typist.ended() == PASSED, typist.said
    assert agent(tmp_path, *RUN, **YES).returncode == PASSED


def test_another_phrase_at_the_keyboard_starts_nothing(tmp_path):
    a_config_file(tmp_path, REAL + "mode: live\n")
    with at_a_keyboard(tmp_path, *RUN, **YES) as typist:
        typist.typed("yes", after="type exactly")
        assert typist.ended() == NO_PHRASE
        assert "that is not the phrase" in typist.said
    assert not (tmp_path / "data" / JOURNAL_FILE).exists()


def test_confirm_asks_at_a_keyboard_and_shows_first_what_will_be_done(tmp_path):
    a_config_file(tmp_path, REAL + "mode: live\n")
    with at_a_keyboard(tmp_path, "live", "confirm") as typist:
        typist.typed(PHRASE, after="type exactly")
        assert typist.said.index("up to 1000 USD an order") < typist.said.index("type exactly")
        assert typist.ended() == 0
    assert (tmp_path / "data" / CONSENT_FILE).exists()


def test_the_old_place_of_a_setting_stops_a_start_and_says_where_it_is_now(tmp_path):
    a_config_file(tmp_path, 'engine: {kind: paper, start_cash_usd: "10000"}\n')
    done = agent(tmp_path, *RUN)
    assert done.returncode == SHUT
    assert "write engine: {paper: {start_cash_usd: …}}" in done.stderr
