"""The section `engine:` and those below it: one a kind, each setting with its origin; what has moved says where to."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml
from agent_samples import KEY, a_config

from signal_contract.errors import ConfigInvalid, EngineUnusable
from signal_contract.resources import resource_path
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.registry import ENGINE_KINDS, build_engine
from subscriber_agent.settings.config import AgentConfig, EngineConfig, load_config, read_config
from subscriber_agent.settings.directions import changes, needs_restart, running, tightened
from subscriber_agent.settings.example import example_yaml, schema
from subscriber_agent.settings.fields import leaves, section_of
from subscriber_agent.settings.yaml_source import dotted

GOOD = f'servers: ["nats://127.0.0.1:4222"]\ncreds: alice.creds\npublisher_key: "{KEY}"\n'
ENGINE_SETTINGS = [(path, field) for path, field in leaves(AgentConfig) if path[0] == "engine"]


def loaded(tmp_path, text, **environ):
    path = tmp_path / "agent.yaml"
    path.write_text(GOOD + text)
    return read_config(path, environ=environ)


def violations(tmp_path, text, **environ):
    with pytest.raises(ConfigInvalid) as caught:
        loaded(tmp_path, text, **environ)
    return [each.removeprefix(f"{tmp_path / 'agent.yaml'}:") for each in caught.value.violations]


def test_every_kind_has_a_section_and_every_section_a_kind():
    kinds = get_args(EngineConfig.model_fields["kind"].annotation)
    sections = [name for name, field in EngineConfig.model_fields.items() if section_of(field) is not None]
    assert sorted(kinds) == sorted(sections) == sorted(ENGINE_KINDS)
    assert all(name == kind.kind for name, kind in ENGINE_KINDS.items())


@pytest.mark.parametrize(("path", "field"), ENGINE_SETTINGS, ids=[dotted(path) for path, _ in ENGINE_SETTINGS])
def test_every_engine_setting_has_a_default_and_a_description(path, field):
    assert not field.is_required()
    assert len(field.description or "") > 20


def test_a_nested_setting_is_read_with_its_line(tmp_path):
    found = loaded(tmp_path, "engine:\n  kind: command\n  command:\n    argv: [broker, --fast]\n    timeout_s: 2.5\n")
    assert found.config.engine.chosen.argv == ("broker", "--fast")
    assert str(found.origin_of(("engine", "command", "timeout_s"))) == f"{tmp_path / 'agent.yaml'}:8"
    assert str(found.origin_of(("engine", "paper", "slippage_bps"))) == "default"


def test_a_nested_setting_may_come_from_the_environment(tmp_path):
    found = loaded(
        tmp_path,
        "engine: {paper: {slippage_bps: 5}}\n",
        SUBSCRIBER_AGENT__ENGINE__PAPER__SPREAD_BPS="12",
        SUBSCRIBER_AGENT__ENGINE__COMMAND__ARGV="[broker]",
        SUBSCRIBER_AGENT__ENGINE__WEBHOOK__SECRET_FILE="hook.secret",
    )
    paper = found.config.engine.paper
    assert (paper.slippage_bps, paper.spread_bps) == (5, 12)
    assert found.config.engine.command.argv == ("broker",)
    assert found.config.engine.webhook.secret_file == Path("hook.secret")
    assert str(found.origin_of(("engine", "paper", "spread_bps"))) == "env SUBSCRIBER_AGENT__ENGINE__PAPER__SPREAD_BPS"


def test_a_secret_in_the_environment_is_refused_where_its_files_name_is_not(tmp_path):
    (line,) = violations(tmp_path, "", SUBSCRIBER_AGENT__ENGINE__WEBHOOK__SECRET="hush")
    assert "secrets are not taken from the environment" in line
    assert "hush" not in line


def test_empty_sections_are_defaults(tmp_path):
    text = "engine:\n  paper:\n    # slippage_bps: 5\n  alpaca:\n"
    assert loaded(tmp_path, text).config == loaded(tmp_path, "").config


@pytest.mark.parametrize("name", ["start_cash_usd", "slippage_bps"])
def test_a_setting_at_its_old_place_says_exactly_where_it_moved(tmp_path, name):
    (line,) = violations(tmp_path, f"engine:\n  kind: paper\n  {name}: 50\n")
    told = f"write engine: {{paper: {{{name}: …}}}} (that is engine.paper.{name})"
    assert line == f"6: engine.{name}: has moved, {told}"
    (line,) = violations(tmp_path, "", **{f"SUBSCRIBER_AGENT__ENGINE__{name.upper()}": "50"})
    assert f"has moved, {told}" in line


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("engine: {kind: alpca}", "4: engine.kind: is not one of the choices (allowed: paper or alpaca or"),
        ("engine: {alpaca: {endpiont: live}}", "did you mean 'endpoint'?"),
        ("engine: {argv: [x]}", "4: engine.argv: is not a setting here; it belongs in the section engine.command:"),
        ("engine: {reconcile_minutes: 0}", "4: engine.reconcile_minutes: is outside the range (allowed: 1 to 60)"),
        ("engine: {watch_s: 31}", "4: engine.watch_s: is outside the range (allowed: 1 to 30)"),
        ("engine: {paper: 5}", "4: engine.paper: must be a section"),
        (
            "engine: {paper: {slippage_bps: 501}}",
            "4: engine.paper.slippage_bps: is outside the range (allowed: 0 to 500)",
        ),
        ("engine: {paper: {price_source: engine}}", "4: engine.paper: price_source is engine, and quotes_from"),
        ("engine: {alpaca: {trading_url: 'https://api.alpaca.markets'}}", "4: engine.alpaca.trading_url: must be"),
        ("engine: {command: {argv: broker}}", "4: engine.command.argv: must be a list of words"),
    ],
    ids=lambda text: text[:40],
)
def test_a_mistake_in_a_nested_section_is_named(tmp_path, text, problem):
    (line,) = violations(tmp_path, text + "\n")
    assert problem in line


def test_what_an_engine_is_made_with_counts_from_the_next_start_on():
    old = a_config(Path("data"))
    new = a_config(Path("data"), engine={"kind": "command", "command": {"argv": ["x"]}, "paper": {"spread_bps": 9}})
    found = {each.key for each in changes(old, new)}
    assert found == {"engine.kind", "engine.command.argv", "engine.paper.spread_bps"}
    assert all(needs_restart(each, None) for each in found)
    assert running(old, new) == tightened(old, new) == old


def test_the_hash_is_of_the_engine_that_is_asked_not_of_the_others():
    base = a_config(Path("data")).config_hash()
    assert a_config(Path("data"), engine={"command": {"argv": ["x"]}}).config_hash() == base
    assert a_config(Path("data"), engine={"paper": {"spread_bps": 9}}).config_hash() != base
    quoting = {"paper": {"price_source": "engine", "quotes_from": "alpaca"}}
    other = a_config(Path("data"), engine=quoting).config_hash()
    assert a_config(Path("data"), engine={**quoting, "alpaca": {"feed": "sip"}}).config_hash() != other


@pytest.mark.parametrize(
    ("engine", "is_paper"),
    [
        ({}, True),
        ({"kind": "alpaca"}, True),
        ({"kind": "alpaca", "alpaca": {"endpoint": "live"}}, False),
        ({"kind": "alpaca", "alpaca": {"trading_url": "http://127.0.0.1:9"}}, True),
        ({"kind": "webhook"}, False),
        ({"kind": "webhook", "webhook": {"is_paper": "true"}}, True),
        ({"kind": "command"}, False),
        ({"kind": "python"}, False),
        ({"kind": "python", "python": {"is_paper": "true"}}, True),
        ({"kind": "catalyst_bot"}, True),
    ],
    ids=str,
)
def test_an_engine_counts_as_real_money_unless_its_settings_say_otherwise(engine, is_paper):
    assert a_config(Path("data"), engine=engine).engine.is_paper is is_paper


def test_a_paper_endpoint_at_another_address_is_not_believed():
    settings = a_config(Path("data")).engine.alpaca.model_copy(update={"trading_url": "https://api.alpaca.markets"})
    assert ENGINE_KINDS["alpaca"].is_paper(settings) is False


def test_the_example_shows_paper_and_has_the_other_sections_commented_out(tmp_path):
    text = example_yaml()
    document = yaml.safe_load(text)["engine"]
    assert set(document) == {"kind", "reconcile_minutes", "watch_s", "paper"}
    for kind in set(ENGINE_KINDS) - {"paper"}:
        assert f"\n  # {kind}:\n" in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("kind", sorted(set(ENGINE_KINDS) - {"paper"}))
def test_a_section_of_the_example_can_be_uncommented_as_it_is(tmp_path, kind):
    lines = iter(resource_path("config/agent.example.yaml").read_text().splitlines())
    found = [next(line for line in lines if line == f"  # {kind}:")]
    for line in lines:
        if not line.startswith("  #   "):
            break
        found.append(line)
    (tmp_path / "agent.yaml").write_text(GOOD + "engine:\n" + "\n".join(each.replace("# ", "", 1) for each in found))
    assert load_config(tmp_path / "agent.yaml", environ={}) == load_config(_plain(tmp_path), environ={})


def _plain(tmp_path):
    path = tmp_path / "plain.yaml"
    path.write_text(GOOD)
    return path


def test_the_schema_knows_every_nested_setting():
    engine = schema()["properties"]["engine"]["properties"]
    assert engine["kind"]["enum"] == list(ENGINE_KINDS)
    assert engine["command"]["properties"]["argv"]["type"] == "array"
    assert engine["python"]["properties"]["options"]["type"] == "object"
    assert engine["alpaca"]["properties"]["timeout_s"]["type"] == "number"
    assert engine["paper"]["properties"]["quotes_from"]["enum"]
    assert engine["alpaca"]["additionalProperties"] is False


def test_settings_load_none_of_the_engines_libraries():
    code = (
        "import sys; import subscriber_agent.settings.config, subscriber_agent.settings.example; "
        "print([each for each in ('aiohttp', 'alpaca', 'sqlite3', 'nats', 'catalyst_bot') if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"


def test_an_engine_that_lacks_something_is_refused_by_name(tmp_path):
    context = EngineContext(tmp_path, tmp_path, "alice", environ={})
    for kind in ("command", "python", "webhook", "alpaca"):
        with pytest.raises(EngineUnusable):
            build_engine(a_config(tmp_path, engine={"kind": kind}), context)
