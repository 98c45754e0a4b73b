"""The lines that people read while something runs."""

from __future__ import annotations

import pytest

from publisher.cli.follow import report_line
from publisher.cli.serve import serve_line
from publisher.cli.tail import signal_facts, tail_line
from signal_contract.codec import decode
from signal_contract.resources import resource_path

SAMPLE = decode(resource_path("config/samples/signal.v1.json").read_bytes().strip())


def test_a_signal_is_one_line_with_action_ticker_and_title():
    facts = signal_facts(SAMPLE)
    line = tail_line("signal", facts)
    assert "\n" not in line
    assert SAMPLE.action.value in line
    assert SAMPLE.ticker in line
    assert SAMPLE.news.title[:20] in line
    assert " DRILL " in tail_line("signal", {**facts, "drill": True})
    assert "retract" in tail_line("signal", {**facts, "event": "retract"})


def test_a_heartbeat_says_state_queue_and_classifier():
    facts = {
        "beat_at": "2026-03-02T14:30:00+00:00",
        "state": "up",
        "waiting": 2,
        "last_sequence": 9,
        "classifier": "llm",
    }
    assert tail_line("status", facts) == "14:30:00Z publisher up, 2 waiting, stream at 9, classifier llm"


@pytest.mark.parametrize("line_of", [report_line, serve_line])
def test_the_last_line_counts_by_code(line_of):
    assert line_of("stopped", {"counts": {"ACCEPTED": 2}, "waiting": 1}).startswith("stopped: ACCEPTED 2; 1 waiting")
    assert "nothing came" in line_of("stopped", {"counts": {}, "waiting": 0})


def test_a_lost_file_is_told_with_what_it_means():
    assert "may be missing" in report_line("turn", {"file": "x", "turn": "lost"})
    assert report_line("turn", {"file": "x", "turn": "rotated"}) == "x was rotated"
