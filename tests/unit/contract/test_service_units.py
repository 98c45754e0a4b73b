"""systemd's units: what is written is what systemd reads, and the files in deploy/ are the ones of the code."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from signal_admin.service.units import UNITS, unit_files
from signal_contract.supervision import needs_person
from signal_contract.systemd import Scope, Unit, quoted, unit_text

ROOT = Path(__file__).resolve().parents[3]
# The last look at `systemd-analyze security`; 0 is best, and a unit without walls has 9.4.
_EXPOSURE_ALLOWED = 2.0


def _sections(text):
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(text)
    return parser


@pytest.mark.parametrize("name", sorted(UNITS))
def test_the_unit_in_deploy_is_the_one_of_the_code(name):
    assert (ROOT / "deploy/systemd" / name).read_bytes() == unit_files()[name]


@pytest.mark.parametrize("name", sorted(UNITS))
def test_a_unit_waits_for_ready_proves_itself_and_is_not_restarted_in_vain(name):
    service = _sections(unit_files()[name].decode())["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) >= 120
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == " ".join(map(str, needs_person()))
    assert service["LimitCORE"] == "0"
    assert service["KillMode"] == "mixed", "a server that gets its own SIGTERM is gone before what waits was sent"
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["User"] not in ("root", "")


def test_no_unit_opens_the_gate_to_real_money():
    assert not any(b"LIVE" in content for content in unit_files().values())


def test_a_user_unit_has_no_wall_that_needs_rights():
    unit = Unit("x", ("/bin/true",), Scope.USER, watchdog_s=300, start_s=60, stop_s=60)
    service = _sections(unit_text(unit))["Service"]
    assert not [name for name in service if name.startswith(("Protect", "Private", "Capability", "User"))]
    assert _sections(unit_text(unit))["Install"]["WantedBy"] == "default.target"


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("/usr/bin/python3", "/usr/bin/python3"),
        ("/home/a b/agent.yaml", '"/home/a b/agent.yaml"'),
        ("50%", "50%%"),
        ("$HOME", "$$HOME"),
        ('say "hi"', '"say \\"hi\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("", '""'),
        ("it's;a", '"it\'s;a"'),
    ],
)
def test_a_word_reaches_the_program_as_it_is(word, written):
    assert quoted(word) == written


@pytest.mark.parametrize("word", ["a\nExecStartPre=/bin/sh", "a\x00b", "a\tb", "a\x7f"])
def test_a_word_cannot_bring_a_line_of_its_own(word):
    with pytest.raises(ValueError, match="control character"):
        quoted(word)


def _with_programs_of_this_machine(folder):
    program = folder / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for name, content in unit_files().items():
        text = content.decode()
        (command,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
        (folder / name).write_text(text.replace(command, f"ExecStart={program}"))
    return sorted(folder.glob("*.service"))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_finds_nothing_to_complain_about(tmp_path):
    paths = _with_programs_of_this_machine(tmp_path)
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, paths)], capture_output=True, text=True, check=False, timeout=60
    )
    # A unit of the machine that the tests run on is not ours to mend.
    assert [line for line in done.stderr.splitlines() if str(tmp_path) in line] == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
@pytest.mark.parametrize("name", sorted(UNITS))
def test_the_walls_hold_as_systemd_counts_them(tmp_path, name):
    _with_programs_of_this_machine(tmp_path)
    command = ["systemd-analyze", "security", "--offline=true", str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "--offline" in done.stderr:
        pytest.skip("this systemd looks at running units only")
    (line,) = [each for each in done.stdout.splitlines() if "Overall exposure level" in each]
    assert float(line.split(":")[1].split()[0]) <= _EXPOSURE_ALLOWED
