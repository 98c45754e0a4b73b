"""What runs beside the server: it is begun again when it fails, and stopped before the server is."""

import asyncio
from pathlib import Path

from signal_admin.companions import accompanied
from signal_contract.errors import Conflict


async def test_companions_are_told_where_the_data_is_and_end_with_the_block(until):
    seen = []

    async def steady(data, say):
        say("here")
        seen.append(data)
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("ended")

    said = []
    async with accompanied([steady], Path("data"), said.append):
        await until(lambda: bool(seen), what="it runs")
    assert (seen, said) == ([Path("data"), "ended"], ["here"])


async def test_one_that_fails_is_told_and_begun_again_and_others_go_on(until):
    runs, calm = [], []

    async def failing(_data, _say):
        runs.append(1)
        raise Conflict("no way") if len(runs) == 1 else ValueError("odd")

    async def steady(_data, _say):
        calm.append(1)
        await asyncio.Event().wait()

    said = []
    async with accompanied([failing, steady], Path("data"), said.append, first_pause_s=0.01):
        await until(lambda: len(runs) > 2, what="it is begun again")
    assert said[:2] == [
        "failing failed: no way [CONFLICT]; again in 0.01 s",
        "failing failed: ValueError: odd; again in 0.02 s",
    ]
    assert calm == [1]


async def test_one_that_ends_by_itself_is_begun_again(until):
    runs = []

    async def short(_data, _say):
        runs.append(1)

    said = []
    async with accompanied([short], Path("data"), said.append, first_pause_s=0.01):
        await until(lambda: len(runs) > 1, what="it is begun again")
    assert said[0].startswith("short ended; again in")
