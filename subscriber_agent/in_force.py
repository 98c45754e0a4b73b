"""Which config the running agent decides by, for commands beside it: the file may say something else by now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from subscriber_agent.journal import Journal, JournalReader
from subscriber_agent.risk.limits import Limits
from subscriber_agent.settings.config import AgentConfig

_NOTE = "config_in_force"


@dataclass(frozen=True, slots=True)
class InForce:
    """What of a config the other commands show; `config_hash` as `AgentConfig.config_hash()`."""

    config_hash: str
    mode: str
    engine: str
    privacy: str
    limits: Limits


def note(journal: Journal, config: AgentConfig) -> None:
    """Write down that this config counts from now on; on the disk's thread."""
    document = {
        "config_hash": config.config_hash(),
        "mode": config.mode.value,
        "engine": config.engine.kind,
        "privacy": config.privacy.value,
        "risk": config.risk.model_dump(mode="json"),
    }
    text = orjson.dumps(document, default=str).decode()
    if journal.meta(_NOTE) != text:
        journal.set_meta(_NOTE, text)


def noted(journal: JournalReader) -> InForce | None:
    """What was noted last; None before that, and for a note that this version cannot read."""
    text = journal.meta(_NOTE)
    try:
        found: dict[str, Any] = orjson.loads(text) if text else {}
        limits = Limits.model_validate(found["risk"])
        return InForce(found["config_hash"], found["mode"], found["engine"], found["privacy"], limits)
    except (KeyError, TypeError, ValueError):
        return None


def of_file(config: AgentConfig) -> InForce:
    """The same of a config that was just read."""
    return InForce(config.config_hash(), config.mode.value, config.engine.kind, config.privacy.value, config.risk)
