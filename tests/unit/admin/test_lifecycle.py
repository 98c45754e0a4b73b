from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_admin.accounts import friends_extras
from signal_admin.constraints import constraints_from
from signal_admin.lifecycle import MAX_RETIRING, Edit, extended, offboarded, refiltered, retired, revoked, rotated
from signal_admin.registry import RetiringKey, User
from signal_admin.revocations import Revocation, merged, still_needed
from signal_contract.errors import Conflict, InputError

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
DAY = timedelta(days=1)
ALICE = User("alice", "UALICE", ("signals.fda.*",), NOW - 9 * DAY, NOW + 30 * DAY, issued_at=NOW - 9 * DAY)
OLDER = RetiringKey("UOLDER", NOW + DAY, NOW + 30 * DAY)


def test_a_revoked_user_loses_all_his_keys_and_keeps_his_place():
    edit = revoked(replace(ALICE, retiring=(OLDER,), start_sequence=5), NOW)
    assert {each.public_key for each in edit.revoked} == {"UALICE", "UOLDER"}
    assert (edit.after.status(NOW), edit.after.retiring, edit.after.start_sequence) == ("revoked", (), 5)
    assert edit.touches_account


def test_a_revocation_is_never_older_than_the_jwt_it_is_meant_for():
    issued_ahead = replace(ALICE, issued_at=NOW + timedelta(hours=1))
    assert revoked(issued_ahead, NOW).revoked[0].revoked_at == NOW + timedelta(hours=1)


def test_a_user_is_revoked_once_and_saying_so_again_repeats_the_revocation():
    first = revoked(ALICE, NOW).after
    again = revoked(first, NOW + DAY)
    assert again.after.revoked_at == NOW
    assert [each.public_key for each in again.revoked] == ["UALICE"]


def test_an_offboarded_user_is_leaving_and_revoked():
    edit = offboarded(ALICE, NOW)
    assert (edit.after.status(NOW), edit.after.revoked_at) == ("leaving", NOW)
    assert edit.revoked


def test_a_rotation_overlaps():
    edit = rotated(ALICE, "UNEW", ALICE.expires_at, DAY, NOW)
    assert edit.after.public_key == "UNEW"
    assert edit.after.retiring == (RetiringKey("UALICE", NOW + DAY, ALICE.expires_at),)
    assert edit.revoked == ()


def test_a_rotation_without_overlap_withdraws_every_older_key_at_once():
    edit = rotated(replace(ALICE, retiring=(OLDER,)), "UNEW", None, timedelta(), NOW)
    assert {each.public_key for each in edit.revoked} == {"UALICE", "UOLDER"}
    assert edit.after.retiring == ()
    assert edit.after.status(NOW) == "active"


def test_a_rotation_lets_a_revoked_user_in_again_and_never_his_old_key():
    before = revoked(ALICE, NOW).after
    edit = rotated(before, "UNEW", ALICE.expires_at, DAY, NOW)
    assert edit.after.status(NOW) == "active"
    assert edit.after.retiring == ()


@pytest.mark.parametrize("overlap", [-DAY, 31 * DAY])
def test_an_overlap_has_limits(overlap):
    with pytest.raises(InputError, match="overlap"):
        rotated(ALICE, "UNEW", None, overlap, NOW)


def test_a_new_key_needs_time():
    with pytest.raises(InputError, match="expired"):
        rotated(ALICE, "UNEW", NOW - DAY, DAY, NOW)


def test_old_keys_do_not_pile_up():
    full = replace(ALICE, retiring=tuple(RetiringKey(f"U{n}", NOW + DAY) for n in range(MAX_RETIRING)))
    with pytest.raises(Conflict, match="older keys"):
        rotated(full, "UNEW", None, DAY, NOW)


def test_a_key_is_retired_when_its_overlap_is_over_and_not_before():
    user = replace(ALICE, retiring=(OLDER, RetiringKey("ULATER", NOW + 2 * DAY)))
    assert retired(user, NOW) is None
    edit = retired(user, NOW + DAY)
    assert [each.public_key for each in edit.revoked] == ["UOLDER"]
    assert [each.public_key for each in edit.after.retiring] == ["ULATER"]


def test_an_extension_keeps_the_key():
    edit = extended(ALICE, NOW + 90 * DAY, NOW)
    assert (edit.after.public_key, edit.after.expires_at, edit.after.issued_at) == ("UALICE", NOW + 90 * DAY, NOW)
    assert not edit.touches_account


@pytest.mark.parametrize("end", [ALICE.expires_at, NOW + DAY])
def test_credentials_that_are_out_cannot_be_shortened(end):
    with pytest.raises(InputError, match="valid"):
        extended(ALICE, end, NOW)


def test_what_has_no_end_cannot_be_extended():
    with pytest.raises(InputError, match="without end"):
        extended(replace(ALICE, expires_at=None), NOW + DAY, NOW)


def test_a_revoked_key_cannot_be_extended():
    with pytest.raises(Conflict, match="revoked"):
        extended(revoked(ALICE, NOW).after, NOW + 90 * DAY, NOW)


def test_who_is_leaving_is_not_changed_any_more():
    leaving = offboarded(ALICE, NOW).after
    for change in (
        lambda: refiltered(leaving, ("signals.*.*",)),
        lambda: extended(leaving, NOW + 90 * DAY, NOW),
        lambda: rotated(leaving, "UNEW", None, DAY, NOW),
    ):
        with pytest.raises(Conflict, match="offboarded"):
            change()


def test_the_difference_names_claims_before_and_after():
    changes = {each.what: (each.before, each.after) for each in rotated(ALICE, "UNEW", None, DAY, NOW).changes}
    assert changes["user: sub"] == ("UALICE", "UNEW")
    assert changes["user: exp"] == (ALICE.expires_at.isoformat(), None)
    assert changes["registry: retiring keys"] == (None, {"UALICE": (NOW + DAY).isoformat()})
    filters = refiltered(ALICE, ("signals.*.*",)).changes
    assert [(each.before, each.after) for each in filters] == [(["signals.fda.*"], ["signals.*.*"])]


def test_an_own_scope_touches_the_account_and_plain_users_do_not():
    limited = replace(ALICE, scope_key="ASCOPE", constraints=constraints_from(["10.0.0.0/8"], [], None))
    assert Edit(None, limited).touches_account
    assert not Edit(None, ALICE).touches_account


def test_an_own_scope_names_its_user_and_can_sign_for_nobody_else():
    limited = replace(ALICE, scope_key="ASCOPE", constraints=constraints_from(["10.0.0.0/8"], [], None))
    (scope,) = friends_extras([ALICE, limited], [], NOW).scopes
    subjects = [*scope["template"]["pub"]["allow"], *scope["template"]["sub"]["allow"]]
    assert not any("{{" in each for each in subjects)
    assert any("sub_alice" in each for each in subjects)
    assert (scope["key"], scope["template"]["src"]) == ("ASCOPE", ["10.0.0.0/8"])


def test_revocations_of_keys_that_expired_long_ago_leave_the_account():
    old, young, endless = (
        Revocation("UOLD", "a", NOW - 50 * DAY, NOW - 2 * DAY),
        Revocation("UYOUNG", "b", NOW - 50 * DAY, NOW - timedelta(hours=3)),
        Revocation("UENDLESS", "c", NOW - 50 * DAY, None),
    )
    assert still_needed([old, young, endless], NOW) == (young, endless)
    assert set(friends_extras([], [old, young, endless], NOW).revocations) == {"UYOUNG", "UENDLESS"}


revocations = st.builds(
    Revocation,
    st.sampled_from(["UA", "UB", "UC"]),
    st.just("x"),
    st.datetimes(timezones=st.just(UTC)),
    st.none() | st.datetimes(timezones=st.just(UTC)),
)


@given(st.lists(revocations), st.lists(revocations))
def test_merging_never_forgets_or_weakens_a_revocation(known, new):
    by_key = {each.public_key: each for each in merged(merged((), known), new)}
    for each in (*known, *new):
        kept = by_key[each.public_key]
        assert kept.revoked_at >= each.revoked_at
        assert kept.expires_at is None or (each.expires_at is not None and kept.expires_at >= each.expires_at)
