"""Which of the publisher's heartbeats count, and what they say of the classifier. Pure.

Anybody may aim a server's answer at our subscription, so a heartbeat counts only when it is signed by the key of now,
is later than the last one by start and counter, and was made within the last minute by the server's clock.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import orjson

from signal_contract.delivery import Delivery
from signal_contract.errors import InputError
from signal_contract.heartbeat import Heartbeat, read_heartbeat
from signal_contract.signing import SIGNATURE_HEADER
from subscriber_agent.receiving.keys import KeyChain

MAX_AGE = timedelta(seconds=60)
# A cycle may be late; after three of them nobody is looking at the news.
_CYCLES_MISSED = 3


def counted(message: Delivery, keys: KeyChain, last: Heartbeat | None, server_now: datetime) -> Heartbeat | None:
    """The heartbeat in a message, or None when it must not count."""
    try:
        keys.current.check(message.subject, message.data, message.headers.get(SIGNATURE_HEADER))
        heartbeat = read_heartbeat(message.data)
    except InputError:
        return None
    if abs(server_now - heartbeat.at) >= MAX_AGE:
        return None
    if last is not None and (heartbeat.started_at, heartbeat.counter) <= (last.started_at, last.counter):
        return None
    return heartbeat


def is_stalled(heartbeat: Heartbeat | None, server_now: datetime) -> bool:
    """Whether the classifier has missed three of its own cycles; False as long as it says nothing of them."""
    classifier = None if heartbeat is None else heartbeat.classifier
    if heartbeat is None or classifier is None or classifier.last_cycle_at is None or classifier.cycle_s is None:
        return False
    # What a heartbeat says may be as old as the time between two of them.
    limit_s = _CYCLES_MISSED * classifier.cycle_s + heartbeat.interval_s
    return server_now - classifier.last_cycle_at > timedelta(seconds=limit_s)


def kept_text(heartbeat: Heartbeat) -> str:
    """What `status` in another process may know of it, as JSON."""
    classifier = heartbeat.classifier
    return orjson.dumps(
        {
            "at": heartbeat.at.isoformat(),
            "state": heartbeat.state.value,
            "last_sequence": heartbeat.last_sequence,
            "first_sequence": heartbeat.first_sequence,
            "classifier": None if classifier is None else classifier.model_dump(mode="json"),
        }
    ).decode()
