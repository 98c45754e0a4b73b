"""What `subscriber-agent run --metrics` shows: everything on the friend's own machine, for him alone."""

from __future__ import annotations

from signal_contract.metrics import words
from signal_contract.metrics.table import Kind, Label, Metric

# From a millisecond, which a quick link takes, to an hour, which an agent that was away takes.
STAGE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)


def _gauge(name: str, unit: str, text: str, source: str, *labels: Label) -> Metric:
    return Metric(f"catalyst_agent_{name}", Kind.GAUGE, unit, text, source, labels)


def _counter(name: str, text: str, source: str, *labels: Label) -> Metric:
    return Metric(f"catalyst_agent_{name}_total", Kind.COUNTER, "", text, source, labels)


AGENT_METRICS: tuple[Metric, ...] = (
    _gauge(
        "info",
        "",
        "Who and what this agent is; always 1",
        "config",
        Label("user", about="the friend himself"),
        Label("version"),
        Label("mode", ("notify", "paper", "approve", "live", "other")),
        Label("engine", about="its kind"),
        words.PRIVACY,
    ),
    _gauge("running", "0, 1", "Whether an agent holds this identity on this machine", "lock file"),
    _gauge("journal_readable", "0, 1", "Whether the journal could be read for this answer", "journal"),
    _gauge("journal_bytes", "bytes", "Size of the journal with its log", "file"),
    # The link
    _gauge("link_state", "0, 1", "1 for the state that the link is in, 0 for the others", "journal", words.LINK_STATE),
    _gauge("link_state_age_seconds", "s", "For how long the link has been in that state", "journal"),
    _gauge("pending_messages", "messages", "How many wait on the server for this agent, as last measured", "journal"),
    _gauge("position", "sequence", "The stream sequence up to which everything is acknowledged", "journal"),
    _gauge("last_sequence", "sequence", "The highest stream sequence that was received", "journal"),
    _gauge("heartbeat_age_seconds", "s", "Since the publisher's last sign of life", "journal"),
    _counter("events", "What happened to the running agent, by kind; 0 at its start", "memory", words.EVENT_OF_RUN),
    # Signals and decisions
    _counter("signals", "Signals received and verified", "journal", words.CATALYST),
    _counter("parked", "Messages set aside, never acted on", "journal", words.PARKED_CODE),
    _counter("decisions", "Decisions by verdict and reason", "journal", words.VERDICT, words.CODE),
    _gauge("undecided_signals", "signals", "Received and not decided yet", "journal"),
    _gauge("undecided_age_seconds", "s", "How long the oldest of them has waited; 0 without any", "journal"),
    _gauge("approvals_waiting", "orders", "Orders that wait for the friend's word", "journal"),
    # Orders and latency
    _counter("orders", "Orders by the state they came to", "journal", words.LEG, words.ORDER_STATE),
    _gauge("open_orders", "orders", "Orders whose end is not known", "journal"),
    Metric(
        "catalyst_agent_stage_seconds",
        Kind.HISTOGRAM,
        "s",
        "How long a signal took from one stage to the next; backlog after an absence counts too",
        "journal and payload",
        (words.STAGE,),
        STAGE_BUCKETS_S,
    ),
    _counter(
        "stage_negative",
        "Stages that ended before they began: clocks disagree. They are in no other number",
        "journal and payload",
        words.STAGE,
    ),
    # Money and limits
    _gauge("equity_usd", "USD", "Cash plus positions at the last prices seen; missing: not known", "journal"),
    _gauge("cash_usd", "USD", "Cash in the account; missing: not known", "journal"),
    _gauge("realised_usd", "USD", "Profit (+) or loss (-) of what was closed, since the account's start", "journal"),
    _gauge("unrealised_usd", "USD", "Profit or loss of what is held, at the last prices seen", "journal"),
    _gauge("positions", "positions", "Open positions", "journal"),
    _gauge(
        "limit_used_ratio",
        "0…1, more is over",
        "How much of a limit is used; for limits by ticker, catalyst or sector the fullest one",
        "journal and config",
        words.LIMIT,
    ),
    _gauge("entries_stopped", "0, 1; count", "What stops entries now; COOLDOWN counts tickers", "journal", words.HOLD),
    _gauge(
        "trading_state",
        "0, 1",
        "1 for the state that stands, by whose word, 0 for the others",
        "journal",
        words.WHO,
        words.TRADING_STATE,
    ),
    _gauge("engine_state", "0, 1", "1 for the state of the engine's circuit breaker", "journal", words.ENGINE_STATE),
    # Reports and creds
    _gauge("feedback_waiting", "reports", "Reports to the operator that were not sent yet", "journal"),
    _gauge("feedback_dropped", "reports", "Reports that were never sent: the oldest make room", "journal"),
    _gauge("creds_expiry_timestamp_seconds", "Unix time", "When the credentials end; missing: never", "creds file"),
)
