"""Settings from environment variables: `SUBSCRIBER_AGENT__RISK__MAX_OPEN_POSITIONS=3`. Pure.

Secrets are never taken from there: every process of the user can read another's environment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from signal_contract.errors import ConfigInvalid
from subscriber_agent.settings.fields import field_at, model_at
from subscriber_agent.settings.layers import Layer, Rank, Violation
from subscriber_agent.settings.yaml_source import PLAIN_NULLS, KeyPath, dotted, value_from_text

PREFIX = "SUBSCRIBER_AGENT__"
_SECRET_NAME = re.compile(r"(^|_)(SEED|PASSWORD|PASSPHRASE|SECRET|TOKEN|JWT|NKEY)(_|$)")
_SECRET_VALUE = re.compile(r"-----BEGIN|\bS[OAUNC][A-Z2-7]{56}\b|\beyJ[A-Za-z0-9_-]{20,}\.")


def environment_layers(
    root: type[BaseModel], environ: Mapping[str, str]
) -> tuple[tuple[Layer, ...], tuple[Violation, ...]]:
    """One layer for each variable that begins with PREFIX, and a violation for each that cannot be a setting.

    Whether a setting of that name exists, and whether its value is allowed, is for the model to say. A value that
    begins with [ or { is read as YAML; empty, `~` and `null` are YAML's nothing. Messages never repeat a value.
    """
    layers: list[Layer] = []
    violations: list[Violation] = []
    for name in sorted(each for each in environ if each.upper().startswith(PREFIX)):
        problem = _name_problem(root, name) or _secret_problem(name, environ[name])
        try:
            value = None if problem else _value(environ[name])
        except ConfigInvalid:
            problem = "is not a list or mapping in YAML, such as [fda, merger]"
        if problem:
            violations.append(Violation(Rank.ENVIRONMENT, f"env {_shown(name)}", 0, problem))
        else:
            layers.append(_layer(name, value))
    return tuple(layers), tuple(violations)


def _path(name: str) -> KeyPath:
    return tuple(name[len(PREFIX) :].lower().split("__"))


def _name_problem(root: type[BaseModel], name: str) -> str:
    path = _path(name)
    if name != name.upper():
        return "must be in capital letters"
    if not all(path):
        return f"names no setting: a name looks like {PREFIX}RISK__MAX_OPEN_POSITIONS"
    if path == ("extends",):
        return "extends belongs in the file, not in the environment"
    if len(path) > 1 and model_at(root, path[:-1]) is None and field_at(root, path) is not None:
        return f"goes below a single setting: give {_setting(root, path)} as a whole, such as {{fda: 60}}"
    return ""


def _setting(root: type[BaseModel], path: KeyPath) -> str:
    return dotted(next(path[:cut] for cut in range(1, len(path)) if model_at(root, path[:cut]) is None))


def _secret_problem(name: str, value: str) -> str:
    is_secret = _SECRET_NAME.search(name[len(PREFIX) :]) and not name.endswith("_FILE")  # a path is no secret
    if is_secret or _SECRET_VALUE.search(value):
        return "secrets are not taken from the environment: name a creds file of mode 0600"
    return ""


def _value(text: str) -> Any:
    if text in PLAIN_NULLS:
        return None
    return value_from_text(text) if text.startswith(("[", "{")) else text


def _layer(name: str, value: Any) -> Layer:
    path = _path(name)
    for step in reversed(path):
        value = {str(step): value}
    return Layer(Rank.ENVIRONMENT, name, value, dict.fromkeys(_prefixes(path), 0))


def _prefixes(path: KeyPath) -> Iterator[KeyPath]:
    for cut in range(1, len(path) + 1):
        yield path[:cut]


def _shown(name: str) -> str:
    return name[:100] if name.isprintable() else ascii(name[:100])
