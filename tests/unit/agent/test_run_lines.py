"""The lines of `run` for what happens between signals."""

import pytest
from agent_samples import D, a_signal
from desk_samples import Watched

from subscriber_agent.cli.lines import report_line
from subscriber_agent.journal import Journal


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as opened:
        yield opened


def _lines(watched):
    return [report_line(event, facts) for event, facts in watched.told]


async def test_a_question_names_the_order_the_deadline_and_the_command(journal):
    watched = Watched(journal, mode="approve")
    signal = a_signal()
    await watched.settled(signal)
    assert _lines(watched) == [
        f"your word is needed until 14:32:00 UTC: buy 100 ABCD @ 5: `subscriber-agent approve {signal.signal_id[:8]}`"
    ]


async def test_a_breach_and_what_it_closes_are_told_in_order(journal):
    watched = Watched(journal, risk={"daily_loss_usd": 15, "flatten_on_breach": True})
    await watched.settled(a_signal())
    watched.engine.moves("ABCD", D("4.80"))
    await watched.desk.tend()
    assert _lines(watched) == [
        "DAILY LOSS LIMIT: 20 USD lost of 15 USD: no entries; closing every position",
        "breach: sell ABCD 100 @ 4.8 FILLED (loss limit broken: DAILY)",
        "every position is closed (loss limit broken: DAILY)",
    ]


@pytest.mark.parametrize(
    ("event", "facts", "line"),
    [
        ("approval_ended", {"ticker": "ABCD", "id": "0123456789", "state": "expired"}, "ABCD 01234567: expired, "),
        ("engine_fault", {"engine": "x", "detail": "no answer", "health": "OPEN"}, "engine x failed: no answer "),
        ("engine_ok", {"engine": "x"}, "engine x works again"),
        ("config_kept", {"violations": ["a.yaml:3: no"]}, "the config file is not used, the old settings stay: a"),
        ("config_kept", {"violations": []}, "the config file can be used again"),
        ("config_pending", {"changes": []}, "no looser settings wait any more"),
        ("config_needs_restart", {"keys": ["servers"]}, "counts from the next start on: servers"),
        ("config_changed", {"changes": [], "is_loosening": True}, "started with another config than the last time"),
        (
            "config_changed",
            {"changes": [{"key": "risk.cooldown_s", "before": "1", "after": "2"}], "is_loosening": False},
            "config changed: risk.cooldown_s 1 → 2",
        ),
        (
            "not_connected",
            {"positions": 1, "is_tried_again": True, "detail": "no answer"},
            "not connected (no answer); looking after 1 position, and trying on",
        ),
        (
            "not_connected",
            {"positions": 3, "is_tried_again": False, "detail": "x"},
            "not connected (x); looking after 3 positions, and ending once nothing needs it any more",
        ),
        (
            "reconcile",
            {"differences": [{"kind": "POSITION_MISSING", "ticker": "ABCD", "ours": "100", "engines": "0"}]},
            "THE ENGINE SAYS SOMETHING ELSE (ours/its): POSITION_MISSING ABCD 100/0: no entries; ",
        ),
        ("reconciled", {"differences": []}, "the engine and the agent's own log say the same again"),
        ("reconcile_waits", {"engine": "x", "detail": "away"}, "no entries until the engine says what it holds: away"),
        ("engine_not_ready", {"engine": "x", "detail": "away"}, "engine x does not start: away; trying on"),
        ("engine_ready", {"engine": "x"}, "engine x has started"),
        ("engine_deaf", {"engine": "x", "detail": "gone"}, "engine x tells nothing any more: gone; still asked"),
        ("engine_heard", {"engine": "x"}, "engine x tells what happens again"),
        (
            "leg_filled",
            {"leg": "stop", "side": "sell", "ticker": "ABCD", "quantity": "100", "price": "4.7"},
            "stop: sell ABCD 100 @ 4.7 by the engine",
        ),
        ("exit_waits", {"ticker": "ABCD", "reason": "its stop"}, "the exit of ABCD waits: its stop"),
        ("entry_cancelled", {"ticker": "ABCD", "reason": "old"}, "cancelled what was left of the entry in ABCD: old"),
        ("unprotected", {"ticker": "ABCD", "reason": "rejected"}, "NOBODY HOLDS THE STOP OF ABCD: rejected: "),
        ("fill_fault", {"ticker": "ABCD", "detail": "shrank"}, "the engine contradicts itself about ABCD: shrank"),
        ("overfilled", {"ticker": "ABCD", "order_id": "cs-1"}, "MORE WAS TRADED THAN ASKED FOR in ABCD (order cs-1)"),
        ("target_not_watched", {"ticker": "ABCD"}, "the target of ABCD is not watched: only its stop is held"),
        (
            "order",
            {"order_id": "cs-1", "ticker": "ABCD", "outcome": {"state": "FILLED", "detail": ""}},
            "order cs-1 ABCD: FILLED",
        ),
    ],
)
def test_every_report_has_its_line(event, facts, line):
    assert report_line(event, facts).startswith(line)
