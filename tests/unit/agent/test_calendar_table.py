"""The shipped table of closings is what the exchange-calendar library says."""

from datetime import date
from pathlib import Path
from runpy import run_path

import pytest

from subscriber_agent.accounting.calendar import NYSE

TOOL = run_path(str(Path(__file__).resolve().parents[2] / "nyse_table.py"))


@pytest.mark.filterwarnings("ignore")  # the library's quarrel with the next pandas is not ours
def test_the_table_agrees_with_the_library():
    closed, half = TOOL["closings"]()
    assert (NYSE.closed, NYSE.half) == (frozenset(closed), frozenset(half))
    assert (NYSE.first, NYSE.last) == (TOOL["FIRST"], TOOL["LAST"])


def test_the_table_reaches_a_year_ahead():
    # The agent refuses entries beyond the table's end: this test fails long before that.
    assert (NYSE.last - date.today()).days > 365  # noqa: DTZ011
