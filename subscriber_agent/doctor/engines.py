"""Whether the engine that the config names can take orders; nothing is ordered. Only this module here asks engines."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from signal_contract.doctor.finding import Verdict, fail, ok, warn
from signal_contract.errors import AlreadyRunning, CatalystError
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.engine import Engine
from subscriber_agent.engines.registry import build_engine
from subscriber_agent.identity.holding import LOCK_FILE, held
from subscriber_agent.settings.live import check_engine_fits

if TYPE_CHECKING:
    from subscriber_agent.doctor.local import Machine

_SLOW_S = 2.0
# Below the time that the doctor gives to the check.
_ASK_S, _CLOSE_S = 4.0, 2.0
# An agent asks every few seconds; after this long the engine is not silent by chance.
_SILENT_S = 120.0


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """An engine as it answered: its name, whether no real money is behind it, how long it took in seconds.

    `trouble` is why it cannot be used (empty: it can); `is_blocked` the broker's word on the account, None: unknown.
    """

    name: str
    is_paper: bool
    took_s: float = 0.0
    trouble: str = ""
    is_blocked: bool | None = None


async def engine_facts(machine: Machine) -> EngineFacts:
    """Ask the config's engine how it is; beside a running agent, its last word to that agent is taken.

    Two programs at one engine would disturb each other: a command engine would be started twice, and a broker's
    stream may be had once. Raises ConfigInvalid where mode and engine do not go together, EngineUnusable and others.
    """
    config = machine.settings
    data = machine.folder or machine.config_file.parent
    context = EngineContext(data, machine.config_file.absolute().parent, "doctor", only_looks=True)
    engine = build_engine(config, context)
    check_engine_fits(config, engine=engine.name, is_paper=engine.is_paper)
    if config.engine.kind == "paper" and not machine.is_running():
        # Its account is a file, which the first `run` makes; to open it here would be to make it.
        return EngineFacts(engine.name, is_paper=True)
    try:
        # Held, not looked at: an agent that starts meanwhile waits for us. Where none ever ran, nothing is made.
        with held(data, "doctor") if (data / LOCK_FILE).exists() else contextlib.nullcontext():
            return await _asked(engine)
    except AlreadyRunning:
        return _as_the_agent_heard(machine, engine)


def _as_the_agent_heard(machine: Machine, engine: Engine) -> EngineFacts:
    with machine.journal() as journal:
        word = journal.snapshot()
    if word is None:
        return EngineFacts(engine.name, engine.is_paper, trouble="it has not said anything to the running agent yet")
    age_s = (machine.clock() - word.at).total_seconds()
    trouble = f"its last word to the running agent is {age_s:.0f} s old" if age_s > _SILENT_S else ""
    return EngineFacts(word.engine, word.is_paper, trouble=trouble, is_blocked=word.account.is_blocked)


async def _asked(engine: Engine) -> EngineFacts:
    began = time.monotonic()
    try:
        async with asyncio.timeout(_ASK_S):
            await engine.start()
            account = await engine.account()
    except CatalystError as error:
        return EngineFacts(engine.name, engine.is_paper, trouble=error.message)
    except TimeoutError:
        return EngineFacts(engine.name, engine.is_paper, trouble=f"no answer within {_ASK_S:.0f} s")
    except Exception as error:  # noqa: BLE001  # whatever a broker's library throws
        return EngineFacts(engine.name, engine.is_paper, trouble=f"{type(error).__name__}: {error}"[:200])
    finally:
        await _closed(engine)
    return EngineFacts(engine.name, engine.is_paper, time.monotonic() - began, is_blocked=account.is_blocked)


async def _closed(engine: Engine) -> None:
    """Let the engine go; whatever it does then is no finding, and no reason to wait."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_CLOSE_S):
            await engine.close()


def judged_engine(facts: EngineFacts) -> Verdict:
    """D24: reachable, and the account open. Pure."""
    money = "no real money" if facts.is_paper else "REAL MONEY"
    if facts.trouble:
        return fail(f"{facts.name} ({money}): {facts.trouble}")
    text = f"{facts.name} ({money}) answers" + (f" after {facts.took_s:.1f} s" if facts.took_s else "")
    if facts.is_blocked:
        return warn(f"{text}; the broker has blocked the account", "ask your broker")
    return warn(text) if facts.took_s > _SLOW_S else ok(text)
