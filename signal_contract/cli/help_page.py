"""The help of a whole command, as Typer drew it for this version: drawing it anew takes every module, and Rich.

`make generate` draws the pages, and a test compares them with what Typer draws from the commands.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

PAGE = "help.txt"
COLUMNS = 80
_STYLING = re.compile(r"\x1b\[[0-9;]*m")
# With one of these Typer draws otherwise than the terminal asks for.
_OTHERWISE = ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TERMINAL_WIDTH")


def show_page(folder: Path, words: Sequence[str]) -> bool:
    """Print the page in `folder` where nothing but help is asked for; False where it is to be drawn anew."""
    if list(words) not in (["--help"], ["-h"]) or not _fits(sys.stdout, os.environ):
        return False
    page = (folder / PAGE).read_text(encoding="utf-8")
    sys.stdout.write(page if _has_colours(sys.stdout, os.environ) else _STYLING.sub("", page))
    return True


def _fits(stream: TextIO, environment: Mapping[str, str]) -> bool:
    is_wide = shutil.get_terminal_size((COLUMNS, 24)).columns >= COLUMNS
    can_draw = os.name == "posix" and stream.encoding.lower() == "utf-8"  # an old Windows console draws no frames
    return is_wide and can_draw and not any(map(environment.get, _OTHERWISE))


def _has_colours(stream: TextIO, environment: Mapping[str, str]) -> bool:
    is_plain = environment.get("NO_COLOR") or environment.get("TERM") in (None, "dumb", "unknown")
    return stream.isatty() and not is_plain
