"""The wire that is measured: a real server in the shipped configuration, friends with their configs, the publisher."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from signal_admin.up import Up, UpSettings, brought_up
from signal_admin.users import add_user, entitlement_from
from signal_contract.creds import read_creds
from signal_contract.link import Link, opened
from signal_contract.signing import MESSAGE_ID_HEADER, SIGNATURE_HEADER, Signer

# Every check runs, and none of them refuses what is measured: night and day.
RISK: dict[str, Any] = {
    "sessions": ["pre", "regular", "after", "closed"],
    "max_open_positions": 100,
    "max_exposure_percent": 100,
    "max_catalyst_exposure_percent": 100,
    "fixed_usd": 20,
}


@dataclass(frozen=True, slots=True)
class Wire:
    """A running server; `publisher` is an open connection with the publisher's rights."""

    up: Up
    publisher: Link
    signer: Signer

    @property
    def url(self) -> str:
        return self.up.running.url

    @property
    def folder(self) -> Path:
        return self.up.desk.root.parent

    def headers(self, subject: str, payload: bytes, message_id: str) -> dict[str, str]:
        """What a signal is sent with."""
        return {MESSAGE_ID_HEADER: message_id, SIGNATURE_HEADER: self.signer.sign(subject, payload)}

    async def friend(self, name: str, filters: Sequence[str] = ("signals.*.*",), **settings: Any) -> Path:
        """Let a friend in; the path of his config, in which every check runs and nothing measured is refused."""
        entitlement = entitlement_from([], list(filters))
        added = await add_user(self.up.desk, name, entitlement, now=datetime.now(UTC))
        config = yaml.safe_load(added.config.read_text(encoding="utf-8")) | {"risk": RISK} | settings
        added.config.write_text(yaml.safe_dump(config), encoding="utf-8")
        return added.config

    def config_of(self, name: str) -> Path:
        return self.up.desk.users / name / f"{name}.yaml"

    def creds_of(self, name: str) -> Path:
        return self.up.desk.users / name / f"{name}.creds"


@contextlib.asynccontextmanager
async def wired() -> AsyncIterator[Wire]:
    """A server of its own in a temporary directory, `sync_interval: always` as shipped."""
    with tempfile.TemporaryDirectory() as folder:
        async with brought_up(Path(folder) / "data", UpSettings(port=-1), lambda line: None) as up:
            desk = up.desk
            creds = read_creds(desk.role_creds("publisher"))
            async with opened([up.running.url], creds, label="bench-publisher") as publisher:
                yield Wire(up, publisher, _signer_of(up))


def _signer_of(up: Up) -> Signer:
    from publisher.settings import read_settings

    return read_settings(up.desk.root, now=datetime.now(UTC)).signer
