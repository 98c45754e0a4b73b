"""`subscriber-agent config`: check a file, show what counts and why, compare, accept what is looser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_contract.cli.answer import Render, finish, table
from signal_contract.envelope import Envelope
from subscriber_agent.cli.place import ConfigOption, CredsOption, JsonOption, Place, config_path, open_place

if TYPE_CHECKING:
    from subscriber_agent.settings.config import AgentConfig
    from subscriber_agent.settings.consent import Pending
    from subscriber_agent.settings.directions import Change

config_app = typer.Typer(no_args_is_help=True, help="Check, show, compare and explain the settings.")


@config_app.command()
def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check a config file: every mistake at once, with its line.

    Example: subscriber-agent config check --config alice.yaml
    """
    from subscriber_agent.settings.config import load_config

    path = config_path(config)
    data = {"file": str(path), "hash": load_config(path).config_hash()}
    text = f"{path} is fine (hash {data['hash']})"
    finish(
        Envelope("subscriber-agent config check", data),
        as_json=as_json,
        render=lambda out: out.print(text, markup=False),
    )


@config_app.command()
def show(config: ConfigOption = None, creds: CredsOption = None, as_json: JsonOption = False) -> None:
    """Every setting that counts, and where its value comes from: default, profile, file, variable or option.

    Example: subscriber-agent config show
    """
    from subscriber_agent.settings.config import AgentConfig, read_config
    from subscriber_agent.settings.fields import leaves, plain, text_of_value, value_at
    from subscriber_agent.settings.yaml_source import dotted

    loaded = read_config(config_path(config), creds=creds)
    found = [
        (path, text_of_value(plain(value_at(loaded.config, path))), str(loaded.origin_of(path)))
        for path, _ in leaves(AgentConfig)
    ]
    sources = {dotted(path): source for path, _, source in found}
    # The settings of engines that are not asked would hide the others; what somebody wrote is shown all the same.
    unused = loaded.config.engine.unused
    rows = [
        (dotted(path), value, source)
        for path, value, source in found
        if len(path) < 3 or path[1] not in unused or source != "default"
    ]
    finish(
        Envelope("subscriber-agent config show", {**loaded.config.model_dump(mode="json"), "sources": sources}),
        as_json=as_json,
        render=table("setting", "value", "from", rows=rows),
    )


@config_app.command()
def example(as_json: JsonOption = False) -> None:
    """Print a config file with every setting, its meaning, unit, range, consequence and default.

    Example: subscriber-agent config example > agent.yaml
    """
    from subscriber_agent.settings.example import example_yaml

    text = example_yaml()
    envelope = Envelope("subscriber-agent config example", {"yaml": text})
    finish(envelope, as_json=as_json, render=lambda out: out.out(text, end="", highlight=False))


@config_app.command()
def schema(as_json: JsonOption = False) -> None:
    """Print the JSON Schema of the config, with which editors complete and check it.

    Example: subscriber-agent config schema > agent.v1.schema.json
    """
    from subscriber_agent.settings.example import schema as schema_document
    from subscriber_agent.settings.example import schema_json

    envelope = Envelope("subscriber-agent config schema", {"schema": schema_document()})
    finish(envelope, as_json=as_json, render=lambda out: out.out(schema_json(), end="", highlight=False))


OtherArgument = Annotated[str, typer.Argument(metavar="OTHER", help="Another config file, or a profile's name.")]


@config_app.command()
def diff(other: OtherArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """What differs in OTHER, and for each risk setting whether OTHER is looser or stricter.

    Example: subscriber-agent config diff bold
    """
    from subscriber_agent.settings.config import load_config
    from subscriber_agent.settings.directions import changes, is_loosening

    path = config_path(config)
    mine = load_config(path)
    theirs = _other(other, mine)
    found = changes(mine, theirs)
    data = {
        "file": str(path),
        "other": other,
        "hash": mine.config_hash(),
        "other_hash": theirs.config_hash(),
        "is_looser": is_loosening(found),
        "changes": [each.as_dict() for each in found],
    }
    finish(
        Envelope("subscriber-agent config diff", data),
        as_json=as_json,
        render=_changes_table(found, str(path), other, "no setting differs"),
    )


def _other(name: str, mine: AgentConfig) -> AgentConfig:
    """The other config; a profile's name stands for this config with that profile's risk settings."""
    from pathlib import Path

    from subscriber_agent.settings.config import load_config, profile_limits
    from subscriber_agent.settings.profiles import SHIPPED

    if name in SHIPPED:
        return mine.model_copy(update={"risk": profile_limits(name)})
    return load_config(Path(name))


def _changes_table(found: tuple[Change, ...], before: str, after: str, empty: str) -> Render:
    from subscriber_agent.settings.fields import text_of_value

    rows = [(each.key, text_of_value(each.before), text_of_value(each.after), each.direction.value) for each in found]
    return table("setting", before, after, f"{after} is", rows=rows, empty=empty)


ConfirmOption = Annotated[bool, typer.Option("--confirm", help="Yes, let the running agent take them.")]


@config_app.command()
def accept(
    config: ConfigOption = None, creds: CredsOption = None, confirm: ConfirmOption = False, as_json: JsonOption = False
) -> None:
    """Show the looser settings that wait for your word, and give it with --confirm.

    A running agent takes stricter settings at once, and looser ones only with this.

    Example: subscriber-agent config accept --confirm
    """
    from subscriber_agent.settings import consent

    place = open_place(config, creds)
    pending = consent.read_pending(place.data)
    consent.check_is_pending(pending, place.config)
    if confirm:
        _accept(place, pending)
    data: dict[str, Any] = {
        "since": pending.at.isoformat(),
        "config_hash": pending.config_hash,
        "accepted": confirm,
        "changes": [each.as_dict() for each in pending.changes],
    }
    finish(
        Envelope("subscriber-agent config accept", data), as_json=as_json, render=_accept_text(pending.changes, confirm)
    )


def _accept(place: Place, pending: Pending) -> None:
    from datetime import UTC, datetime

    from subscriber_agent.settings import consent

    what = {"pending_id": pending.pending_id, "changes": [each.as_dict() for each in pending.changes]}
    with place.journal(read_only=False) as journal:
        journal.write_loosening("config_accepted", what, pending.config_hash, datetime.now(UTC))
    consent.accept(place.data, place.config)


def _accept_text(found: tuple[Change, ...], is_confirmed: bool) -> Render:
    text = (
        "Accepted. The running agent takes it within seconds."
        if is_confirmed
        else "Nothing is accepted yet. If you mean it: subscriber-agent config accept --confirm"
    )
    render = _changes_table(found, "in force", "waiting", "nothing waits")

    def both(out: Any) -> None:
        render(out)
        out.print(text, markup=False)

    return both


LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many, newest first.")]


@config_app.command("changes")
def journaled_changes(config: ConfigOption = None, limit: LimitOption = 20, as_json: JsonOption = False) -> None:
    """How the config in force changed: each journaled change with the hash before and after, newest first.

    Example: subscriber-agent config changes
    """
    place = open_place(config)
    with place.journal() as journal:
        rows = [{"row": each.number, **each.body, "hash": each.hash} for each in journal.config_changes(limit)]
    cells = [
        (
            row["row"],
            str(row["at"])[:19],
            f"{row.get('before_hash') or 'first start'} → {row['after_hash']}",
            _effect(row),
            ", ".join(f"{each['key']} {each['before']} → {each['after']}" for each in row.get("changes", ())) or None,
        )
        for row in rows
    ]
    columns = (">row", "at (UTC)", "config", "it is", "settings")
    render = table(*columns, rows=cells, empty="the config in force never changed")
    finish(Envelope("subscriber-agent config changes", rows), as_json=as_json, render=render)


def _effect(row: dict[str, Any]) -> str:
    if row.get("before_hash") is None:
        return "the first"
    if not row.get("is_loosening"):
        return "stricter or neither"
    return "looser, confirmed" if row.get("confirmed") else "looser"
