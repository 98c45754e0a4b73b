"""`engine settle` and `engine leave` as commands, without an agent."""

import json
from decimal import Decimal

import pytest
from agent_samples import NOW
from engine_samples import a_config_file, agent
from paper_samples import ENTRY, ID

from signal_contract.errors import ExitCode
from subscriber_agent.engines.webhook.assumed import intent_record
from subscriber_agent.engines.webhook.sent import SENT_FILE, SentLog


@pytest.fixture
def folder(tmp_path):
    a_config_file(tmp_path)
    (tmp_path / "data").mkdir(mode=0o700)
    return tmp_path


def a_posted_order(folder):
    log = SentLog(folder / "data" / SENT_FILE)
    log.open()
    log.append(intent_record(ID, ENTRY, Decimal(5), NOW))
    log.close()


def test_what_became_of_an_order_is_said_once(folder):
    a_posted_order(folder)
    done = agent(folder, "engine", "settle", ID, "--filled", "40", "--price", "5.02", "--json")
    assert done.returncode == ExitCode.OK, done.stdout
    assert json.loads(done.stdout)["data"] == {"order_id": ID, "filled": "40", "price": "5.02"}
    assert agent(folder, "engine", "settle", ID, "--filled", "0").returncode == ExitCode.CONFLICT


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("--filled", "many"), ExitCode.INPUT),
        (("--filled", "NaN"), ExitCode.INPUT),
        (("--filled", "1", "--price", "0"), ExitCode.INPUT),
        (("--filled", "0"), ExitCode.NOT_FOUND),
    ],
    ids=["no_number", "nan", "no_price", "never_posted"],
)
def test_what_cannot_be_is_refused_with_a_next_step(folder, words, status):
    done = agent(folder, "engine", "settle", ID, *words)
    assert done.returncode == status, done.stderr
    assert "→" in done.stderr


def test_nothing_is_left_behind_before_the_first_run(folder):
    assert agent(folder, "engine", "leave", "--yes").returncode == ExitCode.NOT_FOUND
