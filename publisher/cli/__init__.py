"""The publisher's commands, mounted by the operator's command `catalyst`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_HELP = """Publish signals from a file of JSON lines, or from a pipe.

\b
Examples:
  catalyst publish signals.jsonl
  catalyst publish signals.jsonl --dry-run     what would go out
  catalyst publish signals.jsonl --drill       a fire drill, dated now
  tail -F signals.jsonl | catalyst publish -   line by line

Lines are Catalyst-Bot records (news_item, scored_item, trading_signal), lines of its accepted_items.jsonl, or \
signals in the wire's own schema. What is published once is never published again.

Signals are kept in a durable outbox first: with the server away they go out at the next publish.
"""


def register(app: typer.Typer) -> None:
    """Mount `publish` on an application."""

    @app.command("publish", help=_HELP, short_help="Publish signals from a file of JSON lines, or from a pipe.")
    def publish(
        file: Annotated[str, typer.Argument(metavar="FILE|-", help="A file of JSON lines; - reads from the pipe.")],
        data: Annotated[
            Path | None, typer.Option("--data", envvar="CATALYST_DATA", help="The operator's data directory.")
        ] = None,
        drill: Annotated[
            bool, typer.Option("--drill", help="Send as a fire drill: dated now, acted on by agents on paper only.")
        ] = False,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Show what would go out; send and keep nothing.")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Answer with one JSON document.")] = False,
        timeout_s: Annotated[
            float,
            typer.Option("--timeout", min=0.1, max=3600, help="Seconds without a receipt until it gives up waiting."),
        ] = 30.0,
    ) -> None:
        from publisher.cli.publish import PublishRequest, answer_publish

        answer_publish(PublishRequest(file, data, is_drill=drill, timeout_s=timeout_s), is_dry=dry_run, as_json=as_json)
