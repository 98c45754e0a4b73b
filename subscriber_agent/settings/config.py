"""The agent's settings: one YAML file, checked whole, every mistake reported at once with its line.

Secrets are never in it: it names the creds file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import platformdirs
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from signal_contract.addresses import servers_checked
from signal_contract.errors import CatalystError, ConfigInvalid
from signal_contract.feedback import Privacy
from signal_contract.signing import Verifier
from signal_contract.subject import user_name_checked
from subscriber_agent.engines.alpaca.settings import AlpacaSettings
from subscriber_agent.engines.catalyst_bot.settings import CatalystBotSettings
from subscriber_agent.engines.command.settings import CommandSettings
from subscriber_agent.engines.paper.settings import PaperSettings
from subscriber_agent.engines.plugin.settings import PluginSettings
from subscriber_agent.engines.registry import ENGINE_KINDS
from subscriber_agent.engines.webhook.settings import WebhookSettings
from subscriber_agent.risk.fields import Count, Settings
from subscriber_agent.risk.limits import Limits
from subscriber_agent.settings.fields import plain
from subscriber_agent.settings.layers import DEFAULT, Merged, Origin
from subscriber_agent.settings.problems import violation
from subscriber_agent.settings.profiles import profile_path
from subscriber_agent.settings.sources import gather
from subscriber_agent.settings.yaml_source import KeyPath, read_yaml


class Mode(StrEnum):
    """NOTIFY decides and shows, PAPER also trades on paper, APPROVE asks before each entry, LIVE trades by itself.

    APPROVE and LIVE trade on whatever engine is named, LIVE never on paper.
    """

    NOTIFY = "notify"
    PAPER = "paper"
    APPROVE = "approve"
    LIVE = "live"


def _mode(value: Any) -> Any:
    if value in tuple(Mode):
        return Mode(value)
    raise ValueError("is not one of the choices")


def _privacy(value: Any) -> Any:
    if value in tuple(Privacy):
        return Privacy(value)
    raise ValueError("is not one of the choices")


def _servers(value: Any) -> Any:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(each, str) for each in value):
        raise ValueError("must be a list of addresses, such as [tls://signals.example.org:4222]")
    try:
        return tuple(servers_checked(value))
    except CatalystError as error:
        raise ValueError(f"{error.message}. {error.hint}") from error


def _publisher_key(value: str) -> str:
    try:
        return Verifier.from_text(value).public_key
    except CatalystError as error:
        raise ValueError(f"{error.message}. {error.hint}") from error


def _metrics(value: str | None) -> str | None:
    if value is None:
        return None
    from signal_contract.metrics.endpoint import address_from  # which brings an HTTP server

    try:
        return str(address_from(value))
    except CatalystError as error:
        raise ValueError(f"{error.message}. {error.hint}") from error


def _path(value: Any) -> Any:
    if isinstance(value, str) and value:
        return Path(value)
    return value


def _extends(value: Any) -> Any:
    """What is no name has been named as a mistake where the profiles were read."""
    return value if isinstance(value, str) else None


def _section(value: Any) -> Any:
    """`risk:` with every line below it commented out is an empty section, not a missing one."""
    return {} if value is None else value


File = Annotated[Path, BeforeValidator(_path)]


def default_data_dir(user: str, account: str) -> Path:
    """Where an identity's journal lives when the config does not say; raises NameInvalid."""
    home = Path(platformdirs.user_data_dir("subscriber-agent", appauthor=False))
    return home / f"{user_name_checked(user)}-{account[:12]}"


class EngineConfig(Settings):
    """The `engine:` section: which engine takes the orders, how it is looked after, and a section for each kind."""

    kind: Literal["paper", "alpaca", "webhook", "command", "python", "catalyst_bot"] = Field(
        "paper",
        description="The engine that takes accepted orders; its own settings are in the section of its name. "
        "`subscriber-agent engine list` says what each needs.",
    )
    reconcile_minutes: Count = Field(
        5,
        ge=1,
        le=60,
        description="How often the engine's positions and orders are compared with the journal's. A difference stops "
        "entries until it is resolved.",
    )
    watch_s: Count = Field(
        2,
        ge=1,
        le=30,
        description="How often prices are looked at for stops that no engine holds and the agent watches itself. "
        "Longer means later stops.",
    )
    paper: Annotated[PaperSettings, BeforeValidator(_section)] = Field(default_factory=PaperSettings)
    alpaca: Annotated[AlpacaSettings, BeforeValidator(_section)] = Field(default_factory=AlpacaSettings)
    webhook: Annotated[WebhookSettings, BeforeValidator(_section)] = Field(default_factory=WebhookSettings)
    command: Annotated[CommandSettings, BeforeValidator(_section)] = Field(default_factory=CommandSettings)
    python: Annotated[PluginSettings, BeforeValidator(_section)] = Field(default_factory=PluginSettings)
    catalyst_bot: Annotated[CatalystBotSettings, BeforeValidator(_section)] = Field(default_factory=CatalystBotSettings)

    @property
    def chosen(self) -> Settings:
        """The section of the engine that is named in `kind`."""
        section: Settings = getattr(self, self.kind)
        return section

    @property
    def is_paper(self) -> bool:
        """Whether the settings say that no real money is behind the engine; what says nothing has some."""
        return ENGINE_KINDS[self.kind].is_paper(self.chosen)

    def in_use(self) -> dict[str, Any]:
        """The settings that count, as plain values: not the sections of engines that are not asked."""
        return {name: plain(value) for name, value in self if name not in self.unused}

    @property
    def unused(self) -> frozenset[str]:
        """The kinds of engine that are asked nothing, neither for orders nor for prices."""
        return frozenset(ENGINE_KINDS) - {self.kind, ENGINE_KINDS[self.kind].quotes_from(self.chosen)}


class AgentConfig(Settings):
    """Everything that `subscriber-agent run` needs to know."""

    extends: Annotated[str | None, BeforeValidator(_extends)] = Field(
        None,
        description="Risk settings to start from: cautious, balanced, bold, or a file of your own, such as "
        "./mine.yaml. What you write here wins.",
    )
    servers: Annotated[tuple[str, ...], BeforeValidator(_servers)] = Field(
        description="Addresses of the operator's server; clear text (nats://) only on this machine."
    )
    creds: File = Field(description="Your creds file, relative to this file. Keep it at mode 0600.")
    ca_file: File | None = Field(
        None, description="The operator's own CA certificate, relative to this file; none: the system's are used."
    )
    publisher_key: Annotated[str, AfterValidator(_publisher_key)] = Field(
        description="The publisher's public key: messages that it did not sign are never acted on."
    )
    data: File | None = Field(None, description="Where the journal is kept, relative to this file.")
    mode: Annotated[Mode, BeforeValidator(_mode)] = Field(
        Mode.PAPER,
        description="notify shows what would be traded; paper trades it on paper; approve asks you before each entry; "
        "live trades by itself, with real money.",
    )
    privacy: Annotated[Privacy, BeforeValidator(_privacy)] = Field(
        Privacy.DECISIONS,
        description="What your operator is told: nothing, your verdicts, also what became of orders, or also numbers.",
    )
    alert_after_s: Count = Field(
        60, ge=5, le=3600, description="How many seconds the link may be cut, deaf or lagging before you are alerted."
    )
    exit_when_not_live_s: Count = Field(
        0, ge=0, le=86_400, description="After so many seconds of it the agent ends with exit status 18; 0 is never."
    )
    metrics: Annotated[str | None, AfterValidator(_metrics)] = Field(
        None, description="Where to show metrics for Prometheus, such as 127.0.0.1:9465; none: nowhere."
    )
    engine: Annotated[EngineConfig, BeforeValidator(_section)] = Field(default_factory=EngineConfig)
    risk: Annotated[Limits, BeforeValidator(_section)] = Field(default_factory=Limits)

    def data_dir(self, user: str, account: str) -> Path:
        """Where this identity's journal lives: `data`, or the system's place for user data.

        `account` (the issuer's public key) keeps two operators' users of one name apart: a journal holds the money
        and the memory of one of them.
        """
        return self.data if self.data is not None else default_data_dir(user, account)

    def config_hash(self) -> str:
        """16 hex digits over what decides: mode, engine and risk; not where files lie or which server is dialled."""
        document = {"mode": plain(self.mode), "engine": self.engine.in_use(), "risk": plain(self.risk)}
        return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checked config, where each of its values came from, and the files that were read for it."""

    config: AgentConfig
    merged: Merged
    files: tuple[Path, ...]

    def origin_of(self, path: KeyPath) -> Origin:
        """Where the setting at `path`, such as `("risk", "max_age_s")`, came from."""
        return self.merged.origins.get(path, DEFAULT)


def load_config(path: Path, *, creds: Path | None = None, environ: Mapping[str, str] | None = None) -> AgentConfig:
    """Read and check a config file with all that it extends; see `read_config`."""
    return read_config(path, creds=creds, environ=environ).config


def read_config(path: Path, *, creds: Path | None = None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read and check a config file with the profiles it extends and the environment (`environ`; None: this process's).

    Weakest first: defaults, profiles, the file, variables `SUBSCRIBER_AGENT__…`, then `creds` (of the command line).
    Paths are relative to the file, wherever they were written. Raises ConfigInvalid with every violation, each as
    `file:line: key: problem` or `env VARIABLE: key: problem`.
    """
    sources = gather(AgentConfig, path, creds=creds, environ=os.environ if environ is None else environ)
    problems = list(sources.violations)
    config: AgentConfig | None = None
    try:
        config = AgentConfig.model_validate(sources.merged.data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        problems += [violation(AgentConfig, sources.merged, each, sources.home) for each in found]
    if problems or config is None:
        lines = tuple(str(each) for each in sorted(problems, key=lambda each: each.order))
        count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
        raise ConfigInvalid(f"{path} has {count}", violations=lines)
    return Loaded(_placed(path, config), sources.merged, sources.files)


def profile_limits(name: str) -> Limits:
    """The risk settings of a shipped profile, its gaps filled with defaults. Raises NotFound, ConfigInvalid."""
    return Limits.model_validate(read_yaml(profile_path(name)).data["risk"])


def _placed(path: Path, config: AgentConfig) -> AgentConfig:
    return config.model_copy(
        update={
            "creds": _beside(path, config.creds),
            "ca_file": None if config.ca_file is None else _beside(path, config.ca_file),
            "data": None if config.data is None else _beside(path, config.data),
        }
    )


def _beside(path: Path, other: Path) -> Path:
    return path.absolute().parent / other.expanduser()
