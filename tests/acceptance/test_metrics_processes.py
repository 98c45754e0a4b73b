"""Both commands as processes: `--metrics` shows a page, `subscriber-agent metrics` prints one."""

import json
import socket
import urllib.request

from agent_process import Running, agent, waited

from signal_contract.metrics.agent_table import AGENT_METRICS
from signal_contract.resources import resource_path


def fetched(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_both_sides_show_their_page_and_the_agents_is_printed_too(up, tmp_path):
    config = up.add_user("alice", ["signals.*.*"])
    port = free_port()
    running = Running.start(config, tmp_path, "--metrics", f"127.0.0.1:{port}")
    try:
        running.wait_for("caught_up")
        sample = tmp_path / "one.jsonl"
        sample.write_text(json.dumps(json.loads(resource_path("config/samples/signal.v1.json").read_bytes())) + "\n")
        assert up.run("publish", str(sample), "--drill").returncode == 0
        running.wait_for("decision")
        page = waited(lambda: (text := fetched(port)) and "signals_total{catalyst" in text and text, what="a page")
        live = waited(
            lambda: (text := fetched(port)) and 'catalyst_agent_link_state{state="LIVE"} 1.0' in text and text,
            what="the link is live",
        )
    finally:
        running.stop()
    assert 'catalyst_agent_events_total{event="connected"} 1.0' in live
    assert "catalyst_agent_equity_usd" in page
    printed = agent("metrics", "--config", config)
    assert printed.returncode == 0, printed.stderr
    assert "catalyst_agent_running 0.0" in printed.stdout
    known = {name for each in AGENT_METRICS for name in each.series}
    names = {line.split("{")[0].split(" ")[0] for line in printed.stdout.splitlines() if not line.startswith("#")}
    assert names <= known


def test_a_port_that_is_taken_does_not_keep_the_agent_from_receiving(up, tmp_path):
    config = up.add_user("alice", ["signals.*.*"])
    done = agent("run", "--config", config, "--until-drained", "--metrics", f"127.0.0.1:{up.port}")
    assert done.returncode == 0, done.stderr
    assert "no metrics: " in done.stderr


def test_an_address_that_is_none_is_refused_at_once(up):
    config = up.add_user("alice", ["signals.*.*"])
    done = agent("run", "--config", config, "--metrics", "nowhere")
    assert done.returncode == 4
    assert "no address for metrics" in done.stderr


def test_the_operators_page_comes_with_up_and_is_kept(data_dir, start_up):
    port = free_port()
    started = start_up(data_dir, None, "--metrics", f"127.0.0.1:{port}")
    try:
        waited(lambda: "catalyst_source_up" in _maybe(port), what="the page")
    finally:
        started.stop()
    again = start_up(data_dir)
    try:
        waited(lambda: 'catalyst_source_up{source="server"} 1.0' in _maybe(port), what="the page again")
    finally:
        again.stop()


def _maybe(port: int) -> str:
    try:
        return fetched(port)
    except OSError:
        return ""


def test_with_json_logs_stderr_holds_json_lines_and_nothing_else(up):
    config = up.add_user("alice", ["signals.*.*"])
    done = agent("--log-format", "json", "run", "--config", config, "--until-drained")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stderr.splitlines()]
    assert {"connected", "caught_up", "stopped"} <= {each.get("event") for each in found}
    assert all({"at", "level", "logger", "message"} <= set(each) for each in found)


def test_the_server_logs_json_lines_by_its_environment(data_dir, start_up, monkeypatch):
    monkeypatch.setenv("CATALYST_LOG", "json")
    started = start_up(data_dir)
    started.stop()
    text = (data_dir.parent / f"up-{started.port}.stderr").read_text()
    assert [json.loads(line)["message"] for line in text.splitlines()][-1] == "stopped"
