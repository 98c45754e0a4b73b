"""Single values of upstream records made fit for the wire, or refused by name. Pure.

Numbers come as floats or strings and leave as Decimal; texts leave printable; a time without an offset is refused.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from publisher.intake.outcome import RefusalCode, Unusable
from signal_contract.errors import SubjectInvalid
from signal_contract.subject import ticker_checked

MAX_DECIMALS = 10
_MAX_NUMBER = Decimal(10) ** 15
_SMALLEST_STEP = Decimal(1).scaleb(-MAX_DECIMALS)
_NUMBER = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,4})?", re.ASCII)
_NOT_FINITE = re.compile(r"[+-]?(s?nan\d*|inf(inity)?)", re.IGNORECASE)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_PLAUSIBLE_YEARS = range(1990, 2200)
_MAX_URL = 2000
_MAX_ID = 64


def number_from(value: Any, name: str) -> Decimal | None:
    """A finite number with at most 10 decimals, or None for null. Raises Unusable: NOT_FINITE or NUMBER_INVALID."""
    if value is None:
        return None
    # str() of a float is its shortest form: 3.4 stays 3.4 instead of 3.399999….
    text = str(value).strip() if isinstance(value, str | int | float | Decimal) and not isinstance(value, bool) else ""
    if _NOT_FINITE.fullmatch(text):
        raise Unusable(RefusalCode.NOT_FINITE, f"{name} is {text[:12]}, which is not a number to trade on")
    if not _NUMBER.fullmatch(text):
        raise Unusable(RefusalCode.NUMBER_INVALID, f"{name} is not a number")
    number = Decimal(text)
    if abs(number) >= _MAX_NUMBER:
        raise Unusable(RefusalCode.NUMBER_INVALID, f"{name} is out of any range")
    rounded = number.quantize(_SMALLEST_STEP) if -int(number.as_tuple().exponent) > MAX_DECIMALS else number
    return Decimal(format(rounded, "f"))


def price_from(value: Any, name: str) -> Decimal | None:
    """A price above zero in USD, or None for null; raises Unusable (PRICE_INVALID for zero and below)."""
    price = number_from(value, name)
    if price is not None and price <= 0:
        raise Unusable(RefusalCode.PRICE_INVALID, f"{name} is {price}; a price is above zero")
    return price


def fraction_from_percent(value: Any, name: str, *, code: RefusalCode, top: int = 100) -> Decimal | None:
    """Percent 0..`top` as a fraction (3.4 → 0.034); raises Unusable with `code` for what cannot be a percent."""
    percent = number_from(value, name)
    if percent is None:
        return None
    if not 0 <= percent <= top:
        raise Unusable(code, f"{name} is {percent}, which is no percentage from 0 to {top}")
    return number_from(str(percent / 100), name)


def within(value: Any, name: str, low: int, high: int, *, code: RefusalCode) -> Decimal | None:
    """A number in low..high, or None for null; raises Unusable with `code` outside."""
    number = number_from(value, name)
    if number is not None and not low <= number <= high:
        raise Unusable(code, f"{name} is {number}, outside {low}..{high}")
    return number


def instant_from(value: Any, name: str) -> datetime:
    """An aware instant in UTC. A missing or naive time raises Unusable: it is never read as now or as UTC."""
    if value is None:
        raise Unusable(RefusalCode.TIME_MISSING, f"{name} is missing")
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise Unusable(RefusalCode.TIME_INVALID, f"{name} is not a time such as 2026-01-02T14:30:00Z")
    try:
        instant = datetime.fromisoformat(value)
    except ValueError as error:
        raise Unusable(RefusalCode.TIME_INVALID, f"{name} is not a time on the calendar") from error
    if instant.utcoffset() is None:
        raise Unusable(RefusalCode.TIME_NAIVE, f"{name} has no offset from UTC")
    if instant.year not in _PLAUSIBLE_YEARS:
        raise Unusable(RefusalCode.TIME_INVALID, f"{name} lies in the year {instant.year}")
    return instant.astimezone(UTC)


def text_from(value: Any, limit: int) -> str | None:
    """One printable line of at most `limit` characters, or None when nothing is left.

    Every run of white space (no-break spaces too) becomes one blank; control and zero-width characters go.
    """
    if not isinstance(value, str):
        return None
    printable = "".join(each for each in " ".join(value.split()) if each.isprintable())
    return " ".join(printable.split())[:limit].rstrip() or None


def text_required(value: Any, name: str, limit: int) -> str:
    """Like `text_from`, but raises Unusable (FIELD_MISSING) when nothing is left."""
    text = text_from(value, limit)
    if text is None:
        raise Unusable(RefusalCode.FIELD_MISSING, f"{name} is missing or empty")
    return text


def ticker_from(value: Any) -> str:
    """The ticker in upper case without blanks around it; raises Unusable (TICKER_INVALID)."""
    if not isinstance(value, str):
        raise Unusable(RefusalCode.TICKER_INVALID, "the ticker is missing")
    try:
        return ticker_checked(value.strip().upper())
    except SubjectInvalid as error:
        raise Unusable(RefusalCode.TICKER_INVALID, error.message) from error


def url_from(value: Any) -> str | None:
    """An http or https address of at most 2000 characters, else None: no signal is lost over its link."""
    if not isinstance(value, str):
        return None
    url = value.strip()
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    is_fit = parts.scheme in ("http", "https") and parts.netloc and len(url) <= _MAX_URL and url.isprintable()
    return url if is_fit else None


def news_id_from(item_id: Any, link: Any, title: str) -> str:
    """The news item's own id, or 40 hex digits of link + title.

    The link alone would not do: for some feeds it is a bare home page. An id that does not fit the wire is hashed.
    """
    if isinstance(item_id, str) and item_id.strip():
        text = item_id.strip()
        return text if len(text) <= _MAX_ID and text.isprintable() else _sha1(text)
    return _sha1(f"{link if isinstance(link, str) else ''}\x1f{title}")


def _sha1(text: str) -> str:
    # Upstream's own ids are SHA-1 in hex; this is an identity, not a protection.
    return hashlib.sha1(text.encode(errors="surrogatepass"), usedforsecurity=False).hexdigest()
