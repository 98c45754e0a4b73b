"""What an engine is given when it is made: where it may keep files, whose it is, and the clock."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger("catalyst.engine")


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class EngineContext:
    """`data` is this identity's own directory (0700), `home` the config's, which relative paths start from.

    `only_looks`: whoever asks is no agent; the engine must do nothing of its own accord, such as withdrawing orders.
    """

    data: Path
    home: Path
    user: str
    clock: Callable[[], datetime] = _now
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    only_looks: bool = False

    def path(self, name: Path) -> Path:
        """A path of the config, absolute."""
        return self.home / name.expanduser()
