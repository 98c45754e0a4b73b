"""Makes `published` importable: importlib mode puts no test folder on the path, and only this one is wanted."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
