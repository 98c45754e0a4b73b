"""Which key counts where, and what a message that is not the publisher's becomes."""

import json
from datetime import timedelta

import orjson
import pytest
from agent_samples import NOW, a_signal
from hypothesis import given, settings
from hypothesis import strategies as st

from signal_contract.announce import ANNOUNCE_SUBJECT, Announcement, announcement_bytes
from signal_contract.codec import encode
from signal_contract.delivery import Delivery
from signal_contract.errors import InputError, SignatureInvalid, StorageFailed
from signal_contract.signing import SIGNATURE_HEADER, Signer
from subscriber_agent.receiving.arrival import batch_sorted
from subscriber_agent.receiving.keys import KeyChain, Switch

ONE, TWO, THREE = (Signer.from_seed(bytes([n]) * 32) for n in (1, 2, 3))


def announced(old, new, signer=None):
    payload = announcement_bytes(Announcement(next_key=new.public_key, not_before=NOW, old_key=old.public_key))
    return payload, (signer or old).sign(ANNOUNCE_SUBJECT, payload)


def switch(seq, old, new):
    return Switch(seq, *announced(old, new))


def delivery(seq, subject, payload, signature, delivered=1):
    headers = {} if signature is None else {SIGNATURE_HEADER: signature}
    return Delivery(subject, payload, f"$JS.ACK.SIGNALS.sub_alice.{delivered}.{seq}.{seq}.1.0", headers)


def signal_message(seq, signer, news="n", **options):
    signal = a_signal(f"{news}{seq}")
    return delivery(seq, signal.subject, encode(signal), signer.sign(signal.subject, encode(signal)), **options)


def key_message(seq, old, new, signer=None):
    return delivery(seq, ANNOUNCE_SUBJECT, *announced(old, new, signer))


def sort(batch, keys=None, *, is_doubtful=False):
    return batch_sorted(batch, keys or KeyChain.pinned(ONE.public_key), NOW, user="alice", is_doubtful=is_doubtful)


def codes(found):
    return [arrival.code for _, arrival in found.pairs]


def test_what_the_pinned_key_signed_is_a_signal():
    found = sort([signal_message(1, ONE)])
    assert codes(found) == [None]
    assert found.pairs[0][1].signal == a_signal("n1")


def test_unsigned_wrongly_signed_and_resubjected_messages_are_parked_with_their_bytes():
    payload = encode(a_signal("n1"))
    elsewhere = encode(a_signal("n1", ticker="WXYZ"))
    batch = [
        delivery(1, "signals.fda.ABCD", payload, None),
        delivery(2, "signals.fda.ABCD", payload, "?"),
        signal_message(3, TWO),
        delivery(4, "signals.fda.WXYZ", payload, ONE.sign("signals.fda.ABCD", payload)),
        delivery(5, "signals.fda.ABCD", elsewhere, ONE.sign("signals.fda.ABCD", elsewhere)),
        delivery(6, "control.all.halt", b"{}", None),
    ]
    found = sort(batch)
    assert codes(found) == ["SIGNATURE_INVALID"] * 6
    assert [arrival.payload for _, arrival in found.pairs] == [each.data for each in batch]
    assert found.pairs[2][1].signature == batch[2].headers[SIGNATURE_HEADER]


def test_a_signed_control_message_that_is_not_known_is_set_aside():
    for subject in ("control.all.dance", "control.user.alice.dance"):
        found = sort([delivery(1, subject, b"{}", ONE.sign(subject, b"{}"))])
        assert codes(found) == ["CONTROL_UNKNOWN"]


def test_a_signed_message_that_is_no_signal_is_named():
    found = sort([delivery(1, "signals.fda.ABCD", b"{}", ONE.sign("signals.fda.ABCD", b"{}"))])
    assert codes(found) == ["SCHEMA_INVALID"]


def test_messages_without_a_stream_sequence_are_dropped():
    assert sort([Delivery("signals.fda.ABCD", b"", "_R_.x", {})]).pairs == ()


def test_the_key_that_is_announced_counts_for_what_stands_behind_it():
    found = sort([signal_message(4, ONE), key_message(5, ONE, TWO), signal_message(6, TWO), signal_message(7, ONE)])
    assert codes(found) == [None, None, None, "SIGNATURE_INVALID"]
    assert "retired at sequence 5" in found.pairs[3][1].detail
    assert found.keys.current.public_key == TWO.public_key
    assert found.pairs[1][1].signal is None


def test_an_old_message_by_the_old_key_still_counts_after_the_switch():
    keys = KeyChain.pinned(ONE.public_key).after(switch(5, ONE, TWO))
    assert codes(sort([signal_message(3, ONE), signal_message(6, ONE)], keys)) == [None, "SIGNATURE_INVALID"]


def test_an_announcement_that_comes_twice_is_absorbed():
    found = sort([key_message(5, ONE, TWO), key_message(5, ONE, TWO)])
    assert codes(found) == [None, None]
    assert len(found.keys.switches) == 1


def test_an_announcement_that_is_replayed_later_is_refused():
    keys = KeyChain.pinned(ONE.public_key).after(switch(5, ONE, TWO))
    assert codes(sort([key_message(9, ONE, TWO)], keys)) == ["SIGNATURE_INVALID"]
    assert codes(sort([key_message(9, ONE, THREE)], keys)) == ["SIGNATURE_INVALID"]


@pytest.mark.parametrize(
    "message",
    [
        key_message(5, ONE, TWO, signer=TWO),
        key_message(5, THREE, TWO, signer=ONE),
        delivery(5, ANNOUNCE_SUBJECT, announced(ONE, TWO)[0], None),
        delivery(5, "control.user.alice.key", *announced(ONE, TWO)),
    ],
    ids=["signed by the next key", "for another key", "unsigned", "on another subject"],
)
def test_a_key_is_announced_by_the_key_before_it_and_nobody_else(message):
    found = sort([message])
    assert codes(found) == ["SIGNATURE_INVALID"]
    assert found.keys.switches == ()


def test_a_chain_does_not_lead_back():
    keys = KeyChain.pinned(ONE.public_key).after(switch(5, ONE, TWO))
    with pytest.raises(SignatureInvalid, match="counted before"):
        keys.after(switch(9, TWO, ONE))


def test_what_is_announced_badly_is_named():
    payload = b'{"schema_version":1}'
    found = sort([delivery(5, ANNOUNCE_SUBJECT, payload, ONE.sign(ANNOUNCE_SUBJECT, payload))])
    assert codes(found) == ["INPUT_INVALID"]


def test_while_earlier_messages_may_be_under_way_an_unexplained_signature_is_asked_for_again():
    early = signal_message(6, TWO)
    found = sort([early, signal_message(4, ONE), delivery(7, "signals.fda.ABCD", b"", None)], is_doubtful=True)
    assert (found.held, codes(found)) == (1, [None, "SIGNATURE_INVALID"])
    assert codes(sort([signal_message(6, TWO, delivered=3)], is_doubtful=True)) == ["SIGNATURE_INVALID"]
    explained = sort([key_message(5, ONE, TWO), signal_message(6, TWO, delivered=2)], is_doubtful=True)
    assert codes(explained) == [None, None]


def test_in_a_stream_made_anew_the_newest_key_counts_from_the_start_and_older_ones_end_sooner():
    keys = KeyChain.pinned(ONE.public_key).after(switch(500, ONE, TWO))
    found = sort([signal_message(1, TWO), key_message(2, TWO, THREE), signal_message(3, THREE)], keys)
    assert codes(found) == [None, None, None]
    assert codes(sort([signal_message(4, ONE), signal_message(4, TWO)], found.keys)) == ["SIGNATURE_INVALID"] * 2


# Kept in the journal ----------------------------------------------------------------------------------------------


def a_long_chain():
    return KeyChain.pinned(ONE.public_key).after(switch(5, ONE, TWO)).after(switch(9, TWO, THREE))


def test_a_chain_is_the_same_after_a_restart():
    keys = a_long_chain()
    assert KeyChain.restored(ONE.public_key, keys.text) == keys
    assert KeyChain.restored(ONE.public_key, None) == KeyChain.pinned(ONE.public_key)


def test_a_config_that_pins_a_later_key_starts_the_chain_there():
    keys = KeyChain.restored(TWO.public_key, a_long_chain().text)
    assert (keys.root, keys.current.public_key) == (TWO.public_key, THREE.public_key)
    message = signal_message(1, ONE)
    with pytest.raises(SignatureInvalid):
        keys.check(message.subject, message.data, message.headers[SIGNATURE_HEADER], 1)


def test_a_config_that_pins_an_unknown_key_starts_anew():
    stranger = Signer.from_seed(bytes(32))
    assert KeyChain.restored(stranger.public_key, a_long_chain().text) == KeyChain.pinned(stranger.public_key)


def test_a_chain_that_somebody_wrote_into_the_journal_is_refused():
    document = orjson.loads(a_long_chain().text)
    document["switches"][0]["signature"] = THREE.sign("x", b"y")
    with pytest.raises(StorageFailed, match="does not hold"):
        KeyChain.restored(ONE.public_key, orjson.dumps(document).decode())


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=60)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["root", "switches", "seq"]), inner)
        ),
        max_leaves=8,
    ).map(json.dumps)
)
def test_any_kept_text_is_read_or_refused(text):
    try:
        keys = KeyChain.restored(ONE.public_key, text)
    except StorageFailed:
        return
    assert keys == KeyChain.pinned(ONE.public_key)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.text(max_size=80) | st.none(), st.sampled_from([ANNOUNCE_SUBJECT, "signals.fda.A"]))
def test_any_bytes_are_parked_and_change_no_key(payload, signature, subject):
    found = sort([delivery(1, subject, payload, signature)])
    assert codes(found) == ["SIGNATURE_INVALID"]
    assert found.keys == KeyChain.pinned(ONE.public_key)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_signed_announcement_is_followed_or_refused_by_name(payload):
    keys = KeyChain.pinned(ONE.public_key)
    with pytest.raises(InputError):
        keys.after(Switch(1, payload, ONE.sign(ANNOUNCE_SUBJECT, payload)))


def test_the_moment_of_the_announcement_decides_nothing():
    payload = announcement_bytes(
        Announcement(next_key=TWO.public_key, not_before=NOW + timedelta(days=9), old_key=ONE.public_key)
    )
    found = sort([delivery(5, ANNOUNCE_SUBJECT, payload, ONE.sign(ANNOUNCE_SUBJECT, payload)), signal_message(6, TWO)])
    assert codes(found) == [None, None]
