"""`subscriber-agent engine`: which engines there are, how yours is set up, and whether one keeps its word."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import tempfile
from collections.abc import Awaitable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from signal_contract.cli.answer import Render, finish, table
from signal_contract.envelope import Envelope, Problem
from signal_contract.errors import CatalystError, EngineUnusable, InputError
from subscriber_agent.cli.conformance import try_engine
from subscriber_agent.cli.leaving import leave, settle
from subscriber_agent.cli.place import ConfigOption, JsonOption, Place, open_place

if TYPE_CHECKING:
    from rich.console import Console

    from subscriber_agent.engines.engine import Engine
    from subscriber_agent.engines.registry import EngineKind
    from subscriber_agent.risk.market import Capabilities
    from subscriber_agent.settings.config import Loaded

_START_TIMEOUT_S, _ASK_TIMEOUT_S, _CLOSE_TIMEOUT_S = 30.0, 15.0, 5.0
_Answer = TypeVar("_Answer")

engine_app = typer.Typer(
    no_args_is_help=True,
    help="The engine that takes your orders: which there are, how yours is set up, whether it keeps its word.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
engine_app.command("test")(try_engine)
engine_app.command()(leave)
engine_app.command()(settle)
KindArgument = Annotated[str | None, typer.Argument(metavar="[KIND]", help="Which engine; without it, the config's.")]


@engine_app.command("list")
def list_engines(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The kinds of engine: what each is, whether it is installed, which one your config names.

    Example: subscriber-agent engine list
    """
    from subscriber_agent.engines.registry import ENGINE_KINDS

    chosen = _chosen(config)
    rows = [_kind_dict(each, chosen) for each in ENGINE_KINDS.values()]
    plugins = _plugins()
    cells = [
        (
            "→" if row["is_configured"] else "",
            row["kind"],
            row["title"],
            "yes" if row["is_installed"] else row["install"] or "no",
            row["needs"],
        )
        for row in rows
    ]
    engines = table("", "kind", "what it is", "installed", "its section needs", rows=cells)
    found = table(
        "name", "package", "made by", rows=[(p["name"], p["package"], p["value"]) for p in plugins], empty="none"
    )

    def render(out: Console) -> None:
        engines(out)
        out.print("\nplug-ins for kind python:", markup=False)
        found(out)

    finish(
        Envelope("subscriber-agent engine list", {"kinds": rows, "plugins": plugins}), as_json=as_json, render=render
    )


def _chosen(config: Path | None) -> str | None:
    """The kind that the config names; None without a config that can be read: the list is also for whoever has none."""
    with contextlib.suppress(CatalystError):
        return open_place(config).config.engine.kind
    return None


def _kind_dict(kind: EngineKind, chosen: str | None) -> dict[str, Any]:
    return {
        "kind": kind.kind,
        "title": kind.title,
        "is_installed": kind.is_installed,
        "install": kind.install_hint,
        "is_configured": kind.kind == chosen,
        "needs": kind.needs,
    }


def _plugins() -> list[dict[str, Any]]:
    from subscriber_agent.engines.plugin.loading import installed

    return [
        {"name": each.name, "value": each.value, "package": None if each.dist is None else each.dist.name}
        for each in installed()
    ]


@engine_app.command()
def show(
    kind: KindArgument = None,
    check: Annotated[bool, typer.Option("--check", help="Start it, and ask for account and positions.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """How an engine is set up: its settings and where they come from, whether its keys are there, what it can do.

    Example: subscriber-agent engine show --check
    """
    place, chosen = open_place(config), kind_of(config, kind)
    data: dict[str, Any] = _set_up(place, chosen)
    problem: CatalystError | None = None
    try:
        with contextlib.ExitStack() as stack:
            engine = _made(place, chosen, stack, is_check=check)
            data |= {"name": engine.name, "is_paper": engine.is_paper}
            if check:
                data |= asyncio.run(_asked(engine))
            data["capabilities"] = _capabilities_dict(engine.capabilities())
    except CatalystError as error:
        problem = error
    envelope = Envelope(
        "subscriber-agent engine show",
        data,
        Envelope("").exit_code if problem is None else problem.exit_code,
        () if problem is None else (Problem.from_error(problem),),
    )
    finish(envelope, as_json=as_json, render=lambda out: _render(out, data))


def kind_of(config: Path | None, kind: str | None) -> EngineKind:
    """The kind that was asked for, else the config's. Raises InputError, and whatever is wrong with the config."""
    from subscriber_agent.engines.registry import ENGINE_KINDS

    name = kind or open_place(config).config.engine.kind
    if name not in ENGINE_KINDS:
        raise InputError(f"there is no engine {name[:40]!r}", hint=f"There are: {', '.join(ENGINE_KINDS)}.")
    return ENGINE_KINDS[name]


def with_kind(place: Place, kind: EngineKind) -> Place:
    """The same place, as if the config named this kind."""
    engine = place.config.engine.model_copy(update={"kind": kind.kind})
    return replace(place, config=place.config.model_copy(update={"engine": engine}))


def _made(place: Place, kind: EngineKind, stack: contextlib.ExitStack, *, is_check: bool) -> Engine:
    """The engine, made; held against a running agent where it will be asked."""
    from subscriber_agent.engines.registry import build_engine
    from subscriber_agent.identity.holding import held

    here = with_kind(place, kind)
    context = replace(here.context(), only_looks=True)
    if is_check and kind.kind == place.config.engine.kind:
        stack.enter_context(held(place.data, place.creds.user))
    elif is_check:
        context = replace(context, data=Path(stack.enter_context(tempfile.TemporaryDirectory())))
    return build_engine(here.config, context)


def _set_up(place: Place, kind: EngineKind) -> dict[str, Any]:
    from subscriber_agent.settings.config import read_config

    loaded = read_config(place.config_file)
    return {
        "kind": kind.kind,
        "title": kind.title,
        "is_configured": loaded.config.engine.kind == kind.kind,
        "is_paper": kind.is_paper(getattr(loaded.config.engine, kind.kind)),
        "settings": list(_settings(loaded, kind)),
        "secrets": [_secret(place, loaded, kind, name) for name in kind.secrets],
        "capabilities": None,
        "account": None,
        "positions": None,
    }


def _settings(loaded: Loaded, kind: EngineKind) -> Iterator[dict[str, Any]]:
    from subscriber_agent.settings.fields import leaves, plain, value_at
    from subscriber_agent.settings.yaml_source import dotted

    root = type(loaded.config)
    for path, _ in leaves(root):
        is_common = path[0] == "engine" and len(path) == 2
        if is_common or path[:2] == ("engine", kind.kind):
            value = plain(value_at(loaded.config, path))
            shown = _without_path(value) if str(path[-1]).endswith("url") else value
            yield {"key": dotted(path), "value": shown, "from": str(loaded.origin_of(path))}


def _without_path(address: str | None) -> str | None:
    """An address up to its host: what comes after it may be a token."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(address or "")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:  # such as https://host:port
        return "…"
    return f"{parts.scheme}://{parts.hostname}{port}{'/…' if parts.path else ''}" if parts.hostname else address


def _secret(place: Place, loaded: Loaded, kind: EngineKind, name: str) -> dict[str, str]:
    """Whether a key is there, never what it is."""
    value = getattr(getattr(loaded.config.engine, kind.kind), name)
    if value is None:
        is_set = bool(kind.variables) and all(os.environ.get(each) for each in kind.variables)
        return {"key": f"engine.{kind.kind}.{name}", "state": "set, by the environment" if is_set else "missing"}
    path = place.context().path(value)
    try:
        mode = path.stat().st_mode
    except OSError:
        return {"key": f"engine.{kind.kind}.{name}", "state": f"missing: {path}"}
    is_open = os.name == "posix" and stat.S_IMODE(mode) & 0o077
    return {"key": f"engine.{kind.kind}.{name}", "state": f"readable by others: chmod 600 {path}" if is_open else "set"}


async def _asked(engine: Engine) -> dict[str, Any]:
    """What the engine says at this moment. Raises EngineUnusable, also for whatever the engine itself fails over."""
    from subscriber_agent.settings.fields import plain

    try:
        await _within("start", engine.start(), _START_TIMEOUT_S)
        account = await _within("account", engine.account(), _ASK_TIMEOUT_S)
        positions = await _within("positions", engine.positions(), _ASK_TIMEOUT_S)
    finally:
        with contextlib.suppress(EngineUnusable):
            await _within("close", engine.close(), _CLOSE_TIMEOUT_S)
    return {
        "account": {each.name: plain(getattr(account, each.name)) for each in fields(account)},
        "positions": [{each.name: plain(getattr(held, each.name)) for each in fields(held)} for held in positions],
    }


async def _within(what: str, call: Awaitable[_Answer], limit_s: float) -> _Answer:
    try:
        async with asyncio.timeout(limit_s):
            return await call
    except CatalystError:
        raise
    except TimeoutError as error:
        raise EngineUnusable(f"{what} did not answer within {limit_s:.0f} s") from error
    except Exception as error:  # whatever a stranger's engine throws is the answer to this command
        raise EngineUnusable(f"{what} failed: {type(error).__name__}: {error}"[:300]) from error


def _capabilities_dict(can: Capabilities) -> dict[str, Any]:
    found = {each.name: getattr(can, each.name) for each in fields(can)}
    return {**found, "times_in_force": sorted(each.value for each in can.times_in_force)}


def _render(out: Console, data: dict[str, Any]) -> None:
    from subscriber_agent.settings.fields import text_of_value

    money = "pretend money" if data["is_paper"] else "real money"
    mark = "the one of your config" if data["is_configured"] else "not the one of your config"
    out.print(f"{data['kind']}: {data['title']} ({money}; {mark})\n", markup=False)
    settings = [(each["key"], text_of_value(each["value"]), each["from"]) for each in data["settings"]]
    secrets = [(each["key"], each["state"], None) for each in data["secrets"]]
    table(
        "setting", "value", "from", rows=settings + [(f"{key}: the key", state, where) for key, state, where in secrets]
    )(out)
    for part in (_capabilities(data["capabilities"]), _account(data["account"]), _positions(data["positions"])):
        if part is not None:
            out.print("")
            part(out)


def _capabilities(can: dict[str, Any] | None) -> Render | None:
    if can is None:
        return None
    rows = [
        (name, "yes" if value is True else "no" if value is False else ", ".join(value)) for name, value in can.items()
    ]
    return table("it can", "", rows=rows)


def _account(account: dict[str, Any] | None) -> Render | None:
    if account is None:
        return None
    return table("account", "", rows=[(name, value) for name, value in account.items()])


def _positions(positions: list[dict[str, Any]] | None) -> Render | None:
    if positions is None:
        return None
    rows = [(each["ticker"], each["quantity"], each["average_price"], each["last_price"]) for each in positions]
    return table("ticker", ">quantity", ">average", ">last", rows=rows, empty="it holds nothing")
