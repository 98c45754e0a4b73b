"""Profiles, variables and options: which wins, where each value came from, and what is refused."""

from decimal import Decimal

import pytest
from agent_samples import KEY

from signal_contract.errors import ConfigInvalid
from subscriber_agent.risk.limits import Limits
from subscriber_agent.settings.config import Mode, load_config, profile_limits, read_config
from subscriber_agent.settings.directions import Verdict, changes
from subscriber_agent.settings.profiles import SHIPPED, profile_path

GOOD = f'servers: ["nats://127.0.0.1:4222"]\ncreds: alice.creds\npublisher_key: "{KEY}"\n'
PREFIX = "SUBSCRIBER_AGENT__"


def write(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(tmp_path, text, environ=None, **options):
    return read_config(write(tmp_path, "agent.yaml", text), environ=environ or {}, **options)


def refused(tmp_path, text, environ=None):
    with pytest.raises(ConfigInvalid) as caught:
        read(tmp_path, text, environ)
    return [line.replace(f"{tmp_path}/", "") for line in caught.value.violations]


# Profiles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_profile_is_valid_holds_risk_only_and_explains_every_line(tmp_path, name):
    config = read(tmp_path, f"extends: {name}\n{GOOD}").config
    assert config.risk == profile_limits(name)
    lines = profile_path(name).read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith(f"# {name}: ")
    assert lines[1] == "risk:"
    assert all("# " in line and line.startswith("  ") for line in lines[2:])


def test_balanced_is_the_defaults_and_cautious_is_nowhere_looser(tmp_path):
    default = read(tmp_path, GOOD).config
    assert profile_limits("balanced") == Limits()
    cautious = changes(default, read(tmp_path, f"extends: cautious\n{GOOD}").config)
    assert cautious
    assert {each.direction for each in cautious} == {Verdict.STRICTER}
    bold = changes(default, read(tmp_path, f"extends: bold\n{GOOD}").config)
    assert {each.direction for each in bold} == {Verdict.LOOSER}


def test_the_own_files_keys_win_and_every_value_says_where_it_came_from(tmp_path):
    write(tmp_path, "base.yaml", "extends: cautious\nrisk:\n  fixed_usd: 100\n  deny_tickers: [GME]\n")
    text = f"extends: base.yaml\n{GOOD}risk:\n  max_age_s: 90\n  deny_tickers: [AMC]\n"
    environ = {f"{PREFIX}RISK__MAX_OPEN_POSITIONS": "2", f"{PREFIX}RISK__ALLOW_CATALYSTS": "[fda, merger]"}
    loaded = read(tmp_path, text, environ, creds=tmp_path / "bob.creds")
    risk = loaded.config.risk
    assert (risk.max_age_s, risk.fixed_usd, risk.max_open_positions) == (90, 100, 2)
    assert risk.min_confidence == Decimal("0.80")
    # A list is what the line says, not what a profile adds to it.
    assert risk.deny_tickers == ("AMC",)
    assert risk.allow_catalysts == ("fda", "merger")
    sources = {
        "creds": "--creds",
        "mode": "default",
        "servers": f"{tmp_path / 'agent.yaml'}:2",
        "risk.max_age_s": f"{tmp_path / 'agent.yaml'}:6",
        "risk.deny_tickers": f"{tmp_path / 'agent.yaml'}:7",
        "risk.fixed_usd": "profile base.yaml:3",
        "risk.max_open_positions": f"env {PREFIX}RISK__MAX_OPEN_POSITIONS",
        "risk.warn_clock_skew_s": "default",
    }
    assert {key: str(loaded.origin_of(tuple(key.split(".")))) for key in sources} == sources
    assert str(loaded.origin_of(("risk", "min_confidence"))).startswith("profile cautious:")
    assert [path.name for path in loaded.files] == ["agent.yaml", "base.yaml", "cautious.yaml"]


def test_an_empty_risk_section_keeps_the_profiles(tmp_path):
    assert read(tmp_path, f"extends: cautious\n{GOOD}risk:\n  # fixed_usd: 5\n").config.risk.fixed_usd == 200


def test_a_path_is_relative_to_the_file_that_names_it(tmp_path):
    (tmp_path / "shared").mkdir()
    write(tmp_path / "shared", "mine.yml", "extends: ./lower.yaml\n")
    write(tmp_path / "shared", "lower.yaml", "risk: {max_age_s: 7}\n")
    assert read(tmp_path, f"extends: shared/mine.yml\n{GOOD}").config.risk.max_age_s == 7


def test_a_circle_is_refused_with_the_names_in_it(tmp_path):
    write(tmp_path, "a.yaml", "extends: b.yaml\n")
    write(tmp_path, "b.yaml", "extends: ./a.yaml\n")
    (line,) = refused(tmp_path, f"extends: a.yaml\n{GOOD}")
    assert line == "b.yaml:1: extends: goes in a circle: agent.yaml → a.yaml → b.yaml → ./a.yaml"
    assert "agent.yaml → agent.yaml" in refused(tmp_path, f"extends: agent.yaml\n{GOOD}")[0]


def test_three_profiles_may_stand_above_each_other_and_not_four(tmp_path):
    for name, below in (("a", "b.yaml"), ("b", "cautious")):
        write(tmp_path, f"{name}.yaml", f"extends: {below}\n")
    assert read(tmp_path, f"extends: a.yaml\n{GOOD}").config.risk == profile_limits("cautious")
    write(tmp_path, "b.yaml", "extends: c.yaml\n")
    write(tmp_path, "c.yaml", "extends: cautious\n")
    (line,) = refused(tmp_path, f"extends: a.yaml\n{GOOD}")
    assert "is more than 3 deep: agent.yaml → a.yaml → b.yaml → c.yaml → cautious" in line


@pytest.mark.parametrize(
    ("extends", "words"),
    [
        ("cautios", "there is no profile 'cautios'; did you mean 'cautious'?"),
        ("wild", "there is no profile 'wild' (allowed: cautious, balanced, bold or a path"),
        ("[a, b]", "extends: must be cautious, balanced, bold or a path"),
        ('"\\e[31m.yaml"', "extends: must be"),
        ("none.yaml", "cannot be read"),
    ],
)
def test_a_profile_that_is_not_there_is_one_mistake_on_its_line(tmp_path, extends, words):
    (line,) = refused(tmp_path, f"{GOOD}extends: {extends}\n")
    assert line.startswith("agent.yaml:4: extends: ")
    assert words in line


def test_a_profile_cannot_name_servers_keys_or_modes(tmp_path):
    write(tmp_path, "evil.yaml", f"risk: {{max_age_s: 5}}\nservers: [tls://evil.example:1]\npublisher_key: {KEY}\n")
    found = refused(tmp_path, f"extends: evil.yaml\n{GOOD}")
    assert [line.split(": ")[:2] for line in found] == [["evil.yaml:2", "servers"], ["evil.yaml:3", "publisher_key"]]


def test_mistakes_in_file_profile_and_environment_are_all_named_at_once(tmp_path):
    write(tmp_path, "base.yaml", "risk:\n  max_age_s: 0\n  max_age: 3\n  fixed_usd: 1\n  fixed_usd: 2\n")
    text = f"extends: base.yaml\n{GOOD}mode: wild\nrisk:\n  min_confidence: 2\n"
    environ = {
        f"{PREFIX}RISK__MAX_POSITON": "3",
        f"{PREFIX}RISK__ALLOW_SHORTS": "yes",
        f"{PREFIX}ENGINE": "paper",
        "SUBSCRIBER_AGENT_CONFIG": "not a setting's variable",
    }
    found = refused(tmp_path, text, environ)
    assert [line[: len(start)] for line, start in zip(found, STARTS, strict=True)] == STARTS


STARTS = [
    "agent.yaml:5: mode: is not one of the choices (allowed: notify or paper or approve or live)",
    "agent.yaml:7: risk.min_confidence: is outside the range (allowed: 0 to 1)",
    "base.yaml:2: risk.max_age_s: is outside the range (allowed: 1 to 86400)",
    "base.yaml:3: risk.max_age: is not a setting; did you mean 'max_age_s'?",
    "base.yaml:5: risk.fixed_usd: is given twice, first on line 4",
    f"env {PREFIX}ENGINE: engine: must be a section",
    f"env {PREFIX}RISK__ALLOW_SHORTS: risk.allow_shorts: is neither (allowed: true or false)",
    f"env {PREFIX}RISK__MAX_POSITON: risk.max_positon: is not a setting; did you mean 'max_open_positions'?",
]


def test_a_profile_that_is_not_yaml_is_refused_with_its_own_line(tmp_path):
    write(tmp_path, "base.yaml", "risk:\n  a: [1\nb: 3\n")
    (line,) = refused(tmp_path, f"extends: base.yaml\n{GOOD}")
    assert line.startswith("base.yaml:3: not valid YAML")


# Environment ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "key", "expected"),
    [
        ("MODE", "notify", "mode", Mode.NOTIFY),
        ("CA_FILE", "null", "ca_file", None),
        ("RISK__DENY_TICKERS", "[ON, GME]", "deny_tickers", ("GME", "ON")),
        ("RISK__MIN_CONFIDENCE", "0.9", "min_confidence", Decimal("0.9")),
        ("RISK__MAX_AGE_S_BY_CATALYST", "{fda: 60}", "max_age_s_by_catalyst", {"fda": 60}),
        ("RISK", "{fixed_usd: 50}", "fixed_usd", 50),
    ],
)
def test_a_variable_wins_over_the_file(tmp_path, name, value, key, expected):
    text = f"{GOOD}mode: paper\nca_file: ca.pem\nrisk: {{deny_tickers: [AMC], fixed_usd: 70}}\n"
    config = read(tmp_path, text, {PREFIX + name: value}).config
    assert getattr(config if key in ("mode", "ca_file") else config.risk, key) == expected


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("RISK__", "1", "names no setting"),
        ("", "1", "names no setting"),
        ("EXTENDS", "bold", "belongs in the file"),
        ("Risk__Fixed_Usd", "1", "capital letters"),
        ("RISK__MAX_AGE_S__FDA", "1", "goes below a single setting: give risk.max_age_s as a whole"),
        ("RISK__DENY_TICKERS", "[GME", "is not a list or mapping"),
        ("RISK__DENY_TICKERS", "GME", "must be a list"),
        ("RISC__FIXED_USD", "1", "risc: is not a setting; did you mean 'risk'?"),
        ("RISK__FIXED_USD", "", "is not a plain number"),
    ],
)
def test_a_variable_that_is_no_setting_is_refused_by_name(tmp_path, name, value, words):
    (line,) = refused(tmp_path, GOOD, {PREFIX + name: value})
    assert line.startswith(f"env {PREFIX}{name}: ")
    assert words in line


@pytest.mark.parametrize(
    ("name", "value"),
    [("SEED", "x"), ("CREDS_PASSPHRASE", "x"), ("CREDS", "SU" + "A" * 56), ("CREDS", "-----BEGIN NATS USER JWT-----")],
)
def test_secrets_are_not_taken_from_the_environment_nor_repeated(tmp_path, name, value):
    (line,) = refused(tmp_path, GOOD, {PREFIX + name: value})
    assert "secrets are not taken from the environment" in line
    assert len(value) == 1 or value not in line


def test_the_environment_of_the_process_counts_by_default(tmp_path, monkeypatch):
    monkeypatch.setenv(f"{PREFIX}RISK__FIXED_USD", "77")
    assert load_config(write(tmp_path, "agent.yaml", GOOD)).risk.fixed_usd == 77
