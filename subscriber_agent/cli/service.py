"""`subscriber-agent service`: the agent as a service of this machine. It writes files, and starts nothing by itself."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_contract.cli.answer import finish, say
from signal_contract.envelope import Envelope
from signal_contract.errors import Conflict, InputError
from subscriber_agent.cli.place import ConfigOption, JsonOption, config_path, open_place
from subscriber_agent.service.definition import Definition, ManagerKind, Service, definition_of, manager_of

if TYPE_CHECKING:
    from subscriber_agent.settings.config import AgentConfig

service_app = typer.Typer(
    no_args_is_help=True,
    help="The agent as a service of this machine: it starts by itself, and again when it has failed.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
DryOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")]
_LIVE_VARIABLE = "SUBSCRIBER_AGENT_LIVE"
# These name the config, and the service has it in its command line.
_CARRIED = ("SUBSCRIBER_AGENT_CONFIG", "SUBSCRIBER_AGENT_CONFIG_DIR")


def _service(config: Path | None) -> tuple[Service, AgentConfig]:
    place = open_place(config)
    service = Service(
        user=place.creds.user,
        python=Path(sys.executable),
        config=place.config_file.expanduser().absolute(),
        home=Path.home(),
        account=getpass.getuser() if os.name == "nt" else "",
    )
    return service, place.config


def _definition(service: Service, manager: ManagerKind | None = None) -> Definition:
    try:
        return definition_of(service, manager or manager_of(sys.platform))
    except ValueError as error:
        raise InputError(f"the service manager cannot take a path: {error}") from error


def _notes(config: AgentConfig) -> list[str]:
    """What the friend must know before he starts it."""
    from subscriber_agent.settings.config import Mode

    left = sorted(name for name in os.environ if name.startswith("SUBSCRIBER_AGENT") and name not in _CARRIED)
    notes = [f"not taken over from this terminal: {', '.join(left)}"] if left else []
    if config.mode is Mode.LIVE or (config.mode is Mode.APPROVE and not config.engine.is_paper):
        until = f"until you yourself add {_LIVE_VARIABLE}=yes to the service"
        notes.append(f"mode {config.mode.value}, real money: it ends at once {until}")
    return notes


def _data(service: Service, definition: Definition, notes: list[str]) -> dict[str, Any]:
    return {
        "name": service.name,
        "manager": definition.manager.value,
        "path": str(definition.path),
        "begin": list(definition.begin),
        "end": list(definition.end),
        "notes": [*definition.notes, *notes],
    }


@service_app.command()
def install(
    config: ConfigOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a file that says something else.")] = False,
    dry_run: DryOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the service's file for this user, and say which commands start it. Starts nothing, and needs no root.

    Example: subscriber-agent service install
    """
    from subscriber_agent.service.installed import is_current, write

    service, loaded = _service(config)
    definition = _definition(service)
    current = is_current(definition)
    if not dry_run:
        write(definition, may_replace=replace)
    done = {None: "written", False: "replaced", True: "is there already, and current"}[current]
    if dry_run and not current:
        done = "would be written" if current is None else "would be replaced (with --replace)"
    data = {**_data(service, definition, _notes(loaded)), "changed": not (current or dry_run), "is_dry_run": dry_run}
    lines = [f"{definition.path} {done}", "next:", *(f"  {each}" for each in definition.begin), *data["notes"]]
    _answer("install", data, lines, as_json=as_json)


@service_app.command()
def show(
    config: ConfigOption = None,
    manager: Annotated[
        ManagerKind | None, typer.Option("--for", help="For another system.", show_default="this machine's")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the service's file as it would be written.

    Example: subscriber-agent service show --for launchd
    """
    service, loaded = _service(config)
    definition = _definition(service, manager)
    encoding = "utf-16" if definition.manager is ManagerKind.WINDOWS else "utf-8"
    content = definition.content.decode(encoding)
    data = {**_data(service, definition, _notes(loaded)), "content": content}
    _answer("show", data, [content.rstrip()], as_json=as_json)


@service_app.command()
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Whether the service is installed, current and running, as its manager says.

    Example: subscriber-agent service status
    """
    from subscriber_agent.service.installed import asked, is_current, is_running

    service, loaded = _service(config)
    definition = _definition(service)
    current, answer = is_current(definition), asyncio.run(asked(definition.look))
    running = is_running(answer)
    data = {
        **_data(service, definition, _notes(loaded)),
        "is_installed": current is not None,
        "is_current": bool(current),
        "is_running": running,
        "answer": answer,
    }
    words = {None: "not installed", False: "installed, and differs from what this version writes", True: "installed"}
    lines = [f"{service.name}: {words[current]}", f"  {definition.path}"]
    runs = {None: "unknown: the manager cannot be asked here", False: "no", True: "yes"}
    lines += [f"running: {runs[running]}", *(f"  {each}" for each in (answer or "").splitlines())]
    if current is False:
        lines.append("next: subscriber-agent service install --replace")
    elif current is None:
        lines.append("next: subscriber-agent service install")
    _answer("status", data, lines, as_json=as_json)


@service_app.command()
def uninstall(config: ConfigOption = None, dry_run: DryOption = False, as_json: JsonOption = False) -> None:
    """Remove the service's file. A running service is refused: stop it first by the command that is named.

    Example: subscriber-agent service uninstall
    """
    from subscriber_agent.service.installed import asked, is_running, remove

    service, loaded = _service(config)
    definition = _definition(service)
    if is_running(asyncio.run(asked(definition.look))):
        raise Conflict(f"{service.name} is running", hint=f"Stop it first: {' && '.join(definition.end)}")
    if not dry_run:
        remove(definition)
    data = {**_data(service, definition, _notes(loaded)), "changed": not dry_run, "is_dry_run": dry_run}
    lines = [f"{definition.path} {'would be removed' if dry_run else 'removed'}"]
    lines.append("Config, creds and journal stay where they are.")
    _answer("uninstall", data, lines, as_json=as_json)


@service_app.command(name="keep")
def keep(config: ConfigOption = None) -> None:
    """Keep `subscriber-agent run` running; what launchd and Windows start. systemd does this by itself.

    Example: subscriber-agent service keep
    """
    raise typer.Exit(asyncio.run(_keep(config_path(config).expanduser().absolute())))


async def _keep(config: Path) -> int:
    from signal_contract.cli.interrupts import Interrupts
    from subscriber_agent.service.keeping import keep as kept

    stop, main = asyncio.Event(), asyncio.current_task()
    Interrupts(
        stop=stop.set, hurry=lambda: None if main is None else (main.cancel(), None)[1], message="stopping the agent"
    )
    command = (sys.executable, "-P", "-m", "subscriber_agent", "run", "--config", str(config))
    return await kept(command, stop, say)


def _answer(verb: str, data: dict[str, Any], lines: list[str], *, as_json: bool) -> None:
    finish(
        Envelope(f"subscriber-agent service {verb}", data),
        as_json=as_json,
        render=lambda out: out.print("\n".join(lines), markup=False),
    )
