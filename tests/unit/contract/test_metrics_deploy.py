"""Dashboards and alert rules: they can be read, their queries are well formed, and every metric in them exists."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from signal_contract.metrics.agent_table import AGENT_METRICS
from signal_contract.metrics.operator_table import OPERATOR_METRICS
from signal_contract.metrics.table import Kind

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
RULES = sorted((DEPLOY / "prometheus").glob("*_alerts.yml"))
BOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
SERIES = {name: each for each in (*AGENT_METRICS, *OPERATOR_METRICS) for name in each.series}
# What Prometheus adds itself.
BUILT_IN, ALWAYS = {"up"}, {"instance", "job"}
FUNCTIONS = {"rate", "increase", "delta", "histogram_quantile", "time", "sum", "max", "topk"}
WORDS = {"by", "on", "and", "or", "unless", "bool"}
TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<range>\[\d+[smhdw]\])|(?P<number>\d+(?:\.\d+)?)"""
    r"""|(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)|(?P<sign>=~|!~|!=|==|>=|<=|[-+*/<>=(){},]))"""
)


def tokens(query: str) -> list[tuple[str, str]]:
    """The query in pieces; raises ValueError at what is none."""
    found, at = [], 0
    while query[at:].strip():
        piece = TOKEN.match(query, at)
        if piece is None:
            raise ValueError(f"{query[at:][:20]!r} is no PromQL")
        found.append((str(piece.lastgroup), piece[piece.lastgroup]))
        at = piece.end()
    return found


class Query:
    """A reader of the part of PromQL that is used here; raises ValueError for a query that is not well formed."""

    def __init__(self, query: str) -> None:
        self._left = tokens(query)
        self.metrics: list[tuple[str, set[str], bool]] = []
        self.grouped: set[str] = set()
        self._expression()
        if self._left:
            raise ValueError(f"{self._left[0][1]!r} comes after the end of the query")

    def _is(self, *texts: str) -> bool:
        return bool(self._left) and self._left[0][1] in texts

    def _take(self, *wanted: str) -> str:
        if not self._left or (wanted and self._left[0][1] not in wanted and self._left[0][0] not in wanted):
            raise ValueError(f"one of {wanted} is needed before {self._left[:1]}")
        return self._left.pop(0)[1]

    def _expression(self) -> None:
        self._operand()
        while self._is("+", "-", "*", "/", "<", ">", "==", "!=", ">=", "<=", "and", "or", "unless"):
            self._take()
            if self._is("on"):
                self._take()
                self._labels()
            self._operand()

    def _operand(self) -> None:
        if self._is("("):
            self._take()
            self._expression()
            self._take(")")
        elif self._left and self._left[0][0] == "number":
            self._take()
        elif self._left and self._left[0][1] in FUNCTIONS:
            self._call()
        else:
            self._selector()

    def _call(self) -> None:
        self._take()
        if self._is("by"):
            self._take()
            self._labels()
        self._take("(")
        while not self._is(")"):
            self._expression()
            if self._is(","):
                self._take()
        self._take(")")

    def _labels(self) -> None:
        self._take("(")
        while not self._is(")"):
            self.grouped.add(self._take("name"))
            if self._is(","):
                self._take()
        self._take(")")

    def _selector(self) -> None:
        name, labels = self._take("name"), set()
        if name in WORDS:
            raise ValueError(f"{name} is a word of PromQL")
        if self._is("{"):
            self._take()
            while not self._is("}"):
                labels.add((self._take("name"), self._take("=", "!=", "=~", "!~"), self._take("string")))
                if self._is(","):
                    self._take()
            self._take("}")
        is_range = bool(self._left) and self._left[0][0] == "range"
        if is_range:
            self._take()
        self.metrics.append((name, labels, is_range))


def queries() -> list[tuple[str, str]]:
    found = []
    for path in RULES:
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            found += [(f"{path.stem}-{rule['alert']}", rule["expr"]) for rule in group["rules"]]
    for path in BOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            found += [(f"{path.stem}-{panel['id']}{each['refId']}", each["expr"]) for each in panel.get("targets", ())]
    return found


def wrong_values(name: str, operator: str, text: str, allowed: tuple[str, ...]) -> set[str]:
    """The values that a selector names and that the label cannot have."""
    named = set(text.strip('"').split("|")) if operator in ("=~", "!~") else {text.strip('"')}
    return named - set(allowed) if allowed else set()


@pytest.mark.parametrize(("name", "query"), queries(), ids=[name for name, _ in queries()])
def test_a_query_is_well_formed_and_names_what_exists(name, query):
    read = Query(query)
    known = set(ALWAYS)
    for series, labels, is_range in read.metrics:
        if series in BUILT_IN:
            continue
        metric = SERIES[series]
        own = {each.name: each for each in metric.labels}
        known |= set(own) | ({"le"} if series.endswith("_bucket") else set())
        assert {label for label, _, _ in labels} <= set(own), series
        for label, operator, text in labels:
            assert not wrong_values(label, operator, text, own[label].values), (series, label)
        if metric.kind is Kind.GAUGE:
            assert f"rate({series}" not in query, "a gauge has no rate"
            assert f"increase({series}" not in query, "a gauge has no increase"
        else:
            assert is_range or metric.kind is Kind.HISTOGRAM, f"{series} is a counter: its rate says something"
    assert read.grouped <= known
    if "histogram_quantile" in query:
        assert "le" in read.grouped


@pytest.mark.parametrize(
    "query",
    ["sum(x", "rate(x[5q])", 'x{a="b}', "x +", "x y", "sum by x (y)", "x{a=b}", "", "by", ")", "x{a}", "1 2"],
)
def test_the_reader_of_queries_notices_what_is_wrong(query):
    with pytest.raises(ValueError, match=r"."):
        Query(query)


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_every_alert_says_how_urgent_it_is_and_what_to_do(path):
    rules = [rule for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
    names = [rule["alert"] for rule in rules]
    assert len(set(names)) == len(names) >= 10
    for rule in rules:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "warn", "info"), rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]
        assert rule["annotations"]["action"], rule["alert"]
        assert re.fullmatch(r"\d+[smhd]", rule.get("for", "0s")), rule["alert"]
        named = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        read = Query(rule["expr"])
        own = {label.name for series, _, _ in read.metrics if series in SERIES for label in SERIES[series].labels}
        assert named <= own | ALWAYS, rule["alert"]


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_dashboard_can_be_imported(path):
    board = json.loads(path.read_text(encoding="utf-8"))
    assert board["uid"]
    assert board["title"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells
        assert panel["type"] == "row" or panel["targets"], panel["title"]
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${source}"


def test_the_scrape_config_takes_up_every_rule_file():
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    assert sorted(config["rule_files"]) == [path.name for path in RULES]
    jobs = {each["job_name"] for each in config["scrape_configs"]}
    named = {job for _, query in queries() for job in re.findall(r'job="([^"]+)"', query)}
    assert named <= jobs


def test_promtool_accepts_it_where_it_is_installed():
    promtool = shutil.which("promtool")
    if promtool is None:
        return  # the reader above has looked at every query
    for path in (*RULES,):
        done = subprocess.run([promtool, "check", "rules", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
