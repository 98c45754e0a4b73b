"""A frozen dataclass that is compiled in one go is the one that Python makes."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import field
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_contract.frozen import dataclass


def _with(decorate):
    @decorate(frozen=True, slots=True)
    class Value:
        """A value."""

        KIND: ClassVar[str] = "kind"
        name: str
        amount: int | None = None
        parts: list[int] = field(default_factory=list)
        secret: str = field(default="", repr=False)
        note: str = field(default="", compare=False)

        def __post_init__(self) -> None:
            if self.name == "bad":
                raise ValueError("a bad name")

        @property
        def double(self) -> str:
            return self.name * 2

    Value.__qualname__ = "Value"
    return Value


OURS, PYTHONS = _with(dataclass), _with(dataclasses.dataclass)
VALUES = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b"])},
    optional={
        "amount": st.one_of(st.none(), st.integers(0, 2)),
        "parts": st.lists(st.integers(0, 1), max_size=1),
        "secret": st.sampled_from(["", "s"]),
        "note": st.sampled_from(["", "n"]),
    },
)


@dataclass(frozen=True, slots=True)
class Pair:
    """One that can be found by its name."""

    left: int
    right: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Nothing:
    """Without a field."""


@given(VALUES, VALUES)
def test_it_looks_and_compares_as_pythons_own(one, other):
    ours, pythons = (OURS(**one), OURS(**other)), (PYTHONS(**one), PYTHONS(**other))
    assert [repr(each) for each in ours] == [repr(each) for each in pythons]
    assert (ours[0] == ours[1]) == (pythons[0] == pythons[1])
    assert dataclasses.asdict(ours[0]) == dataclasses.asdict(pythons[0])
    assert repr(dataclasses.replace(ours[0], amount=7)) == repr(dataclasses.replace(pythons[0], amount=7))
    assert ours[0] != pythons[0]


def test_it_is_described_as_pythons_own():
    assert OURS.__match_args__ == PYTHONS.__match_args__
    assert OURS.__slots__ == PYTHONS.__slots__
    assert repr(OURS.__dataclass_params__) == repr(PYTHONS.__dataclass_params__)
    ours, pythons = inspect.signature(OURS), inspect.signature(PYTHONS)
    assert [(each.name, each.annotation, each.kind) for each in ours.parameters.values()] == [
        (each.name, each.annotation, each.kind) for each in pythons.parameters.values()
    ]
    assert OURS("a").double == "aa"
    assert OURS("a").parts is not OURS("a").parts


@pytest.mark.parametrize("value", [Pair(1, (2, 3)), Nothing()])
def test_it_is_hashed_copied_and_pickled(value):
    for copied in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert copied == value
        assert hash(copied) == hash(value)
    assert hash(Pair(1)) == hash((1, ()))


@pytest.mark.parametrize("make", [OURS, PYTHONS])
def test_nothing_of_it_is_changed_or_made_wrongly(make):
    value = make("a")
    with pytest.raises(dataclasses.FrozenInstanceError, match="'name'"):
        value.name = "b"
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):  # Python's own stumbles there
        value.other = 1
    with pytest.raises(dataclasses.FrozenInstanceError, match="'name'"):
        del value.name
    with pytest.raises(TypeError):
        make()
    with pytest.raises(TypeError):
        make("a", unknown=1)
    with pytest.raises(ValueError, match="bad name"):
        make("bad")
    with pytest.raises(TypeError):
        hash(value)  # of a list


def test_its_own_methods_stay():
    @dataclass(frozen=True, slots=True)
    class Loud:  # noqa: PLW1641  # the decorator gives it one
        text: str

        def __repr__(self):
            return self.text.upper()

        def __eq__(self, other):
            return isinstance(other, Loud)

    assert (repr(Loud("a")), Loud("a") == Loud("b"), hash(Loud("a"))) == ("A", True, hash(("a",)))


def test_what_is_not_ordinary_is_pythons_or_refused():
    @dataclass
    class Loose:
        text: str = ""

    loose = Loose()
    loose.text = "changed"
    assert loose == Loose("changed")
    with pytest.raises(TypeError, match="not an ordinary"):
        dataclass(frozen=True, slots=True)(type("Odd", (), {"__annotations__": {"a": int}, "a": field(kw_only=True)}))
