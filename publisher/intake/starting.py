"""Starts the publisher that the hook hands its signals to, on the operator's data directory."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path

from publisher.background import StateChange
from publisher.service import SignalPublisher
from publisher.settings import default_data_dir, read_settings
from publisher.thread import ThreadPublisher
from signal_contract.errors import CatalystError

_log = logging.getLogger(__name__)


def started(data: Path | None) -> ThreadPublisher:
    """A running publisher on `data`, else on CATALYST_DATA, else on the usual directory.

    Raises NotFound, ConfigInvalid, CredsInvalid or StorageFailed.
    """
    named = os.environ.get("CATALYST_DATA")
    home = data or (Path(named) if named else default_data_dir())
    settings = read_settings(home, now=datetime.now(UTC))
    return SignalPublisher.start_thread(settings, on_state=_on_state, on_problem=_on_problem)


def _on_state(change: StateChange) -> None:
    why = f": {change.reason}" if change.reason else ""
    _log.info("catalyst-signals: publisher %s, %d waiting%s", change.state.value, change.waiting, why)


def _on_problem(error: CatalystError) -> None:
    _log.warning("catalyst-signals: [%s] %s → %s", error.code, error.message, error.hint)
