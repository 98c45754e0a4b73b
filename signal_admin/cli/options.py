"""Options that several commands share, so that they are spelt and explained the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Data directory.", show_default="the system's place for user data", envvar="CATALYST_DATA"
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer as one JSON document on stdout.")]
HistoryOption = Annotated[
    str,
    typer.Option(help="What he gets of the time before him: now (nothing), 7d, 12h, or all. Stale ones are refused."),
]
