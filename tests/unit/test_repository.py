"""What the repository promises about itself: generated files are current, the wheel is what is tested."""

import functools
import importlib.util
import os
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import signal_contract
from signal_contract.resources import resource_path

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def _generate():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "tests" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", sorted(_generate().generated_files()), ids=lambda path: path.name)
def test_a_generated_file_says_what_the_code_says(path):
    assert path.read_bytes() == _generate().generated_files()[path], "run `make generate`"


def test_the_readme_names_the_two_commands_and_the_tests_that_ci_runs():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\nmake demo" in readme
    assert "\nmake test" in readme


@pytest.mark.skipif("CATALYST_TEST_WHEEL" not in os.environ, reason="an editable install is being tested")
def test_the_installed_wheel_is_what_is_tested():
    assert ROOT not in Path(signal_contract.__file__).resolve().parents or ".venv" in signal_contract.__file__
    assert "site-packages" in signal_contract.__file__


def test_both_commands_are_installed_and_say_their_version():
    names = {each.name for each in entry_points(group="console_scripts")}
    assert {"catalyst", "subscriber-agent"} <= names
    assert version("catalyst-signals") == signal_contract.__version__


@pytest.mark.parametrize(
    "name", ["nats/embedded.conf", "config/samples/catalyst_bot_signals.jsonl", "config/agent.example.yaml"]
)
def test_data_files_ride_in_the_installation(name):
    assert resource_path(name).is_file()


def test_no_python_lives_in_the_folder_that_shares_its_name_with_the_client_library():
    assert not list((ROOT / "nats").rglob("*.py"))
