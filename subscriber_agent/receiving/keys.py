"""Which publisher key counts at which place in the stream: the pinned one, and those it was followed by. Pure.

    pinned key ── signs announcement at 500 ──▶ next key ── signs announcement at 900 ──▶ …
    counts up to 500                            counts up to 900                          counts

Each announcement is signed by the key that it retires, and is kept: the chain is checked anew at every start, so that
nothing but the pinned key in the config has to be trusted.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from signal_contract.announce import ANNOUNCE_SUBJECT, read_announcement
from signal_contract.errors import InputError, SignatureInvalid, StorageFailed
from signal_contract.signing import Verifier


@dataclass(frozen=True, slots=True)
class Switch:
    """One announcement: at `stream_seq` the key before it retired. `payload` and `signature` are its proof."""

    stream_seq: int
    payload: bytes
    signature: str


@dataclass(frozen=True, slots=True)
class Retired:
    """A key that counts up to and including a stream sequence, and never after."""

    verifier: Verifier
    until_seq: int


@dataclass(frozen=True, slots=True)
class KeyChain:
    """The keys that follow from the pinned `root`. The newest counts everywhere, the others up to where they retired.

    Everywhere, and not only from its announcement on: a stream that was made anew counts from 1 again.
    """

    root: str
    current: Verifier
    retired: tuple[Retired, ...] = ()
    switches: tuple[Switch, ...] = ()

    @classmethod
    def pinned(cls, public_key: str) -> KeyChain:
        """A chain of one key; raises InputError for a malformed one."""
        return cls(public_key, Verifier.from_text(public_key))

    @classmethod
    def restored(cls, public_key: str, text: str | None) -> KeyChain:
        """The chain from `public_key` on, read from what `text` made; each link is verified again.

        When the config now pins a later key of the chain, what was before it is dropped; an unknown key starts anew.
        Raises StorageFailed when a proof does not hold.
        """
        pinned = cls.pinned(public_key)
        if text is None:
            return pinned
        try:
            document = orjson.loads(text)
            switches = [_switch_from(each) for each in document["switches"]]
            start = 0 if document["root"] == public_key else _first_signed_by(pinned.current, switches)
            return functools.reduce(cls.after, switches[start:], pinned)
        except (KeyError, TypeError, ValueError, InputError) as error:
            raise StorageFailed(
                "the journal's chain of publisher keys does not hold",
                hint="The journal was changed. Ask your operator for the publisher's key, in person.",
            ) from error

    @property
    def text(self) -> str:
        """What the journal keeps."""
        switches = [
            {"seq": each.stream_seq, "payload": base64.b64encode(each.payload).decode(), "signature": each.signature}
            for each in self.switches
        ]
        return orjson.dumps({"root": self.root, "switches": switches}).decode()

    def check(self, subject: str, payload: bytes, signature: str | None, stream_seq: int) -> None:
        """Return when a key that counts at this sequence signed the message; raises SignatureInvalid."""
        try:
            self.current.check(subject, payload, signature)
        except SignatureInvalid as error:
            signer = next((each for each in self.retired if fits(each.verifier, subject, payload, signature)), None)
            if signer is None:
                raise
            if stream_seq > signer.until_seq:
                raise SignatureInvalid(
                    f"signed by a key that the publisher retired at sequence {signer.until_seq}"
                ) from error

    def after(self, switch: Switch) -> KeyChain:
        """The chain with one more key. Raises InputError for what is no announcement, SignatureInvalid for one that
        the current key did not sign or that leads back to an old key.
        """
        self.current.check(ANNOUNCE_SUBJECT, switch.payload, switch.signature)
        following = Verifier.from_text(read_announcement(switch.payload, self.current).next_key)
        known = {self.current.public_key, *(each.verifier.public_key for each in self.retired)}
        if following.public_key in known:
            raise SignatureInvalid("the announced key is one that counted before")
        # In a stream that was made anew the older ones retire no later than this one.
        earlier = tuple(replace(each, until_seq=min(each.until_seq, switch.stream_seq)) for each in self.retired)
        return replace(
            self,
            current=following,
            retired=(*earlier, Retired(self.current, switch.stream_seq)),
            switches=(*self.switches, switch),
        )

    def has(self, switch: Switch) -> bool:
        """Whether this announcement was followed before (it was delivered twice)."""
        return any(each.payload == switch.payload for each in self.switches)


def fits(verifier: Verifier, subject: str, payload: bytes, signature: str | None) -> bool:
    """Whether a key signed a message."""
    try:
        verifier.check(subject, payload, signature)
    except SignatureInvalid:
        return False
    return True


def _switch_from(entry: Mapping[str, Any]) -> Switch:
    return Switch(int(entry["seq"]), base64.b64decode(entry["payload"], validate=True), str(entry["signature"]))


def _first_signed_by(verifier: Verifier, switches: Sequence[Switch]) -> int:
    fitting = (n for n, each in enumerate(switches) if fits(verifier, ANNOUNCE_SUBJECT, each.payload, each.signature))
    return next(fitting, len(switches))
