"""Writes systemd units: the service's own lines, what a restart can mend, and the walls around it. Pure.

Two kinds: of the system, with every wall that the program lives well behind; of a user, with those that need no rights
(the others take user namespaces there, which several distributions forbid, and the service would not start).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from signal_contract.supervision import needs_person

RESTART_AFTER_S = 15


class Scope(StrEnum):
    """Whose service manager runs it: the system's, or a user's own (`systemctl --user`)."""

    SYSTEM = "system"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Unit:
    """A service. `state` is its directory below /var/lib, its only writable place, and `user` its user: SYSTEM only.

    `watchdog_s`: without a proof of life for so long it is stopped and started again. `start_s`: until it must have
    said that it is ready. `stop_s`: what it gets to finish what is in hand. `more` are further lines of [Service].
    """

    description: str
    command: tuple[str, ...]
    scope: Scope
    watchdog_s: int
    start_s: int
    stop_s: int
    user: str = ""
    state: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    comment: tuple[str, ...] = ()
    more: tuple[tuple[str, str], ...] = ()


# What needs no rights: seccomp filters and limits of the process itself.
WALLS_OF_ANY: tuple[tuple[str, str], ...] = (
    ("NoNewPrivileges", "yes"),
    ("UMask", "0077"),
    ("LimitCORE", "0"),  # a core dump holds keys
    ("LockPersonality", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("SystemCallArchitectures", "native"),
)
WALLS_OF_THE_SYSTEM: tuple[tuple[str, str], ...] = (
    ("ProtectSystem", "strict"),
    ("ProtectHome", "yes"),
    ("PrivateTmp", "yes"),
    ("PrivateDevices", "yes"),
    ("PrivateUsers", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectProc", "invisible"),
    ("RemoveIPC", "yes"),
    ("RestrictNamespaces", "yes"),
    # netlink: both programs ask the kernel which addresses this machine has.
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK"),
    ("CapabilityBoundingSet", ""),
    ("AmbientCapabilities", ""),
    ("KeyringMode", "private"),
    ("SystemCallFilter", "@system-service"),
    ("SystemCallFilter", "~@privileged @resources"),
    ("SystemCallErrorNumber", "EPERM"),
)


def quoted(word: str) -> str:
    """A word of a command line or an assignment as systemd reads it: `%` and `$` are doubled, the rest is quoted.

    Raises ValueError for a line break or another control character, which no path of ours holds.
    """
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in word):
        raise ValueError("a control character in a unit")
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    is_bare = bool(plain) and all(letter.isalnum() or letter in "/._-+=:,@%$" for letter in plain)
    return plain if is_bare else f'"{plain}"'


def unit_text(unit: Unit) -> str:
    """The unit file."""
    lines = [*(f"# {each}" if each else "#" for each in unit.comment), *_head(unit), "", "[Service]", *_service(unit)]
    walls = WALLS_OF_ANY if unit.scope is Scope.USER else WALLS_OF_ANY + WALLS_OF_THE_SYSTEM
    lines += ["", *(f"{name}={value}" for name, value in walls)]
    target = "default.target" if unit.scope is Scope.USER else "multi-user.target"
    return "\n".join([*lines, "", "[Install]", f"WantedBy={target}", ""])


def _head(unit: Unit) -> list[str]:
    # It goes on trying for ever: an outage of the server may last longer than any limit.
    lines = ["[Unit]", f"Description={unit.description.replace('%', '%%')}", "StartLimitIntervalSec=0"]
    if unit.scope is Scope.SYSTEM:
        lines += ["Wants=network-online.target", "After=network-online.target time-sync.target"]
    return lines


def _service(unit: Unit) -> list[str]:
    lines = [
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={' '.join(quoted(each) for each in unit.command)}",
        f"TimeoutStartSec={unit.start_s}",
        f"TimeoutStopSec={unit.stop_s}",
        f"WatchdogSec={unit.watchdog_s}",
        # To the program alone: it stops its nats-server, or its engine, when nothing needs them any more.
        "KillMode=mixed",
        # Not SIGABRT: whoever still can is to finish what is in hand, and nothing is to dump its memory.
        "WatchdogSignal=SIGTERM",
        "Restart=on-failure",
        f"RestartSec={RESTART_AFTER_S}",
        f"RestartPreventExitStatus={' '.join(str(each) for each in needs_person())}",
        *(f"Environment={quoted(f'{name}={value}')}" for name, value in unit.environment),
        *(f"{name}={value}" for name, value in unit.more),
    ]
    if unit.user:
        lines += [f"User={unit.user}", f"Group={unit.user}"]
    if unit.state:
        lines += [f"StateDirectory={unit.state}", "StateDirectoryMode=0700"]
    return lines
