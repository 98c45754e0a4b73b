"""The agent as a user service of systemd. Pure."""

from __future__ import annotations

from signal_contract.systemd import Scope, Unit, unit_text
from subscriber_agent.service.definition import Definition, ManagerKind, Service

_COMMENT = (
    "Written by `subscriber-agent service install`. Your own lines belong into a drop-in, which is left alone:",
    "  systemctl --user edit {name}",
)


def definition(service: Service) -> Definition:
    """A unit for `systemctl --user`."""
    unit = Unit(
        description=f"subscriber-agent of {service.user}",
        comment=tuple(each.format(name=service.name) for each in _COMMENT),
        command=service.command("run"),
        scope=Scope.USER,
        # Until it is connected; another agent that seems to run is waited for 35 s.
        start_s=120,
        stop_s=60,
        watchdog_s=300,
    )
    return Definition(
        ManagerKind.SYSTEMD,
        service.home / ".config/systemd/user" / f"{service.name}.service",
        unit_text(unit).encode(),
        begin=(
            "systemctl --user daemon-reload",
            f"systemctl --user enable --now {service.name}",
            "loginctl enable-linger    # goes on when you log out, and starts with the machine",
        ),
        end=(f"systemctl --user disable --now {service.name}",),
        look=("systemctl", "--user", "show", service.name, "--property=LoadState,ActiveState,SubState,StatusText"),
        notes=(f"its log: journalctl --user -u {service.name} -f",),
    )
