"""`subscriber-agent engine test`: runs the conformance kit against an engine, in a place of its own.

It orders only where no real money is behind the engine, or by a flag and a typed phrase.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_contract.cli.answer import Render, finish, say, table
from signal_contract.envelope import Envelope, Problem
from signal_contract.errors import ExitCode, InputError
from subscriber_agent.cli.place import ConfigOption, JsonOption, Place, open_place

if TYPE_CHECKING:
    from subscriber_agent.conformance.bench import Rig
    from subscriber_agent.conformance.case import CaseResult
    from subscriber_agent.engines.context import EngineContext
    from subscriber_agent.engines.engine import Engine
    from subscriber_agent.engines.registry import EngineKind
    from subscriber_agent.settings.config import AgentConfig

_FOLDER = "engine-test"
_PAPER_PRICE = "100"

TestKind = Annotated[str | None, typer.Argument(metavar="[KIND]", help="Which engine; without it, the config's.")]
TickerOption = Annotated[str, typer.Option("--ticker", help="What is bought and sold; you must not hold it there.")]
PriceOption = Annotated[str | None, typer.Option("--price", help="Its price now in USD; needed to order anything.")]
QuantityOption = Annotated[int, typer.Option("--quantity", min=1, max=100, help="Shares of one order.")]
RealOption = Annotated[
    bool, typer.Option("--yes-trade-real-money", help="Order for real, on an engine that is not paper. Costs money.")
]
PhraseOption = Annotated[str | None, typer.Option("--phrase", help="The phrase, where there is no keyboard.")]
CaseOption = Annotated[list[str] | None, typer.Option("--case", help="Only this case; may be given several times.")]


def try_engine(
    kind: TestKind = None,
    ticker: TickerOption = "F",
    price: PriceOption = None,
    quantity: QuantityOption = 2,
    case: CaseOption = None,
    trade_real_money: RealOption = False,
    phrase: PhraseOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Whether an engine keeps the agreement: one line a rule. Exit status 3 when one is broken.

    On paper engines it buys and sells; on others it only asks, unless you say otherwise. The paper account of the
    agent is not touched: `paper` is tested in a folder that is thrown away.

    Example: subscriber-agent engine test alpaca --ticker F --price 11.20
    """
    from subscriber_agent.cli.engine import kind_of, with_kind

    place = open_place(config)
    found = kind_of(config, kind)
    here = with_kind(place, found)
    is_paper = here.config.engine.is_paper
    if trade_real_money and not is_paper:
        _ask(here, phrase)
    rig = _rig(found, ticker, price, quantity, may_trade=is_paper or trade_real_money)
    with contextlib.ExitStack() as stack:
        context = _context(place, found, stack, may_trade=rig.may_trade)
        results = asyncio.run(_run(here.config, context, rig, _cases(case), is_quiet=as_json))
    failed = [each for each in results if each.result.value == "FAIL"]
    finish(_envelope(found, rig, results, failed), as_json=as_json, render=_rendered(results, rig))


def _cases(wanted: list[str] | None) -> tuple[str, ...] | None:
    from subscriber_agent.conformance.cases import CASES

    ids = [each.id for each in CASES]
    for each in wanted or ():
        if each not in ids:
            raise InputError(f"there is no case {each[:40]!r}", hint=f"There are: {', '.join(ids)}.")
    return tuple(wanted) if wanted else None


def _ask(place: Place, phrase: str | None) -> None:
    """The friend's word that the kit may spend his money; never kept. Raises InputError."""
    from subscriber_agent.settings.live import engine_label, is_phrase, phrase_of

    wanted = phrase_of(place.creds.user, engine_label(place.config))
    say("the kit will buy and sell at the market with real money; spread, fees and slippage are yours")
    if phrase is None and sys.stdin.isatty():
        say(f"If you mean it, type exactly: {wanted}")
        phrase = str(typer.prompt("", prompt_suffix="> ", default="", show_default=False, err=True))
    if not is_phrase(phrase, wanted):
        raise InputError("the phrase was not given; nothing was ordered", hint=f'If you mean it: --phrase "{wanted}"')


def _rig(kind: EngineKind, ticker: str, price: str | None, quantity: int, *, may_trade: bool) -> Rig:
    from signal_contract.subject import ticker_checked
    from subscriber_agent.conformance.bench import Rig

    if price is None and kind.kind != "paper" and may_trade:
        raise InputError(f"what {ticker} costs must be known to order it", hint="Give it: --price 11.20")
    return Rig(ticker_checked(ticker), _price(price or _PAPER_PRICE), Decimal(quantity), may_trade=may_trade)


def _price(text: str) -> Decimal:
    if not text.replace(".", "", 1).isdecimal() or not 0 < Decimal(text) < 1_000_000:
        raise InputError(f"{text[:20]!r} is not a price in USD, such as 11.20")
    return Decimal(text)


def _context(place: Place, kind: EngineKind, stack: contextlib.ExitStack, *, may_trade: bool) -> EngineContext:
    """A place for the engine's files that is not the agent's, which must not trade there at the same time."""
    from subscriber_agent.identity.holding import held

    context = replace(place.context(), only_looks=not may_trade)
    if kind.kind == "paper":
        return replace(context, data=Path(stack.enter_context(tempfile.TemporaryDirectory())))
    if may_trade and kind.kind == place.config.engine.kind:
        stack.enter_context(held(place.data, place.creds.user))
    folder = place.data / _FOLDER / kind.kind
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return replace(context, data=folder)


async def _run(
    config: AgentConfig, context: EngineContext, rig: Rig, chosen: tuple[str, ...] | None, *, is_quiet: bool
) -> list[CaseResult]:
    """Run the kit. A paper engine without a market of its own is told what the price is."""
    from subscriber_agent.conformance.running import run_cases
    from subscriber_agent.engines.registry import build_engine

    made: list[Engine] = []

    def factory() -> Engine:
        made.append(build_engine(config, context))
        return made[-1]

    async def move(ticker: str, price: Decimal) -> None:
        await made[-1].observe(ticker, price, datetime.now(UTC))

    if config.engine.kind == "paper" and config.engine.paper.price_source == "signals":
        rig = replace(rig, move_price=move)
    results = []
    async for each in run_cases(factory, rig, chosen):
        results.append(each)
        if not is_quiet:
            say(f"{each.result.value}  {each.title}")
    return results


def _envelope(kind: EngineKind, rig: Rig, results: list[CaseResult], failed: list[CaseResult]) -> Envelope:
    data: dict[str, Any] = {
        "kind": kind.kind,
        "may_trade": rig.may_trade,
        "ticker": rig.ticker,
        "results": [each.as_dict() for each in results],
        "counts": _counts(results),
    }
    if not failed:
        return Envelope("subscriber-agent engine test", data)
    hint = "Do not trade with it as it is; the text of each FAIL says what it does wrong."
    broken = Problem("ENGINE_NONCONFORMING", f"{kind.kind} breaks {len(failed)} of {len(results)} rules", hint)
    return Envelope("subscriber-agent engine test", data, ExitCode.PARTIAL, (broken,))


def _counts(results: list[CaseResult]) -> dict[str, int]:
    return {word: sum(each.result.value == word for each in results) for word in ("PASS", "FAIL", "SKIP")}


def _rendered(results: list[CaseResult], rig: Rig) -> Render:
    rows = [(each.result.value, each.id, each.title, each.text or None) for each in results]
    counts = ", ".join(f"{count} {word}" for word, count in _counts(results).items())
    render = table("", "case", "rule", "what was seen", rows=rows)
    note = "" if rig.may_trade else "; nothing was ordered, since real money is behind it"

    def both(out: Any) -> None:
        render(out)
        out.print(f"{counts}{note}", markup=False)

    return both
