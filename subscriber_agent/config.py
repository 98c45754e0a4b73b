"""The agent's settings: one YAML file, checked whole, every mistake reported at once with its line.

Secrets are never in it: it names the creds file.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import annotated_types
import orjson
import platformdirs
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from signal_contract.errors import CatalystError, ConfigInvalid
from signal_contract.signing import Verifier
from signal_contract.subject import user_name_checked
from subscriber_agent.risk.decision import text_of
from subscriber_agent.risk.limits import Amount, Limits, Settings
from subscriber_agent.yaml_source import KeyPath, YamlSource, dotted, read_yaml

_NOT_YET = ("approve", "live")


class Mode(StrEnum):
    """NOTIFY decides and shows, PAPER also trades on paper."""

    NOTIFY = "notify"
    PAPER = "paper"


def _mode(value: Any) -> Any:
    if value in _NOT_YET:
        raise ValueError(f"mode {value} is not in this version")
    return Mode(value) if value in tuple(Mode) else value


def _servers(value: Any) -> Any:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(each, str) for each in value):
        raise ValueError("must be a list of addresses, such as [tls://signals.example.org:4222]")
    # The link brings nats-py with it, which commands that only show something should not have to load.
    from signal_contract.trust import servers_checked

    try:
        return tuple(servers_checked(value))
    except CatalystError as error:
        raise ValueError(f"{error.message}. {error.hint}") from error


def _publisher_key(value: str) -> str:
    try:
        return Verifier.from_text(value).public_key
    except CatalystError as error:
        raise ValueError(f"{error.message}. {error.hint}") from error


def _path(value: Any) -> Any:
    if isinstance(value, str) and value:
        return Path(value)
    return value


def _section(value: Any) -> Any:
    """`risk:` with every line below it commented out is an empty section, not a missing one."""
    return {} if value is None else value


File = Annotated[Path, BeforeValidator(_path)]


class EngineConfig(Settings):
    """The `engine:` section."""

    kind: Literal["paper"] = Field("paper", description="The engine that takes accepted orders.")
    start_cash_usd: Amount = Field(
        Decimal(10_000),
        ge=100,
        le=100_000_000,
        description="The paper account's cash at its first start. Later changes do not rewrite its history.",
    )
    slippage_bps: Amount = Field(
        Decimal(0),
        ge=0,
        le=500,
        description="How much worse than the signal's price paper orders fill, in 1/100 %. 0 flatters the results.",
    )


class AgentConfig(Settings):
    """Everything that `subscriber-agent run` needs to know."""

    servers: Annotated[tuple[str, ...], BeforeValidator(_servers)] = Field(
        description="Addresses of the operator's server; clear text (nats://) only on this machine."
    )
    creds: File = Field(description="Your creds file, relative to this file. Keep it at mode 0600.")
    ca_file: File | None = Field(
        None, description="The operator's own CA certificate, relative to this file; none: the system's are used."
    )
    publisher_key: Annotated[str, AfterValidator(_publisher_key)] = Field(
        description="The publisher's public key: messages that it did not sign are never acted on."
    )
    data: File | None = Field(None, description="Where the journal is kept, relative to this file.")
    mode: Annotated[Mode, BeforeValidator(_mode)] = Field(
        Mode.PAPER, description="notify shows what would be traded; paper trades it on paper."
    )
    engine: Annotated[EngineConfig, BeforeValidator(_section)] = Field(default_factory=EngineConfig)
    risk: Annotated[Limits, BeforeValidator(_section)] = Field(default_factory=Limits)

    def data_dir(self, user: str, account: str) -> Path:
        """Where this identity's journal lives: `data`, or the system's place for user data.

        `account` (the issuer's public key) keeps two operators' users of one name apart: a journal holds the money
        and the memory of one of them.
        """
        if self.data is not None:
            return self.data
        home = Path(platformdirs.user_data_dir("subscriber-agent", appauthor=False))
        return home / f"{user_name_checked(user)}-{account[:12]}"

    def config_hash(self) -> str:
        """16 hex digits over what decides: mode, engine and risk; not where files lie or which server is dialled."""
        document = _canonical({name: getattr(self, name) for name in ("mode", "engine", "risk")})
        return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def load_config(path: Path, *, creds: Path | None = None) -> AgentConfig:
    """Read and check a config file; `creds` (from the command line) replaces the file's.

    Paths in the file are relative to it. Raises ConfigInvalid with every violation, each as `file:line: key: problem`.
    """
    source = read_yaml(path)
    data = dict(source.data)
    if creds is not None:
        data["creds"] = str(creds.expanduser().absolute())
    problems = list(source.violations)
    config: AgentConfig | None = None
    try:
        config = AgentConfig.model_validate(data)
    except ValidationError as error:
        problems += [_problem(source, each) for each in error.errors(include_url=False, include_input=False)]
    if problems or config is None:
        lines = tuple(f"{path}:{line}: {text}" for line, text in sorted(problems))
        count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
        raise ConfigInvalid(f"{path} has {count}", violations=lines)
    return config.model_copy(
        update={
            "creds": _beside(path, config.creds),
            "ca_file": None if config.ca_file is None else _beside(path, config.ca_file),
            "data": None if config.data is None else _beside(path, config.data),
        }
    )


def _beside(path: Path, other: Path) -> Path:
    return path.absolute().parent / other.expanduser()


def _canonical(value: Any) -> Any:
    if isinstance(value, Decimal):
        return text_of(value)
    if isinstance(value, dict | BaseModel):
        return {key: _canonical(each) for key, each in dict(value).items()}
    return [_canonical(each) for each in value] if isinstance(value, tuple) else value


# Mistakes, in the friend's words ----------------------------------------------------------------------------------


def _problem(source: YamlSource, error: ErrorDetails) -> tuple[int, str]:
    kind, message = error["type"], error["msg"].removeprefix("Value error, ")
    path: KeyPath = error["loc"]
    while kind != "missing" and path not in source.lines and len(path) > 1:
        path = path[:-1]
    line = source.line_of(path)
    key = dotted(path)
    if kind == "extra_forbidden":
        return line, f"{key}: is not a setting{_suggestion(path)}"
    if kind == "missing":
        return line, f"{key}: is missing"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return line, f"{key}: must be a section of `key: value` lines"
    field = _field_at(path)
    allowed = allowed_text(field) if field is not None else ""
    if kind == "literal_error":
        message = "is not one of the choices"
    elif kind.startswith(("greater_than", "less_than")):
        message = "is outside the range"
    return line, f"{key}: {message}{f' (allowed: {allowed})' if allowed else ''}"


def _suggestion(path: KeyPath) -> str:
    section, name = path[:-1], str(path[-1])
    here = _model_at(section)
    near = difflib.get_close_matches(name, here.model_fields if here is not None else (), n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    for other, model in (("engine", EngineConfig), ("risk", Limits)):
        if section != (other,) and difflib.get_close_matches(name, model.model_fields, n=1, cutoff=0.85):
            return f" here; it belongs in the section {other}:"
    return ""


def _model_at(path: KeyPath) -> type[BaseModel] | None:
    models: dict[KeyPath, type[BaseModel]] = {(): AgentConfig, ("engine",): EngineConfig, ("risk",): Limits}
    return models.get(path)


def _field_at(path: KeyPath) -> FieldInfo | None:
    for cut in range(len(path), 0, -1):
        model = _model_at(path[: cut - 1])
        if model is not None and str(path[cut - 1]) in model.model_fields:
            return model.model_fields[str(path[cut - 1])]
    return None


def allowed_text(field: FieldInfo) -> str:
    """The values that a setting may take, in words; empty when there is nothing to say."""
    if field.annotation is bool:
        return "true or false"
    choices = get_args(field.annotation) if getattr(field.annotation, "__origin__", None) is Literal else ()
    if isinstance(field.annotation, type) and issubclass(field.annotation, StrEnum):
        choices = tuple(each.value for each in field.annotation)
    if choices:
        return " or ".join(choices)
    low = high = ""
    for each in field.metadata:
        match each:
            case annotated_types.Ge(ge):
                low = f"{ge}"
            case annotated_types.Gt(gt):
                low = f"more than {gt}"
            case annotated_types.Le(le):
                high = f"{le}"
    return f"{low} to {high}" if low and high else ""


# The example ------------------------------------------------------------------------------------------------------

_EXAMPLES = {
    "servers": '["tls://signals.example.org:4222"]',
    "creds": "alice.creds",
    "publisher_key": f'"ed25519:{"A" * 43}"',
    "ca_file": "# ca_file: alice-ca.pem",
    "data": "# data: /home/alice/signals",
}
_HEADER = """\
# Settings of subscriber-agent, with every default. Only servers, creds and publisher_key are required;
# delete what you do not change. A misspelt key or a value outside its range stops the agent before it starts.
"""


def example_yaml() -> str:
    """The example config, made from the models: each setting with its meaning, range and default."""
    return _HEADER + "\n".join(_example_lines(AgentConfig, "")) + "\n"


def _example_lines(model: type[BaseModel], indent: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        section = _model_at((name,))
        yield ""
        if section is not None:
            yield f"{name}:"
            yield from list(_example_lines(section, "  "))[1:]
            continue
        allowed = allowed_text(field)
        yield f"{indent}# {field.description}"
        if allowed:
            yield f"{indent}# Allowed: {allowed}."
        example = _EXAMPLES.get(name) if not indent else None
        value = example or _yaml_value(field.default)
        yield value if value.startswith("#") else f"{indent}{name}: {value}"


def _yaml_value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{each}"' for each in value) + "]"
    return str(value)
