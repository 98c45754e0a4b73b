"""What runs and is measured beside the server without the desk knowing it; the application fills it in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signal_admin.companions import Companion
    from signal_admin.metrics.serving import OpenSource

# What runs beside the server, below the data directory.
COMPANIONS: list[Companion] = []
# What is measured of this machine beside the server, by name.
METRIC_SOURCES: dict[str, OpenSource] = {}
