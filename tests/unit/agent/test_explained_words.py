"""What each check says, word for word: people read it in `explain`, programs in `--json`."""

import json
from pathlib import Path

import orjson
import pytest
from word_cases import CASES, case_of, words_document

from subscriber_agent.risk.checks import CHECKS
from subscriber_agent.risk.decision import CheckOutcome, Decision, OrderPlan

GOLDEN = Path(__file__).parents[1] / "golden" / "risk_words.json"


def test_every_check_says_what_it_said():
    """`make generate` writes the words anew; its difference shows what people will read instead."""
    told, golden = words_document(), json.loads(GOLDEN.read_bytes())
    assert list(told) == list(golden)
    for name, said in told.items():
        assert said == golden[name], name


def test_the_cases_make_every_check_refuse_with_each_of_its_codes():
    checks = [each for name in CASES for each in case_of(name).checks]
    refusals = {(each.name, each.code) for each in checks if each.outcome is not CheckOutcome.PASS}
    assert refusals == {(check.name, code) for check in CHECKS for code in check.codes}


@pytest.mark.parametrize("name", CASES)
def test_a_plan_is_read_back_as_it_was_written(name):
    plan = case_of(name).plan
    if plan is not None:
        body = orjson.loads(orjson.dumps(plan.as_dict()))
        assert OrderPlan.from_dict(body) == plan
        later = ("sector", "trailing_stop_percent", "max_hold_s", "extended_hours")
        old = OrderPlan.from_dict({key: value for key, value in body.items() if key not in later})
        assert [getattr(old, key) for key in later] == [None, None, None, False]


def test_clamps_are_the_checks_that_cut_down():
    decision: Decision = case_of("exposures")
    assert {each.outcome for each in decision.clamps} <= {CheckOutcome.CLAMP}
    assert [each.name for each in case_of("everything of one's own, cut down").clamps] == ["order value"]
