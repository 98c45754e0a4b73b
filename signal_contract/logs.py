"""Log set-up of both commands: one line a record on stderr, UTC, secrets never."""

from __future__ import annotations

import logging
import sys
import time


def set_up_logs(*, verbose: bool = False) -> None:
    """Send our loggers to stderr at INFO (DEBUG when verbose). The answer of a command goes to stdout, never here."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)sZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    # nats-py logs every reconnect attempt with a traceback; the link reports the same in one line.
    logging.getLogger("nats").setLevel(logging.CRITICAL)
