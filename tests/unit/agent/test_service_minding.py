"""What feeds the agent's watchdog: a proof that signals flow, or that a restart would mend nothing."""

import pytest

from signal_contract.notify import ServiceManager
from subscriber_agent.receiving.link_state import LinkState, Seen
from subscriber_agent.service.minding import LOOK_TOO_OLD_S, Minder, is_proof

_NOW = 0.2


@pytest.mark.parametrize("state", [LinkState.LIVE, LinkState.QUIET])
def test_flowing_signals_are_a_proof_and_a_quiet_publisher_is_no_fault(state):
    assert is_proof(Seen(state, _NOW, 5), None) is True


@pytest.mark.parametrize("state", list(LinkState))
@pytest.mark.parametrize("age_s", [None, LOOK_TOO_OLD_S + 0.1, float("nan")])
def test_an_old_look_proves_nothing_whatever_it_saw(state, age_s):
    assert is_proof(Seen(state, age_s, 5), None) is False


def test_a_connection_on_which_nothing_is_heard_is_no_proof():
    assert is_proof(Seen(LinkState.DEAF, _NOW, 5), None) is False


def test_a_backlog_is_a_proof_as_long_as_it_is_worked_off():
    assert is_proof(Seen(LinkState.LAGGING, _NOW, 6), Seen(LinkState.LAGGING, _NOW, 5)) is True
    assert is_proof(Seen(LinkState.LAGGING, _NOW, 5), Seen(LinkState.LAGGING, _NOW, 5)) is False


def test_a_cut_link_must_be_looked_at_from_outside():
    assert is_proof(Seen(LinkState.CUT, _NOW, 5), None) is None


def _minder(*, away):
    asked, passed = [], []

    async def is_away(servers):
        asked.append(tuple(servers))
        return away

    minder = Minder(
        ServiceManager(), ["nats://127.0.0.1:4222"], lambda event, facts: passed.append((event, facts)), away=is_away
    )
    return minder, asked, passed


@pytest.mark.parametrize("away", [True, False])
async def test_a_cut_link_is_fed_only_while_the_server_is_away(away):
    minder, asked, _ = _minder(away=away)
    assert await minder._is_alive(lambda: Seen(LinkState.CUT, _NOW, 5)) is away
    assert asked == [("nats://127.0.0.1:4222",)]


async def test_who_looks_after_positions_without_a_link_is_not_ended():
    minder, asked, _ = _minder(away=False)
    minder.report("not_connected", {"positions": 2, "detail": "revoked", "is_tried_again": False})
    assert await minder._is_alive(lambda: Seen(LinkState.CUT, None, 0)) is True
    minder.report("connected", {"user": "alice", "waiting": 0})
    assert await minder._is_alive(lambda: Seen(LinkState.DEAF, _NOW, 0)) is False
    assert asked == []


def test_every_report_goes_on_to_whoever_shows_it():
    minder, _, passed = _minder(away=False)
    events = [("decision", {"label": "x"}), ("link", {"state": "LIVE", "reason": "signals flow"}), ("stopped", {})]
    for event, facts in events:
        minder.report(event, facts)
    assert passed == events
