"""The kit as a pytest class, for whoever writes an engine of his own. Needs pytest and pytest-asyncio.

from subscriber_agent.conformance.suite import EngineConformance

class TestMyEngine(EngineConformance):
    @pytest.fixture
    def engine_factory(self, tmp_path): return lambda: MyEngine(tmp_path)

    @pytest.fixture
    def rig(self): return Rig(ticker="AAPL", price=Decimal("5"), may_trade=True)
"""

from __future__ import annotations

import pytest

from subscriber_agent.conformance.bench import EngineFactory, Rig
from subscriber_agent.conformance.case import Result
from subscriber_agent.conformance.cases import CASES
from subscriber_agent.conformance.running import TIDY, run_cases


class EngineConformance:
    """One test a case. `allowed_skips` are ids of cases that this engine may skip; any other skip fails."""

    allowed_skips: frozenset[str] = frozenset(each.id for each in CASES)

    @pytest.fixture
    def engine_factory(self) -> EngineFactory:
        """Return a function that makes the engine; called again, it makes another one in the same place."""
        raise NotImplementedError("define the fixture engine_factory in your test class")

    @pytest.fixture
    def rig(self) -> Rig:
        """Return the ticker, the price near which it trades, and whether orders may be placed."""
        raise NotImplementedError("define the fixture rig in your test class")

    @pytest.mark.asyncio
    @pytest.mark.parametrize("case_id", [each.id for each in CASES])
    async def test_case(self, case_id: str, engine_factory: EngineFactory, rig: Rig) -> None:
        """The case passes, and what it opened is closed."""
        results = [each async for each in run_cases(engine_factory, rig, {case_id})]
        failed = [f"{each.id}: {each.title}: {each.text}" for each in results if each.result is Result.FAIL]
        assert not failed, "\n".join(failed)  # noqa: S101  # a test
        skipped = [each for each in results if each.result is Result.SKIP and each.id != TIDY]
        for each in skipped:
            assert each.id in self.allowed_skips, f"{each.id} was skipped: {each.text}"  # noqa: S101  # a test
            pytest.skip(each.text)
