"""The error tree: stable codes, hints, and no foreign error left unmapped."""

import inspect

import nats.errors
import nats.js.errors
import pytest

from signal_contract import broker
from signal_contract.addresses import servers_checked
from signal_contract.catalysts import ALIASES, CATALYSTS, OTHER, Stance, catalysts_from_name, leading_catalyst
from signal_contract.envelope import Envelope, Problem
from signal_contract.errors import (
    EXIT_MEANING,
    CatalystError,
    CatalystUnknown,
    ConfigInvalid,
    CredsExpired,
    CredsRevoked,
    Denied,
    ExitCode,
    LinkError,
    PlaintextRefused,
    all_errors,
)


def test_codes_are_unique_and_every_error_says_what_to_do_next():
    errors = all_errors()[1:]
    codes = [each.code for each in errors]
    assert len(set(codes)) == len(codes)
    assert all(each.hint for each in errors)
    assert set(EXIT_MEANING) == set(ExitCode)


def test_the_docstring_draws_every_class():
    drawn = inspect.getdoc(inspect.getmodule(CatalystError))
    assert [each.__name__ for each in all_errors() if each.__name__ not in drawn] == []


def _foreign_errors():
    for module in (nats.errors, nats.js.errors):
        for _, each in inspect.getmembers(module, inspect.isclass):
            if issubclass(each, Exception) and each.__module__.startswith("nats"):
                yield each


@pytest.mark.parametrize("foreign", list(_foreign_errors()), ids=lambda each: f"{each.__module__}.{each.__name__}")
def test_every_error_of_the_client_library_is_mapped(foreign):
    assert broker.kind_of(foreign) is not LinkError, "it falls through the table"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("nats: 'Authorization Violation'", Denied),
        ("nats: 'User Authentication Expired'", CredsExpired),
        ("nats: 'User Authentication Revoked'", CredsRevoked),
    ],
)
def test_authentication_errors_are_told_apart(words, kind):
    assert type(broker.mapped(nats.errors.Error(words))) is kind


@pytest.mark.parametrize(
    "server", ["nats://10.0.0.1:4222", "ws://example.org", "nats://127.evil.org", "nats://localhost.evil.org"]
)
def test_clear_text_beyond_loopback_is_refused(server):
    with pytest.raises(PlaintextRefused):
        servers_checked([server])


@pytest.mark.parametrize("server", ["", "example.org:4222", "http://x", "nats://", "tls://user:pass@x:1"])
def test_what_is_no_server_address_is_refused(server):
    with pytest.raises(ConfigInvalid):
        servers_checked([server])


def test_loopback_and_tls_addresses_are_taken():
    for fine in (
        ["nats://127.0.0.1:4222", "nats://localhost:4222", "nats://[::1]:4222"],
        ["tls://signals.example.org:4222", "tls://192.0.2.7:4222"],
        ["wss://signals.example.org/nats"],
    ):
        assert servers_checked(fine) == fine


@pytest.mark.parametrize("mixture", [["nats://localhost:1", "tls://a.org:1"], ["tls://a.org:1", "wss://a.org"]])
def test_clear_and_encrypted_addresses_are_never_mixed(mixture):
    with pytest.raises(ConfigInvalid, match="mix"):
        servers_checked(mixture)


def test_unknown_catalyst_names_the_nearest():
    with pytest.raises(CatalystUnknown, match="did you mean 'partnership'"):
        catalysts_from_name("partnersip")


def test_aliases_lead_to_the_list_and_shadow_none_of_it():
    assert not set(ALIASES) & set(CATALYSTS)
    assert all(name in CATALYSTS for names in ALIASES.values() for name in names)
    assert catalysts_from_name("FDA") == ("fda",)
    assert catalysts_from_name(" m&a ") == ("acquisition", "merger")


@pytest.mark.parametrize(
    ("names", "leading"),
    [
        (["fda", "going_concern"], "going_concern"),
        (["fda", "offering"], "offering"),
        (["partnership", "fda"], "fda"),
        (["unknown"], OTHER),
        ([], OTHER),
        (["acquisition", "earnings", "unknown"], "acquisition"),
    ],
)
def test_close_leads_before_avoid_before_the_strongest_buy(names, leading):
    assert leading_catalyst(names) == leading


def test_every_classifier_category_is_on_the_list():
    assert {each.stance for each in CATALYSTS.values()} == set(Stance)
    assert len(CATALYSTS) == 21 + 9 + 1


def test_the_envelope_has_one_shape():
    answer = Envelope("x", {"a": 1}, ExitCode.PARTIAL, (Problem("C", "m", "h"),)).as_dict()
    assert answer == {
        "version": 1,
        "command": "x",
        "status": "partial",
        "exit_code": 3,
        "data": {"a": 1},
        "errors": [{"code": "C", "message": "m", "hint": "h"}],
    }
