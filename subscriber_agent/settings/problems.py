"""What pydantic found wrong, in the friend's words: where, which setting, what is allowed, what was meant. Pure."""

from __future__ import annotations

import difflib

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from subscriber_agent.settings.fields import allowed_text, field_at, model_at, section_of
from subscriber_agent.settings.layers import DEFAULT, Merged, Origin, Violation
from subscriber_agent.settings.yaml_source import KeyPath, dotted

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
    for other, field in root.model_fields.items():
        model = section_of(field)
        if model is None or section == (other,):
            continue
        if difflib.get_close_matches(name, model.model_fields, n=1, cutoff=0.85):
            return f" here; it belongs in the section {other}:"
    return ""
