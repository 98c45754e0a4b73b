"""One identity, one agent; and whoever only looks at the lock keeps no agent from starting."""

import threading

import pytest

from signal_contract.errors import AlreadyRunning
from subscriber_agent.identity.holding import held


def test_an_agent_that_starts_while_somebody_looks_waits_for_him(tmp_path):
    looking, done = threading.Event(), threading.Event()

    def look():
        with held(tmp_path, "alice"):
            looking.set()
            done.wait(5)

    looker = threading.Thread(target=look)
    looker.start()
    assert looking.wait(5)
    threading.Timer(0.1, done.set).start()
    with held(tmp_path, "alice", wait_s=5):
        pass
    looker.join()


def test_another_agent_is_refused(tmp_path):
    with held(tmp_path, "alice"), pytest.raises(AlreadyRunning), held(tmp_path, "alice", wait_s=0.1):
        pass
