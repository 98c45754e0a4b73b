"""What starts with both commands: the one module that is called for, and help that was drawn before."""

import io
import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest
from typer.main import get_command

from signal_admin.cli.application import COMMANDS as CATALYST
from signal_admin.cli.application import app as catalyst
from signal_contract.cli import help_page
from signal_contract.cli.help_page import show_page
from subscriber_agent.cli.application import COMMANDS as AGENT
from subscriber_agent.cli.application import app as subscriber_agent


def _ran(code):
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(("app", "table"), [(catalyst, CATALYST), (subscriber_agent, AGENT)], ids=["catalyst", "agent"])
def test_every_line_of_the_table_is_a_command_with_help_of_its_own(app, table):
    for package in map(import_module, ("publisher.cli", "signal_admin.cli", "subscriber_agent.cli")):
        # A module that has been imported is an attribute of its package, and must not stand for a command.
        for each in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            import_module(each.name)
    group = get_command(app)
    assert group.list_commands(None) == list(table)
    for name in table:
        assert group.commands[name].name == name
        assert group.commands[name].help


def test_only_the_module_of_the_command_that_is_called_is_imported():
    code = (
        "import sys; sys.argv = ['x', 'signals', '--help']\n"
        "from subscriber_agent.cli.application import app; app(standalone_mode=False)\n"
        "print('loaded', *(each for each in sys.modules if each.startswith('subscriber_agent.cli.')))"
    )
    words = _ran(code)
    loaded = words[words.index("loaded") + 1 :]
    assert "subscriber_agent.cli.views" in loaded
    assert "subscriber_agent.cli.run" not in loaded


@pytest.mark.parametrize("package", ["signal_admin", "subscriber_agent"])
def test_help_is_shown_without_typer_and_rich(package):
    code = f"import sys; sys.argv = ['x', '-h']; from {package}.cli import main; main(); print('loaded', *sys.modules)"
    words = _ran(code)
    loaded = words[words.index("loaded") + 1 :]
    assert "Usage:" in words
    assert not {"typer", "rich", "pydantic", "orjson"} & {*loaded}


class _Stream(io.StringIO):
    def __init__(self, *, is_terminal=False, encoding="utf-8"):
        super().__init__()
        self._is_terminal, self._encoding = is_terminal, encoding

    @property
    def encoding(self):
        return self._encoding

    def isatty(self):
        return self._is_terminal


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """Call `show_page`; what it printed, or None when it left the drawing to Typer."""
    (tmp_path / help_page.PAGE).write_text("\x1b[1mUsage\x1b[0m ╭─\n", encoding="utf-8")
    for each in (*help_page._OTHERWISE, "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv("TERM", "xterm")

    def show(*words, stream=None, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        stream = stream or _Stream()
        monkeypatch.setattr(sys, "stdout", stream)
        return stream.getvalue() if show_page(tmp_path, words) else None

    return show


def test_a_terminal_gets_colours_and_a_pipe_none(shown):
    assert shown("--help", stream=_Stream(is_terminal=True)) == "\x1b[1mUsage\x1b[0m ╭─\n"
    assert shown("-h") == "Usage ╭─\n"


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_who_wants_no_colours_gets_none(shown, environment):
    assert shown("--help", stream=_Stream(is_terminal=True), **environment) == "Usage ╭─\n"


@pytest.mark.parametrize("environment", [{"COLUMNS": "60"}, {"FORCE_COLOR": "1"}, {"TERMINAL_WIDTH": "120"}], ids=str)
def test_what_the_page_was_not_drawn_for_is_drawn_anew(shown, environment):
    assert shown("--help", **environment) is None


def test_a_terminal_that_knows_no_frames_is_left_to_typer(shown):
    assert shown("--help", stream=_Stream(encoding="cp1252")) is None


@pytest.mark.parametrize("words", [(), ("status", "--help"), ("--version",), ("-h", "status")], ids=str)
def test_other_words_are_no_request_for_the_page(shown, words):
    assert shown(*words) is None


@pytest.mark.parametrize(("app", "typed", "meant"), [(subscriber_agent, "statsu", "status"), (catalyst, "usr", "user")])
def test_a_word_that_is_nearly_a_command_is_said_to_be(app, typed, meant):
    with pytest.raises(Exception, match=f"Did you mean.*'{meant}'"):
        app([typed], standalone_mode=False)


def test_the_words_that_a_shell_may_complete_come_with_their_help():
    group = get_command(subscriber_agent)
    (found,) = group.shell_complete(group.make_context("x", [], resilient_parsing=True), "stat")
    assert found.value == "status"
    assert found.help
