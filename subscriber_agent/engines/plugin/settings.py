"""The section `engine: python:` of the config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from subscriber_agent.risk.fields import Flag, Settings

_NAME = re.compile(r"[A-Za-z0-9_.-]{0,64}")
_OPTION = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST_OPTIONS = 64
_LONGEST_VALUE = 4096


def _name(value: Any) -> Any:
    if isinstance(value, str) and not _NAME.fullmatch(value):
        raise ValueError("is not an entry point's name: letters, digits, _ . and -, up to 64 of them")
    return value


def _options(value: Any) -> Any:
    """Lines of `name: text`: what a plug-in makes of them is its own business, so that they stay text."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or len(value) > _MOST_OPTIONS:
        raise ValueError(f"must be up to {_MOST_OPTIONS} lines of `name: value`")
    found: dict[str, str] = {}
    for name, text in value.items():
        if not isinstance(name, str) or not _OPTION.fullmatch(name):
            raise ValueError("holds a name that is not made of letters, digits, _ . and -")
        if not isinstance(text, str | int) or isinstance(text, bool) or len(str(text)) > _LONGEST_VALUE:
            raise ValueError(f"{name}: must be plain text; lists and sections are not passed on")
        found[name] = str(text)
    return dict(sorted(found.items()))


class PluginSettings(Settings):
    """Which plug-in, and what it is told."""

    name: Annotated[str, BeforeValidator(_name)] = Field(
        "", description="The entry point's name in the group catalyst_signals.engines; `engine list` shows them."
    )
    is_paper: Flag = Field(
        False,
        description="Whether no real money is behind it. Until you say so it counts as real money; a plug-in that "
        "says itself that it is not paper is refused.",
    )
    options: Annotated[Mapping[str, str], BeforeValidator(_options)] = Field(
        default_factory=dict,
        description="Lines of `name: value` that the plug-in is given as text. No secrets: name a file of mode 0600.",
    )
