"""The `engine.command` section: which program, what it may see, how long it may think."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from subscriber_agent.risk.fields import Amount, Flag, Settings

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_MOST_WORDS = 100


def _words(value: Any) -> Any:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ValueError("must be a list of words, such as [python3, my_engine.py]")
    if len(value) > _MOST_WORDS or any("\x00" in each for each in value):
        raise ValueError(f"may hold {_MOST_WORDS} words, none with a NUL in it")
    if value and not value[0].strip():
        raise ValueError("must begin with the program's name")
    return tuple(value)


def _variables(value: Any) -> Any:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ValueError("must be a list of names, such as [BROKER_KEY_FILE]")
    wrong = next((each for each in value if not _VARIABLE.fullmatch(each)), None)
    if wrong is not None:
        raise ValueError("holds something that is no name of an environment variable")
    return tuple(sorted(set(value)))


def _path(value: Any) -> Any:
    return Path(value) if isinstance(value, str) and value else value


class CommandSettings(Settings):
    """The `engine.command:` section. Durations are seconds."""

    argv: Annotated[tuple[str, ...], BeforeValidator(_words)] = Field(
        (),
        description="The program and its arguments, one by one; no shell reads them. The program is an absolute path, "
        "a name on PATH, or a file relative to this config.",
    )
    cwd: Annotated[Path | None, BeforeValidator(_path)] = Field(
        None, description="The folder that the program runs in, relative to this config; none: this config's own."
    )
    env_pass: Annotated[tuple[str, ...], BeforeValidator(_variables)] = Field(
        (),
        description="Names of environment variables that the program is given besides PATH, HOME and LANG. It gets no "
        "others, so that nothing leaks to it.",
    )
    timeout_s: Amount = Field(
        Decimal(10),
        ge=1,
        le=25,
        description="How long the program may take over one answer. Later, an order's end counts as not known and is "
        "looked up; a program that does not say that it is well either is ended and started again.",
    )
    start_timeout_s: Amount = Field(
        Decimal(15), ge=1, le=25, description="How long it may take from its start to its answer to `hello`."
    )
    is_paper: Flag = Field(
        False, description="Whether no real money is behind it. Until you say true, it counts as real money."
    )
    restart_max_s: Amount = Field(
        Decimal(60),
        ge=1,
        le=3600,
        description="The longest pause before a program that ended is started again; the first is 0.2 s.",
    )
