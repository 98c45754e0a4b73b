"""Alpaca's keys: where they come from, what is refused, and that nothing shows them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from signal_contract.errors import EngineUnusable
from subscriber_agent.engines.alpaca.keys import AlpacaKeys, keys_from
from subscriber_agent.engines.context import EngineContext

ID, SECRET = "PKTESTTESTTESTTEST01", "sEcReT/sEcReT+sEcReTsEcReTsEcReT01"


def context(home: Path, **environ: str) -> EngineContext:
    return EngineContext(home, home, "alice", environ=environ)


def key_file(home: Path, text: str, mode: int = 0o600) -> Path:
    path = home / "alpaca.keys"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return Path("alpaca.keys")


@pytest.mark.parametrize(
    "text",
    [
        f"APCA_API_KEY_ID={ID}\nAPCA_API_SECRET_KEY={SECRET}\n",
        f"# mine\nexport APCA_API_KEY_ID = '{ID}'\n\nexport APCA_API_SECRET_KEY=\"{SECRET}\"\n",
        f'{{"APCA_API_KEY_ID": "{ID}", "APCA_API_SECRET_KEY": "{SECRET}"}}',
    ],
    ids=["lines", "shell", "json"],
)
def test_a_key_file_may_be_lines_or_json(tmp_path: Path, text: str) -> None:
    assert keys_from(key_file(tmp_path, text), context(tmp_path)) == AlpacaKeys(ID, SECRET)


def test_without_a_file_the_environment_counts(tmp_path: Path) -> None:
    found = keys_from(None, context(tmp_path, APCA_API_KEY_ID=ID, APCA_API_SECRET_KEY=SECRET))
    assert found == AlpacaKeys(ID, SECRET)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no APCA_API_KEY_ID"),
        (f"APCA_API_KEY_ID={ID}", "holds no APCA_API_SECRET_KEY"),
        (f"APCA_API_KEY_ID={ID}\nAPCA_API_SECRET_KEY={SECRET} {SECRET}", "does not look like"),
        ('{"APCA_API_KEY_ID": 5}', "does not look like"),
        ('{"APCA_API_KEY_ID": ', "holds no APCA_API_KEY_ID"),
        ("[]", "holds no APCA_API_KEY_ID"),
        ("x" * 5000, "plausible size"),
    ],
    ids=["empty", "half", "spaces", "number", "torn", "list", "large"],
)
def test_a_bad_file_is_named_without_its_content(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(EngineUnusable, match=words) as caught:
        keys_from(key_file(tmp_path, text), context(tmp_path))
    assert SECRET not in f"{caught.value} {caught.value.hint}"


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineUnusable, match="read by others") as caught:
        keys_from(key_file(tmp_path, f"APCA_API_KEY_ID={ID}", 0o640), context(tmp_path))
    assert caught.value.hint.startswith("Run: chmod 600")


def test_a_missing_file_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(EngineUnusable, match="does not exist") as caught:
        keys_from(Path("none.keys"), context(tmp_path))
    assert "APCA_API_SECRET_KEY=" in caught.value.hint


def test_keys_are_not_in_their_repr() -> None:
    assert ID not in repr(AlpacaKeys(ID, SECRET))
    assert SECRET not in str(AlpacaKeys(ID, SECRET))
