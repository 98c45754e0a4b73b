"""What can happen to the config of a running agent, as values: for report lines, and for the journal. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from subscriber_agent.settings.config import AgentConfig
from subscriber_agent.settings.directions import Change


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """The config in force changed. `confirmed`: by the friend's word or by his start; hashes as `config_hash()`.

    At a start `changes` is empty: only the hash of what was in force before is known, so it counts as loosening.
    """

    at: datetime
    before_hash: str
    after_hash: str
    changes: tuple[Change, ...]
    is_loosening: bool
    confirmed: bool

    def as_dict(self) -> dict[str, Any]:
        """A report line, and what the journal keeps."""
        return {
            "type": "config_changed",
            "at": self.at.isoformat(),
            "before_hash": self.before_hash,
            "after_hash": self.after_hash,
            "changes": [each.as_dict() for each in self.changes],
            "is_loosening": self.is_loosening,
            "confirmed": self.confirmed,
        }


@dataclass(frozen=True, slots=True)
class ConfigKept:
    """The file cannot be used, or the word cannot be written down: the old config stays in force."""

    at: datetime
    config_hash: str
    violations: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """A report line."""
        return {
            "type": "config_kept",
            "at": self.at.isoformat(),
            "config_hash": self.config_hash,
            "violations": list(self.violations),
        }


@dataclass(frozen=True, slots=True)
class ConfigPending:
    """Looser settings wait for `subscriber-agent config accept --confirm`; none: nothing waits any more."""

    at: datetime
    config_hash: str
    changes: tuple[Change, ...]

    def as_dict(self) -> dict[str, Any]:
        """A report line."""
        return {
            "type": "config_pending",
            "at": self.at.isoformat(),
            "config_hash": self.config_hash,
            "changes": [each.as_dict() for each in self.changes],
        }


@dataclass(frozen=True, slots=True)
class ConfigNeedsRestart:
    """Settings that the file now has otherwise, and that count from the next start on."""

    at: datetime
    keys: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """A report line."""
        return {"type": "config_needs_restart", "at": self.at.isoformat(), "keys": list(self.keys)}


ConfigEvent = ConfigChange | ConfigKept | ConfigPending | ConfigNeedsRestart


def start_change(before_hash: str | None, config: AgentConfig, at: datetime) -> ConfigChange | None:
    """What a start with `config` changes against the hash journaled last; None for no change or a first start."""
    after = config.config_hash()
    if before_hash is None or before_hash == after:
        return None
    return ConfigChange(at, before_hash, after, (), is_loosening=True, confirmed=True)
