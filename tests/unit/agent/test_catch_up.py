"""The report after an absence, and the lines that people read."""

from collections import Counter

from subscriber_agent.cli.lines import report_line
from subscriber_agent.receiving.catch_up import CatchUp, outcomes_text
from subscriber_agent.receiving.link_state import LinkState
from subscriber_agent.receiving.watch import Episode

COUNTS = Counter({"STALE": 33, "RETRACTED": 2, "FILLED": 1, "ACCEPTED": 1})


def test_the_counts_add_up_to_what_was_missed():
    report = CatchUp(COUNTS).as_dict()
    assert report["missed"] == sum(report["outcomes"].values()) == 37
    assert report["acted_on"] == 2


def test_it_reads_as_one_line():
    text = report_line("caught_up", CatchUp(COUNTS).as_dict())
    assert text == "caught up: 37 missed: 33 stale, 2 retracted, 2 acted on"
    assert report_line("caught_up", CatchUp().as_dict()) == "up to date; waiting for signals"


def test_what_has_a_word_of_its_own_gets_it():
    assert outcomes_text({"PARKED": 1, "CONTROL": 2, "REJECTED": 3}) == (
        "1 set aside, 2 from the operator, 3 rejected by the engine"
    )


def test_a_filtered_gap_is_no_line_for_people_and_a_lost_one_is():
    facts = {"kind": "lost", "count": 1, "first": None, "last": None, "detail": "taken by another"}
    assert report_line("gap", facts) == "gap: taken by another"
    assert report_line("gap", {**facts, "kind": "filtered"}) == ""


def test_every_other_report_has_a_line():
    change = {"state": "CUT", "reason": "no connection", "before": "LIVE", "lasted_s": 61.2}
    assert report_line("link", change) == "link CUT: no connection (was LIVE)"
    assert "61 s" in report_line("alert", change)
    assert "61 s" in report_line("alert_over", change)
    told = {"signal_id": "a" * 32, "ticker": "ABCD", "position": None}
    assert "nothing of it is held now" in report_line("retracted_after_trade", told)


def test_an_episode_goes_on_while_one_bad_state_follows_another_and_ends_when_signals_flow():
    episode = Episode().after(LinkState.CUT, 10.0)
    assert episode.after(LinkState.DEAF, 20.0).lasted_s(30.0) == 20.0
    assert episode.after(LinkState.QUIET, 20.0) == Episode()
    assert Episode().lasted_s(30.0) == 0.0
