"""A clock that is set while the agent runs is noticed at once, not at the next look at the server."""

from datetime import timedelta

import pytest
from agent_samples import NOW

from subscriber_agent.receiving.drift import ClockDrift


class Clocks:
    def __init__(self):
        self.wall, self.steady = NOW, 100.0

    def pass_s(self, seconds, *, jump_s=0):
        self.steady += seconds
        self.wall += timedelta(seconds=seconds + jump_s)


@pytest.mark.parametrize("jump_s", [0, 600, -600])
def test_only_what_is_set_counts_and_not_the_time_that_passes(jump_s):
    clocks = Clocks()
    drift = ClockDrift(lambda: clocks.wall, lambda: clocks.steady)
    clocks.pass_s(50, jump_s=jump_s)
    assert drift.seconds() == jump_s


def test_after_a_comparison_with_the_server_it_starts_anew():
    clocks = Clocks()
    drift = ClockDrift(lambda: clocks.wall, lambda: clocks.steady)
    clocks.pass_s(50, jump_s=600)
    drift.mark()
    clocks.pass_s(10)
    assert drift.seconds() == 0


def test_the_clocks_of_this_machine_agree():
    assert abs(ClockDrift().seconds()) < 1
