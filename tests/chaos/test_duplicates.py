"""The same signed bytes again under another id, out of order, and redelivered; and a second agent of one identity."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import yaml
from chaos_ledger import decided_count, journal_file, ledger_of
from chaos_load import signals_of, written
from chaos_process import KILLED, Crew, Running, waited
from chaos_wire import Wire
from processes import a_signal

from signal_contract.codec import encode
from signal_contract.errors import ExitCode
from signal_contract.link import Link
from signal_contract.model import Event, Signal
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER


def _elsewhere(config: Path, folder: Path) -> Path:
    """The same identity on another machine: a copy of config and creds, a data directory of its own."""
    folder.mkdir()
    shutil.copy(config.with_suffix(".creds"), folder)
    settings = yaml.safe_load(config.read_text()) | {"data": str(folder / "journal")}
    (folder / config.name).write_text(yaml.safe_dump(settings))
    return folder / config.name


def _again(wire: Wire, signals: list[Signal], tag: str) -> None:
    """Store the same signed bytes once more: what a publisher with a lost outbox, or a thief of its creds, can do."""
    signer = wire.signer()

    async def send(link: Link) -> None:
        for number, each in enumerate(signals):
            payload = encode(each)
            headers = {
                MESSAGE_ID_HEADER: f"{tag}-{number}",
                SIGNATURE_HEADER: signer.sign(each.subject, payload),
            }
            await link.publish_stored(each.subject, payload, headers=headers)

    wire.asked("publisher", send)


def _revised(signal: Signal, revision: int, **changes: Any) -> Signal:
    return signal.model_copy(update={"revision": revision, **changes})


def _killed_before_the_ack(crew: Crew, config: Path, edge: str) -> Running:
    agent = crew.agent(config, stop_at=edge)
    assert agent.ended(90) == KILLED, agent.said
    return agent


def test_duplicated_reordered_redelivered_and_two_agents(
    wire: Wire, crew: Crew, chaos: Any, tmp_path: Path, report: Any
) -> None:
    """All at once: one friend's durable sees it while a second agent tries to come in from another machine."""
    dice = chaos.dice("duplicates")
    alice = wire.friend("alice")
    wire.hurry("alice")
    signals = signals_of("dup", chaos.pick(40, 400), dice=dice)
    updated, withdrawn = a_signal("UPD", news="updated"), a_signal("GONE", news="withdrawn")
    out_of_order = [
        _revised(updated, 2, event=Event.UPDATE),
        updated,  # the first revision comes after the second
        _revised(withdrawn, 2, event=Event.RETRACT),
        withdrawn,  # the signal comes after its own retraction
    ]
    file = written(tmp_path / "in.jsonl", signals)
    assert crew("catalyst", "publish", file, "--data", wire.data).ended() == 0
    _killed_before_the_ack(crew, alice, "journal.recorded")
    _killed_before_the_ack(crew, alice, "feed.received")
    first = crew.agent(alice)
    first.wait_for("caught_up", timeout_s=90)
    began = time.monotonic()
    second = crew.agent(_elsewhere(alice, tmp_path / "elsewhere"))
    _again(wire, signals, "again")
    shuffled = dice.sample(signals, len(signals))
    _again(wire, shuffled, "shuffled")
    _again(wire, out_of_order, "order")
    distinct = len(signals) + len(out_of_order)
    waited(lambda: decided_count(journal_file(alice)) == distinct, what="all decided")
    # A decision is on disk a moment before it is reported.
    labels: dict[tuple[str, int], str] = {}
    keys = {(withdrawn.signal_id, 1), (updated.signal_id, 1)}

    def all_told() -> bool:
        labels.update({(line["signal_id"], line["revision"]): line["label"] for line in first.lines("decision")})
        return keys <= labels.keys()

    waited(all_told, what="both decisions reported")
    assert labels[withdrawn.signal_id, 1] == "RETRACTED"
    assert labels[updated.signal_id, 1] == "SUPERSEDED"
    assert [line["type"] for line in second.wait_for("occupied")] == ["occupied"]
    if chaos.is_long:  # a left-over pull of its own ends within 35 s; tests/acceptance waits for it each time
        assert second.ended(60) == ExitCode.ALREADY_RUNNING, second.said
        report.add(second_refused_after_s=time.monotonic() - began)
    else:
        second.kill()
    assert not second.lines("decision")
    assert first.stop() == 0, first.said
    stream = wire.stream()
    ledger = ledger_of(journal_file(alice), stream)
    report.add(stored=len(stream), distinct=distinct, **ledger.as_dict())
    assert len(stream) == 3 * len(signals) + len(out_of_order)
    assert ledger.is_right, ledger
    assert ledger.journaled == distinct
    assert wire.lag("alice") == (0, 0)
