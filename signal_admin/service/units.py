"""The units in `deploy/systemd/`: the operator's, and a friend's who runs his agent as a service of the system. Pure.

They name the places that docs/deploy/vps.md makes. `signal_admin` may not import the agent: of it, only the command
line is written here.
"""

from __future__ import annotations

from signal_contract.systemd import Scope, Unit, unit_text

PROGRAMS = "/opt/catalyst/bin"
SERVER_HOME = "/var/lib/catalyst"
_GENERATED = ("Written by `make generate`: change the table in signal_contract/systemd.py instead,",)
# Not for the agent: a friend's own engine in it may compile as it runs, or look at the machine.
_NARROWER = (("MemoryDenyWriteExecute", "yes"), ("ProcSubset", "pid"))
_DROP_IN = "or override single lines with: systemctl edit "

SERVER = Unit(
    description="catalyst-signals: server, streams and relay",
    comment=(*_GENERATED, f"{_DROP_IN}catalyst-server"),
    command=(f"{PROGRAMS}/catalyst", "up"),
    scope=Scope.SYSTEM,
    user="catalyst",
    state="catalyst",
    environment=(("CATALYST_DATA", SERVER_HOME),),
    # A big stream takes its time to be read; the round trip is asked every 15 s.
    start_s=300,
    stop_s=60,
    watchdog_s=120,
    # Each friend is a connection, each durable some files; and it is the last one to go when memory runs out.
    more=(("LimitNOFILE", "65536"), ("OOMScoreAdjust", "-500"), *_NARROWER),
)
RELAY = Unit(
    description="catalyst-signals: publisher on a machine of its own",
    comment=(*_GENERATED, f"{_DROP_IN}catalyst-relay", "", "Not beside catalyst-server, which relays by itself."),
    command=(f"{PROGRAMS}/catalyst", "relay"),
    scope=Scope.SYSTEM,
    user="catalyst",
    state="catalyst",
    environment=(("CATALYST_DATA", SERVER_HOME),),
    start_s=60,
    stop_s=30,
    watchdog_s=300,
    more=_NARROWER,
)
AGENT = Unit(
    description="catalyst-signals: subscriber agent",
    comment=(
        *_GENERATED,
        f"{_DROP_IN}subscriber-agent",
        "",
        "One identity, trading as a user of its own. For your own machine: subscriber-agent service install",
    ),
    command=(f"{PROGRAMS}/subscriber-agent", "run"),
    scope=Scope.SYSTEM,
    user="subscriber-agent",
    state="subscriber-agent",
    # Until it is connected; another agent that seems to run is waited for 35 s.
    start_s=120,
    stop_s=60,
    watchdog_s=300,
)
UNITS: dict[str, Unit] = {
    "catalyst-server.service": SERVER,
    "catalyst-relay.service": RELAY,
    "subscriber-agent.service": AGENT,
}


def unit_files() -> dict[str, bytes]:
    """File name → content, as they lie in deploy/systemd."""
    return {name: unit_text(unit).encode() for name, unit in UNITS.items()}
