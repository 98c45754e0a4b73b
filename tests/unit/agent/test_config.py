"""The settings file: every mistake at once, each with its line, and nothing read by chance."""

import contextlib
import json
from decimal import Decimal
from pathlib import Path

import pytest
from agent_samples import KEY
from hypothesis import given, settings
from hypothesis import strategies as st

from signal_contract.errors import ConfigInvalid
from signal_contract.feedback import Privacy
from signal_contract.resources import resource_path
from subscriber_agent.risk.limits import Limits
from subscriber_agent.settings.config import AgentConfig, Mode, load_config
from subscriber_agent.settings.example import example_yaml, schema_json
from subscriber_agent.settings.fields import allowed_text, is_list
from subscriber_agent.settings.yaml_source import MAX_BYTES, yaml_from_text

GOOD = f'servers: ["nats://127.0.0.1:4222"]\ncreds: alice.creds\npublisher_key: "{KEY}"\n'


def load(tmp_path, text, **options):
    path = tmp_path / "agent.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(path, **options)


def violations(tmp_path, text):
    with pytest.raises(ConfigInvalid) as caught:
        load(tmp_path, text)
    prefix = f"{tmp_path / 'agent.yaml'}:"
    assert all(line.startswith(prefix) for line in caught.value.violations)
    return [line.removeprefix(prefix) for line in caught.value.violations]


def test_a_short_file_gets_every_default(tmp_path):
    config = load(tmp_path, GOOD)
    assert config.mode is Mode.PAPER
    assert config.risk == Limits()
    assert config.engine.paper.start_cash_usd == 10_000
    assert config.creds == tmp_path / "alice.creds"


def test_the_operators_starter_config_loads(tmp_path):
    text = GOOD + 'mode: paper\nengine: {kind: paper, paper: {start_cash_usd: "5000"}}\nrisk: {}   # defaults\n'
    assert load(tmp_path, text).engine.paper.start_cash_usd == 5000


def test_sections_with_every_line_commented_out_are_empty(tmp_path):
    assert load(tmp_path, GOOD + "risk:\n  # max_age_s: 5\nengine:\n") == load(tmp_path, GOOD)


def test_numbers_are_read_from_their_text_never_through_a_float(tmp_path):
    risk = load(tmp_path, GOOD + "risk: {min_confidence: 0.70, max_price_usd: 19.9900000001}").risk
    assert str(risk.min_confidence) == "0.70"
    assert risk.max_price_usd == Decimal("19.9900000001")


def test_tickers_that_yaml_takes_for_booleans_stay_tickers(tmp_path):
    assert load(tmp_path, GOOD + "risk: {deny_tickers: [ON, TRUE, Y, 600519]}").risk.deny_tickers == (
        "600519",
        "ON",
        "TRUE",
        "Y",
    )


def test_catalyst_aliases_are_expanded(tmp_path):
    assert load(tmp_path, GOOD + 'risk: {deny_catalysts: ["M&A", FDA]}').risk.deny_catalysts == (
        "acquisition",
        "fda",
        "merger",
    )


def test_creds_from_the_command_line_win_and_may_be_missing_in_the_file(tmp_path):
    text = GOOD.replace("creds: alice.creds\n", "")
    assert load(tmp_path, text, creds=tmp_path / "bob.creds").creds == tmp_path / "bob.creds"
    assert load(tmp_path, GOOD, creds=tmp_path / "bob.creds").creds == tmp_path / "bob.creds"


def test_data_is_relative_to_the_file_and_has_a_default_per_user(tmp_path):
    assert load(tmp_path, GOOD + "data: ../signals").data_dir("alice", "AX") == tmp_path / "../signals"
    assert load(tmp_path, GOOD).data_dir("alice", "A" * 56).name == "alice-AAAAAAAAAAAA"
    assert load(tmp_path, GOOD).data_dir("alice", "AX") != load(tmp_path, GOOD).data_dir("alice", "AY")


def test_every_mistake_is_named_at_once_with_its_line(tmp_path):
    text = (
        "servers: [nats://10.0.0.1:4222]\n"
        "publisher_key: nope\n"
        "mode: wild\n"
        "max_exposure_percent: 3\n"
        "engine: {kind: broker, paper: {start_cash_usd: 1}}\n"
        "risk:\n"
        "  max_positon: 3\n"
        "  min_confidence: 1.5\n"
        "  min_confidence: 0.7\n"
        "  max_open_positions: many\n"
        "  deny_catalysts: [fdaa]\n"
        "  allow_shorts: yes\n"
        "  max_age_s: null\n"
        "  fixed_usd: 1_000\n"
        "  deny_tickers: GME\n"
    )
    found = violations(tmp_path, text)
    expected = [
        (1, "creds: is missing"),
        (1, "clear text"),
        (2, "publisher_key"),
        (3, "mode: is not one of the choices (allowed: notify or paper or approve or live)"),
        (4, "it belongs in the section risk:"),
        (5, "engine.kind: is not one of the choices (allowed: paper or alpaca or webhook"),
        (5, "engine.paper.start_cash_usd: is outside the range (allowed: 100 to 100000000)"),
        (7, "risk.max_positon: is not a setting; did you mean 'max_open_positions'?"),
        (8, "risk.min_confidence: is outside the range (allowed: 0 to 1)"),
        (9, "risk.min_confidence: is given twice, first on line 8"),
        (10, "risk.max_open_positions: is not a whole number (allowed: 1 to 100)"),
        (11, "did you mean 'fda'?"),
        (12, "risk.allow_shorts: is neither (allowed: true or false)"),
        (13, "risk.max_age_s: is not a plain number"),
        (14, "risk.fixed_usd: is not a plain number"),
        (15, "risk.deny_tickers: must be a list"),
    ]
    assert len(found) == len(expected)
    for line, (number, words) in zip(found, expected, strict=True):
        assert line.startswith(f"{number}: ")
        assert words in line


@pytest.mark.parametrize("mode", Mode)
def test_every_mode_is_a_word_of_the_config(tmp_path, mode):
    file = tmp_path / "agent.yaml"
    file.write_text(GOOD + f"mode: {mode}\n")
    assert load_config(file).mode is mode


@pytest.mark.parametrize("value", [".nan", ".inf", "1e3", "0x10", "1:30", "-1", '""', "[1]", "true"])
def test_odd_numbers_are_refused(tmp_path, value):
    assert len(violations(tmp_path, GOOD + f"risk: {{fixed_usd: {value}}}\n")) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must hold `key: value` lines"),
        ("- a\n- b\n", "must hold `key: value` lines"),
        ("just words\n", "must hold `key: value` lines"),
        ("a: [1, 2\nb: 3\n", "not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("a: &x [1]\nb: *x\n", "anchors and aliases"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("a: \x07\n", "control character"),
        (b"a: \xff\n", "not UTF-8"),
        ("a: '" + "x" * MAX_BYTES + "'\n", "larger than 256 KB"),
    ],
)
def test_what_is_not_a_settings_file_is_refused_with_a_line(tmp_path, text, words):
    (line,) = violations(tmp_path, text)
    assert words in line


def test_a_yaml_error_names_its_line(tmp_path):
    assert violations(tmp_path, GOOD + "risk:\n  a: 'x\n")[0].split(":")[0] in ("5", "6")


def test_tags_and_odd_keys_are_refused(tmp_path):
    found = violations(tmp_path, GOOD + "data: !!python/object:os.system x\n? [a]\n: b\n")
    assert any("tags such as" in line for line in found)
    assert any("a key must be one word" in line for line in found)


def test_a_hostile_key_cannot_reach_the_terminal(tmp_path):
    assert "\x1b" not in "".join(violations(tmp_path, GOOD + '"\\e[31mred": 1\n'))


def test_a_missing_file_is_a_config_error(tmp_path):
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        load_config(tmp_path / "none.yaml")


def test_limits_that_contradict_each_other_are_refused(tmp_path):
    found = violations(tmp_path, GOOD + "risk:\n  min_price_usd: 30\n")
    assert found == ["4: risk: min_price_usd is above max_price_usd: every entry would be refused"]


def test_the_hash_is_of_the_rules_not_of_places_or_spelling(tmp_path):
    base = load(tmp_path, GOOD)
    assert load(tmp_path, GOOD.replace("alice", "bob") + "risk: {min_confidence: 0.7}").config_hash() == (
        base.config_hash()
    )
    assert load(tmp_path, GOOD + "risk: {min_confidence: 0.71}").config_hash() != base.config_hash()
    assert load(tmp_path, GOOD + "mode: notify").config_hash() != base.config_hash()
    assert len(base.config_hash()) == 16


def test_the_example_in_the_repository_is_the_one_made_from_the_model_and_loads():
    path = resource_path("config/agent.example.yaml")
    assert path.read_text(encoding="utf-8") == example_yaml()
    config = load_config(path)
    assert (config.risk, config.mode) == (Limits(), Mode.PAPER)


def test_every_setting_is_described_and_every_limit_has_a_default_and_a_range():
    for name, field in AgentConfig.model_fields.items():
        assert field.description or name in ("engine", "risk"), name
    for name, field in Limits.model_fields.items():
        assert field.description, name
        assert field.default is not None, name
        assert allowed_text(field) or is_list(field) or isinstance(field.default, dict), name


def test_the_schema_in_the_repository_is_the_one_made_from_the_model_and_knows_every_setting():
    text = resource_path("config/schema/agent.v1.schema.json").read_text(encoding="utf-8")
    assert text == schema_json()
    document = json.loads(text)
    assert set(document["properties"]) == set(AgentConfig.model_fields)
    assert document["required"] == ["servers", "creds", "publisher_key"]
    risk = document["properties"]["risk"]
    assert set(risk["properties"]) == set(Limits.model_fields)
    assert risk["properties"]["min_confidence"] | {"description": ""} == {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "default": 0.7,
        "description": "",
    }
    assert risk["properties"]["max_open_positions"]["type"] == "integer"
    assert risk["properties"]["min_price_usd"]["exclusiveMinimum"] == 0
    assert risk["additionalProperties"] is False


def test_the_example_says_unit_range_and_consequence():
    text = example_yaml()
    assert text.startswith("# yaml-language-server: $schema=schema/agent.v1.schema.json\n")
    assert "# Allowed: 1 to 86400 seconds. Higher is looser.\n  max_age_s: 120\n" in text
    assert "# Allowed: 0 to 1. Lower is looser.\n  min_confidence: 0.70\n" in text
    assert "# Allowed: true or false. true is looser.\n  allow_shorts: false\n" in text
    assert max(map(len, text.splitlines())) <= 120


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=200))
def test_any_text_is_read_or_refused_as_config_invalid(text):
    with contextlib.suppress(ConfigInvalid):
        yaml_from_text(text, Path("x.yaml"))


def test_the_operator_is_told_verdicts_only_unless_the_friend_says_otherwise(tmp_path):
    base = load(tmp_path, GOOD)
    assert (base.privacy, base.alert_after_s, base.exit_when_not_live_s) == (Privacy.DECISIONS, 60, 0)
    for level in Privacy:
        assert load(tmp_path, GOOD + f"privacy: {level.value}\n").privacy is level
    changed = load(tmp_path, GOOD + "privacy: full\nalert_after_s: 5\nexit_when_not_live_s: 86400\n")
    assert (changed.alert_after_s, changed.exit_when_not_live_s) == (5, 86400)
    assert changed.config_hash() == base.config_hash()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("privacy: everything", "privacy: is not one of the choices (allowed: none or decisions or outcomes or full)"),
        ("privacy: [full]", "privacy: is not one of the choices (allowed: none or decisions or outcomes or full)"),
        ("privacy:", "privacy: is not one of the choices (allowed: none or decisions or outcomes or full)"),
        ("alert_after_s: 4", "alert_after_s: is outside the range (allowed: 5 to 3600)"),
        ("alert_after_s: 3601", "alert_after_s: is outside the range (allowed: 5 to 3600)"),
        ("exit_when_not_live_s: 86401", "exit_when_not_live_s: is outside the range (allowed: 0 to 86400)"),
        ("exit_when_not_live_s: -1", "exit_when_not_live_s: is not a whole number (allowed: 0 to 86400)"),
    ],
)
def test_what_is_told_and_when_to_be_alerted_have_choices_and_ranges(tmp_path, line, problem):
    assert violations(tmp_path, GOOD + line + "\n") == [f"4: {problem}"]
