"""What the publisher's tests have in common: signals, settings, and what the stream holds."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

from publisher.intake.outcome import Draft
from publisher.intake.record import Intake
from publisher.settings import PublisherSettings, read_settings
from signal_contract.model import Signal
from signal_contract.resources import resource_path


def signals(count: int) -> list[Signal]:
    """Different valid signals, in a known order."""
    line = resource_path("config/samples/catalyst_bot_signals.jsonl").read_bytes().splitlines()[0]
    made = []
    for number in range(count):
        record = json.loads(line)
        record["news_item"]["id"] = f"item-{number}"
        outcome = Intake(datetime.now(UTC)).outcome(json.dumps(record).encode())
        assert isinstance(outcome, Draft)
        made.append(outcome.signal)
    return made


def settings_of(operator: Any) -> PublisherSettings:
    """What a publisher of this operator works with."""
    return read_settings(operator.data, now=datetime.now(UTC))


async def last_sequence(operator: Any) -> int:
    """The stream's."""
    link = await operator.admin_link()
    return int((await link.api("$JS.API.STREAM.INFO.SIGNALS"))["state"]["last_seq"])


async def stored(operator: Any, *, subject: str = "signals.") -> list[dict[str, Any]]:
    """The stream's messages below a subject, in order: subject, data, hdrs (the admin may read single messages)."""
    link = await operator.admin_link()
    state = (await link.api("$JS.API.STREAM.INFO.SIGNALS"))["state"]
    numbers = range(state["first_seq"], state["last_seq"] + 1) if state["messages"] else range(0)
    found = [(await link.api("$JS.API.STREAM.MSG.GET.SIGNALS", {"seq": each}))["message"] for each in numbers]
    return [each for each in found if each["subject"].startswith(subject)]


async def stored_ids(operator: Any, *, subject: str = "signals.") -> list[str | None]:
    """The message ids in the stream, in its order."""
    return [header(each, "Nats-Msg-Id") for each in await stored(operator, subject=subject)]


def payload(message: dict[str, Any]) -> bytes:
    """What was published."""
    return base64.b64decode(message["data"])


def header(message: dict[str, Any], name: str) -> str | None:
    """One of the headers that it was published with."""
    lines = base64.b64decode(message["hdrs"]).decode().splitlines()
    return next((line.split(": ", 1)[1] for line in lines if line.lower().startswith(name.lower() + ": ")), None)
