"""`subscriber-agent parked`: messages that were set aside, what is in them, and another try.

Their bytes come from whoever could write to the stream: nothing of them reaches a terminal unescaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from signal_contract.cli.answer import finish, table
from signal_contract.envelope import Envelope, Problem
from signal_contract.errors import ExitCode, InputError, NotFound
from subscriber_agent.cli.place import ConfigOption, JsonOption, Place, open_place

if TYPE_CHECKING:
    from rich.console import Console

    from subscriber_agent.journal import Arrival, Journal, Parked
    from subscriber_agent.receiving.keys import KeyChain

_PAGE = 500
_SHOWN_BYTES = 2048

parked_app = typer.Typer(
    no_args_is_help=True,
    help="Messages that could not be trusted or read: list and show them, try them again.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
NumberArgument = Annotated[int, typer.Argument(min=1, help="The message's number in `parked list`.")]


def escaped(text: str) -> str:
    """Text with everything that is not printable written out, such as \\x1b."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


@parked_app.command("list")
def list_parked(
    config: ConfigOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many, newest first.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """The messages that were set aside, newest first.

    Example: subscriber-agent parked list
    """
    with open_place(config).journal() as journal:
        rows = [_parked_dict(each) for each in journal.parked(limit)]
    cells = [
        (
            row["number"],
            row["seq"],
            row["received_at"][:19],
            row["code"],
            escaped(row["subject"]),
            escaped(row["detail"]),
        )
        for row in rows
    ]
    columns = (">number", ">seq", "received (UTC)", "reason", "subject", "detail")
    render = table(*columns, rows=cells, empty="nothing was set aside")
    finish(Envelope("subscriber-agent parked list", rows), as_json=as_json, render=render)


@parked_app.command()
def show(number: NumberArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """One message: why it was set aside, what is in it, and what would be said of it today.

    Example: subscriber-agent parked show 3
    """
    place = open_place(config)
    with place.journal() as journal:
        message = _found(journal, number)
        keys = _keys(place, journal)
    today = _read_again(place, message, keys, datetime.now(UTC))
    data = {
        **_parked_dict(message),
        "signature": message.signature,
        "bytes": len(message.payload),
        "text": message.payload.decode("utf-8", "backslashreplace"),
        "hex": message.payload.hex(),
        "document": _document(message.payload),
        "today": {"code": today.code, "detail": today.detail},
    }
    finish(Envelope("subscriber-agent parked show", data), as_json=as_json, render=lambda out: _render(out, data))


@parked_app.command()
def retry(
    number: Annotated[int | None, typer.Argument(min=1, help="The message's number in `parked list`.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them, in the order of the stream.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify and read a message again, with the keys and the version of today.

    What passes is decided by the rules of now, by the running agent or the next one: a stale entry is refused.

    Example: subscriber-agent parked retry 3
    """
    if (number is None) != every:
        raise InputError("name one message, or give --all", hint="`subscriber-agent parked list` shows the numbers.")
    place = open_place(config)
    with place.journal() as reader:  # an older journal is said to be one before anything is written
        chosen = list(_all_parked(reader)) if number is None else [_found(reader, number)]
        keys = _keys(place, reader)
    with place.journal(read_only=False) as journal:
        rows = [_tried(place, journal, each, keys) for each in chosen]
    problems = tuple(
        Problem(row["code"], f"message {row['number']} at {row['seq']} stays set aside: {escaped(row['detail'])}")
        for row in rows
        if row["code"] is not None
    )
    cells = [(row["number"], row["seq"], row["outcome"]) for row in rows]
    finish(
        Envelope("subscriber-agent parked retry", rows, ExitCode.PARTIAL if problems else ExitCode.OK, problems),
        as_json=as_json,
        render=table(">number", ">seq", "now", rows=cells, empty="nothing was set aside"),
    )


def _tried(place: Place, journal: Journal, message: Parked, keys: KeyChain) -> dict[str, Any]:
    aside = journal.unpark(message.number, _read_again(place, message, keys, datetime.now(UTC)))
    return {
        "number": message.number,
        "seq": message.stream_seq,
        "outcome": "taken up" if aside is None else "set aside",
        "code": None if aside is None else aside.code,
        "detail": "" if aside is None else aside.detail,
    }


def _read_again(place: Place, message: Parked, keys: KeyChain, now: datetime) -> Arrival:
    """What the message is to the keys and the version of today."""
    from dataclasses import replace

    from signal_contract.announce import ANNOUNCE_SUBJECT
    from signal_contract.delivery import Delivery
    from signal_contract.signing import SIGNATURE_HEADER
    from signal_contract.topology import STREAM, durable_name
    from subscriber_agent.receiving.arrival import arrival_from
    from subscriber_agent.receiving.pull import ack_info

    headers = {} if message.signature is None else {SIGNATURE_HEADER: message.signature}
    delivery = Delivery(message.subject, message.payload, headers=headers)
    info = ack_info(f"$JS.ACK.{STREAM}.{durable_name(place.creds.user)}.1.{message.stream_seq}.0.0.0")
    if info is None:
        raise InputError(f"message {message.number} has no place in the stream")
    arrival, _ = arrival_from(delivery, info, keys, now, user=place.creds.user)
    if arrival.code is None and message.subject == ANNOUNCE_SUBJECT:
        # The running agent holds the chain of keys, and an announcement counts at its place in the stream only.
        return replace(arrival, code=message.code, detail="a new key is taken up from the stream only")
    return arrival


def _keys(place: Place, journal: Journal) -> KeyChain:
    from subscriber_agent.receiving.keys import KeyChain
    from subscriber_agent.receiving.rounds import KEYS

    return KeyChain.restored(place.config.publisher_key, journal.meta(KEYS))


def _found(journal: Journal, number: int) -> Parked:
    message = journal.parked_one(number)
    if message is None:
        raise NotFound(f"there is no parked message {number}", hint="`subscriber-agent parked list` shows them.")
    return message


def _all_parked(journal: Journal) -> Iterable[Parked]:
    """All of them in the order of the stream, so that a signal comes before its own update."""

    def pages() -> Iterator[Parked]:
        offset = 0
        while page := journal.parked(_PAGE, offset=offset):
            yield from page
            offset += len(page)

    return sorted(pages(), key=lambda each: (each.stream_seq, each.number))


def _parked_dict(message: Parked) -> dict[str, Any]:
    return {
        "number": message.number,
        "seq": message.stream_seq,
        "subject": message.subject,
        "received_at": message.received_at.isoformat(),
        "code": message.code,
        "detail": message.detail,
    }


def _document(payload: bytes) -> Any:
    """The payload as JSON, as far as it is JSON."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None


def _render(out: Console, data: dict[str, Any]) -> None:
    today = data["today"]
    verdict = "it passes: try `subscriber-agent parked retry`" if today["code"] is None else today["code"]
    rows = [
        ("number", data["number"]),
        ("place", f"stream sequence {data['seq']}, on {escaped(data['subject'])}"),
        ("received", f"{data['received_at'][:19]} UTC"),
        ("set aside for", f"{data['code']}: {escaped(data['detail'])}"),
        ("today", f"{verdict} {escaped(today['detail'])}".rstrip()),
        ("signature", escaped(data["signature"] or "none")),
        ("bytes", data["bytes"]),
    ]
    table("", "", rows=rows)(out)
    out.print()
    is_text = "\\x" not in escaped(data["text"][:_SHOWN_BYTES])
    shown = escaped(data["text"]) if is_text else data["hex"]
    more = " …" if len(shown) > _SHOWN_BYTES else ""
    out.print(f"{'text' if is_text else 'hex'}: {shown[:_SHOWN_BYTES]}{more}", markup=False)
