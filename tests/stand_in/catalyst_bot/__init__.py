"""Stands in for Catalyst-Bot in tests: the call shape of its runner, alerts and signal generator, and nothing else."""

__version__ = "stand-in"
