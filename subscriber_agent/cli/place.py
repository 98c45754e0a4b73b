"""Where this agent's files are, and the options that say so in every command."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from signal_contract.errors import NotFound

if TYPE_CHECKING:
    from signal_contract.creds import Creds
    from signal_contract.errors import ConfigInvalid
    from subscriber_agent.engines.context import EngineContext
    from subscriber_agent.engines.engine import Engine
    from subscriber_agent.journal import Journal
    from subscriber_agent.settings.config import AgentConfig

_PLAIN_LINE = re.compile(r"(?m)^(data|creds):[ \t]*[\"']?([^\"'#\n]+?)[\"']?[ \t]*(?:#.*)?$")
CONFIG_DIR_VARIABLE = "SUBSCRIBER_AGENT_CONFIG_DIR"
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="Your config file.",
        envvar="SUBSCRIBER_AGENT_CONFIG",
        show_default="agent.yaml in the system's place for settings",
    ),
]
CredsOption = Annotated[Path | None, typer.Option("--creds", help="Your creds file, instead of the one in the config.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer as one JSON document on stdout.")]


def config_home(chosen: Path | None) -> Path:
    """Where config and creds live: as chosen, else SUBSCRIBER_AGENT_CONFIG_DIR, else the system's place. Absolute."""
    import platformdirs

    named = os.environ.get(CONFIG_DIR_VARIABLE)
    home = chosen or Path(named or platformdirs.user_config_dir("subscriber-agent", appauthor=False))
    return home.expanduser().absolute()


def config_path(chosen: Path | None) -> Path:
    """The config file: as chosen, else agent.yaml in the user's config directory. Raises NotFound."""
    path = chosen or config_home(None) / "agent.yaml"
    if not path.is_file():
        raise NotFound(
            f"there is no config file {path}",
            hint="Take up your invite with `subscriber-agent join FILE`, or name a config with --config.",
        )
    return path


@dataclass(frozen=True, slots=True)
class Place:
    """One identity on this machine: its config, its creds, its journal's directory."""

    config_file: Path
    config: AgentConfig
    creds: Creds

    @property
    def data(self) -> Path:
        return self.config.data_dir(self.creds.user, self.creds.account)

    @property
    def journal_file(self) -> Path:
        from subscriber_agent.journal.journal import JOURNAL_FILE

        return self.data / JOURNAL_FILE

    @property
    def lock_file(self) -> Path:
        return self.data / "agent.lock"

    def context(self) -> EngineContext:
        """What this identity's engine is made with."""
        from subscriber_agent.engines.context import EngineContext

        return EngineContext(self.data, self.config_file.absolute().parent, self.creds.user)

    def engine(self) -> Engine:
        """The engine of the config, made but not started. Raises EngineUnusable, and ConfigInvalid for an odd mode."""
        from subscriber_agent.engines.registry import build_engine
        from subscriber_agent.settings.live import check_engine_fits

        engine = build_engine(self.config, self.context())
        check_engine_fits(self.config, engine=engine.name, is_paper=engine.is_paper)
        return engine

    def journal(self, *, read_only: bool = True) -> Journal:
        """The journal beside a possibly running agent; raises NotFound before the first run."""
        from subscriber_agent.journal import Journal

        return Journal.open(self.journal_file, read_only=read_only, is_owner=False)

    def is_running(self) -> bool:
        """Whether an agent holds this identity on this machine."""
        import filelock

        if not self.lock_file.exists():
            return False
        lock = filelock.FileLock(self.lock_file)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return True
        lock.release()
        return False


def open_place(config: Path | None, creds: Path | None = None) -> Place:
    """Read config and creds. Raises NotFound, ConfigInvalid, CredsInvalid."""
    from signal_contract.creds import read_creds
    from subscriber_agent.settings.config import load_config

    path = config_path(config)
    loaded = load_config(path, creds=creds)
    return Place(path, loaded, read_creds(loaded.creds, role="subscriber"))


@dataclass(frozen=True, slots=True)
class Latches:
    """The journal to set a latch in, and whose it is. `config` is None when the file has `mistakes`."""

    user: str
    journal: Journal
    config: AgentConfig | None
    mistakes: ConfigInvalid | None = None


def open_latches(config: Path | None) -> Latches:
    """Find the journal: a halt must work with a damaged creds file, and with mistakes in the config, too.

    Raises NotFound; CredsInvalid and ConfigInvalid only when nothing says where the journal is.
    """
    from signal_contract.errors import ConfigInvalid, CredsInvalid
    from subscriber_agent.journal import Journal
    from subscriber_agent.journal.journal import JOURNAL_FILE
    from subscriber_agent.settings.config import load_config

    try:
        place = open_place(config)
        return Latches(place.creds.user, place.journal(read_only=False), place.config)
    except CredsInvalid:
        loaded = load_config(config_path(config))
        if loaded.data is None:
            raise
        return Latches("this agent", Journal.open(loaded.data / JOURNAL_FILE, is_owner=False), loaded)
    except ConfigInvalid as mistakes:
        folder = _data_in_spite_of(config_path(config))
        if folder is None:
            raise
        return Latches("this agent", Journal.open(folder / JOURNAL_FILE, is_owner=False), None, mistakes)


def _data_in_spite_of(path: Path) -> Path | None:
    """The journal's folder, from a config that cannot be used: its plain `data:` line, else that of its `creds:`."""
    from signal_contract.creds import read_creds
    from subscriber_agent.settings.config import default_data_dir

    text = path.read_text(encoding="utf-8", errors="replace")
    found = dict(_PLAIN_LINE.findall(text))
    if "data" in found:
        return path.absolute().parent / Path(found["data"]).expanduser()
    if "creds" in found:
        creds = read_creds(path.absolute().parent / Path(found["creds"]).expanduser(), role="subscriber")
        return default_data_dir(creds.user, creds.account)
    return None
