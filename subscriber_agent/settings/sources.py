"""Reads everything that has a say in the settings: profiles, the friend's file, the environment, the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from subscriber_agent.settings.environment import environment_layers
from subscriber_agent.settings.layers import Layer, Merged, Origin, Rank, Violation, merge
from subscriber_agent.settings.profiles import profile_chain
from subscriber_agent.settings.yaml_source import read_yaml


@dataclass(frozen=True, slots=True)
class Sources:
    """All layers merged, not validated; the files they came from; what was wrong already. `home`: the file's line 1."""

    merged: Merged
    files: tuple[Path, ...]
    violations: tuple[Violation, ...]
    home: Origin


def gather(root: type[BaseModel], path: Path, *, creds: Path | None, environ: Mapping[str, str]) -> Sources:
    """Read the file `path` and what it extends, lay `environ` and then `creds` (of the command line) over it.

    Raises ConfigInvalid when the file itself cannot be read; everything else that is wrong is in `violations`.
    """
    source = read_yaml(path)
    chain = profile_chain(path, source)
    variables, refused = environment_layers(root, environ)
    layers = [*chain.layers, Layer(Rank.FILE, str(path), source.data, source.lines), *variables]
    if creds is not None:
        value = {"creds": str(creds.expanduser().absolute())}
        layers.append(Layer(Rank.OPTION, "--creds", value, {("creds",): 0}))
    own = [Violation(Rank.FILE, f"{path}:{line}", line, text) for line, text in source.violations]
    return Sources(
        merged=merge(root, layers),
        files=(path, *chain.files),
        violations=(*own, *chain.violations, *refused),
        home=Origin(Rank.FILE, str(path), 1),
    )
