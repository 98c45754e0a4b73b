"""Makes the example package and the agent's samples importable: nothing is installed, and nothing is fetched."""

import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(_ROOT / "examples/engines/python_plugin"))
sys.path.insert(0, str(_ROOT / "tests/unit/agent"))
sys.path.insert(0, str(_ROOT / "tests/integration/agent"))
