"""What `catalyst up --metrics` shows: the server, the publisher, and what friends report as far as each allows."""

from __future__ import annotations

from signal_contract.metrics import words
from signal_contract.metrics.agent_table import STAGE_BUCKETS_S
from signal_contract.metrics.table import Kind, Label, Metric, Part

# From submit to receipt: half a millisecond on one machine, hours when the server was away.
ACK_BUCKETS_S = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1, 2.5, 5, 15, 60, 600)
CONFIDENCE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
SOURCES = Label("source", ("server", "streams", "friends", "reports", "publisher", "other"))


class _Maker:
    """Makes the metrics of one part and kind, so that each is one line of the table."""

    def __init__(self, part: Part, kind: Kind, prefix: str) -> None:
        self._part, self._kind, self._prefix = part, kind, prefix

    def __call__(self, name: str, unit: str, text: str, source: str, *labels: Label) -> Metric:
        ending = "_total" if self._kind is Kind.COUNTER else ""
        return Metric(f"{self._prefix}{name}{ending}", self._kind, unit, text, source, labels, part=self._part)


_server = _Maker(Part.SERVER, Kind.GAUGE, "catalyst_server_")
_server_count = _Maker(Part.SERVER, Kind.COUNTER, "catalyst_server_")
_stream = _Maker(Part.SERVER, Kind.GAUGE, "catalyst_stream_")
_stream_count = _Maker(Part.SERVER, Kind.COUNTER, "catalyst_stream_")
_publisher = _Maker(Part.PUBLISHER, Kind.GAUGE, "catalyst_publisher_")
_user = _Maker(Part.FRIENDS, Kind.GAUGE, "catalyst_user_")
_user_count = _Maker(Part.FRIENDS, Kind.COUNTER, "catalyst_user_")

SERVER_METRICS: tuple[Metric, ...] = (
    Metric(
        "catalyst_source_up",
        Kind.GAUGE,
        "0, 1",
        "Whether a source of these numbers could be read at the last look; its other numbers are missing when not",
        "the endpoint",
        (SOURCES,),
        part=Part.SERVER,
    ),
    Metric(
        "catalyst_look_timestamp_seconds",
        Kind.GAUGE,
        "Unix time",
        "When all of this was looked at last, every 10 s",
        "the endpoint",
        part=Part.SERVER,
    ),
    _server("connections", "connections", "Open connections", "$SYS STATSZ", words.SERVER),
    _server("memory_bytes", "bytes", "Memory of nats-server", "$SYS STATSZ", words.SERVER),
    _server("cpu_percent", "% of a core", "Processor time of nats-server", "$SYS STATSZ", words.SERVER),
    _server_count("received_messages", "messages", "Messages taken from clients", "$SYS STATSZ", words.SERVER),
    _server_count("sent_messages", "messages", "Messages given to clients", "$SYS STATSZ", words.SERVER),
    _server_count(
        "slow_consumers", "connections", "Connections closed for reading too slowly", "$SYS STATSZ", words.SERVER
    ),
    _stream_count(
        "published", "messages", "The stream's last sequence: all that was ever stored", "STREAM.INFO",
        words.STREAM_NAME,
    ),
    _stream("messages", "messages", "Messages in the stream", "STREAM.INFO", words.STREAM_NAME),
    _stream("bytes", "bytes", "What they take on disk", "STREAM.INFO", words.STREAM_NAME),
    _stream("max_bytes", "bytes", "What the stream may take", "STREAM.INFO", words.STREAM_NAME),
    _server(
        "refused_logins", "log-ins", "Refused log-ins in the audit log; a flood is written as one line a minute",
        "stream AUDIT",
    ),
)  # fmt: skip

PUBLISHER_METRICS: tuple[Metric, ...] = (
    _publisher("state", "0, 1", "1 for the state of the way to the stream", "state.json", words.OUTBOX_STATE),
    _publisher("state_age_seconds", "s", "Since the publisher wrote its state; over 45 s nobody sends", "state.json"),
    _publisher("outbox_waiting", "signals", "Signals in the outbox without the stream's receipt", "outbox"),
    _publisher("outbox_oldest_age_seconds", "s", "How long the oldest of them has waited; 0 without any", "outbox"),
    _publisher("outbox_stored", "signals", "Signals in the outbox that the stream has", "outbox"),
    Metric(
        "catalyst_publisher_ack_seconds",
        Kind.HISTOGRAM,
        "s",
        "From submit to the stream's receipt; its p50, p95 and p99 are on the dashboard",
        "outbox",
        buckets=ACK_BUCKETS_S,
        part=Part.PUBLISHER,
    ),
    Metric(
        "catalyst_publisher_duplicates_total",
        Kind.COUNTER,
        "signals",
        "Receipts that said: stored before. A retry after a lost receipt, nothing to worry about",
        "outbox",
        part=Part.PUBLISHER,
    ),
    Metric(
        "catalyst_signals_total",
        Kind.COUNTER,
        "signals",
        "Signals that the stream has taken",
        "outbox",
        (words.CATALYST, words.ACTION, words.EVENT),
        part=Part.PUBLISHER,
    ),
    Metric(
        "catalyst_signal_confidence",
        Kind.HISTOGRAM,
        "0…1",
        "The classifier's confidence in new signals",
        "outbox",
        buckets=CONFIDENCE_BUCKETS,
        part=Part.PUBLISHER,
    ),
    Metric(
        "catalyst_publisher_stage_seconds",
        Kind.HISTOGRAM,
        "s",
        "How long a new signal took from the news to the classifier, and from there to being published",
        "outbox",
        (words.PUBLISHER_STAGE,),
        STAGE_BUCKETS_S,
        part=Part.PUBLISHER,
    ),
)

FRIENDS_METRICS: tuple[Metric, ...] = (
    _user("pending_messages", "messages", "How many wait for a friend's agent", "CONSUMER.LIST", words.USER),
    _user("in_flight_messages", "messages", "Sent to it and not acknowledged", "CONSUMER.LIST", words.USER),
    _user("online", "0, 1", "Whether an agent has an open pull", "CONSUMER.LIST", words.USER),
    _user("last_ack_age_seconds", "s", "Since its last acknowledgement; missing: none", "CONSUMER.LIST", words.USER),
    _user(
        "creds_expiry_timestamp_seconds", "Unix time", "When his credentials end; missing: never", "registry",
        words.USER,
    ),
    _user_count("reports", "reports", "Reports since `catalyst up` began", "stream FEEDBACK", words.USER,
                words.REPORT_KIND),
    _user_count("decisions", "decisions", "Reported verdicts; privacy `decisions` and more", "stream FEEDBACK",
                words.USER, words.VERDICT),
    _user_count("orders", "orders", "Reported ends of orders; privacy `outcomes` and more", "stream FEEDBACK",
                words.USER, words.ORDER_STATE),
    _user_count("unreadable_reports", "reports", "Messages that are no report", "stream FEEDBACK", words.USER),
    _user("link_state", "0, 1", "1 for the state that his agent reported last", "stream FEEDBACK", words.USER,
          words.LINK_STATE),
    _user("status_age_seconds", "s", "Since that report; it comes every ten minutes", "stream FEEDBACK", words.USER),
    Metric(
        "catalyst_refusals_total",
        Kind.COUNTER,
        "decisions",
        "Reported refusals of all friends by reason",
        "stream FEEDBACK",
        (words.CODE,),
        part=Part.FRIENDS,
    ),
)  # fmt: skip

OPERATOR_METRICS = (*SERVER_METRICS, *PUBLISHER_METRICS, *FRIENDS_METRICS)
