"""`catalyst signal list | show | retract | update` as processes, against `catalyst up` as a process."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from processes import a_signal, envelope, publish, refusal, run_command, with_link

from signal_contract.codec import decode
from signal_contract.link import Link
from signal_contract.model import Event, Signal


def signal_command(up: Any, *words: object) -> dict[str, Any]:
    """The answer of `catalyst signal … --json`."""
    return envelope(run_command("catalyst", "signal", *words, "--data", up.data, "--json"))


def refused(up: Any, status: int, code: str, *words: object) -> str:
    return refusal(status, code, "catalyst", "signal", *words, "--data", up.data)


def last_of_stream(up: Any) -> tuple[int, Signal]:
    """The stream's last message: its sequence, and the signal."""

    async def ask(link: Link) -> tuple[int, Signal]:
        sequence = (await link.api("$JS.API.STREAM.INFO.SIGNALS"))["state"]["last_seq"]
        message = (await link.api("$JS.API.STREAM.MSG.GET.SIGNALS", {"seq": sequence}))["message"]
        signal = decode(base64.b64decode(message["data"]))
        assert message["subject"] == signal.subject
        return int(sequence), signal

    return tuple(with_link(up, "admin", ask))


def test_list_and_show_tell_what_went_out(up: Any) -> None:
    assert signal_command(up, "list")["data"] == {"signals": []}
    one, other = publish(up, a_signal("AAPL", news="one"), a_signal("MSFT", news="two"))
    rows = signal_command(up, "list")["data"]["signals"]
    assert [(row["signal_id"], row["ticker"], row["sequence"]) for row in rows] == [
        (other.signal_id, "MSFT", 2),
        (one.signal_id, "AAPL", 1),
    ]
    assert len(signal_command(up, "list", "--limit", 1)["data"]["signals"]) == 1
    shown = signal_command(up, "show", one.signal_id[:10])["data"]
    assert [each["signal"] for each in shown["revisions"]] == [one.model_dump(mode="json")]
    text = run_command("catalyst", "signal", "show", one.signal_id[:10], "--data", up.data).stdout
    assert "revision 1: new, stream 1" in text
    assert one.signal_id[:10] in run_command("catalyst", "signal", "list", "--data", up.data).stdout


def test_retraction_is_the_next_revision_on_the_same_subject(up: Any) -> None:
    (one,) = publish(up, a_signal())
    answer = signal_command(up, "retract", one.signal_id[:8], "--reason", "the news was withdrawn")
    assert (answer["data"]["revision"], answer["data"]["sequence"], answer["data"]["is_waiting"]) == (2, 2, False)
    sequence, signal = last_of_stream(up)
    assert (sequence, signal.event, signal.revision, signal.subject) == (2, Event.RETRACT, 2, one.subject)
    assert signal.meta["reason"] == "the news was withdrawn"
    assert signal.published_at > one.published_at
    assert (signal.classified_at, signal.news, signal.confidence) == (one.classified_at, one.news, one.confidence)
    (row,) = signal_command(up, "list")["data"]["signals"]
    assert (row["event"], row["revision"], row["reason"]) == ("retract", 2, "the news was withdrawn")


def test_retracting_twice_and_updating_a_retracted_signal_are_conflicts(up: Any) -> None:
    (one,) = publish(up, a_signal())
    signal_command(up, "retract", one.signal_id, "--reason", "wrong")
    for words in (["retract", one.signal_id, "--reason", "again"], ["update", one.signal_id, "--stop", "4.80"]):
        assert "retracted already (revision 2)" in refused(up, 7, "CONFLICT", *words)
        refused(up, 7, "CONFLICT", *words, "--dry-run")
    assert last_of_stream(up)[0] == 2


def test_update_changes_what_it_names_and_nothing_else(up: Any) -> None:
    (one,) = publish(up, a_signal())
    words = ["--confidence", "0.55", "--stop", "4.80", "--target", "7", "--expires", "3h", "--reason", "new numbers"]
    assert signal_command(up, "update", one.signal_id, *words)["data"]["event"] == "update"
    _, signal = last_of_stream(up)
    changed = {key for key, value in signal.model_dump().items() if value != one.model_dump()[key]}
    fields = {"confidence", "stop_price", "target_price", "expires_at", "meta"}
    assert changed == {*fields, "revision", "event", "published_at"}
    assert [str(signal.confidence), str(signal.stop_price), str(signal.target_price)] == ["0.55", "4.80", "7"]
    signal_command(up, "update", one.signal_id, "--stop", "4.90")
    _, third = last_of_stream(up)
    assert (third.revision, third.target_price, "reason" in third.meta) == (3, signal.target_price, False)


def test_dry_run_shows_the_change_and_sends_nothing(up: Any) -> None:
    (one,) = publish(up, a_signal())
    answer = signal_command(up, "update", one.signal_id, "--stop", "4.80", "--dry-run")["data"]
    assert answer["changes"]["stop_price"] == {"from": "4.75", "to": "4.80"}
    assert signal_command(up, "retract", one.signal_id, "--reason", "x", "--dry-run")["data"]["revision"] == 2
    assert last_of_stream(up)[0] == 1
    assert len(signal_command(up, "show", one.signal_id)["data"]["revisions"]) == 1


def test_what_cannot_be_meant_is_refused(up: Any) -> None:
    one, _ = publish(up, a_signal("AAPL", news="one"), a_signal("MSFT", news="two"))
    refused(up, 6, "NOT_FOUND", "show", "0" * 32)
    refused(up, 6, "NOT_FOUND", "retract", "0" * 32, "--reason", "x")
    refused(up, 5, "INPUT_INVALID", "show", "no-id")
    refused(up, 5, "INPUT_INVALID", "list", "--since", "yesterday")
    refused(up, 5, "INPUT_INVALID", "update", one.signal_id)
    refused(up, 5, "INPUT_INVALID", "update", one.signal_id, "--stop", "NaN")
    refused(up, 5, "SCHEMA_INVALID", "update", one.signal_id, "--confidence", "1.5")
    assert "below its target" in refused(up, 5, "INPUT_INVALID", "update", one.signal_id, "--stop", "9")
    refused(up, 5, "INPUT_INVALID", "retract", one.signal_id, "--reason", "  ")


def test_ambiguous_beginning_of_an_id_is_refused(up: Any) -> None:
    made = publish(up, *(a_signal(news=f"news {n}") for n in range(17)))  # two of 17 share their first digit
    digits = [each.signal_id[0] for each in made]
    shared = next(digit for digit in digits if digits.count(digit) > 1)
    assert f"{shared} names {digits.count(shared)} signals" in refused(up, 5, "INPUT_INVALID", "show", shared)


def test_retraction_waits_in_the_outbox_while_the_server_is_away(up: Any) -> None:
    (one,) = publish(up, a_signal())
    up.stop()
    done = run_command(
        "catalyst", "signal", "retract", one.signal_id, "--reason", "x", "--timeout", 1, "--data", up.data, "--json"
    )
    answer = envelope(done)
    assert (done.returncode, answer["data"]["is_waiting"]) == (10, True)
    assert "safe in the outbox" in answer["errors"][0]["message"]
    assert "waiting in the outbox" in run_command("catalyst", "signal", "show", one.signal_id, "--data", up.data).stdout


@pytest.mark.parametrize("command", [["publish"], ["signal", "list"]])
def test_damaged_outbox_is_said_with_status_3_and_work_goes_on(up: Any, command: list[str]) -> None:
    publish(up, a_signal(news="one"))
    up.stop()  # it holds the outbox as well, and would find the damage first
    outbox = up.data / "publisher" / "outbox.sqlite"
    outbox.write_bytes(b"not a database any more" * 1000)
    if command == ["publish"]:
        up = type(up).start(up.data, up.port, "--no-relay")
        signals = up.data.parent / "more.jsonl"
        signals.write_bytes(json.dumps(a_signal(news="two").model_dump(mode="json")).encode())
        command = ["publish", str(signals)]
    try:
        answer = envelope(run_command("catalyst", *command, "--data", up.data, "--json"))
    finally:
        up.stop()
    assert (answer["status"], answer["errors"][0]["code"]) == ("partial", "OUTBOX_REPLACED")
    (kept,) = [each for each in outbox.parent.glob("outbox.sqlite.damaged-*Z")]
    assert str(kept) in answer["errors"][0]["message"]
    assert answer["data"].get("published", 1) == 1
