import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_admin.constraints import UNCONSTRAINED, Constraints, constraints_from
from signal_contract.errors import InputError


def test_nothing_asked_for_is_no_limit_and_no_template():
    assert constraints_from([], [], None) == UNCONSTRAINED
    assert UNCONSTRAINED.template == {}


def test_limits_become_the_fields_of_a_scope():
    made = constraints_from(["203.0.113.0/24", "2001:DB8::/32"], ["03:30-20:30"], "America/New_York", True)
    assert made.template == {
        "src": ["203.0.113.0/24", "2001:db8::/32"],
        "times": [{"start": "03:30:00", "end": "20:30:00"}],
        "times_location": "America/New_York",
        "allowed_connection_types": ["WEBSOCKET"],
    }
    assert Constraints.from_dict(made.as_dict()) == made


def test_hours_over_midnight_are_split_because_the_server_takes_them_as_closed():
    made = constraints_from([], ["22:00-06:00", "20:00-00:00"], "UTC")
    assert made.template["times"] == [
        {"start": "22:00:00", "end": "23:59:59"},
        {"start": "00:00:00", "end": "06:00:00"},
        {"start": "20:00:00", "end": "23:59:59"},
    ]


def test_a_single_address_is_a_range_and_doubles_count_once():
    assert constraints_from(["203.0.113.7", "203.0.113.7/32"], [], None).cidrs == ("203.0.113.7/32",)


@pytest.mark.parametrize(
    "cidr", ["", "x", "203.0.113.5/24", "300.1.1.1", "10.0.0.0/33", "10.0.0.0/8,0.0.0.0/0", "::/129"]
)
def test_what_is_no_address_range_is_refused(cidr):
    with pytest.raises(InputError, match="address range"):
        constraints_from([cidr], [], None)


@pytest.mark.parametrize(
    "hours", ["", "3:30-20:30", "03:30", "24:00-01:00", "03:60-04:00", "03:30-03:30", "a-b", "03:30–20:30"]
)
def test_what_is_no_range_of_hours_is_refused(hours):
    with pytest.raises(InputError, match="range of hours"):
        constraints_from([], [hours], "UTC")


@pytest.mark.parametrize(
    "zone", ["Local", "localtime", "EST5EDT4", "../etc/passwd", "/etc/localtime", "America/Nowhere", "a b"]
)
def test_what_is_no_time_zone_is_refused(zone):
    with pytest.raises(InputError, match="time zone"):
        constraints_from([], ["03:30-20:30"], zone)


@pytest.mark.parametrize(("hours", "zone"), [(["03:30-20:30"], None), ([], "UTC"), (["03:30-20:30"], "")])
def test_hours_and_time_zone_come_together_or_not_at_all(hours, zone):
    with pytest.raises(InputError, match="belong together"):
        constraints_from([], hours, zone)


def test_too_many_limits_are_refused():
    with pytest.raises(InputError, match="at most"):
        constraints_from([f"10.0.{n}.0/24" for n in range(17)], [], None)


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_any_text_is_taken_or_refused_by_our_own_error(cidr, hours, zone):
    try:
        made = constraints_from([cidr], [hours], zone)
    except InputError:
        return
    assert Constraints.from_dict(made.as_dict()) == made
