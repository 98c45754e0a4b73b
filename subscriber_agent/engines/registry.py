"""Which kinds of engine there are, what each needs, and how the one of a config is made.

Nothing of an engine is imported before one is made: a broker's library costs every other command half a second.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from signal_contract.errors import EngineUnusable

if TYPE_CHECKING:
    from subscriber_agent.engines.context import EngineContext
    from subscriber_agent.engines.engine import Engine
    from subscriber_agent.settings.config import AgentConfig

_ALPACA_PAPER = "paper-api.alpaca.markets"
_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


def _always(_: Any) -> bool:
    return True


def _as_it_says(settings: Any) -> bool:
    return settings.is_paper is True


def _nobody(_: Any) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class EngineKind:
    """One kind of engine. `module` has its `make`. `extra` is what pip calls what it needs besides, `library` what is
    then imported; both "" when nothing is.

    `is_paper` reads the kind's settings: whether they say that no real money is behind it. `quotes_from` names another
    kind that this one takes its quotes from, "" none. `needs` says in words what its section must hold; `secrets` are
    its settings that name a file of mode 0600, `variables` the environment's that stand in for them.
    """

    kind: str
    title: str
    module: str
    needs: str
    is_paper: Callable[[Any], bool]
    extra: str = ""
    library: str = ""
    quotes_from: Callable[[Any], str] = _nobody
    secrets: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()

    @property
    def is_installed(self) -> bool:
        """Whether what it needs besides the agent can be imported."""
        return not self.library or importlib.util.find_spec(self.library) is not None

    @property
    def install_hint(self) -> str:
        """The line that installs it, "" when nothing is missing by nature."""
        return f'pip install "catalyst-signals[{self.extra}]"' if self.extra else ""


def _alpaca_is_paper(settings: Any) -> bool:
    """By the endpoint, and by the address where one is given: a paper endpoint at another host is not believed."""
    host = urlsplit(settings.trading_url or "").hostname or _ALPACA_PAPER
    return settings.endpoint == "paper" and (host == _ALPACA_PAPER or host in _THIS_MACHINE)


def _paper_quotes(settings: Any) -> str:
    return str(settings.quotes_from or "") if settings.price_source == "engine" else ""


_KINDS = (
    EngineKind(
        "paper",
        "the simulation on this machine, with pretend money",
        "subscriber_agent.engines.paper.engine",
        "nothing",
        _always,
        quotes_from=_paper_quotes,
    ),
    EngineKind(
        "alpaca",
        "Alpaca, its paper and its live accounts",
        "subscriber_agent.engines.alpaca.engine",
        "endpoint, and a key in key_file or in APCA_API_KEY_ID and APCA_API_SECRET_KEY",
        _alpaca_is_paper,
        extra="alpaca",
        library="alpaca",
        secrets=("key_file",),
        variables=("APCA_API_KEY_ID", "APCA_API_SECRET_KEY"),
    ),
    EngineKind(
        "webhook",
        "a receiver of your own, or TradersPost, over HTTPS",
        "subscriber_agent.engines.webhook.make",
        "url, secret_file; assumed_cash_usd for receivers that only say `received`",
        _as_it_says,
        extra="webhook",
        library="aiohttp",
        secrets=("url_file", "secret_file"),
    ),
    EngineKind(
        "command",
        "a program of yours in any language, spoken to in JSON lines",
        "subscriber_agent.engines.command.engine",
        "argv",
        _as_it_says,
    ),
    EngineKind(
        "python",
        "somebody's engine, installed as a Python package",
        "subscriber_agent.engines.plugin.engine",
        "name, and what the plug-in wants in options",
        _as_it_says,
    ),
    EngineKind(
        "catalyst_bot",
        "Catalyst-Bot's own executor, on its broker's paper account",
        "subscriber_agent.engines.catalyst_bot.engine",
        "Catalyst-Bot beside this agent, or its folder",
        _always,  # the engine refuses a bot that is not on paper
        library="catalyst_bot",
    ),
)
ENGINE_KINDS: Mapping[str, EngineKind] = MappingProxyType({each.kind: each for each in _KINDS})


def build_engine(config: AgentConfig, context: EngineContext) -> Engine:
    """The engine that the config names, made but not started: no connection is open yet.

    A paper engine that takes another's quotes brings that one with it. Raises EngineUnusable.
    """
    kind = ENGINE_KINDS[config.engine.kind]
    source = kind.quotes_from(config.engine.chosen)
    if not source:
        return made(kind, config.engine.chosen, context)
    if source not in ENGINE_KINDS or source == kind.kind:
        raise EngineUnusable(f"{kind.kind} cannot take its quotes from {source!r}")
    from subscriber_agent.engines.quoting import WithQuotesOf

    other = made(ENGINE_KINDS[source], getattr(config.engine, source), context)
    return WithQuotesOf(made(kind, config.engine.chosen, context, quotes=other.quote), other)


def made(kind: EngineKind, settings: Any, context: EngineContext, **more: Any) -> Engine:
    """One engine by its module's `make`. Raises EngineUnusable."""
    try:
        module = importlib.import_module(kind.module)
    except ModuleNotFoundError as error:
        raise EngineUnusable(f"the engine {kind.kind} needs {error.name}", hint=_missing(kind)) from error
    engine: Engine = module.make(settings, context, **more)
    return engine


def _missing(kind: EngineKind) -> str:
    return f"Run: {kind.install_hint}" if kind.extra else "`subscriber-agent engine list` says what each engine needs."
