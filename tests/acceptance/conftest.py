"""Makes the folder's modules importable (importlib mode puts none on the path), and its agents trade at night.

By default entries are made in New York's regular session only; a test must not depend on the hour it runs at.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _trades_at_any_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBSCRIBER_AGENT__RISK__SESSIONS", "[pre, regular, after, closed]")
