"""The announcement of the publisher's next key: only the pinned key names its successor."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from signal_contract.announce import ANNOUNCE_SUBJECT, Announcement, announcement_bytes, read_announcement
from signal_contract.errors import InputError, SignatureInvalid
from signal_contract.signing import Signer

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
OLD, NEXT, OTHER = (Signer.from_seed(bytes([each]) * 32) for each in (1, 2, 3))


def announcement(old=OLD, new=NEXT):
    return Announcement(next_key=new.public_key, not_before=NOW, old_key=old.public_key)


def test_an_announcement_is_read_as_it_was_written():
    assert read_announcement(announcement_bytes(announcement()), OLD.verifier) == announcement()
    assert ANNOUNCE_SUBJECT == "control.all.key"


def test_the_old_key_signs_it_on_its_own_subject_and_nowhere_else():
    payload = announcement_bytes(announcement())
    signature = OLD.sign(ANNOUNCE_SUBJECT, payload)
    OLD.verifier.check(ANNOUNCE_SUBJECT, payload, signature)
    with pytest.raises(SignatureInvalid):
        OLD.verifier.check("control.all.halt", payload, signature)
    with pytest.raises(SignatureInvalid):
        NEXT.verifier.check(ANNOUNCE_SUBJECT, payload, signature)


def test_a_key_that_is_not_pinned_names_no_successor():
    with pytest.raises(SignatureInvalid):
        read_announcement(announcement_bytes(announcement()), OTHER.verifier)


def test_a_key_does_not_succeed_itself():
    with pytest.raises(ValidationError):
        announcement(OLD, OLD)


def test_the_same_step_has_one_message_id_and_another_step_another_one():
    again = announcement().model_copy(update={"not_before": datetime(2027, 1, 1, tzinfo=UTC)})
    assert again.message_id == announcement().message_id
    assert announcement(NEXT, OLD).message_id != announcement().message_id


@pytest.mark.parametrize("key", ["", "ed25519:", "ed25519:AAAA", "x" * 60])
def test_a_malformed_key_is_refused(key):
    payload = announcement_bytes(announcement()).replace(NEXT.public_key.encode(), key.encode())
    with pytest.raises(InputError):
        read_announcement(payload, OLD.verifier)


@given(st.binary(max_size=5000))
def test_arbitrary_bytes_get_our_error(payload):
    with pytest.raises(InputError):
        read_announcement(payload, OLD.verifier)
