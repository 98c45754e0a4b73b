"""What the measurements that both sides make amount to. Pure: `now` is an argument, durations are seconds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from signal_contract.addresses import SECURE
from signal_contract.doctor.finding import Verdict, fail, ok, warn
from signal_contract.doctor.network import Greeted, Looked

OLDEST_SERVER, TESTED_SERVER = (2, 12), (2, 14)
OLDEST_PYTHON = (3, 11)
CERTIFICATE_WARN, CREDS_WARN = timedelta(days=14), timedelta(days=14)
_GB, _MB = 1 << 30, 1 << 20
_DISK_FAIL_BYTES, _DISK_WARN_BYTES, _DISK_WARN_FRACTION = 100 * _MB, _GB, 0.05
_SLOW_DIAL_S, _SLOW_TRIP_S, _DEAD_TRIP_S, _OLD_ARRIVAL_S = 0.5, 0.25, 2.0, 5.0


def judged_names(looked: Sequence[Looked]) -> Verdict:
    """D08: each server's name and its addresses."""
    bad = [each.trouble for each in looked if each.trouble]
    if len(bad) == len(looked):
        return fail("; ".join(bad))
    good = "; ".join(f"{each.server.host} is {', '.join(each.addresses)}" for each in looked if not each.trouble)
    return warn(f"{'; '.join(bad)}; but {good}") if bad else ok(good)


def judged_ports(looked: Sequence[Looked]) -> Verdict:
    """D09: which addresses take a connection, and how fast."""
    bad = [each.trouble for each in looked if each.trouble]
    good = [each for each in looked if not each.trouble]
    if not good:
        return fail("; ".join(bad))
    text = "; ".join(f"{each.server.host}:{each.server.port} in {each.took_s * 1000:.0f} ms" for each in good)
    if bad:
        return warn(f"{'; '.join(bad)}; but {text}")
    slow = any(each.took_s > _SLOW_DIAL_S for each in good)
    return warn(f"slow: {text}", "look at Wi-Fi, VPN and other load on the line") if slow else ok(text)


def judged_certificates(greeted: Sequence[Greeted], now: datetime) -> Verdict:
    """D10: whether each server proved who it is, and for how long it still can."""
    for each in greeted:
        if each.failure is not None:
            return fail(f"{each.server.host}: {each.failure.message}", each.failure.hint)
        if each.server.scheme in SECURE and not each.protocol:
            return fail(f"{each.server.host} made no TLS connection: {each.greeting or 'it closed'}")
    if not any(each.protocol for each in greeted):
        return ok("clear text, on this machine only")
    ends = [each.ends_at for each in greeted if each.ends_at is not None]
    text = f"{', '.join(sorted({each.protocol for each in greeted}))}, issuer and name fit"
    if not ends:
        return ok(text)
    days = (min(ends) - now).days
    text = f"{text}, valid until {min(ends):%Y-%m-%d} ({days} days)"
    if min(ends) - now < CERTIFICATE_WARN:
        return warn(text, "the operator renews it: `catalyst tls renew`", ends_at=min(ends).isoformat())
    return ok(text, ends_at=min(ends).isoformat())


def judged_version(greeted: Sequence[Greeted]) -> Verdict:
    """D11: the oldest version among the servers that greet before the log-in."""
    asked = [each for each in greeted if each.server.scheme not in ("ws", "wss")]
    if not asked:
        return ok("by WebSocket: it says so after the log-in only")
    mute = next((each for each in asked if each.version is None), None)
    if mute is not None:
        said = f": it says {mute.greeting!r}" if mute.greeting else ""
        return fail(
            f"{mute.server.host}:{mute.server.port} does not greet like a NATS server{said}",
            "check the port; a server that speaks TLS needs tls:// in its address",
        )
    texts = sorted({each.version or "unknown" for each in asked})
    numbers = min(version_numbers(each.version or "") for each in asked)
    text = f"nats-server {', '.join(texts)}"
    if numbers < OLDEST_SERVER:
        return fail(f"{text}; {_dotted(OLDEST_SERVER)} or newer is needed")
    return warn(f"{text}; tested from {_dotted(TESTED_SERVER)} on") if numbers < TESTED_SERVER else ok(text)


def version_numbers(text: str) -> tuple[int, int]:
    """`2.15.1` → (2, 15); (0, 0) for what is no version: unknown counts as too old."""
    found = re.match(r"v?(\d{1,6})\.(\d{1,6})", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _dotted(numbers: tuple[int, int]) -> str:
    return ".".join(map(str, numbers))


def judged_disk(free: Iterable[tuple[str, int, int]]) -> Verdict:
    """D04: (folder, free bytes, all bytes) of each place that is written to."""
    places = sorted(free, key=lambda each: each[1])
    if not places:
        return fail("no place to write to is known")
    folder, left, size = places[0]
    text = f"{_bytes(left)} free of {_bytes(size)} for {folder}"
    if left < _DISK_FAIL_BYTES:
        return fail(text, free_bytes=left)
    is_low = left < _DISK_WARN_BYTES or left < size * _DISK_WARN_FRACTION
    return warn(text, free_bytes=left) if is_low else ok(text, free_bytes=left)


def _bytes(number: int) -> str:
    return f"{number / _GB:.1f} GB" if number >= _GB else f"{number / _MB:.0f} MB"


def judged_expiry(expires_at: datetime | None, now: datetime) -> Verdict:
    """D03 of one identity: when its credentials end."""
    if expires_at is None:
        return ok("they do not end")
    if expires_at <= now:
        return fail(f"they ended at {expires_at:%Y-%m-%d %H:%M} UTC", expires_at=expires_at.isoformat())
    text = f"until {expires_at:%Y-%m-%d %H:%M} UTC, {(expires_at - now).days} days left"
    graded = warn if expires_at - now < CREDS_WARN else ok
    return graded(text, expires_at=expires_at.isoformat())


def skew_from(server_time: object, local: datetime) -> float | None:
    """Seconds that `local` is ahead of the time in a server's answer; None when that cannot be read."""
    if not isinstance(server_time, str):
        return None
    try:
        # The server prints nanoseconds; six digits are what a datetime holds.
        head, _, fraction = server_time.rstrip("Z").partition(".")
        server = datetime.fromisoformat(head).replace(tzinfo=UTC) + timedelta(seconds=float(f"0.{fraction or 0}"))
    except ValueError:
        return None
    return round((local - server).total_seconds(), 3)


def judged_clock(skew_s: float | None, uncertain_s: float, warn_s: float, fail_s: float) -> Verdict:
    """D13: how far our clock is ahead of the server's; `uncertain_s` is half of the time that asking took."""
    if skew_s is None:
        return fail("the server did not say what time it is there")
    beyond_s = max(0.0, abs(skew_s) - max(0.0, uncertain_s))
    way = "ahead of" if skew_s > 0 else "behind"
    text = f"{abs(skew_s):.1f} s {way} the server's (±{uncertain_s:.1f} s)"
    if beyond_s > fail_s:
        return fail(f"{text}; beyond {fail_s:g} s entries are refused", skew_s=skew_s)
    if beyond_s > warn_s:
        return warn(text, skew_s=skew_s)
    return ok(text, skew_s=skew_s)


def judged_trips(trips_s: Sequence[float], arrivals_s: Sequence[float] = ()) -> Verdict:
    """D14: round trips to the server, and how old the last signals were when they came live."""
    if not trips_s:
        return fail("the server answered none of five pings")
    middle_s = median(trips_s)
    text = f"{middle_s * 1000:.1f} ms (slowest {max(trips_s) * 1000:.1f} ms)"
    facts: dict[str, Any] = {"round_trip_ms": round(middle_s * 1000, 3)}
    if middle_s > _DEAD_TRIP_S:
        return fail(text, **facts)
    age_s = median(arrivals_s) if arrivals_s else None
    if age_s is not None:
        text = f"{text}; the last {len(arrivals_s)} live signals were {age_s:.2f} s old when they came"
    is_late = middle_s > _SLOW_TRIP_S or (age_s is not None and age_s > _OLD_ARRIVAL_S)
    return warn(text, **facts) if is_late else ok(text, **facts)


def judged_versions(python: tuple[int, int], versions: dict[str, str]) -> Verdict:
    """D26: this Python and the packages; an empty version is a package that is not there."""
    text = f"Python {_dotted(python)}, " + ", ".join(f"{name} {each or 'missing'}" for name, each in versions.items())
    if python < OLDEST_PYTHON:
        return fail(f"{text}; Python {_dotted(OLDEST_PYTHON)} or newer is needed")
    nats = version_numbers(versions.get("nats-py", ""))
    is_tested = all(versions.values()) and (2, 16) <= nats < (3, 0)
    return ok(text, **versions) if is_tested else warn(f"{text}; nats-py 2.16 to 2.x was tested", **versions)


def judged_permissions(allowed: Iterable[str], refused: Iterable[str], *, should_work: bool) -> Verdict:
    """D17 and D18: which uses of permissions the server let through, and which it refused."""
    through, back = tuple(allowed), tuple(refused)
    if should_work:
        if back:
            return fail(f"the server refuses: {', '.join(back)}", refused=list(back))
        return ok(f"all {len(through)} tried work, without effect", tried=len(through))
    if through:
        return fail(f"the server ALLOWS: {', '.join(through)}", allowed=list(through))
    return ok(f"all {len(back)} tried are refused", tried=len(back))
