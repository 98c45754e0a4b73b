"""The agent as a LaunchAgent of macOS. Pure. Written after launchd.plist(5); it has not run on a Mac yet."""

from __future__ import annotations

import plistlib

from subscriber_agent.service.definition import Definition, ManagerKind, Service

_LABEL_ROOT = "org.catalyst-signals"


def definition(service: Service) -> Definition:
    """A property list for `launchctl bootstrap`."""
    label = f"{_LABEL_ROOT}.{service.name}"
    log = service.home / "Library/Logs" / f"{service.name}.log"
    path = service.home / "Library/LaunchAgents" / f"{label}.plist"
    plist = {
        "Label": label,
        "ProgramArguments": list(service.command("service", "keep")),
        "RunAtLoad": True,
        # `keep` restarts the agent and ends where a person must look; it is begun again itself only after a crash.
        "KeepAlive": {"Crashed": True},
        "ThrottleInterval": 30,
        "ExitTimeOut": 60,
        "ProcessType": "Interactive",  # not slowed down as background work: signals are judged by their age
        "Umask": 0o077,
        "HardResourceLimits": {"Core": 0},
        "SoftResourceLimits": {"Core": 0},
        "StandardOutPath": str(log),
        "StandardErrorPath": str(log),
    }
    return Definition(
        ManagerKind.LAUNCHD,
        path,
        plistlib.dumps(plist, sort_keys=True),
        begin=(f'launchctl bootstrap gui/$(id -u) "{path}"',),
        end=(f"launchctl bootout gui/$(id -u)/{label}",),
        look=("launchctl", "list", label),
        notes=(f"its log: {log}", "A Mac that sleeps receives nothing; what came meanwhile is read when it wakes."),
    )
