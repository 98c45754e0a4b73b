"""YAML as text: every scalar stays what was written, with the line it stands on.

Settings types read the text themselves, so 0.70 never passes through a float and a ticker ON is never `true`.
Aliases, tags, deep nesting and large files are refused: a settings file needs none of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from signal_contract.errors import ConfigInvalid

MAX_BYTES = 256 * 1024
_MAX_DEPTH = 10
PLAIN_NULLS = ("", "~", "null")
_CORE_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value")
)

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class YamlSource:
    """A settings file: `data` of dicts, lists, texts and None; `lines` (from 1) by path; what was wrong on the way."""

    name: str
    data: dict[str, Any]
    lines: dict[KeyPath, int]
    violations: tuple[tuple[int, str], ...]

    def line_of(self, path: KeyPath) -> int:
        """The line of a key, or of the nearest section around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


class _Refused(yaml.YAMLError):
    """Valid YAML that no settings file needs."""

    def __init__(self, event: yaml.Event, problem: str) -> None:
        super().__init__(problem)
        self.line = event.start_mark.line + 1 if event.start_mark is not None else 1


class _Loader(yaml.SafeLoader):
    """Composes nodes; refuses aliases (bombs) and nesting no settings file has."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _Refused(event, "anchors and aliases are not allowed here")
        if self.depth > _MAX_DEPTH:
            raise _Refused(event, "nested too deeply")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def read_yaml(path: Path) -> YamlSource:
    """Read a settings file; raises ConfigInvalid when it is missing, too large, not YAML or not `key: value` lines."""
    try:
        raw = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
    except OSError as error:
        raise ConfigInvalid(
            f"the config file {path} cannot be read: {error.strerror}", hint="Check the path given with --config."
        ) from error
    if raw is None:
        raise _broken(path, 1, f"the file is larger than {MAX_BYTES // 1024} KB")
    try:
        return yaml_from_text(raw.decode("utf-8"), path)
    except UnicodeDecodeError as error:
        raise _broken(path, raw[: error.start].count(b"\n") + 1, "the text is not UTF-8") from error


def yaml_from_text(text: str, path: Path) -> YamlSource:
    """Read settings from text; `path` names them in messages. Raises ConfigInvalid."""
    node = _node(text, path)
    if not isinstance(node, yaml.MappingNode):
        line = node.start_mark.line + 1 if node is not None else 1
        raise _broken(path, line, "the file must hold `key: value` lines, such as `mode: paper`")
    walk = _Walk()
    data = walk.mapping(node, ())
    return YamlSource(str(path), data, walk.lines, tuple(walk.violations))


def value_from_text(text: str) -> Any:
    """Read one value, such as `[fda, merger]`, as dicts, lists, texts and None. Raises ConfigInvalid."""
    here = Path("value")
    node = _node(text, here)
    walk = _Walk()
    value = walk.value(node, ()) if node is not None else None
    if walk.violations:
        line, problem = walk.violations[0]
        raise _broken(here, line, problem)
    return value


def _node(text: str, path: Path) -> yaml.Node | None:
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except _Refused as error:
        raise _broken(path, error.line, str(error)) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _broken(path, mark.line + 1 if mark else 1, f"not valid YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text[: int(error.position)].count("\n") + 1
        raise _broken(path, line, "a control character is not allowed here") from error


def _broken(path: Path, line: int, problem: str) -> ConfigInvalid:
    return ConfigInvalid(f"{path} cannot be used", violations=(f"{path}:{line}: {problem}",))


@dataclass(slots=True)
class _Walk:
    lines: dict[KeyPath, int] = field(default_factory=dict)
    violations: list[tuple[int, str]] = field(default_factory=list)

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if node.tag not in _CORE_TAGS:
            self._object(node, f"{dotted(path)}: tags such as {node.tag[:40]!r} are not allowed")
            return ""
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        is_plain = isinstance(node, yaml.ScalarNode) and node.style is None
        return None if is_plain and node.value in PLAIN_NULLS else node.value

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._object(key_node, "a key must be one word")
                continue
            key = str(key_node.value)
            here = (*path, key)
            if key in result:
                first = self.lines[here]
                self._object(key_node, f"{dotted(here)}: is given twice, first on line {first}")
                continue
            self.lines[here] = key_node.start_mark.line + 1
            result[key] = self.value(value_node, here)
        return result

    def _object(self, node: yaml.Node, problem: str) -> None:
        self.violations.append((node.start_mark.line + 1, problem))


def dotted(path: KeyPath) -> str:
    """`risk.max_age_s`, safe to print: a hostile key could hold terminal sequences."""
    text = ".".join(str(step) for step in path)[:100]
    return text if text.isprintable() else ascii(text)
