"""A thread that does jobs one after the other, in the order they came. Whoever hands one over waits a moment at most.

It stands between the bot and the disk: a commit takes a millisecond or two, and when the disk stands still or is full
the bot goes on and the job is tried again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from signal_contract.errors import StorageFailed

Job = Callable[[], None]
BACKLOG = 1000
_RETRY_S = 1.0


@dataclass(slots=True)
class _Task:
    job: Job
    done: threading.Event = field(default_factory=threading.Event)


class HandOver:
    """`do` hands over a job; one that raises StorageFailed is tried again until `close`, others wait behind it.

    `on_failure` is told of every error, on this thread.
    """

    def __init__(self, *, patience_s: float, on_failure: Callable[[Exception], None]) -> None:
        self._patience_s, self._on_failure = patience_s, on_failure
        self._tasks: deque[_Task] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._is_late = False
        self._thread = threading.Thread(target=self._work, name="bot-hand-over", daemon=True)
        self._thread.start()

    def do(self, job: Job) -> bool:
        """Hand over a job; whether it was done within `patience_s`. After one that took longer there is no wait
        until the thread has caught up.

        Raises StorageFailed when 1000 jobs wait already.
        """
        task = self._added(job)
        is_done = task.done.wait(0 if self._is_late else self._patience_s)
        if not is_done:
            self._is_late = True
        return is_done

    def put(self, job: Job) -> None:
        """Hand over a job without any wait. Raises StorageFailed as `do` does."""
        self._added(job)

    def _added(self, job: Job) -> _Task:
        task = _Task(job)
        with self._changed:
            if len(self._tasks) >= BACKLOG:
                raise StorageFailed(f"{BACKLOG} signals wait for the disk already", hint="Look at the outbox's disk.")
            self._tasks.append(task)
            self._changed.notify()
        return task

    def close(self, timeout_s: float) -> int:
        """Finish within `timeout_s` seconds; how many jobs were not done."""
        self._closing.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(timeout_s)
        return len(self._tasks)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._tasks) or self._closing.is_set())
                if not self._tasks:
                    return
                task = self._tasks[0]
            if not self._finished(task):
                return
            with self._changed:
                self._tasks.popleft()
                self._is_late = self._is_late and bool(self._tasks)
            task.done.set()

    def _finished(self, task: _Task) -> bool:
        """Do one job until it works or cannot; False when that would have to go on after `close`."""
        while True:
            try:
                task.job()
            except StorageFailed as error:
                self._on_failure(error)
                if self._closing.wait(_RETRY_S):
                    return self._last_try(task)
                continue
            except Exception as error:  # noqa: BLE001  # the per-job guard: the next job gets its turn
                self._on_failure(error)
            return True

    def _last_try(self, task: _Task) -> bool:
        try:
            task.job()
        except Exception as error:  # noqa: BLE001  # the same guard
            self._on_failure(error)
            return False
        return True
