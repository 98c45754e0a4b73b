"""The kit on the example plug-in: the very test class that the example ships, as a third party would run it."""

from test_notebook import TestNotebook

__all__ = ["TestNotebook"]
