"""Signals that wait for the operator's word: one file each below `<data>/publisher/held`, mode 0600.

What was rejected keeps its file under another name, so that reading the source again does not hold it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import orjson

from signal_contract.codec import decode, encode
from signal_contract.creds import write_secret
from signal_contract.errors import InputError, NotFound, SignalInvalid, StorageFailed
from signal_contract.model import Signal

_WAITING = ".json"
_REJECTED = ".rejected"
_MAX_META_KEYS = 32
# As long as the outbox remembers what went out.
_REJECTIONS_KEPT = timedelta(days=35)


@dataclass(frozen=True, slots=True)
class Held:
    """One signal and since when it waits."""

    signal: Signal
    held_at: datetime

    def has_expired(self, now: datetime) -> bool:
        """Whether it is too late to approve it: it expires with the signal."""
        return self.signal.expires_at is not None and self.signal.expires_at <= now


class HeldSignals:
    """The folder of held signals. Its callers hold the gate's lock while they change it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, signal: Signal, *, now: datetime) -> bool:
        """Hold a signal; False when it is held already. On return it survives a power cut. Raises StorageFailed."""
        path = self._path(signal.signal_id, _WAITING)
        if path.exists():
            return False
        document = {"held_at": now.isoformat(), "signal": encode(signal).decode()}
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_secret(path, orjson.dumps(document).decode())
        except OSError as error:
            raise StorageFailed(f"{path} cannot be written: {error.strerror or error}") from error
        return True

    def is_rejected(self, signal_id: str) -> bool:
        return self._path(signal_id, _REJECTED).exists()

    def all(self) -> tuple[Held, ...]:
        """Every held signal, the one that waits longest first. Raises StorageFailed for a damaged file."""
        found = [_read(path) for path in self._files(_WAITING)]
        return tuple(sorted((each for each in found if each is not None), key=lambda each: each.held_at))

    def one(self, prefix: str) -> Held:
        """The held signal whose id begins with `prefix`. Raises NotFound, or InputError when it names several."""
        found = [each for each in self.all() if each.signal.signal_id.startswith(prefix)]
        if not found:
            raise NotFound(f"no signal {prefix} is held", hint="`catalyst held` shows what waits.")
        if len(found) > 1:
            named = ", ".join(each.signal.signal_id[:12] for each in found[:5])
            raise InputError(f"{prefix} names {len(found)} held signals: {named}", hint="Give more digits of the id.")
        return found[0]

    def drop(self, signal_id: str) -> None:
        """Forget a held signal: it went out, or has expired."""
        self._path(signal_id, _WAITING).unlink(missing_ok=True)

    def reject(self, signal_id: str) -> None:
        """Never send it; reading its source again does not hold it again."""
        self._path(signal_id, _WAITING).replace(self._path(signal_id, _REJECTED))

    def cleared(self, now: datetime) -> tuple[Held, ...]:
        """Drop what has expired, and tell which; old rejections are forgotten."""
        expired = tuple(each for each in self.all() if each.has_expired(now))
        for each in expired:
            self.drop(each.signal.signal_id)
        for path in self._files(_REJECTED):
            if path.stat().st_mtime < (now - _REJECTIONS_KEPT).timestamp():
                path.unlink(missing_ok=True)
        return expired

    def _path(self, signal_id: str, suffix: str) -> Path:
        return self._folder / f"{signal_id}{suffix}"

    def _files(self, suffix: str) -> Iterator[Path]:
        return iter(sorted(self._folder.glob(f"*{suffix}"))) if self._folder.is_dir() else iter(())


def approved(held: Held, now: datetime) -> Signal:
    """The signal as it goes out on approval: published now, with the instant since which it was held in its meta.

    Its classification time and expiry stay as they are, so waiting makes it no younger.
    """
    meta = {**held.signal.meta, "held_at": held.held_at.isoformat()}
    changes = {"published_at": now, "meta": meta if len(meta) <= _MAX_META_KEYS else held.signal.meta}
    return decode(encode(held.signal.model_copy(update=changes)))


def _read(path: Path) -> Held | None:
    try:
        document = orjson.loads(path.read_bytes())
        return Held(decode(str(document["signal"]).encode()), datetime.fromisoformat(document["held_at"]))
    except FileNotFoundError:
        return None  # approved by somebody else a moment ago
    except (OSError, ValueError, KeyError, TypeError, SignalInvalid) as error:
        raise StorageFailed(f"the held signal {path} cannot be read", hint="Move the file away.") from error
