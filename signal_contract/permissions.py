"""Who may do what, as data. Minting, documentation and the permission tests all read this table.

Friends live in account FRIENDS and the roles that only look on in OBSERVERS. Neither has JetStream, each imports only
what it needs: the server answers requests with the account's authority, so within the stream's own account any user
could aim a reply at `$JS.API.STREAM.DELETE…`.
`{{name()}}` is filled in by the server from the user's JWT (scoped signing keys).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from signal_contract.subject import HEARTBEAT_PUBLISHER
from signal_contract.topology import (
    ALL_CONTROL,
    ALL_SIGNALS,
    API_PREFIX,
    AUDIT_BATCH_SUBJECT,
    AUDIT_STREAM,
    FEED_PREFIX,
    FEEDBACK_KINDS,
    FEEDBACK_STREAM,
    FLAGS_GET_SUBJECT,
    FLAGS_STREAM,
    FLAGS_SUBJECT,
    STREAM,
    USERS_CONTROL,
    WATCH_PREFIX,
    Account,
)

NAME = "{{name()}}"
# What `catalyst backup` takes; a stream that is not here is not in any backup.
BACKED_UP = (STREAM, AUDIT_STREAM, FEEDBACK_STREAM, FLAGS_STREAM)


class RoleName(StrEnum):
    PUBLISHER = "publisher"
    SUBSCRIBER = "subscriber"
    MONITOR = "monitor"
    ADMIN = "admin"
    AUDITOR = "auditor"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Role:
    """One scoped signing key's template. Everything that is not listed is denied.

    `max_subscriptions` and `max_payload_bytes` close the connection when exceeded (measured on 2.15).
    """

    name: RoleName
    account: Account
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    max_subscriptions: int
    max_payload_bytes: int
    connection_types: tuple[str, ...] = ("STANDARD", "WEBSOCKET")


_OWN_INBOX = f"_INBOX_{NAME}.>"
_API = API_PREFIX

ROLES: dict[RoleName, Role] = {
    role.name: role
    for role in (
        Role(
            RoleName.SUBSCRIBER,
            Account.FRIENDS,
            publish=(
                f"{FEED_PREFIX}.CONSUMER.INFO.{STREAM}.sub_{NAME}",
                f"{FEED_PREFIX}.CONSUMER.MSG.NEXT.{STREAM}.sub_{NAME}",
                f"$JS.ACK.{STREAM}.sub_{NAME}.>",
                f"$JS.ACK.*.*.{STREAM}.sub_{NAME}.>",
                *(f"feedback.{NAME}.{kind}" for kind in FEEDBACK_KINDS),
                FLAGS_GET_SUBJECT,
            ),
            subscribe=(_OWN_INBOX, HEARTBEAT_PUBLISHER),
            max_subscriptions=10,
            max_payload_bytes=16 * 1024,
        ),
        Role(
            RoleName.PUBLISHER,
            Account.SIGNALS,
            # The stream's first and last sequence go into the heartbeat.
            publish=(ALL_SIGNALS, HEARTBEAT_PUBLISHER, f"{_API}.STREAM.INFO.{STREAM}"),
            subscribe=(_OWN_INBOX,),
            max_subscriptions=10,
            max_payload_bytes=96 * 1024,
        ),
        Role(
            RoleName.MONITOR,
            Account.OBSERVERS,
            publish=(
                f"{WATCH_PREFIX}.STREAM.INFO.{STREAM}",
                f"{WATCH_PREFIX}.CONSUMER.INFO.{STREAM}.*",
                f"{WATCH_PREFIX}.CONSUMER.LIST.{STREAM}",
            ),
            subscribe=(_OWN_INBOX, ALL_SIGNALS, ALL_CONTROL, USERS_CONTROL, "heartbeat.>"),
            max_subscriptions=20,
            max_payload_bytes=16 * 1024,
        ),
        Role(
            RoleName.ADMIN,
            Account.SIGNALS,
            publish=(
                f"{_API}.INFO",
                f"{_API}.STREAM.CREATE.{STREAM}",
                f"{_API}.STREAM.UPDATE.{STREAM}",
                f"{_API}.STREAM.INFO.{STREAM}",
                f"{_API}.STREAM.MSG.GET.{STREAM}",
                f"{_API}.CONSUMER.CREATE.{STREAM}.>",
                f"{_API}.CONSUMER.DELETE.{STREAM}.*",
                f"{_API}.CONSUMER.INFO.{STREAM}.*",
                f"{_API}.CONSUMER.LIST.{STREAM}",
                f"{_API}.CONSUMER.NAMES.{STREAM}",
                f"{_API}.STREAM.CREATE.{AUDIT_STREAM}",
                f"{_API}.STREAM.UPDATE.{AUDIT_STREAM}",
                f"{_API}.STREAM.INFO.{AUDIT_STREAM}",
                f"{_API}.STREAM.CREATE.{FEEDBACK_STREAM}",
                f"{_API}.STREAM.UPDATE.{FEEDBACK_STREAM}",
                f"{_API}.STREAM.INFO.{FEEDBACK_STREAM}",
                f"{_API}.STREAM.MSG.GET.{FEEDBACK_STREAM}",
                f"{_API}.STREAM.CREATE.{FLAGS_STREAM}",
                f"{_API}.STREAM.UPDATE.{FLAGS_STREAM}",
                f"{_API}.STREAM.INFO.{FLAGS_STREAM}",
                f"{_API}.STREAM.MSG.GET.{FLAGS_STREAM}",
                FLAGS_SUBJECT,
                # A backup reads whole streams, and acknowledges each piece; putting one back is nobody's here.
                *(f"{_API}.STREAM.SNAPSHOT.{stream}" for stream in BACKED_UP),
                *(f"$JS.SNAPSHOT.ACK.{stream}.>" for stream in BACKED_UP),
                "audit.>",
                ALL_CONTROL,
                USERS_CONTROL,
            ),
            subscribe=(_OWN_INBOX,),
            max_subscriptions=20,
            max_payload_bytes=96 * 1024,
        ),
        # Reads the audit log by direct get, in batches. No consumer: the server checks no deliver_subject.
        Role(
            RoleName.AUDITOR,
            Account.OBSERVERS,
            publish=(
                f"{WATCH_PREFIX}.STREAM.INFO.{AUDIT_STREAM}",
                f"{WATCH_PREFIX}.STREAM.MSG.GET.{AUDIT_STREAM}",
                AUDIT_BATCH_SUBJECT,
            ),
            subscribe=(_OWN_INBOX,),
            max_subscriptions=10,
            max_payload_bytes=16 * 1024,
        ),
        # The operator's hand on the server itself: pushes account JWTs, closes connections, hears who comes and goes.
        Role(
            RoleName.SYSTEM,
            Account.SYS,
            publish=(
                "$SYS.REQ.CLAIMS.UPDATE",
                "$SYS.REQ.CLAIMS.LOOKUP",
                "$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP",
                "$SYS.REQ.SERVER.PING",
                "$SYS.REQ.SERVER.PING.>",
                "$SYS.REQ.SERVER.*.KICK",
            ),
            subscribe=(
                _OWN_INBOX,
                "$SYS.ACCOUNT.*.CONNECT",
                "$SYS.ACCOUNT.*.DISCONNECT",
                "$SYS.SERVER.*.CLIENT.AUTH.ERR",
            ),
            max_subscriptions=20,
            # Answers of the server are not bounded by it; an account JWT with many revocations is.
            max_payload_bytes=128 * 1024,
        ),
    )
}
