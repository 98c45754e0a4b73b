"""What pydantic found wrong, in the friend's words: where, which setting, what is allowed, what was meant. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from subscriber_agent.settings.fields import allowed_text, field_at, model_at, section_of
from subscriber_agent.settings.layers import DEFAULT, Merged, Origin, Violation
from subscriber_agent.settings.yaml_source import KeyPath, dotted

# Settings that were elsewhere in an earlier version.
MOVED: Mapping[KeyPath, KeyPath] = {
    ("engine", "start_cash_usd"): ("engine", "paper", "start_cash_usd"),
    ("engine", "slippage_bps"): ("engine", "paper", "slippage_bps"),
}
_SECTION_ERRORS = ("model_type", "model_attributes_type", "dict_type")


def violation(root: type[BaseModel], merged: Merged, error: ErrorDetails, fallback: Origin) -> Violation:
    """One validation error of the model `root` as a violation; `fallback` is where what nobody wrote belongs."""
    kind, path = error["type"], error["loc"]
    while kind != "missing" and path not in merged.origins and len(path) > 1:
        path = path[:-1]
    origin = merged.origin_of(path)
    if origin == DEFAULT:
        origin = fallback
    return Violation(origin.rank, origin.place, origin.line, f"{dotted(path)}: {_problem(root, path, error)}")


def _problem(root: type[BaseModel], path: KeyPath, error: ErrorDetails) -> str:
    kind, message = error["type"], error["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        if path in MOVED:
            return f"has moved, write {_as_written(MOVED[path])} (that is {dotted(MOVED[path])})"
        return f"is not a setting{_suggestion(root, path)}"
    if kind == "missing":
        return "is missing"
    if kind in _SECTION_ERRORS:
        return "must be a section of `key: value` lines"
    field = field_at(root, path)
    allowed = allowed_text(field) if field is not None else ""
    if kind in ("literal_error", "enum"):
        message = "is not one of the choices"
    elif kind.startswith(("greater_than", "less_than")):
        message = "is outside the range"
    return f"{message}{f' (allowed: {allowed})' if allowed else ''}"


def _suggestion(root: type[BaseModel], path: KeyPath) -> str:
    section, name = path[:-1], str(path[-1])
    here = model_at(root, section)
    near = difflib.get_close_matches(name, here.model_fields if here is not None else (), n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    for other, model in _sections(root, ()):
        if other != section and difflib.get_close_matches(name, model.model_fields, n=1, cutoff=0.85):
            return f" here; it belongs in the section {dotted(other)}:"
    return ""


def _sections(model: type[BaseModel], path: KeyPath) -> Iterator[tuple[KeyPath, type[BaseModel]]]:
    """Every section below `model`, with its path; the outer ones first."""
    found = [((*path, name), section_of(field)) for name, field in model.model_fields.items()]
    inner = [(here, section) for here, section in found if section is not None]
    yield from inner
    for here, section in inner:
        yield from _sections(section, here)


def _as_written(path: KeyPath) -> str:
    """`engine: {paper: {start_cash_usd: …}}`"""
    text = "…"
    for step in reversed(path):
        text = f"{step}: {text}" if step == path[0] else f"{{{step}: {text}}}"
    return text
