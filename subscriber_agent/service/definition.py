"""The agent as a service of this machine's own manager: which files say so, and which commands bring it up. Pure.

manager         file                                      what starts it again
──────────────  ────────────────────────────────────────  ─────────────────────────────────────────────────────────
systemd         ~/.config/systemd/user/….service          systemd itself, by exit status and watchdog
launchd         ~/Library/LaunchAgents/….plist            `service keep`: launchd knows no exit status but 0
Task Scheduler  a task, from an XML file in AppData       `service keep`: tasks are begun again only if they cannot
                                                          start

No definition holds a secret, and none holds SUBSCRIBER_AGENT_LIVE: a service trades real money only after the friend
has added that himself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath


class ManagerKind(StrEnum):
    SYSTEMD = "systemd"
    LAUNCHD = "launchd"
    WINDOWS = "windows"


@dataclass(frozen=True, slots=True)
class Service:
    """What is to run: `user`'s agent, by this Python (a path that must not be resolved: it may be a venv's), by this
    config. `home` is the friend's home directory, `account` the name that he logs in with.
    """

    user: str
    python: PurePath
    config: PurePath
    home: PurePath
    account: str = ""

    @property
    def name(self) -> str:
        """The service's name; one for each identity."""
        return f"subscriber-agent-{self.user}"

    def command(self, *words: str) -> tuple[str, ...]:
        """`subscriber-agent WORDS --config …` by the interpreter; -P: a module in the home directory is never taken."""
        return (str(self.python), "-P", "-m", "subscriber_agent", *words, "--config", str(self.config))


@dataclass(frozen=True, slots=True)
class Definition:
    """`content` belongs into `path`; `begin` are the commands that then start it, `end` those before it is removed.

    `notes` are for the reader.
    """

    manager: ManagerKind
    path: PurePath
    content: bytes
    begin: tuple[str, ...]
    end: tuple[str, ...]
    look: tuple[str, ...]
    notes: tuple[str, ...] = ()


def manager_of(platform: str) -> ManagerKind:
    """The manager that `sys.platform` has; a Linux without systemd is found out when it is asked."""
    if platform == "darwin":
        return ManagerKind.LAUNCHD
    return ManagerKind.WINDOWS if platform == "win32" else ManagerKind.SYSTEMD


def definition_of(service: Service, manager: ManagerKind) -> Definition:
    """How this manager is told. Raises ValueError for a path that it cannot take."""
    from subscriber_agent.service import launchd, systemd, windows

    return {
        ManagerKind.SYSTEMD: systemd.definition,
        ManagerKind.LAUNCHD: launchd.definition,
        ManagerKind.WINDOWS: windows.definition,
    }[manager](service)
