"""`extends:` — the profiles below a settings file: shipped ones by name, the friend's own by path.

A profile holds `risk:` only. One that a friend was sent must not be able to name another server or publisher's key.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path

from signal_contract.errors import ConfigInvalid
from signal_contract.resources import resource_path
from subscriber_agent.settings.layers import Layer, Rank, Violation
from subscriber_agent.settings.yaml_source import YamlSource, dotted, read_yaml

SHIPPED = ("cautious", "balanced", "bold")
MAX_DEPTH = 3
_MAY_HOLD = ("extends", "risk")


@dataclass(slots=True)
class Chain:
    """What `extends` led to: `layers` from the lowest profile up, the files read, and what was wrong on the way."""

    layers: list[Layer] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)


def profile_path(name: str) -> Path:
    """The file of a shipped profile, one of SHIPPED; raises NotFound when the installation lacks it."""
    return resource_path(f"config/profiles/{name}.yaml")


def profile_chain(path: Path, source: YamlSource) -> Chain:
    """Read the profiles that the file `path` extends, at most MAX_DEPTH above each other; what is wrong is collected.

    A path is relative to the file that names it. A circle is refused with the names of its files.
    """
    chain = Chain()
    here, content, rank = path, source, Rank.FILE
    names = [str(path)]
    seen = [path.resolve()]
    while (found := _extended(chain, rank, here, content)) is not None:
        name, below = found
        names.append(name)
        if below.resolve() in seen:
            _refuse(chain, rank, here, content, f"goes in a circle: {' → '.join(names)}")
            break
        if len(names) > MAX_DEPTH + 1:
            _refuse(chain, rank, here, content, f"is more than {MAX_DEPTH} deep: {' → '.join(names)}")
            break
        chain.files.append(below)
        lower = _read(chain, rank, here, content, below)
        if lower is None:
            break
        seen.append(below.resolve())
        chain.layers.insert(0, Layer(Rank.PROFILE, name, {"risk": lower.data.get("risk")}, lower.lines, str(below)))
        here, content, rank = below, lower, Rank.PROFILE
    return chain


def _extended(chain: Chain, rank: Rank, path: Path, source: YamlSource) -> tuple[str, Path] | None:
    """The name and the file that `extends` gives, None without one."""
    value = source.data.get("extends")
    if value is None:
        return None
    if not isinstance(value, str) or not value.isprintable():
        _refuse(chain, rank, path, source, f"must be {_choices()}")
        return None
    if value in SHIPPED:
        return value, profile_path(value)
    if "/" not in value and "\\" not in value and not value.endswith((".yaml", ".yml")):
        near = difflib.get_close_matches(value, SHIPPED, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        _refuse(chain, rank, path, source, f"there is no profile {value[:40]!r}{meant} (allowed: {_choices()})")
        return None
    return value[:100], path.absolute().parent / Path(value).expanduser()


def _read(chain: Chain, rank: Rank, path: Path, source: YamlSource, below: Path) -> YamlSource | None:
    try:
        lower = read_yaml(below)
    except ConfigInvalid as error:
        if not error.violations:
            _refuse(chain, rank, path, source, error.message)
        chain.violations += [_told(each) for each in error.violations]
        return None
    chain.violations += [Violation(Rank.PROFILE, f"{below}:{line}", line, text) for line, text in lower.violations]
    for key in lower.data:
        if key not in _MAY_HOLD:
            line = lower.line_of((key,))
            problem = f"{dotted((key,))}: a profile holds only risk: and extends:; write it into your own file"
            chain.violations.append(Violation(Rank.PROFILE, f"{below}:{line}", line, problem))
    return lower


def _told(text: str) -> Violation:
    """A mistake that already says where it is: `base.yaml:3: not valid YAML`."""
    where, _, problem = text.partition(": ")
    return Violation(Rank.PROFILE, where, 0, problem)


def _refuse(chain: Chain, rank: Rank, path: Path, source: YamlSource, problem: str) -> None:
    line = source.line_of(("extends",))
    chain.violations.append(Violation(rank, f"{path}:{line}", line, f"extends: {problem}"))


def _choices() -> str:
    return f"{', '.join(SHIPPED)} or a path such as ./mine.yaml"
