"""The files in deploy/ as far as they can be proven without a container engine: what they copy, name and promise."""

import fnmatch
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from publisher.settings import default_data_dir
from signal_admin.cli.application import app as catalyst
from subscriber_agent.cli.application import app as subscriber_agent

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
GUIDES = sorted((ROOT / "docs/deploy").glob("*.md"))


def _instructions(path):
    """(instruction, rest) of a Dockerfile, continued lines joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", path.read_text(encoding="utf-8")).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def stages():
    """The instructions of each stage."""
    found = []
    for word, rest in _instructions(DEPLOY / "Dockerfile"):
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return found


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))


def test_the_base_image_is_pinned_to_a_patch_version(stages):
    ((_, image),) = [each for each in _instructions(DEPLOY / "Dockerfile") if each[0] == "ARG"]
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.12\.\d+-slim-[a-z]+", image)
    assert [stage[0][1].split()[0] for stage in stages] == ["${PYTHON_IMAGE}"] * 2


def test_everything_that_is_copied_is_there_and_not_ignored():
    sources = []
    for word, rest in _instructions(DEPLOY / "Dockerfile"):
        if word == "COPY" and "--from" not in rest:
            sources += shlex.split(rest)[:-1]
    assert sources
    for each in sources:
        assert (ROOT / each).exists(), each
        assert not _is_ignored(each if (ROOT / each).is_file() else f"{each}/any.py"), each


def test_nothing_is_fetched_that_has_no_hash(stages):
    assert not [rest for stage in stages for word, rest in stage if word == "ADD"]
    installs = [
        each
        for stage in stages
        for word, rest in stage
        if word == "RUN"
        for each in rest.split("&&")
        if "pip install" in each
    ]
    assert installs
    assert all("--require-hashes" in each or "--no-index" in each for each in installs)


def test_the_image_runs_as_nobody_in_particular_and_says_how_it_is(stages):
    last = dict(stages[-1])
    order = [word for word, _ in stages[-1]]
    assert last["USER"] == "10001:10001"
    assert order.index("USER") < order.index("ENTRYPOINT") < order.index("CMD")
    assert last["HEALTHCHECK"].endswith('CMD ["catalyst", "health"]')
    assert "CATALYST_HEALTH=1" in last["ENV"], "the health that HEALTHCHECK asks for is proven"
    assert json.loads(last["ENTRYPOINT"]) == ["catalyst"]


def test_no_volume_is_declared_that_would_hold_a_vault_without_a_name(stages):
    assert not [rest for stage in stages for word, rest in stage if word == "VOLUME"]


def _is_ignored(path):
    """As Docker reads .dockerignore: the last pattern that fits counts."""
    ignored = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.strip().removeprefix("!")
        if not pattern or pattern.startswith("#"):
            continue
        fits = fnmatch.fnmatch(path, pattern) or fnmatch.fnmatch(path, pattern.removeprefix("**/"))
        if fits or any(fnmatch.fnmatch(part, pattern.removeprefix("**/")) for part in path.split("/")):
            ignored = not line.startswith("!")
    return ignored


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".env",
        "data/vault/operator.seed",
        "alice.invite",
        "config/alice.creds",
        "signal_admin/vault/store.key",
        "nats/.env.local",
        "deploy/.env",
        "deploy/inbox/today.jsonl",
        "tests/conftest.py",
    ],
)
def test_no_secret_gets_into_a_layer(path):
    assert _is_ignored(path)


@pytest.mark.parametrize("path", ["signal_contract/link.py", "nats/embedded.conf", "pyproject.toml"])
def test_what_the_image_is_made_of_is_sent(path):
    assert not _is_ignored(path)


def test_the_services_are_kept_walled_in_and_watched(compose):
    assert set(compose["services"]) == {"server", "publisher", "prometheus", "grafana"}
    for name, service in compose["services"].items():
        assert service["restart"] == "unless-stopped", name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert "privileged" not in service, name


def test_only_the_wire_itself_is_open_to_others(compose):
    published = [(name, port) for name, each in compose["services"].items() for port in each.get("ports", [])]
    assert published == [
        ("server", "4222:4222"),
        ("server", "127.0.0.1:9090:9090"),
        ("server", "127.0.0.1:3000:3000"),
    ]


def test_images_of_others_are_pinned(compose):
    for name, service in compose["services"].items():
        assert re.search(r":(local|v?\d+\.\d+\.\d+)$", service["image"]), name


def test_what_is_mounted_from_here_is_here_and_every_volume_has_a_name(compose):
    for service in compose["services"].values():
        for mount in service["volumes"]:
            source = mount.split(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).is_dir(), source
                assert mount.endswith(":ro"), source
            else:
                assert source in compose["volumes"], source


def _accepts(application, words):
    """Whether the command line is understood; nothing is run."""
    command, context, words = get_command(application), None, list(words)
    while hasattr(command, "commands"):
        context = command.make_context("x", words, parent=context, resilient_parsing=True)
        name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None, name
    command.make_context("x", words, parent=context)


def test_the_commands_in_compose_are_understood(compose, monkeypatch):
    for name in ("server", "publisher"):
        _accepts(catalyst, compose["services"][name]["command"])
    for name in ("server", "publisher"):
        assert compose["services"][name]["healthcheck"]["test"] == ["CMD", "catalyst", "health"]
    _accepts(catalyst, ["health"])


def test_grafana_finds_its_dashboards_and_prometheus(compose):
    provider = yaml.safe_load((DEPLOY / "provisioning/dashboards/catalyst.yaml").read_text())["providers"][0]
    assert f"./grafana:{provider['options']['path']}:ro" in compose["services"]["grafana"]["volumes"]
    (source,) = yaml.safe_load((DEPLOY / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://127.0.0.1:9090"
    assert {each["network_mode"] for each in compose["services"].values() if "network_mode" in each} == {
        "service:server"
    }


# How a line of a guide begins one of our commands; the rest are its words.
_BEGINNINGS = {
    r"catalyst (?!\()": catalyst,
    r"docker compose exec server catalyst ": catalyst,
    r"docker compose run --rm server ": catalyst,
    r"(?:subscriber-agent|agent) (?!\()": subscriber_agent,
    r"docker run .* catalyst-signals:local ": subscriber_agent,
}


def _commands_of(guide):
    """(application, words) of the lines in its shell blocks that run our commands."""
    for block in re.findall(r"```sh\n(.*?)```", guide.read_text(encoding="utf-8"), flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            for beginning, application in _BEGINNINGS.items():
                if found := re.match(beginning, line):
                    yield application, shlex.split(line[found.end() :], comments=True)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_a_guide_names_files_that_exist_and_says_what_was_run(guide):
    text = guide.read_text(encoding="utf-8")
    assert re.search(r"\*\*(Run|Not run) here", text), "each guide says which steps were followed on a real machine"
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        if not link.startswith("http"):
            assert (guide.parent / link).exists(), link
    for name in re.findall(r"deploy/[\w./-]+\w", text):
        assert (ROOT / name).exists() or name in ("deploy/.env",), name


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_the_commands_of_a_guide_are_understood(guide):
    for application, words in _commands_of(guide):
        _accepts(application, words)


def test_the_guides_have_commands_and_a_wrong_one_would_be_found():
    assert sum(len(list(_commands_of(guide))) for guide in GUIDES) >= 12
    with pytest.raises(Exception, match="nonsense"):
        _accepts(catalyst, ["up", "--nonsense"])


def test_the_unit_and_the_image_use_one_layout():
    assert "ENV PATH=/opt/catalyst/bin" in (DEPLOY / "Dockerfile").read_text()
    assert "/opt/catalyst/bin/catalyst up" in (DEPLOY / "systemd/catalyst-server.service").read_text()
    assert default_data_dir().name == "catalyst-signals"
