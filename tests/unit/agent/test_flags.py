"""What an agent makes of the operator's flags: believed only when signed and not older, and never a loosening."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from signal_contract.errors import InputError, SignatureInvalid
from signal_contract.flags import Flag, FlagSet, Held, flags_bytes
from signal_contract.signing import Signer
from signal_contract.topology import FLAGS_SUBJECT
from subscriber_agent.flags import Known, followed, known_from
from subscriber_agent.risk.market import TradingState

AT = datetime(2026, 1, 2, 14, 30, tzinfo=UTC)
SIGNER = Signer.from_seed(bytes(32))
NO_ENTRIES = {"entries_percent": Flag(value="0")}


def document(at=AT, flags=NO_ENTRIES, *, signer=SIGNER, subject=FLAGS_SUBJECT):
    payload = flags_bytes(FlagSet(issued_at=at, flags=flags))
    return payload, signer.sign(subject, payload)


def after(known, signed, user="alice"):
    return followed(known, *signed, SIGNER.verifier, user)


def test_signed_flags_are_followed():
    known = after(Known(), document())
    assert known.held.entries
    assert (known.issued_at, known.values) == (AT, (("entries_percent", "0", 100),))


@pytest.mark.parametrize(
    "signed",
    [
        document(signer=Signer.from_seed(b"x" * 32)),
        document(subject="control.all.halt"),
        (document()[0], None),
        (document()[0] + b" ", document()[1]),
    ],
    ids=["another key", "another subject", "no signature", "changed"],
)
def test_what_the_publisher_did_not_sign_is_not_believed(signed):
    with pytest.raises(SignatureInvalid):
        after(Known(), signed)


def test_older_flags_do_not_take_back_later_ones():
    known = after(Known(), document())
    with pytest.raises(InputError, match="older"):
        after(known, document(AT - timedelta(milliseconds=1), {}))


def test_later_flags_loosen_what_earlier_ones_held_back():
    known = after(after(Known(), document()), document(AT + timedelta(milliseconds=1), {}))
    assert known.held == Held()


def test_what_is_kept_comes_back():
    known = after(Known(), document(flags={"mode_floor": Flag(value="approve"), "later": Flag(value="x", percent=3)}))
    assert known_from(orjson.dumps(known.as_dict()).decode()) == known


def test_without_flags_nothing_is_held_back():
    assert known_from(None) == Known()


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"reasons":1}', "\x00"])
def test_damaged_flags_hold_back_entries_until_the_next_look(text):
    damaged = known_from(text)
    assert damaged.state(is_paper=True) is TradingState.REDUCING
    assert after(damaged, document(flags={})).held == Held()


@pytest.mark.parametrize("is_paper", [True, False])
@pytest.mark.parametrize("taken", [Held(), Held(True), Held(False, True), Held(True, True, True)])
def test_no_flag_ever_stops_an_exit(taken, is_paper):
    assert Known(taken).state(is_paper=is_paper) in (TradingState.ACTIVE, TradingState.REDUCING)
