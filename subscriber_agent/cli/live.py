"""`subscriber-agent live`: the friend's word on real money, and the gate that `run` passes through.

A supervisor has no keyboard: the word is given here once, and kept with what it was given for.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from signal_contract.cli.answer import finish, say
from signal_contract.envelope import Envelope
from signal_contract.errors import Conflict, InputError, NotFound
from subscriber_agent.cli.place import ConfigOption, CredsOption, JsonOption, Place, open_place

if TYPE_CHECKING:
    from rich.console import Console

    from subscriber_agent.journal import Journal
    from subscriber_agent.settings.live import LiveConsent, LiveGate

live_app = typer.Typer(
    no_args_is_help=True,
    help="Real money: what is missing for it, your word for it, and taking it back.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
PhraseOption = Annotated[str | None, typer.Option("--phrase", help="The phrase, where there is no keyboard.")]


@live_app.command()
def status(config: ConfigOption = None, creds: CredsOption = None, as_json: JsonOption = False) -> None:
    """Whether real money can be traded, and each part of the gate that is still shut.

    Example: subscriber-agent live status
    """
    place = open_place(config, creds)
    consent = _kept(place)
    data = _status(place, _gate(place, consent, is_paper=place.config.engine.is_paper), consent)
    finish(
        Envelope("subscriber-agent live status", data), as_json=as_json, render=lambda out: _render_status(out, data)
    )


@live_app.command()
def confirm(
    phrase: PhraseOption = None, config: ConfigOption = None, creds: CredsOption = None, as_json: JsonOption = False
) -> None:
    """Say yes to real money: shows what will be done with it, and asks for a phrase.

    The word counts for this engine's settings, these rules and stricter ones. What is looser asks again.

    Example: subscriber-agent live confirm
    """
    place = open_place(config, creds)
    gate = _gate(place, _kept(place), is_paper=place.config.engine.is_paper)
    if not gate.is_needed:
        raise Conflict(_nothing_to_confirm(place), hint="Nothing to confirm. `subscriber-agent live status` says why.")
    consent = _given(place, gate, phrase)
    data = {**_consent_dict(consent), "file": str(_keep(place, consent))}
    still = _gate(place, consent, is_paper=False).missing
    lines = [f"Confirmed: {consent.user} trades real money with {consent.engine} ({consent.mode})."]
    lines += [f"Still missing here: {each}" for each in still]
    lines.append("Next: subscriber-agent run. To take it back: subscriber-agent live revoke")
    finish(
        Envelope("subscriber-agent live confirm", {**data, "missing": list(still)}),
        as_json=as_json,
        render=lambda out: out.print("\n".join(lines), markup=False),
    )


@live_app.command()
def revoke(config: ConfigOption = None, creds: CredsOption = None, as_json: JsonOption = False) -> None:
    """Take your word back: the next start is refused, and a running agent only closes positions from now on.

    Example: subscriber-agent live revoke
    """
    from subscriber_agent.settings.live_consent import remove_consent

    place = open_place(config, creds)
    was_given = remove_consent(place.data)
    # A paper account has no word to lose: its trading is left alone.
    is_reduced = not place.config.engine.is_paper and place.is_running() and _reduce(place)
    lines = ["Your word is taken back." if was_given else "No word had been given."]
    if is_reduced:
        lines.append(
            "The running agent makes no entries any more, only exits; `subscriber-agent halt` ends those as well."
        )
    finish(
        Envelope("subscriber-agent live revoke", {"was_given": was_given, "is_reduced": is_reduced}),
        as_json=as_json,
        render=lambda out: out.print("\n".join(lines), markup=False),
    )


def pass_gate(place: Place, *, is_paper: bool) -> LiveGate:
    """Let a start through to real money, or raise ConfigInvalid; asks for the phrase where only that is missing.

    `is_paper` is what the engine itself says.
    """
    from subscriber_agent.settings.live import check_gate, engine_label

    gate = _gate(place, _kept(place), is_paper=is_paper)
    if gate.is_word_missing and sys.stdin.isatty():
        consent = _given(place, gate, None)
        _keep(place, consent)
        gate = _gate(place, consent, is_paper=is_paper)
        check_gate(gate, engine_label(place.config))
        return gate
    check_gate(gate, engine_label(place.config))
    for line in gate.will_do:
        say(line)
    return gate


def note_live_start(place: Place, journal: Journal) -> None:
    """Write down that real money is traded from now on, and by which word; the agent's own journal, open."""
    consent = _kept(place)
    what = {} if consent is None else _consent_dict(consent)
    journal.write_loosening("live_started", what, place.config.config_hash(), datetime.now(UTC))


def _kept(place: Place) -> LiveConsent | None:
    from subscriber_agent.settings.live_consent import read_consent

    return read_consent(place.data)


def _gate(place: Place, consent: LiveConsent | None, *, is_paper: bool) -> LiveGate:
    from subscriber_agent.settings.live import live_gate

    creds = place.creds
    return live_gate(place.config, os.environ, consent, user=creds.user, account=creds.account, is_paper=is_paper)


def _given(place: Place, gate: LiveGate, phrase: str | None) -> LiveConsent:
    """The friend's word, after he was shown what it means. Raises InputError."""
    from subscriber_agent.settings.live import consent_from, is_phrase

    for line in gate.will_do:
        say(f"  {line}")
    if phrase is None and not sys.stdin.isatty():
        raise InputError(
            "there is no keyboard here to type the phrase on",
            hint=f'If you mean it: subscriber-agent live confirm --phrase "{gate.phrase}"',
        )
    if phrase is None:
        say(f"If you mean it, type exactly: {gate.phrase}")
        phrase = str(typer.prompt("", prompt_suffix="> ", default="", show_default=False, err=True))
    if not is_phrase(phrase, gate.phrase):
        raise InputError("that is not the phrase; nothing was confirmed", hint=f"It is, exactly: {gate.phrase}")
    return consent_from(place.config, user=place.creds.user, account=place.creds.account, at=datetime.now(UTC))


def _keep(place: Place, consent: LiveConsent) -> Any:
    """Journal the word, then keep it. Before the first start there is no journal: every start notes it as well."""
    from subscriber_agent.settings.live_consent import write_consent

    try:
        with place.journal(read_only=False) as journal:
            journal.write_loosening("live_confirmed", _consent_dict(consent), consent.config_hash, consent.at)
    except NotFound:
        pass
    return write_consent(place.data, consent)


def _reduce(place: Place) -> bool:
    """Set the friend's own latch to exits only, unless it is stricter already."""
    from subscriber_agent.receiving.control_state import LOCAL_LATCH, stricter
    from subscriber_agent.risk.market import TradingState

    with place.journal(read_only=False) as journal, journal.transaction():
        kept = journal.latch(LOCAL_LATCH)
        before = TradingState.from_text(None if kept is None else kept.value)
        after = stricter(before, TradingState.REDUCING)
        if after is not before:
            journal.set_latch(LOCAL_LATCH, after.value, "your word on real money was taken back", datetime.now(UTC))
    return True


def _nothing_to_confirm(place: Place) -> str:
    mode, engine = place.config.mode.value, place.config.engine
    behind = "no real money is behind it" if engine.is_paper else "nothing is ordered"
    return f"mode {mode} on {engine.kind}: {behind}"


def _consent_dict(consent: LiveConsent) -> dict[str, Any]:
    return {
        "user": consent.user,
        "engine": consent.engine,
        "mode": consent.mode,
        "config_hash": consent.config_hash,
        "engine_hash": consent.engine_hash,
        "at": consent.at.isoformat(),
    }


def _status(place: Place, gate: LiveGate, consent: LiveConsent | None) -> dict[str, Any]:
    return {
        "user": place.creds.user,
        "mode": place.config.mode.value,
        "engine": place.config.engine.kind,
        "is_paper": place.config.engine.is_paper,
        "is_needed": gate.is_needed,
        "is_open": gate.is_open,
        "missing": list(gate.missing),
        "consent": None if consent is None else _consent_dict(consent),
        "phrase": gate.phrase,
        "will_do": list(gate.will_do),
    }


def _render_status(out: Console, data: dict[str, Any]) -> None:
    money = "pretend money" if data["is_paper"] else "real money"
    lines = [f"mode {data['mode']} on {data['engine']}: {money}"]
    if not data["is_needed"]:
        lines.append("No real money is traded with this config, so there is no gate to pass.")
    elif data["is_open"]:
        lines.append(f"The gate is open; your word was given at {data['consent']['at'][:19]} UTC.")
    else:
        lines.append("The gate is shut. Missing, seen from this shell:")
        lines += [f"  {each}" for each in data["missing"]]
    lines += [f"It would: {each}" if n == 0 else f"          {each}" for n, each in enumerate(data["will_do"])]
    out.print("\n".join(lines), markup=False)
