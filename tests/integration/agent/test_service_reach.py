"""Whether a server is away: nobody listens, a proxy drops everybody, or somebody is there and silent."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from signal_contract.reach import is_away


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@asynccontextmanager
async def _listening(on_client):
    server = await asyncio.start_server(on_client, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _drop(reader, writer):
    writer.close()


async def _speak(reader, writer):
    writer.write(b"INFO {}\r\n")
    await reader.read()
    writer.close()


async def _be_silent(reader, writer):
    await reader.read()
    writer.close()


async def test_a_port_on_which_nobody_listens_is_away():
    assert await is_away([f"nats://127.0.0.1:{_free_port()}"])


async def test_a_proxy_that_drops_everybody_hides_a_server_that_is_away():
    async with _listening(_drop) as port:
        assert await is_away([f"tls://127.0.0.1:{port}"])


@pytest.mark.parametrize("behaviour", [_speak, _be_silent], ids=["speaks", "waits for the handshake"])
async def test_who_keeps_the_connection_is_there(behaviour):
    async with _listening(behaviour) as port:
        assert not await is_away([f"tls://127.0.0.1:{port}"])


async def test_one_of_several_addresses_is_enough():
    async with _listening(_speak) as port:
        assert not await is_away([f"nats://127.0.0.1:{_free_port()}", f"nats://127.0.0.1:{port}"])


async def test_a_name_that_cannot_be_one_is_away():
    assert await is_away([f"tls://{'a' * 70}.invalid:4222"])


async def test_a_server_of_the_wire_is_there(operator):
    assert not await is_away([operator.url])
