"""Makes the example package importable from its folder: nothing is installed, and nothing is fetched."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples/engines/python_plugin"))
