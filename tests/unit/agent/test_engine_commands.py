"""`subscriber-agent engine …` and `live …`: what each answers, in text and as JSON."""

import json
import os
import sys

import pytest
from engine_samples import PHRASE, PLUGIN_FOLDER, REAL, a_config_file, an_installed_plugin
from typer.testing import CliRunner

from signal_contract.errors import CatalystError, Conflict, ExitCode, InputError
from subscriber_agent.cli.engine import engine_app
from subscriber_agent.cli.live import live_app
from subscriber_agent.conformance.cases import CASES
from subscriber_agent.engines.registry import ENGINE_KINDS
from subscriber_agent.identity.holding import held
from subscriber_agent.journal import Journal
from subscriber_agent.journal.journal import JOURNAL_FILE
from subscriber_agent.receiving.control_state import LOCAL_LATCH
from subscriber_agent.settings.live import LIVE_VARIABLE
from subscriber_agent.settings.live_consent import CONSENT_FILE, read_consent

CASE = CASES[0].id


@pytest.fixture(autouse=True)
def environ(monkeypatch):
    for name in [each for each in os.environ if each.startswith(("SUBSCRIBER_AGENT", "APCA_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """The example plug-in, as if it were installed."""
    monkeypatch.syspath_prepend(str(PLUGIN_FOLDER))
    monkeypatch.syspath_prepend(str(an_installed_plugin(tmp_path)))
    yield
    for name in [each for each in sys.modules if each.partition(".")[0] == "notebook_engine"]:
        del sys.modules[name]


def run(app, *words, status=0, **options):
    result = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "300"}, **options)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def answer(app, *words, status=0):
    document = json.loads(run(app, *words, "--json", status=status).stdout)
    assert document["exit_code"] == status
    return document["data"]


# engine list --------------------------------------------------------------------------------------------------------


def test_list_names_every_kind_what_it_needs_and_which_is_yours(tmp_path):
    path = a_config_file(tmp_path)
    data = answer(engine_app, "list", "-c", path)
    assert [each["kind"] for each in data["kinds"]] == list(ENGINE_KINDS)
    assert [each["kind"] for each in data["kinds"] if each["is_configured"]] == ["paper"]
    assert all(each["needs"] and each["title"] for each in data["kinds"])
    text = run(engine_app, "list", "-c", path).stdout
    assert "TradersPost" in text
    assert "plug-ins for kind python" in text


def test_list_works_without_a_config_and_says_how_to_install(tmp_path):
    data = answer(engine_app, "list", "-c", tmp_path / "none.yaml")
    assert not any(each["is_configured"] for each in data["kinds"])
    (alpaca,) = [each for each in data["kinds"] if each["kind"] == "alpaca"]
    assert alpaca["install"] == 'pip install "catalyst-signals[alpaca]"'


def test_list_finds_plugins_without_importing_them(plugin, monkeypatch):
    # Another test of this process may have used it.
    monkeypatch.delitem(sys.modules, "notebook_engine", raising=False)
    (found,) = [each for each in answer(engine_app, "list")["plugins"] if each["name"] == "notebook"]
    assert found == {"name": "notebook", "value": "notebook_engine:make", "package": "notebook-engine"}
    assert "notebook_engine" not in sys.modules


# engine show --------------------------------------------------------------------------------------------------------


def test_show_says_what_counts_where_it_comes_from_and_what_the_engine_can(tmp_path):
    path = a_config_file(tmp_path, "engine:\n  paper: {slippage_bps: 5}\n")
    data = answer(engine_app, "show", "-c", path)
    rows = {each["key"]: (each["value"], each["from"]) for each in data["settings"]}
    assert rows["engine.paper.slippage_bps"] == ("5", f"{path}:6")
    assert rows["engine.kind"] == ("paper", "default")
    assert not any(key.startswith("engine.alpaca") for key in rows)
    assert (data["is_paper"], data["is_configured"], data["capabilities"]["brackets"]) == (True, True, True)
    assert data["account"] is None
    assert "pretend money; the one of your config" in run(engine_app, "show", "-c", path).stdout


def test_show_check_asks_the_engine(tmp_path):
    path = a_config_file(tmp_path, "engine: {paper: {start_cash_usd: 5000}}\n")
    data = answer(engine_app, "show", "paper", "--check", "-c", path)
    assert (data["account"]["cash"], data["positions"]) == ("5000", [])
    assert "it holds nothing" in run(engine_app, "show", "--check", "-c", path).stdout


def test_show_check_stays_out_of_a_running_agents_way(tmp_path):
    path = a_config_file(tmp_path)
    with held(tmp_path / "data", "alice"):
        assert (
            answer(engine_app, "show", "--check", "-c", path, status=int(ExitCode.ALREADY_RUNNING))["account"] is None
        )
        answer(engine_app, "show", "-c", path)


def test_show_says_of_a_key_that_it_is_there_and_never_what_it_is(tmp_path):
    text = "engine: {kind: webhook, webhook: {url: 'https://hook.example', secret_file: hook.secret, is_paper: true}}\n"
    path = a_config_file(tmp_path, text)
    wanted = {"key": "engine.webhook.secret_file", "state": f"missing: {tmp_path / 'hook.secret'}"}
    missing = answer(engine_app, "show", "-c", path, status=int(ExitCode.ENGINE))
    assert wanted in missing["secrets"]
    (tmp_path / "hook.secret").write_text("h" * 40)
    (tmp_path / "hook.secret").chmod(0o644)
    open_to_all = answer(engine_app, "show", "-c", path, status=int(ExitCode.ENGINE))
    assert any(each["state"].startswith("readable by others: chmod 600") for each in open_to_all["secrets"])
    (tmp_path / "hook.secret").chmod(0o600)
    result = run(engine_app, "show", "-c", path, "--json")
    assert {"key": "engine.webhook.secret_file", "state": "set"} in json.loads(result.stdout)["data"]["secrets"]
    assert "h" * 40 not in result.output


def test_show_keeps_what_comes_after_an_addresss_host_to_itself(tmp_path):
    text = "engine: {kind: webhook, webhook: {url: 'https://hook.example:8443/v1/token-of-mine', is_paper: true}}\n"
    result = run(engine_app, "show", "-c", a_config_file(tmp_path, text), "--json", status=int(ExitCode.ENGINE))
    rows = {each["key"]: each["value"] for each in json.loads(result.stdout)["data"]["settings"]}
    assert rows["engine.webhook.url"] == "https://hook.example:8443/…"
    assert "token-of-mine" not in result.output
    odd = a_config_file(tmp_path, text.replace("8443", "token-of-mine"))
    assert "token-of-mine" not in run(engine_app, "show", "-c", odd, "--json", status=int(ExitCode.ENGINE)).stdout


def test_show_takes_alpacas_key_from_the_environment_for_set(tmp_path, monkeypatch):
    path = a_config_file(tmp_path)
    monkeypatch.setenv("APCA_API_KEY_ID", "PK" + "A" * 18)
    monkeypatch.setenv("APCA_API_SECRET_KEY", "hushhush" * 5)
    result = run(engine_app, "show", "alpaca", "-c", path, "--json")
    assert json.loads(result.stdout)["data"]["secrets"] == [
        {"key": "engine.alpaca.key_file", "state": "set, by the environment"}
    ]
    assert "hushhush" not in result.output


def test_show_says_what_an_unusable_engine_lacks(tmp_path):
    path = a_config_file(tmp_path, "engine: {kind: command}\n")
    document = json.loads(run(engine_app, "show", "-c", path, "--json", status=int(ExitCode.ENGINE)).stdout)
    assert document["errors"][0]["code"] == "ENGINE_UNUSABLE"
    assert document["data"]["kind"] == "command"


def test_an_unknown_kind_is_refused_with_the_ones_there_are(tmp_path):
    with pytest.raises(InputError) as caught:
        run(engine_app, "show", "alpca", "-c", a_config_file(tmp_path))
    assert "paper, alpaca" in caught.value.hint


# engine test --------------------------------------------------------------------------------------------------------


def test_the_paper_engine_passes_and_the_friends_account_is_not_touched(tmp_path):
    path = a_config_file(tmp_path)
    data = answer(engine_app, "test", "paper", "-c", path)
    assert data["counts"]["FAIL"] == 0
    assert data["counts"]["PASS"] > 10
    assert data["may_trade"]
    assert not (tmp_path / "data").exists()


def test_a_table_and_a_line_a_case_are_shown(tmp_path):
    result = run(engine_app, "test", "--case", CASE, "-c", a_config_file(tmp_path))
    assert "PASS" in result.stdout
    assert CASE in result.stdout


def test_an_unknown_case_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no case"):
        run(engine_app, "test", "--case", "nope", "-c", a_config_file(tmp_path))


def test_real_money_is_only_asked_unless_said_otherwise(tmp_path, plugin):
    path = a_config_file(tmp_path, REAL + "mode: approve\n")
    data = answer(engine_app, "test", "-c", path)
    assert (data["may_trade"], data["counts"]["FAIL"]) == (False, 0)
    assert data["counts"]["SKIP"] > 5
    assert "nothing was ordered, since real money is behind it" in run(engine_app, "test", "-c", path).stdout


@pytest.mark.parametrize("phrase", [(), ("--phrase", "yes")], ids=["none", "another"])
def test_real_money_is_not_ordered_without_the_phrase(tmp_path, plugin, phrase):
    path = a_config_file(tmp_path, REAL + "mode: approve\n")
    with pytest.raises(InputError) as caught:
        run(engine_app, "test", "--yes-trade-real-money", "--price", "100", *phrase, "-c", path)
    assert PHRASE in caught.value.hint


def test_real_money_is_ordered_with_flag_and_phrase_in_a_place_of_its_own(tmp_path, plugin):
    path = a_config_file(tmp_path, REAL + "mode: approve\n")
    words = ("--yes-trade-real-money", "--phrase", PHRASE, "--price", "100")
    data = answer(engine_app, "test", *words, "-c", path)
    assert (data["may_trade"], data["counts"]["FAIL"]) == (True, 0)
    assert (tmp_path / "data/engine-test/python/notebook.json").exists()
    assert not (tmp_path / "data/notebook.json").exists()


def test_a_price_must_be_given_where_something_is_ordered(tmp_path, plugin):
    path = a_config_file(tmp_path, "engine: {kind: python, python: {name: notebook, is_paper: true}}\n")
    with pytest.raises(InputError) as caught:
        run(engine_app, "test", "-c", path)
    assert "--price" in caught.value.hint
    with pytest.raises(InputError, match="is not a price"):
        run(engine_app, "test", "--price", "1e3", "-c", path)


def test_a_running_agent_is_not_traded_beside(tmp_path, plugin):
    path = a_config_file(tmp_path, "engine: {kind: python, python: {name: notebook, is_paper: true}}\n")
    with held(tmp_path / "data", "alice"), pytest.raises(CatalystError) as caught:
        run(engine_app, "test", "--price", "100", "-c", path)
    assert caught.value.exit_code is ExitCode.ALREADY_RUNNING


def test_a_broken_rule_ends_with_status_3_and_says_which(tmp_path, plugin):
    site = an_installed_plugin(tmp_path)
    (site / "forgetful.py").write_text(
        "from decimal import Decimal\n"
        "import notebook_engine\n"
        "class Forgetful(notebook_engine.Notebook):\n"
        "    def lookup(self, order_id):\n"
        "        return None\n"
        "def make(options, context):\n"
        "    book = notebook_engine.Book(context.data / 'x.json', Decimal(10000))\n"
        "    return notebook_engine.ThreadedEngine(Forgetful(book))\n"
    )
    entries = site / "notebook_engine-1.0.0.dist-info/entry_points.txt"
    entries.write_text(entries.read_text() + "forgetful = forgetful:make\n")
    path = a_config_file(tmp_path, "engine: {kind: python, python: {name: forgetful, is_paper: true}}\n")
    document = json.loads(run(engine_app, "test", "--price", "100", "-c", path, "--json", status=3).stdout)
    assert document["errors"][0]["code"] == "ENGINE_NONCONFORMING"
    assert document["data"]["counts"]["FAIL"] > 0


# live ---------------------------------------------------------------------------------------------------------------


def test_status_on_paper_says_that_there_is_no_gate(tmp_path):
    path = a_config_file(tmp_path)
    assert answer(live_app, "status", "-c", path)["is_needed"] is False
    assert "there is no gate to pass" in run(live_app, "status", "-c", path).stdout


def test_status_names_each_missing_part_and_what_would_be_done(tmp_path):
    path = a_config_file(tmp_path, REAL + "mode: live\n")
    data = answer(live_app, "status", "-c", path)
    assert (data["is_needed"], data["is_open"], len(data["missing"]), data["consent"]) == (True, False, 2, None)
    text = run(live_app, "status", "-c", path).stdout
    for part in ("The gate is shut", LIVE_VARIABLE, "subscriber-agent live confirm", "It would: alice's signals"):
        assert part in text


def test_the_word_is_given_kept_journaled_and_taken_back(tmp_path, monkeypatch):
    path = a_config_file(tmp_path, REAL + "mode: live\n")
    with Journal.open(tmp_path / "data" / JOURNAL_FILE):
        pass
    data = answer(live_app, "confirm", "--phrase", PHRASE, "-c", path)
    assert (data["engine"], data["mode"], data["user"]) == ("python notebook", "live", "alice")
    assert data["missing"] == [f"{LIVE_VARIABLE}=yes in the environment"]
    assert read_consent(tmp_path / "data") is not None
    with Journal.open(tmp_path / "data" / JOURNAL_FILE) as journal:
        (row,) = journal.loosenings(10)
        assert (row.type, row.config_hash) == ("live_confirmed", data["config_hash"])
        assert journal.latch(LOCAL_LATCH) is None
    monkeypatch.setenv(LIVE_VARIABLE, "yes")
    assert answer(live_app, "status", "-c", path)["is_open"]
    assert "Your word is taken back" in run(live_app, "revoke", "-c", path).stdout
    assert not (tmp_path / "data" / CONSENT_FILE).exists()
    assert not answer(live_app, "status", "-c", path)["is_open"]
    assert answer(live_app, "revoke", "-c", path) == {"was_given": False, "is_reduced": False}


def test_the_word_can_be_given_before_the_first_start(tmp_path):
    path = a_config_file(tmp_path, REAL + "mode: approve\n")
    assert "Confirmed: alice trades real money" in run(live_app, "confirm", "--phrase", PHRASE, "-c", path).stdout


@pytest.mark.parametrize(
    ("phrase", "code"), [((), "there is no keyboard"), (("--phrase", "yes"), "not the phrase")], ids=["none", "wrong"]
)
def test_without_the_phrase_nothing_is_kept(tmp_path, phrase, code):
    path = a_config_file(tmp_path, REAL + "mode: live\n")
    with pytest.raises(InputError, match=code) as caught:
        run(live_app, "confirm", *phrase, "-c", path)
    assert PHRASE in caught.value.hint
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("text", ["", REAL + "mode: notify\n", "mode: approve\n"], ids=["paper", "notify", "approve"])
def test_where_no_real_money_is_traded_there_is_nothing_to_confirm(tmp_path, text):
    with pytest.raises(Conflict):
        run(live_app, "confirm", "--phrase", PHRASE, "-c", a_config_file(tmp_path, text))


def test_taking_the_word_back_stops_the_entries_of_a_running_agent(tmp_path):
    path = a_config_file(tmp_path, REAL + "mode: live\n")
    run(live_app, "confirm", "--phrase", PHRASE, "-c", path)
    with held(tmp_path / "data", "alice"), Journal.open(tmp_path / "data" / JOURNAL_FILE) as journal:
        assert answer(live_app, "revoke", "-c", path) == {"was_given": True, "is_reduced": True}
        assert journal.latch(LOCAL_LATCH).value == "REDUCING"
        journal.set_latch(LOCAL_LATCH, "HALTED", "", journal.latch(LOCAL_LATCH).at)
        answer(live_app, "revoke", "-c", path)
        assert journal.latch(LOCAL_LATCH).value == "HALTED"
