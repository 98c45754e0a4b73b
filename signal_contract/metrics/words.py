"""The closed lists of label values. What a friend reports is his own word: nothing else of it becomes a label.

The agent's enums live in a package that nothing here may know; tests compare these lists with them.
"""

from __future__ import annotations

from signal_contract.catalysts import CATALYSTS
from signal_contract.feedback import Kind, Privacy
from signal_contract.metrics.table import OTHER, Label
from signal_contract.model import Action, Event

VERDICTS = ("ACCEPTED", "REFUSED", "NOTED")
ORDER_STATES = ("FILLED", "PARTLY_FILLED", "ACCEPTED", "CANCELLED", "REJECTED", "UNKNOWN", "ABANDONED")
LINK_STATES = ("LIVE", "QUIET", "LAGGING", "DEAF", "CUT")
TRADING_STATES = ("ACTIVE", "REDUCING", "HALTED")
ENGINE_STATES = ("OK", "OPEN", "PROBE")
OUTBOX_STATES = ("up", "degraded", "down")
LEGS = ("entry", "exit", "stop", "target", "adjust")
NO_CODE = "none"
_REFUSALS = """
HALTED REDUCING RETRACTED SUPERSEDED DUPLICATE DRILL_REFUSED NO_POSITION STALE EXPIRED CLOCK_SKEW LOW_CONFIDENCE
CATALYST_FILTERED TICKER_DENIED SOURCE_DENIED DEGRADED_CLASSIFIER SIDE_DISABLED NO_PRICE PRICE_OUT_OF_RANGE
MARKET_CAP_LOW RVOL_LOW SECTOR_FILTERED NO_QUOTE PRICE_MOVED SESSION_CLOSED SYMBOL_HALTED NOT_TRADABLE
NOT_SHORTABLE STOP_REQUIRED STOP_WRONG_SIDE STOP_TOO_WIDE TARGET_WRONG_SIDE SIZE_BELOW_MIN NOT_FRACTIONABLE
MAX_NOTIONAL MAX_QTY MAX_OPEN_POSITIONS ALREADY_IN_POSITION OPPOSITE_ORDER_OPEN MAX_EXPOSURE MAX_TICKER_EXPOSURE
MAX_CATALYST_EXPOSURE MAX_SECTOR_EXPOSURE DAILY_LOSS WEEKLY_LOSS DRAWDOWN LOSS_STREAK COOLDOWN ORDER_RATE
MAX_TRADES_PER_DAY INSUFFICIENT_FUNDS ACCOUNT_BLOCKED LEVERAGE DAY_TRADE_LIMIT TICK_SIZE APPROVAL_REQUIRED
ENGINE_UNHEALTHY LEDGER_MISMATCH MAX_HOLD WATCH_ONLY RETRACTION NOTIFY_ONLY HANDLED_ELSEWHERE
"""
CODES = (NO_CODE, *_REFUSALS.split(), OTHER)
PARKED_CODES = (
    "SIGNATURE_INVALID", "SCHEMA_INVALID", "SCHEMA_TOO_NEW", "SUBJECT_INVALID", "CATALYST_UNKNOWN", "NAME_INVALID",
    "INPUT_INVALID", "CONTROL_UNKNOWN", "REVISION_CONFLICT", OTHER,
)  # fmt: skip
LIMITS = (
    "daily_loss", "weekly_loss_percent", "max_drawdown_percent", "max_losing_streak", "max_exposure_percent",
    "max_leverage", "cash_used", "max_ticker_exposure_percent", "max_catalyst_exposure_percent",
    "max_sector_exposure_percent", "max_open_positions", "max_orders_per_minute", "max_trades_per_day",
    "max_day_trades", "engine_failures", OTHER,
)  # fmt: skip
HOLDS = ("DAILY", "WEEKLY", "DRAWDOWN", "LOSS_STREAK", "COOLDOWN", OTHER)
EVENTS = (
    "connected", "disconnected", "reconnected", "alert", "gap", "engine_fault", "engine_ok", "breach", "config_kept",
    "creds_kept", "retracted_after_trade", "own_exit", "unprotected", "overfilled", "fill_fault", "exit_waits",
    "reconcile", "engine_deaf", "not_connected", OTHER,
)  # fmt: skip

NEWS_TO_CLASSIFIED, CLASSIFIED_TO_PUBLISHED = "news_to_classified", "classified_to_published"
PUBLISHED_TO_RECEIVED, RECEIVED_TO_DECIDED = "published_to_received", "received_to_decided"
DECIDED_TO_ORDERED, ORDERED_TO_FILLED = "decided_to_ordered", "ordered_to_filled"
NEWS_TO_FILLED = "news_to_filled"
STAGES = (
    NEWS_TO_CLASSIFIED, CLASSIFIED_TO_PUBLISHED, PUBLISHED_TO_RECEIVED, RECEIVED_TO_DECIDED, DECIDED_TO_ORDERED,
    ORDERED_TO_FILLED, NEWS_TO_FILLED,
)  # fmt: skip

VERDICT = Label("verdict", (*VERDICTS, OTHER))
CODE = Label("code", CODES, f"why, `{NO_CODE}` for an order that was accepted as it is")
PARKED_CODE = Label("code", PARKED_CODES)
ORDER_STATE = Label("state", (*ORDER_STATES, OTHER))
LEG = Label("leg", (*LEGS, OTHER))
LINK_STATE = Label("state", (*LINK_STATES, OTHER))
TRADING_STATE = Label("state", (*TRADING_STATES, OTHER))
ENGINE_STATE = Label("state", (*ENGINE_STATES, OTHER))
OUTBOX_STATE = Label("state", (*OUTBOX_STATES, OTHER))
WHO = Label("who", ("local", "operator", "operator_user", OTHER), "who said so")
LIMIT = Label("limit", LIMITS)
HOLD = Label("hold", HOLDS)
EVENT_OF_RUN = Label("event", EVENTS)
STAGE = Label("stage", STAGES)
PUBLISHER_STAGE = Label("stage", (NEWS_TO_CLASSIFIED, CLASSIFIED_TO_PUBLISHED))
CATALYST = Label("catalyst", tuple(CATALYSTS), "`other` is on the list itself")
ACTION = Label("action", (*(each.value for each in Action), OTHER))
EVENT = Label("event", (*(each.value for each in Event), OTHER))
REPORT_KIND = Label("kind", (*(each.value for each in Kind), OTHER))
PRIVACY = Label("privacy", (*(each.value for each in Privacy), OTHER))
STREAM_NAME = Label("stream", ("SIGNALS", "FEEDBACK", "AUDIT", "FLAGS", OTHER))
USER = Label("user", about="a friend's name")
SERVER = Label("server", about="a server of the cluster by name")
