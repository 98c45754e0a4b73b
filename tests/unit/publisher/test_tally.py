"""How a publish run adds up."""

from __future__ import annotations

from publisher.cli.tally import RefusedLine, Tally, exit_code_of, problems_of, sent_from
from publisher.entry import Receipt
from publisher.intake.outcome import RefusalCode, Refused
from signal_contract.errors import Denied, ExitCode, ServerUnreachable


def receipt(key: str, sequence: int, *, is_duplicate: bool = False) -> Receipt:
    return Receipt(key, sequence, is_duplicate)


def test_each_line_is_counted_once() -> None:
    # a: sent now; b: the stream had it; c: stored by an earlier run; d: sent by another relay; e: waits; a again.
    tally = Tally(lines=6, drafts=["a", "b", "c", "d", "e", "a"], new={"a", "b", "d", "e"})
    own = {"a": receipt("a", 10), "b": receipt("b", 3, is_duplicate=True), "old": receipt("old", 9)}
    found = {"c": receipt("c", 1), "d": receipt("d", 11), "e": None}
    sent = sent_from(tally, own, found, 1, ServerUnreachable("x"))
    assert (sent.published, sent.duplicates, sent.waiting, sent.from_earlier) == (2, 3, 1, 1)
    assert (sent.first_sequence, sent.last_sequence) == (10, 11)


def test_signal_that_an_earlier_run_left_behind_counts_as_published_when_its_line_comes_again() -> None:
    sent = sent_from(Tally(drafts=["a"]), {"a": receipt("a", 5)}, {}, 0, None)
    assert (sent.published, sent.duplicates, sent.from_earlier) == (1, 0, 0)


def test_trouble_with_the_server_outranks_refused_lines() -> None:
    refused = Tally(refused=[RefusedLine(1, Refused(RefusalCode.NOT_JSON, "x"))])
    assert exit_code_of(refused, Denied("x")) is ExitCode.DENIED
    assert exit_code_of(refused, None) is ExitCode.PARTIAL
    assert exit_code_of(Tally(), None) is ExitCode.OK


def test_failure_says_how_many_signals_are_safe() -> None:
    (one,) = problems_of(Tally(), ServerUnreachable("cannot reach it"), 1)
    (two,) = problems_of(Tally(), ServerUnreachable("cannot reach it"), 2)
    assert one.message.endswith("1 signal is safe in the outbox and goes out at the next publish")
    assert two.message.endswith("2 signals are safe in the outbox and go out at the next publish")
