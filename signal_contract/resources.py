"""Data files that ride in the wheel (templates, sample signals, schemas), found in a checkout as well."""

from __future__ import annotations

from pathlib import Path

from signal_contract.errors import NotFound

_HERE = Path(__file__).resolve().parent
_ROOTS = (_HERE / "data", _HERE.parent)


def resource_path(name: str) -> Path:
    """Path of `nats/…` or `config/…`; raises NotFound when the installation lacks it."""
    for root in _ROOTS:
        path = root / name
        if path.exists():
            return path
    raise NotFound(f"the installation lacks {name}", hint="Install catalyst-signals again.")
