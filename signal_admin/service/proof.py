"""`<data>/health.json`: when the running server was last proven to work. It holds no secrets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson

from signal_admin.desk import Desk
from signal_contract.creds import write_secret
from signal_contract.errors import NotFound, ServerUnreachable, StorageFailed

MAX_AGE_S = 45.0
# A clock that was set back a little is no reason to call a server dead.
_AHEAD_S = 5.0


@dataclass(frozen=True, slots=True)
class Proof:
    """A round trip through JetStream at `at` (aware); the stream reached to `last_sequence`."""

    at: datetime
    last_sequence: int

    def age_s(self, now: datetime) -> float:
        """Seconds since then; negative when the clock was set back."""
        return (now - self.at).total_seconds()


def proof_path(desk: Desk) -> Path:
    """Where the proof is kept."""
    return desk.root / "health.json"


def write_proof(desk: Desk, proof: Proof) -> None:
    """Keep a proof. Raises StorageFailed."""
    text = orjson.dumps({"at": proof.at.isoformat(), "last_sequence": proof.last_sequence}).decode() + "\n"
    try:
        write_secret(proof_path(desk), text)
    except OSError as error:
        raise StorageFailed(f"cannot write {proof_path(desk)}: {error.strerror or error}") from error


def forget_proof(desk: Desk) -> None:
    """The server ends: what was proven counts no more. Raises StorageFailed."""
    try:
        proof_path(desk).unlink(missing_ok=True)
    except OSError as error:
        raise StorageFailed(f"cannot remove {proof_path(desk)}: {error.strerror or error}") from error


def read_proof(desk: Desk) -> Proof:
    """The last proof. Raises NotFound, or StorageFailed for a file that cannot be read."""
    path = proof_path(desk)
    try:
        document = orjson.loads(path.read_bytes())
        at, last = datetime.fromisoformat(document["at"]), document["last_sequence"]
    except FileNotFoundError as error:
        raise NotFound(
            f"no server has been proven to work on {desk.root}",
            hint="Start it with `catalyst up --health`; a service and the container image do so.",
        ) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StorageFailed(f"{path} cannot be read: {error}") from error
    if at.tzinfo is None or not isinstance(last, int) or isinstance(last, bool):
        raise StorageFailed(f"{path} is not what `catalyst up` writes")
    return Proof(at, last)


def proof_checked(proof: Proof, now: datetime, *, max_age_s: float = MAX_AGE_S) -> Proof:
    """Return a proof that is fresh; raises ServerUnreachable for a stale one, and for one from the future."""
    age_s = proof.age_s(now)
    if not -_AHEAD_S <= age_s <= max_age_s:
        raise ServerUnreachable(
            f"the last round trip through JetStream was {age_s:.0f} s ago; the limit is {max_age_s:g} s",
            hint="`catalyst up` says what is wrong on its own terminal or in the service's log.",
        )
    return proof
