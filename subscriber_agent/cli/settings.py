"""`subscriber-agent config`: check a file, show what counts, print the example."""

from __future__ import annotations

from typing import Any

import typer

from signal_contract.cli.answer import finish, table
from signal_contract.envelope import Envelope
from subscriber_agent.cli.place import ConfigOption, JsonOption, config_path

config_app = typer.Typer(no_args_is_help=True, help="Check, show and explain the settings.")


def _rows(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for key, value in values.items():
        if isinstance(value, dict):
            rows += _rows(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return rows


@config_app.command()
def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check a config file: every mistake at once, with its line.

    Example: subscriber-agent config check --config alice.yaml
    """
    from subscriber_agent.config import load_config

    path = config_path(config)
    data = {"file": str(path), "hash": load_config(path).config_hash()}
    text = f"{path} is fine (hash {data['hash']})"
    finish(
        Envelope("subscriber-agent config check", data),
        as_json=as_json,
        render=lambda out: out.print(text, markup=False),
    )


@config_app.command()
def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Every setting that counts, defaults included.

    Example: subscriber-agent config show
    """
    from subscriber_agent.config import load_config

    values = load_config(config_path(config)).model_dump(mode="json")
    finish(
        Envelope("subscriber-agent config show", values),
        as_json=as_json,
        render=table("setting", "value", rows=_rows(values)),
    )


@config_app.command()
def example(as_json: JsonOption = False) -> None:
    """Print a config file with every setting, its meaning, range and default.

    Example: subscriber-agent config example > agent.yaml
    """
    from subscriber_agent.config import example_yaml

    text = example_yaml()
    envelope = Envelope("subscriber-agent config example", {"yaml": text})
    finish(envelope, as_json=as_json, render=lambda out: out.out(text, end="", highlight=False))
