"""Nodes as text: what is written is complete, private, and never opens a line in clear text between machines."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from signal_admin.cluster.hosts import written
from signal_admin.cluster.nodes import (
    TEMPLATE_NAME,
    Common,
    RouteTls,
    Templates,
    node_text,
    nodes_checked,
    size_checked,
)
from signal_admin.cluster.replicas import Counts, copies_of, losses, replicas_checked
from signal_admin.cluster.running import nodes_here, public_addresses
from signal_admin.desk import Desk, make_desk
from signal_admin.server.config import TEMPLATE_NAME as SERVER_TEMPLATE
from signal_admin.settings import UpSettings
from signal_contract.errors import ConfigInvalid, Conflict, InputError
from signal_contract.resources import resource_path

NOW = datetime.now(UTC)
COMMON = Common("OJWT", "ASYS", {"ASYS": "JWT1"}, 1 << 30)
TEMPLATES = Templates(*(resource_path(name).read_text(encoding="utf-8") for name in (SERVER_TEMPLATE, TEMPLATE_NAME)))


def here(size=3, **settings):
    return nodes_here(Desk(Path("/data")), UpSettings(**settings), size)


def test_nodes_on_one_machine_have_ports_of_their_own_and_routes_on_loopback():
    nodes = here(monitor_port=8222)
    ports = [port for node in nodes for port in (node.port, node.route_port, node.monitor_port)]
    assert len(set(ports)) == 9
    text = node_text(TEMPLATES, nodes[1], nodes, COMMON, "secret", None)
    assert "$" not in text
    assert f'listen: "127.0.0.1:{nodes[1].route_port}"' in text
    assert text.count("nats-route://node:secret@127.0.0.1:") == 3
    assert 'store_dir: "/data/cluster/n2"' in text
    assert 'interval: "5s"' in text


def test_routes_stay_on_loopback_when_friends_come_from_everywhere():
    nodes = here(tls_hosts=("signals.example.org",))
    assert {node.host for node in nodes} == {"0.0.0.0"}
    assert 'listen: "127.0.0.1:6222"' in node_text(TEMPLATES, nodes[0], nodes, COMMON, "secret", None)


def test_routes_between_machines_need_tls():
    nodes = tuple(replace(node, reach=f"n{number}.example.org") for number, node in enumerate(here()))
    with pytest.raises(ConfigInvalid, match="clear text"):
        nodes_checked(nodes, None)
    tls = RouteTls(Path("/a.pem"), Path("/a.key"), Path("/ca.pem"))
    text = node_text(TEMPLATES, nodes[0], nodes, COMMON, "secret", tls)
    assert "verify: true" in text
    assert 'min_version: "1.3"' in text


@pytest.mark.parametrize("size", [0, 1, 2, 4, 6])
def test_a_number_of_nodes_that_survives_nothing_is_refused(size):
    with pytest.raises(InputError):
        size_checked(size)


def test_two_nodes_in_one_folder_are_refused():
    one, two, three = here()
    with pytest.raises(ConfigInvalid, match="folder"):
        nodes_checked((one, two, replace(three, folder=one.folder)), None)


def test_friends_are_told_every_node_under_every_public_name():
    settings = UpSettings(tls_hosts=("a.example.org", "localhost"), wss_port=443)
    assert public_addresses(settings, nodes_here(Desk(Path("/d")), settings, 3)) == (
        "tls://a.example.org:4222", "tls://a.example.org:4223", "tls://a.example.org:4224",
        "wss://a.example.org:443", "wss://a.example.org:444", "wss://a.example.org:445",
    )  # fmt: skip
    told = replace(settings, public=("tls://b.example.org:1",))
    assert public_addresses(told, ()) == told.public


def test_addresses_that_were_worked_out_follow_the_ports():
    settings = UpSettings(port=5222, public=("nats://127.0.0.1:4222",))
    nodes = nodes_here(Desk(Path("/d")), settings, 3)
    assert public_addresses(settings, nodes, settings.public)[0] == "nats://127.0.0.1:5222"


def test_three_machines_get_a_folder_each_with_all_that_is_needed_and_no_key_of_the_operator(tmp_path):
    desk = make_desk(tmp_path / "data")
    done = written(desk, UpSettings(), "n1.example.org,n2.example.org,192.0.2.3", tmp_path / "out", now=NOW)
    assert done.public == ("tls://n1.example.org:4222", "tls://n2.example.org:4222", "tls://192.0.2.3:4222")
    secrets = {path.read_text().strip() for path in desk.vault.rglob("*.seed")}
    assert secrets
    for folder, host in zip(done.folders, done.hosts, strict=True):
        texts = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
        assert set(texts) == {
            "server.conf", "server.pem", "server.key", "route.pem", "route.key", "routes-ca.pem", "README.md",
        }  # fmt: skip
        assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
        assert not any(seed in text for seed in secrets for text in texts.values())
        assert str(tmp_path) not in texts["server.conf"] + texts["README.md"]
        assert "$" not in texts["server.conf"]
        certificate = x509.load_pem_x509_certificate(texts["route.pem"].encode())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert host in str(names)
    names = [re.search(r'server_name: "(n\d)"', (each / "server.conf").read_text())[1] for each in done.folders]
    assert names == ["n1", "n2", "n3"]


@pytest.mark.parametrize("hosts", ["a.example.org", "a.example.org,b.example.org", "a,b,localhost", "a,b,127.0.0.1"])
def test_machines_that_form_no_cluster_are_refused_and_nothing_is_written(tmp_path, hosts):
    with pytest.raises((InputError, ConfigInvalid)):
        written(make_desk(tmp_path / "data"), UpSettings(), hosts, tmp_path / "out", now=NOW)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_not_written_over(tmp_path):
    (tmp_path / "out" / "b").mkdir(parents=True)
    with pytest.raises(Conflict):
        written(make_desk(tmp_path / "data"), UpSettings(), "a,b,c", tmp_path / "out", now=NOW)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b"]


@pytest.mark.parametrize(
    ("info", "whole"),
    [
        ({"leader": "n1", "replicas": [{"current": True}, {"current": True}]}, True),
        ({"leader": "n1", "replicas": [{"current": True}, {"current": False}]}, False),
        ({"leader": "n1", "replicas": [{"current": True}, {"current": True, "offline": True}]}, False),
        ({"leader": "n1", "replicas": [{"current": True}]}, False),
        ({"replicas": [{"current": True}, {"current": True}]}, False),
        ({"leader": "n1"}, False),
        (None, False),
    ],
    ids=["all", "one-behind", "one-offline", "one-missing", "no-leader", "alone", "nothing-known"],
)
def test_a_stream_is_whole_only_when_every_copy_is_known_to_be_current(info, whole):
    assert copies_of("SIGNALS", {"cluster": info}, 3).is_whole is whole


BEFORE = Counts(10, 1, 10, 0)


@pytest.mark.parametrize(
    ("after", "lost"),
    [(Counts(15, 1, 15, 0), 0), (Counts(12, 4, 15, 0), 0), (Counts(9, 1, 9, 0), 1), (Counts(14, 1, 15, 1), 1),
     (Counts(11, 0, 10, 0), 1)],
    ids=["grown", "aged", "shorter", "a-gap", "begins-earlier"],
)  # fmt: skip
def test_what_a_move_lost_is_found(after, lost):
    assert len(losses("SIGNALS", BEFORE, after)) == lost


@pytest.mark.parametrize(("replicas", "nodes"), [(2, 3), (3, 1), (3, 2), (5, 3), (0, 3)])
def test_copies_that_the_nodes_cannot_hold_are_refused(replicas, nodes):
    with pytest.raises(InputError):
        replicas_checked(replicas, nodes)
    assert replicas_checked(3, 3) == 3
