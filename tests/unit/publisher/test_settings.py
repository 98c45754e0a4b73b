"""Reading what `catalyst up` wrote for the publisher."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from publisher.settings import read_settings
from signal_contract.errors import ConfigInvalid, CredsInvalid, NotFound, PlaintextRefused

NOW = datetime(2026, 3, 2, 14, 25, tzinfo=UTC)
GOOD = {
    "servers": ["nats://127.0.0.1:4222"],
    "creds": "publisher.creds",
    "signing_seed": "signing.seed",
    "outbox": "outbox.sqlite",
}


def write(data: Path, content: str) -> None:
    (data / "publisher").mkdir(parents=True, exist_ok=True)
    (data / "publisher" / "settings.json").write_text(content, encoding="utf-8")


def test_missing_settings_say_to_run_up_first(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        read_settings(tmp_path, now=NOW)
    assert "catalyst up" in caught.value.hint


@pytest.mark.parametrize("content", ["", "{", "[]", "\xff", json.dumps({**GOOD, "surprise": 1}), "{}"])
def test_unusable_settings_are_refused(tmp_path: Path, content: str) -> None:
    write(tmp_path, content)
    with pytest.raises(ConfigInvalid):
        read_settings(tmp_path, now=NOW)


def test_every_mistake_is_named(tmp_path: Path) -> None:
    write(tmp_path, json.dumps({"servers": [], "creds": 7, "signing_seed": "", "outbox": "o"}))
    with pytest.raises(ConfigInvalid) as caught:
        read_settings(tmp_path, now=NOW)
    assert len(caught.value.violations) == 3


def test_clear_text_beyond_this_machine_is_refused(tmp_path: Path) -> None:
    write(tmp_path, json.dumps(GOOD | {"servers": ["nats://192.0.2.1:4222"]}))
    with pytest.raises(PlaintextRefused):
        read_settings(tmp_path, now=NOW)


def test_missing_creds_are_named(tmp_path: Path) -> None:
    write(tmp_path, json.dumps(GOOD))
    with pytest.raises(CredsInvalid, match=r"publisher\.creds"):
        read_settings(tmp_path, now=NOW)
