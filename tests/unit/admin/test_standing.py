"""What stands, as a file and as a value: nothing is lost, nothing half-read, and the stricter one is kept."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_admin.desk import Desk
from signal_admin.standing import Standing, Word, forget_user, read_standing, write_standing
from signal_contract.control import Verb
from signal_contract.errors import StorageFailed

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
HALT = Word(Verb.HALT, "wrong tickers", NOW, 7)
REDUCE = Word(Verb.REDUCE, "", NOW, None)
RESUME = Word(Verb.RESUME, "", NOW, 9)
WORDS = st.builds(
    Word,
    st.sampled_from([Verb.HALT, Verb.REDUCE, Verb.RESUME]),
    st.text(max_size=20),
    st.datetimes(timezones=st.just(UTC)),
    st.one_of(st.none(), st.integers(1, 1 << 60)),
)
NAMES = st.sampled_from(["alice", "bob", "carol"])


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


@given(everybody=st.one_of(st.none(), WORDS), users=st.dictionaries(NAMES, WORDS))
def test_what_is_written_is_what_is_read(tmp_path_factory, everybody, users):
    desk = Desk(tmp_path_factory.mktemp("desk"))
    write_standing(desk, Standing(everybody, users))
    assert read_standing(desk) == Standing(everybody, users)


def test_before_the_first_word_nothing_stands(desk):
    assert read_standing(desk) == Standing()
    assert Standing().in_force_for(("alice",)) == ()


def test_the_file_is_the_operators_alone(desk):
    write_standing(desk, Standing(HALT))
    assert desk.control_json.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b'{"all": {"verb": "halt"}, "users": {}}',
        b'{"all": {"verb": "notice", "reason": "", "issued_at": "2026-03-02T14:30:00Z", "sequence": 1}, "users": {}}',
        b'{"all": {"verb": "halt", "reason": "", "issued_at": "2026-03-02T14:30:00", "sequence": 1}, "users": {}}',
        b'{"all": null, "users": {"../x": null}}',
    ],
)
def test_a_damaged_file_is_an_error_and_never_nothing(desk, content):
    desk.control_json.write_bytes(content)
    with pytest.raises(StorageFailed):
        read_standing(desk)


def test_only_what_holds_trading_back_is_repeated():
    standing = Standing(HALT, {"alice": REDUCE, "bob": RESUME})
    assert standing.in_force_for(("alice", "bob", "carol")) == ((None, HALT), ("alice", REDUCE))
    assert Standing(RESUME, {"alice": REDUCE}).in_force_for(("bob",)) == ()


@pytest.mark.parametrize(
    ("word", "before", "is_so"),
    [
        (HALT, None, True),
        (REDUCE, None, True),
        (RESUME, None, True),
        (HALT, REDUCE, True),
        (REDUCE, HALT, False),
        (RESUME, REDUCE, False),
        (RESUME, RESUME, True),
    ],
)
def test_what_loosens_waits_for_its_receipt(word, before, is_so):
    assert word.is_as_strict_as(before) is is_so


async def test_what_was_said_to_one_who_left_is_not_said_to_the_next_of_his_name(desk):
    write_standing(desk, Standing(HALT, {"alice": REDUCE, "bob": REDUCE}))
    await forget_user(desk, "alice")
    assert read_standing(desk) == Standing(HALT, {"bob": REDUCE})
