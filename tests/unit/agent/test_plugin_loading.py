"""Plug-ins: found by their entry point, refused before anything is traded when they are no engine."""

import pytest
from plugin_samples import a_context, a_package

from signal_contract.errors import EngineUnusable
from subscriber_agent.engines.plugin.engine import make
from subscriber_agent.engines.plugin.loading import installed, problems_of
from subscriber_agent.engines.plugin.settings import PluginSettings

GOOD = """
from plugin_samples import Answering

def make(options, context):
    engine = Answering()
    engine.options, engine.context = options, context
    return engine
"""


def settings(name="mine", **changes):
    return PluginSettings.model_validate({"name": name, **changes})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def refused(folder, chosen):
    with pytest.raises(EngineUnusable) as caught:
        make(chosen, a_context(folder))
    return caught.value.message


def test_a_plug_in_is_found_by_its_entry_point_and_given_its_options(folder):
    a_package(folder, "mine", GOOD)
    engine = make(settings(options={"b": "2", "a": "1"}, is_paper=True), a_context(folder))
    assert (engine.name, engine.is_paper) == ("answering", True)
    assert "mine" in [each.name for each in installed()]


def test_a_plug_in_counts_as_real_money_until_the_friend_says_otherwise(folder):
    a_package(folder, "mine", GOOD)
    assert not make(settings(), a_context(folder)).is_paper


def test_a_plug_in_with_real_money_cannot_be_called_paper(folder):
    a_package(folder, "mine", GOOD.replace("engine = Answering()", "engine = Answering(); engine.is_paper = False"))
    assert "trades real money" in refused(folder, settings(is_paper=True))


def test_no_name_lists_what_is_installed(folder):
    a_package(folder, "mine", GOOD)
    assert "mine" in refused(folder, settings(name=""))


def test_an_unknown_name_lists_what_is_installed(folder):
    a_package(folder, "mine", GOOD)
    message = refused(folder, settings(name="other"))
    assert "no plug-in called other" in message
    assert "mine" in message


def test_two_packages_of_one_name_are_both_refused(folder):
    first, second = a_package(folder, "mine", GOOD), a_package(folder, "mine", GOOD)
    message = refused(folder, settings())
    assert first in message
    assert second in message


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("def make(", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("def other(options, context): ...", "AttributeError"),
        ("def make(options): ...", "TypeError"),
        ("def make(options, context): raise KeyError('api_key_file')", "api_key_file"),
        ("def make(options, context): return None", "submit() is missing"),
        ("from plugin_samples import Answering as make", "problem"),
    ],
    ids=["import", "syntax", "exit", "no-factory", "wrong-factory", "raises", "nothing", "class"],
)
def test_what_fails_while_it_is_made_can_never_work(folder, source, words):
    a_package(folder, "mine", source)
    message = refused(folder, settings())
    if words != "problem":
        assert words in message


def test_everything_that_is_missing_is_named_at_once(folder):
    a_package(folder, "mine", "class E:\n  name='e'\n  is_paper=True\ndef make(options, context): return E()")
    message = refused(folder, settings())
    for name in ("start", "close", "submit", "lookup", "cancel", "account", "positions", "orders", "observe", "events"):
        assert f"{name}() is missing" in message


def test_a_method_that_is_not_async_is_refused_with_the_way_out(folder):
    source = GOOD.replace("    engine.options", "    engine.submit = lambda plan, order_id: None\n    engine.options")
    a_package(folder, "mine", source)
    message = refused(folder, settings())
    assert "submit() must be `async def`" in message
    assert "ThreadedEngine" in message


def test_a_method_with_other_arguments_is_refused(folder):
    a_package(
        folder,
        "mine",
        GOOD.replace("def make", "async def _one(plan): ...\n\ndef make").replace(
            "    engine.options", "    engine.submit = _one\n    engine.options"
        ),
    )
    assert "submit() must take 2 arguments" in refused(folder, settings())


def test_capabilities_that_are_none_are_refused(folder):
    a_package(folder, "mine", GOOD.replace("Answering()", "Answering({'quotes': True})"))
    assert "capabilities()" in refused(folder, settings())


def test_capabilities_that_raise_are_refused(folder):
    source = GOOD.replace("    engine.options", "    engine.capabilities = lambda: 1 / 0\n    engine.options")
    a_package(folder, "mine", source)
    assert "ZeroDivisionError" in refused(folder, settings())


def test_a_class_instead_of_an_object_is_said_once():
    from plugin_samples import Answering

    assert [each for each in problems_of(Answering) if "class" in each] == [
        "it is a class: the factory must return an object of it"
    ]


@pytest.mark.parametrize(
    "value",
    [
        {"options": ["a"]},
        {"options": {"a": ["1"]}},
        {"options": {"a": True}},
        {"options": {"a b": "1"}},
        {"name": "a b"},
    ],
    ids=["list", "nested", "flag", "name", "plug-in"],
)
def test_options_are_plain_text_by_name(value):
    with pytest.raises(ValueError, match=r"must be|not made of|not an entry"):
        PluginSettings.model_validate(value)
