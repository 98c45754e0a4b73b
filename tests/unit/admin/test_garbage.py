"""What nats-server is told about its garbage collector."""

from __future__ import annotations

from pathlib import Path

import pytest

from signal_admin.server.garbage import garbage_variables, machine_memory_bytes

_GB = 1 << 30


def test_fewer_collections_as_long_as_half_of_the_memory_is_free() -> None:
    assert garbage_variables({"PATH": "/bin"}, 8 * _GB) == {"GOGC": "400", "GOMEMLIMIT": str(4 * _GB)}


@pytest.mark.parametrize("own", [{"GOGC": "50"}, {"GOMEMLIMIT": "1GiB"}])
def test_what_the_operator_has_set_stays_alone(own: dict[str, str]) -> None:
    assert garbage_variables(own, 8 * _GB) == {}


def test_without_a_known_memory_there_would_be_no_brake() -> None:
    assert garbage_variables({}, None) == {}


def test_a_container_has_less_than_the_machine(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("1048576\n")
    assert machine_memory_bytes(limit) == 1048576


@pytest.mark.parametrize("text", ["max\n", None])
def test_a_container_without_a_limit_has_the_whole_machine(tmp_path: Path, text: str | None) -> None:
    limit = tmp_path / "memory.max"
    if text is not None:
        limit.write_text(text)
    assert (machine_memory_bytes(limit) or 0) > 1048576
