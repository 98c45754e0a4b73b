"""`health.json`: a proof counts while it is fresh, and nothing else counts as one."""

from datetime import UTC, datetime, timedelta

import pytest

from signal_admin.desk import Desk
from signal_admin.service.proof import (
    MAX_AGE_S,
    Proof,
    forget_proof,
    proof_checked,
    proof_path,
    read_proof,
    write_proof,
)
from signal_contract.errors import NotFound, ServerUnreachable, StorageFailed

_NOW = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)


def test_what_was_written_is_read_and_forgotten(tmp_path):
    desk = Desk(tmp_path)
    write_proof(desk, Proof(_NOW, 42))
    assert read_proof(desk) == Proof(_NOW, 42)
    assert proof_path(desk).stat().st_mode & 0o077 == 0
    forget_proof(desk)
    forget_proof(desk)
    with pytest.raises(NotFound):
        read_proof(desk)


@pytest.mark.parametrize("age_s", [-4, 0, MAX_AGE_S])
def test_a_fresh_proof_counts(age_s):
    proof = Proof(_NOW - timedelta(seconds=age_s), 1)
    assert proof_checked(proof, _NOW) is proof


@pytest.mark.parametrize("age_s", [-6, MAX_AGE_S + 1, 86_400])
def test_a_stale_proof_and_one_from_the_future_do_not(age_s):
    with pytest.raises(ServerUnreachable):
        proof_checked(Proof(_NOW - timedelta(seconds=age_s), 1), _NOW)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"at": "2026-01-05T15:00:00", "last_sequence": 1}',
        b'{"at": "soon", "last_sequence": 1}',
        b'{"at": 5, "last_sequence": 1}',
        b'{"at": "2026-01-05T15:00:00+00:00", "last_sequence": "1"}',
        b'{"at": "2026-01-05T15:00:00+00:00", "last_sequence": true}',
    ],
    ids=["empty", "list", "nothing", "naive", "words", "number", "text", "truth"],
)
def test_a_file_that_says_anything_else_is_no_proof(tmp_path, content):
    proof_path(Desk(tmp_path)).write_bytes(content)
    with pytest.raises(StorageFailed):
        read_proof(Desk(tmp_path))
