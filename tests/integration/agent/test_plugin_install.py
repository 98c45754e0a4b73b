"""The example plug-in as a wheel: built, unpacked where packages lie, found by its entry point, and run."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

_EXAMPLE = Path(__file__).parents[3] / "examples/engines/python_plugin"
_PROGRAM = """
import asyncio, sys
from pathlib import Path
from subscriber_agent.engines.context import EngineContext
from subscriber_agent.engines.plugin.engine import make
from subscriber_agent.engines.plugin.settings import PluginSettings

async def main():
    settings = PluginSettings.model_validate({"name": "notebook", "is_paper": True, "options": {"cash_usd": "1234"}})
    here = Path(sys.argv[1])
    engine = make(settings, EngineContext(data=here, home=here, user="alice"))
    await engine.start()
    print(engine.name, engine.is_paper, (await engine.account()).cash)
    await engine.close()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the built wheel unpacked in it, as an installer does with a wheel of plain Python."""
    out, folder = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(build, cwd=_EXAMPLE, check=True, capture_output=True, timeout=60)
    (wheel,) = out.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def _run(tmp_path, environ):
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path)]
    return subprocess.run(command, check=False, env=environ, capture_output=True, text=True, timeout=60)


def test_the_example_builds_installs_and_runs_as_an_engine(site, tmp_path):
    done = _run(tmp_path, {**os.environ, "PYTHONPATH": str(site)})
    assert (done.stdout, done.stderr, done.returncode) == ("notebook True 1234\n", "", 0)


def test_without_the_package_the_plug_in_is_not_there(tmp_path):
    done = _run(tmp_path, dict(os.environ))
    assert done.returncode == 1
    assert "no plug-in called notebook is installed" in done.stderr
