"""The subject grammar: what goes in comes out, and nothing else gets in."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_contract.catalysts import CATALYSTS
from signal_contract.errors import CatalystUnknown, NameInvalid, SubjectInvalid
from signal_contract.subject import (
    SignalSubject,
    entitlement,
    filter_checked,
    filters_from_catalysts,
    is_entitled,
    ticker_from_token,
    token_from_ticker,
    user_name_checked,
)

tickers = st.from_regex(r"[A-Z0-9][A-Z0-9.\-/^+=]{0,15}", fullmatch=True)
catalysts = st.sampled_from(sorted(CATALYSTS))


@given(tickers)
def test_ticker_survives_the_round_trip_as_one_token(ticker):
    token = token_from_ticker(ticker)
    assert ticker_from_token(token) == ticker
    assert not set(token) & set(".*> \t\r\n")


@given(tickers, tickers)
def test_different_tickers_never_share_a_token(one, other):
    assert (token_from_ticker(one) == token_from_ticker(other)) == (one == other)


@given(st.text(max_size=20))
def test_text_is_a_ticker_or_refused_by_name(text):
    with contextlib.suppress(SubjectInvalid):
        assert ticker_from_token(token_from_ticker(text)) == text


@pytest.mark.parametrize("bad", ["", " AAPL", "AA PL", "AAPL*", ">", "*", "aapl", "A" * 17, "A_B", "AAPL\n", "Ä", "-A"])
def test_what_is_not_a_ticker_is_refused(bad):
    with pytest.raises(SubjectInvalid):
        token_from_ticker(bad)


@given(catalysts, tickers)
def test_signal_subject_survives_the_round_trip(catalyst, ticker):
    subject = str(SignalSubject(catalyst, ticker))
    assert subject.count(".") == 2
    assert SignalSubject.parse(subject) == SignalSubject(catalyst, ticker)


@given(st.text(max_size=40))
def test_any_text_parses_as_a_subject_or_is_refused(text):
    with contextlib.suppress(SubjectInvalid):
        assert str(SignalSubject.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("signals.fda.*", "signals.fda.*"),
        ("signals.FDA.*", "signals.fda.*"),
        ("signals.*.BRK.B", "signals.*.BRK_B"),
        ("signals.*.BRK_B", "signals.*.BRK_B"),
        ("signals.>", "signals.*.*"),
    ],
)
def test_filters_are_normalised(text, normal):
    assert filter_checked(text) == normal


@pytest.mark.parametrize(
    "bad",
    [
        "",
        ">",
        "*",
        "signals",
        "signals.fda",
        "control.all.*",
        "signals.fda.>",
        "signals.fda.* ",
        "signals..A",
        "$JS.API.>",
    ],
)
def test_what_is_not_a_signal_filter_is_refused(bad):
    with pytest.raises((SubjectInvalid, CatalystUnknown)):
        filter_checked(bad)


def test_empty_entitlement_is_refused_because_the_server_reads_it_as_everything():
    with pytest.raises(SubjectInvalid):
        entitlement([])


def test_covered_filters_are_dropped_and_crossing_ones_refused():
    assert entitlement(["signals.fda.*", "signals.fda.AAPL", "signals.fda.*"]) == ("signals.fda.*",)
    assert entitlement(["signals.>", "signals.fda.*"]) == ("signals.*.*",)
    with pytest.raises(SubjectInvalid, match="overlap"):
        entitlement(["signals.fda.*", "signals.*.AAPL"])


@given(
    st.lists(st.tuples(catalysts | st.just("*"), tickers | st.just("*")), min_size=1, max_size=6), catalysts, tickers
)
def test_entitlement_means_the_same_before_and_after_it_is_normalised(pairs, catalyst, ticker):
    filters = [f"signals.{c}.{t if t == '*' else token_from_ticker(t)}" for c, t in pairs]
    try:
        normal = entitlement(filters)
    except SubjectInvalid:
        return
    subject = str(SignalSubject(catalyst, ticker))
    plain = any(c in ("*", catalyst) and t in ("*", ticker) for c, t in pairs)
    assert is_entitled(subject, normal) == plain


def test_an_alias_may_open_several_catalysts():
    assert filters_from_catalysts(["M&A"]) == ["signals.acquisition.*", "signals.merger.*"]


@pytest.mark.parametrize("bad", ["", "a", "Alice", "al ice", ">", "*", "a.b", "-ab", "a" * 33, "../x", "a\n"])
def test_bad_user_names_are_refused(bad):
    with pytest.raises(NameInvalid):
        user_name_checked(bad)
