"""`subscriber-agent config …`: what each command answers, in text and as JSON."""

import asyncio
import json

import pytest
from agent_samples import KEY, NOW, a_user_jwt
from typer.testing import CliRunner

from signal_contract.creds import creds_text, write_secret
from signal_contract.errors import Conflict, ExitCode, NotFound
from signal_contract.nkey import KeyKind, KeyPair
from subscriber_agent.cli.settings import config_app
from subscriber_agent.journal import Journal
from subscriber_agent.journal.journal import JOURNAL_FILE
from subscriber_agent.settings.config import load_config
from subscriber_agent.settings.directions import Change, Verdict
from subscriber_agent.settings.events import ConfigChange
from subscriber_agent.settings.example import schema_json
from subscriber_agent.settings.reload import ConfigWatcher

GOOD = f'servers: ["nats://127.0.0.1:4222"]\ncreds: alice.creds\ndata: data\npublisher_key: "{KEY}"\n'


@pytest.fixture
def path(tmp_path):
    pair = KeyPair.generate(KeyKind.USER)
    write_secret(tmp_path / "alice.creds", creds_text(a_user_jwt(pair.public), pair.seed))
    file = tmp_path / "agent.yaml"
    file.write_text(f"extends: cautious\n{GOOD}risk: {{max_open_positions: 7}}\n", encoding="utf-8")
    return file


def run(*words, status=0):
    result = CliRunner().invoke(config_app, [str(word) for word in words], env={"COLUMNS": "400"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status
    return result.stdout


def answer(*words):
    document = json.loads(run(*words, "--json"))
    assert document["exit_code"] == 0
    return document["data"]


def test_check_says_that_a_file_is_fine(path):
    assert "is fine" in run("check", "-c", path)
    assert answer("check", "-c", path)["hash"] == load_config(path).config_hash()


def test_show_gives_every_value_with_its_source(path, tmp_path):
    text = run("show", "-c", path)
    (line,) = [each.split() for each in text.splitlines() if each.startswith("risk.max_open_positions")]
    assert line == ["risk.max_open_positions", "7", f"{path}:6"]
    data = answer("show", "-c", path, "--creds", tmp_path / "bob.creds")
    assert data["risk"]["max_open_positions"] == 7
    assert data["sources"]["creds"] == "--creds"
    assert data["sources"]["risk.fixed_usd"].startswith("profile cautious:")
    assert data["sources"]["engine.kind"] == "default"


def test_show_leaves_out_engines_that_are_not_asked_unless_somebody_wrote_there(path):
    path.write_text(path.read_text(encoding="utf-8") + "engine: {command: {timeout_s: 5}}\n", encoding="utf-8")
    text = run("show", "-c", path)
    assert "engine.paper.slippage_bps" in text
    assert "engine.command.timeout_s" in text
    assert "engine.command.argv" not in text
    assert "engine.alpaca" not in text
    data = answer("show", "-c", path)
    assert data["engine"]["alpaca"]["endpoint"] == "paper"
    assert data["sources"]["engine.alpaca.endpoint"] == "default"


def test_schema_prints_what_editors_read(path):
    assert run("schema") == schema_json()
    assert answer("schema")["schema"] == json.loads(schema_json())


def test_diff_says_which_way_the_other_file_differs(path, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(f"extends: cautious\n{GOOD}mode: notify\nrisk: {{fixed_usd: 300}}\n", encoding="utf-8")
    data = answer("diff", other, "-c", path)
    assert {each["key"]: each["direction"] for each in data["changes"]} == {
        "mode": "stricter",
        "risk.fixed_usd": "looser",
        "risk.max_open_positions": "stricter",
    }
    assert data["is_looser"] is True
    assert "looser" in run("diff", other, "-c", path)
    assert "no setting differs" in run("diff", path, "-c", path)


def test_diff_takes_a_profiles_name_for_its_risk_settings(path):
    (change,) = answer("diff", "cautious", "-c", path)["changes"]
    assert change == {"key": "risk.max_open_positions", "before": 7, "after": 3, "direction": "stricter"}


def loosened(path):
    """A watcher to which a looser file was shown, as in a running agent."""
    watcher = ConfigWatcher(path, load_config(path), data=path.parent / "data")
    path.write_text(path.read_text(encoding="utf-8").replace("positions: 7", "positions: 9"), encoding="utf-8")

    async def look():
        for _ in range(3):
            await watcher.look()

    asyncio.run(look())
    return watcher, look


def test_accept_shows_what_waits_and_gives_the_word_only_with_confirm(path):
    path.write_text(path.read_text(encoding="utf-8").replace("4222", "4444"), encoding="utf-8")
    watcher, look = loosened(path)
    assert "Nothing is accepted yet" in run("accept", "-c", path)
    data = answer("accept", "-c", path)
    assert (data["accepted"], [each["key"] for each in data["changes"]]) == (False, ["risk.max_open_positions"])
    asyncio.run(look())
    assert watcher.current.risk.max_open_positions == 7
    with Journal.open(path.parent / "data" / JOURNAL_FILE):
        assert "Accepted." in run("accept", "-c", path, "--confirm")
    with Journal.open(path.parent / "data" / JOURNAL_FILE) as journal:
        (row,) = journal.loosenings(10)
        assert (row.type, row.config_hash) == ("config_accepted", load_config(path).config_hash())
    asyncio.run(look())
    assert watcher.current.risk.max_open_positions == 9


def test_changes_lists_what_was_journaled_newest_first(path):
    with Journal.open(path.parent / "data" / JOURNAL_FILE) as journal:
        assert "never changed" in run("changes", "-c", path)
        looser = Change("risk.fixed_usd", "500", "900", Verdict.LOOSER)
        for before, after, found in ((None, "one", ()), ("one", "two", (looser,))):
            change = ConfigChange(NOW, before, after, found, is_loosening=bool(found), confirmed=True)
            journal.write_config_change(change.as_dict(), NOW)
    assert [(each["before_hash"], each["after_hash"]) for each in answer("changes", "-c", path)] == [
        ("one", "two"),
        (None, "one"),
    ]
    text = run("changes", "-c", path)
    assert "one → two" in text
    assert "looser, confirmed" in text
    assert "risk.fixed_usd 500 → 900" in text
    assert "first start → one" in text


def test_accept_refuses_when_nothing_waits_or_the_file_is_another_one(path, monkeypatch):
    with pytest.raises(NotFound) as nothing:
        run("accept", "-c", path, "--confirm")
    assert nothing.value.exit_code is ExitCode.NOT_FOUND
    loosened(path)
    monkeypatch.setenv("SUBSCRIBER_AGENT__RISK__FIXED_USD", "900")
    with pytest.raises(Conflict):
        run("accept", "-c", path, "--confirm")
