"""Log set-up of both commands: one line a record on stderr, UTC, as text or as JSON, secrets never."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

from signal_contract.redaction import redacted, redacted_value

_FACTS = "catalyst_facts"
_said = logging.getLogger("catalyst.said")


class LogFormat(StrEnum):
    """TEXT is for people, JSON for programs that collect logs."""

    TEXT = "text"
    JSON = "json"


class _TextFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def formatMessage(self, record: logging.LogRecord) -> str:  # the name is logging's
        # A stranger's text must not begin a line that looks like one of ours, nor move the reader's cursor.
        line = super().formatMessage(record)
        return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in line)

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """One JSON document on one line: `at`, `level`, `logger`, `message`, and what the record is about."""
        document: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        document |= redacted_value(getattr(record, _FACTS, {}))
        if record.exc_info:
            document["error"] = redacted(self.formatException(record.exc_info))
        return orjson.dumps(document, default=str).decode()


def set_up_logs(*, verbose: bool = False, log_format: LogFormat = LogFormat.TEXT) -> None:
    """Send our loggers to stderr at INFO (DEBUG when verbose). The answer of a command goes to stdout, never here."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(log_format))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    # nats-py logs every reconnect attempt with a traceback; the link reports the same in one line.
    logging.getLogger("nats").setLevel(logging.CRITICAL)


def _formatter(log_format: LogFormat) -> logging.Formatter:
    if log_format is LogFormat.JSON:
        return _JsonFormatter()
    return _TextFormatter("%(asctime)sZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")


def is_json() -> bool:
    """Whether the logs of this process are JSON lines; then stderr holds nothing else."""
    return any(isinstance(each.formatter, _JsonFormatter) for each in logging.getLogger().handlers)


def log_said(line: str) -> None:
    """What is said to people, as a record: for `say`, when logs are JSON."""
    _said.info("%s", line)


def log_event(event: str, facts: Mapping[str, Any], line: str) -> None:
    """Something that happened, as a record with its facts; `line` is the same for people, and may be empty."""
    _said.info("%s", line or event, extra={_FACTS: {"event": event, "facts": dict(facts)}})
