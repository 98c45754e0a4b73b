"""An identity with a config on disk, and the example plug-in as if it were installed: for the engine's commands."""

import os
import subprocess
import sys
from pathlib import Path

from agent_samples import KEY, a_user_jwt

from signal_contract.creds import creds_text, write_secret
from signal_contract.nkey import KeyKind, KeyPair

PLUGIN_FOLDER = Path(__file__).resolve().parents[3] / "examples/engines/python_plugin"
# Nobody listens on port 1: an agent that gets so far has passed every gate, and ends as unreachable.
GOOD = f'servers: ["nats://127.0.0.1:1"]\ncreds: alice.creds\ndata: data\npublisher_key: "{KEY}"\n'
REAL = "engine: {kind: python, python: {name: notebook}}\n"
PHRASE = "alice trades real money with python notebook"
SCRIPT = str(Path(sys.executable).with_name("subscriber-agent" + (".exe" if os.name == "nt" else "")))


def a_config_file(folder: Path, text: str = "") -> Path:
    """alice's config and creds; her journal goes into `folder`/data."""
    if not (folder / "alice.creds").exists():
        pair = KeyPair.generate(KeyKind.USER)
        write_secret(folder / "alice.creds", creds_text(a_user_jwt(pair.public), pair.seed))
    file = folder / "agent.yaml"
    file.write_text(GOOD + text, encoding="utf-8")
    return file


def an_installed_plugin(folder: Path) -> Path:
    """A folder for sys.path in which the example plug-in counts as installed; nothing is built or fetched."""
    info = folder / "site" / "notebook_engine-1.0.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: notebook-engine\nVersion: 1.0.0\n")
    (info / "entry_points.txt").write_text("[catalyst_signals.engines]\nnotebook = notebook_engine:make\n")
    return info.parent


def environment(folder: Path, **more: str) -> dict[str, str]:
    """That of a process which finds the plug-in; without the word on real money of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SUBSCRIBER_AGENT")}
    found = os.pathsep.join(map(str, (an_installed_plugin(folder), PLUGIN_FOLDER)))
    return {**kept, "PYTHONPATH": found, "COLUMNS": "200", **more}


def agent(folder: Path, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
    """`subscriber-agent …` as a process without a keyboard, on the config of `folder`."""
    return subprocess.run(
        [SCRIPT, *map(str, words), "--config", str(folder / "agent.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env=environment(folder, **more),
    )
