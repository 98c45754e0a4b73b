"""Why a signal was not traded: stable codes, each with one line for people. The README's table is made from this."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """Reason of a decision; part of the contract with everybody who reads `--json`."""

    HALTED = "HALTED"
    REDUCING = "REDUCING"
    RETRACTED = "RETRACTED"
    SUPERSEDED = "SUPERSEDED"
    DUPLICATE = "DUPLICATE"
    DRILL_REFUSED = "DRILL_REFUSED"
    NO_POSITION = "NO_POSITION"
    STALE = "STALE"
    EXPIRED = "EXPIRED"
    CLOCK_SKEW = "CLOCK_SKEW"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"
    CATALYST_FILTERED = "CATALYST_FILTERED"
    TICKER_DENIED = "TICKER_DENIED"
    SOURCE_DENIED = "SOURCE_DENIED"
    DEGRADED_CLASSIFIER = "DEGRADED_CLASSIFIER"
    SIDE_DISABLED = "SIDE_DISABLED"
    NO_PRICE = "NO_PRICE"
    PRICE_OUT_OF_RANGE = "PRICE_OUT_OF_RANGE"
    MARKET_CAP_LOW = "MARKET_CAP_LOW"
    RVOL_LOW = "RVOL_LOW"
    SECTOR_FILTERED = "SECTOR_FILTERED"
    NO_QUOTE = "NO_QUOTE"
    PRICE_MOVED = "PRICE_MOVED"
    SESSION_CLOSED = "SESSION_CLOSED"
    SYMBOL_HALTED = "SYMBOL_HALTED"
    NOT_TRADABLE = "NOT_TRADABLE"
    NOT_SHORTABLE = "NOT_SHORTABLE"
    STOP_REQUIRED = "STOP_REQUIRED"
    STOP_WRONG_SIDE = "STOP_WRONG_SIDE"
    STOP_TOO_WIDE = "STOP_TOO_WIDE"
    TARGET_WRONG_SIDE = "TARGET_WRONG_SIDE"
    SIZE_BELOW_MIN = "SIZE_BELOW_MIN"
    NOT_FRACTIONABLE = "NOT_FRACTIONABLE"
    MAX_NOTIONAL = "MAX_NOTIONAL"
    MAX_QTY = "MAX_QTY"
    MAX_OPEN_POSITIONS = "MAX_OPEN_POSITIONS"
    ALREADY_IN_POSITION = "ALREADY_IN_POSITION"
    OPPOSITE_ORDER_OPEN = "OPPOSITE_ORDER_OPEN"
    MAX_EXPOSURE = "MAX_EXPOSURE"
    MAX_TICKER_EXPOSURE = "MAX_TICKER_EXPOSURE"
    MAX_CATALYST_EXPOSURE = "MAX_CATALYST_EXPOSURE"
    MAX_SECTOR_EXPOSURE = "MAX_SECTOR_EXPOSURE"
    DAILY_LOSS = "DAILY_LOSS"
    WEEKLY_LOSS = "WEEKLY_LOSS"
    DRAWDOWN = "DRAWDOWN"
    LOSS_STREAK = "LOSS_STREAK"
    COOLDOWN = "COOLDOWN"
    ORDER_RATE = "ORDER_RATE"
    MAX_TRADES_PER_DAY = "MAX_TRADES_PER_DAY"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    ACCOUNT_BLOCKED = "ACCOUNT_BLOCKED"
    LEVERAGE = "LEVERAGE"
    DAY_TRADE_LIMIT = "DAY_TRADE_LIMIT"
    TICK_SIZE = "TICK_SIZE"
    APPROVAL_REQUIRED = "APPROVAL_REQUIRED"
    ENGINE_UNHEALTHY = "ENGINE_UNHEALTHY"
    LEDGER_MISMATCH = "LEDGER_MISMATCH"
    MAX_HOLD = "MAX_HOLD"
    WATCH_ONLY = "WATCH_ONLY"
    RETRACTION = "RETRACTION"
    NOTIFY_ONLY = "NOTIFY_ONLY"
    HANDLED_ELSEWHERE = "HANDLED_ELSEWHERE"


CODE_MEANING: dict[Code, str] = {
    Code.HALTED: "trading is halted, by you or by the operator: nothing is ordered",
    Code.REDUCING: "only exits are allowed at the moment, by you or by the operator",
    Code.RETRACTED: "the operator withdrew this signal",
    Code.SUPERSEDED: "a later revision of this signal is known",
    Code.DUPLICATE: "this signal was acted on before",
    Code.DRILL_REFUSED: "a fire drill, and the engine is not a paper engine",
    Code.NO_POSITION: "an exit, and there is no position to close",
    Code.STALE: "published too long ago, or nobody knows when",
    Code.EXPIRED: "the signal's own expiry has passed",
    Code.CLOCK_SKEW: "this machine's clock and the publisher's are too far apart to judge the signal's age",
    Code.LOW_CONFIDENCE: "the classifier's confidence is below your minimum",
    Code.CATALYST_FILTERED: "one of its catalysts is on your deny list, or its catalyst is not on your allow list",
    Code.TICKER_DENIED: "the ticker is on your deny list or not on your allow list",
    Code.SOURCE_DENIED: "its news comes from a source on your deny list",
    Code.DEGRADED_CLASSIFIER: "the classifier ran below its usual quality, and you refuse that",
    Code.SIDE_DISABLED: "a short sale, and short sales are switched off",
    Code.NO_PRICE: "the signal carries no price to judge or size it by",
    Code.PRICE_OUT_OF_RANGE: "the price lies outside your range",
    Code.MARKET_CAP_LOW: "the company is smaller than you trade, or its size is not known",
    Code.RVOL_LOW: "the relative volume is lower than you trade, or not known",
    Code.SECTOR_FILTERED: "its sector is on your deny list, not on your allow list, or not known",
    Code.NO_QUOTE: "the engine shows no current price for it",
    Code.PRICE_MOVED: "the price ran away from the signal's",
    Code.SESSION_CLOSED: "the market is not in a session in which you trade, or nobody knows",
    Code.SYMBOL_HALTED: "trading in this ticker is halted, or the broker does not say",
    Code.NOT_TRADABLE: "the broker does not trade this ticker, or does not say",
    Code.NOT_SHORTABLE: "the broker lends no shares of this ticker, or the engine makes no short sales",
    Code.STOP_REQUIRED: "the signal carries no stop",
    Code.STOP_WRONG_SIDE: "the stop lies on the profit side of the price, or on it",
    Code.STOP_TOO_WIDE: "the stop is further away than you allow",
    Code.TARGET_WRONG_SIDE: "the target lies on the loss side of the price, or on it",
    Code.SIZE_BELOW_MIN: "your sizing gives less than one share or less than your minimum",
    Code.NOT_FRACTIONABLE: "less than one share, and the ticker is traded in whole shares only",
    Code.MAX_NOTIONAL: "your largest order value",
    Code.MAX_QTY: "your largest number of shares in an order",
    Code.MAX_OPEN_POSITIONS: "you hold as many positions as you allow",
    Code.ALREADY_IN_POSITION: "you hold this ticker, or an entry in it is under way",
    Code.OPPOSITE_ORDER_OPEN: "an order the other way round is under way in this ticker",
    Code.MAX_EXPOSURE: "your largest share of equity in positions",
    Code.MAX_TICKER_EXPOSURE: "your largest share of equity in one ticker",
    Code.MAX_CATALYST_EXPOSURE: "your largest share of equity in positions of one catalyst",
    Code.MAX_SECTOR_EXPOSURE: "your largest share of equity in one sector",
    Code.DAILY_LOSS: "today's loss has reached your limit; entries go on with the next New York day",
    Code.WEEKLY_LOSS: "this week's loss has reached your limit; entries go on when you reset it",
    Code.DRAWDOWN: "equity is too far below its highest; entries go on when you reset it",
    Code.LOSS_STREAK: "too many losing trades in a row; entries pause for a while",
    Code.COOLDOWN: "you left a position in this ticker a short while ago",
    Code.ORDER_RATE: "too many entries within a minute",
    Code.MAX_TRADES_PER_DAY: "too many entries within 24 hours",
    Code.INSUFFICIENT_FUNDS: "not enough cash beyond your reserve, or the account is not known",
    Code.ACCOUNT_BLOCKED: "the broker has blocked the account, or does not say",
    Code.LEVERAGE: "all positions together would be worth more than your equity allows",
    Code.DAY_TRADE_LIMIT: "as many round trips within a day as you allow your broker to count",
    Code.TICK_SIZE: "a price of the order cannot be put on the exchange's tick",
    Code.APPROVAL_REQUIRED: "it waits for your `approve`; it expires with its signal",
    Code.ENGINE_UNHEALTHY: "the engine failed again and again, or nobody knows how it is; entries wait",
    Code.LEDGER_MISMATCH: "the engine's positions and the journal's differ, or were not compared; exits only",
    Code.MAX_HOLD: "closed because it was held as long as you allow",
    Code.WATCH_ONLY: "for your eyes: the signal asks for no order",
    Code.RETRACTION: "withdraws an earlier signal; asks for no order",
    Code.NOTIFY_ONLY: "it would have been accepted; mode notify orders nothing",
    Code.HANDLED_ELSEWHERE: "your own program took it over; the agent ordered nothing",
}
