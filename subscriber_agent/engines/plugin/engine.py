"""Makes the engine `python`: the plug-in that the settings name, guarded."""

from __future__ import annotations

from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.engine import Engine
from subscriber_agent.engines.plugin.loading import load
from subscriber_agent.engines.plugin.settings import PluginSettings


def make(settings: PluginSettings, context: EngineContext) -> Engine:
    """The chosen plug-in; connections are made in `start()`. Raises EngineUnusable."""
    return load(settings, context)
