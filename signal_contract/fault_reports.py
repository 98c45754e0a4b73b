"""Faults in the program, told to a Sentry of your own choice. Off unless CATALYST_SENTRY_DSN names one.

What is sent is the kind of the fault and where in the code it happened. No local variables, no breadcrumbs, no host
name, no arguments; and whatever looks like a secret is taken out of the rest.
"""

from __future__ import annotations

import importlib.util
import os
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from signal_contract.errors import ConfigInvalid
from signal_contract.redaction import redacted_value

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

VARIABLE = "CATALYST_SENTRY_DSN"
_FLUSH_S = 2.0
# All that an event may hold; the rest (user, request, extra, contexts, breadcrumbs, server_name) is dropped.
_KEPT = frozenset({"event_id", "timestamp", "platform", "level", "release", "exception", "sdk", "type"})
_KEPT_OF_A_FRAME = frozenset({"function", "module", "lineno", "in_app"})


def scrubbed(event: Event, _hint: Hint | None = None) -> Event:
    """The event with nothing in it but the fault, its place in the code, and no secrets."""
    document: Any = {key: value for key, value in event.items() if key in _KEPT}
    for fault in (document.get("exception") or {}).get("values") or ():
        stack = fault.get("stacktrace") or {}
        frames = stack.get("frames") or ()
        fault["stacktrace"] = {"frames": [_frame(each) for each in frames]}
    found: Event = redacted_value(document)
    return found


def _frame(frame: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in frame.items() if key in _KEPT_OF_A_FRAME}


def report_fault(error: BaseException, *, transport: Any = None) -> bool:
    """Send a fault to the Sentry that the environment names; whether there is one.

    Waits two seconds at most; `transport` is for tests. Raises ConfigInvalid (no sentry-sdk, wrong address).
    """
    dsn = os.environ.get(VARIABLE, "")
    if not dsn:
        return False
    if importlib.util.find_spec("sentry_sdk") is None:
        raise ConfigInvalid(f"{VARIABLE} needs sentry-sdk", hint="Run: pip install 'catalyst-signals[sentry]'")
    import sentry_sdk

    try:
        sentry_sdk.utils.Dsn(dsn)
    except sentry_sdk.utils.BadDsn as wrong:
        raise ConfigInvalid(f"{VARIABLE} is no address of a Sentry", hint="Copy it again, or unset it.") from wrong
    sentry_sdk.init(
        dsn=dsn,
        release=f"catalyst-signals@{version('catalyst-signals')}",
        before_send=scrubbed,
        default_integrations=False,
        auto_enabling_integrations=False,
        include_local_variables=False,
        include_source_context=False,
        max_breadcrumbs=0,
        transport=transport,
    )
    sentry_sdk.capture_exception(error)
    sentry_sdk.flush(_FLUSH_S)
    return True
