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
    SIDE_DISABLED = "SIDE_DISABLED"
    NO_PRICE = "NO_PRICE"
    PRICE_OUT_OF_RANGE = "PRICE_OUT_OF_RANGE"
    STOP_REQUIRED = "STOP_REQUIRED"
    STOP_WRONG_SIDE = "STOP_WRONG_SIDE"
    STOP_TOO_WIDE = "STOP_TOO_WIDE"
    TARGET_WRONG_SIDE = "TARGET_WRONG_SIDE"
    SIZE_BELOW_MIN = "SIZE_BELOW_MIN"
    MAX_NOTIONAL = "MAX_NOTIONAL"
    MAX_QTY = "MAX_QTY"
    MAX_OPEN_POSITIONS = "MAX_OPEN_POSITIONS"
    ALREADY_IN_POSITION = "ALREADY_IN_POSITION"
    MAX_EXPOSURE = "MAX_EXPOSURE"
    ORDER_RATE = "ORDER_RATE"
    MAX_TRADES_PER_DAY = "MAX_TRADES_PER_DAY"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    WATCH_ONLY = "WATCH_ONLY"
    RETRACTION = "RETRACTION"
    NOTIFY_ONLY = "NOTIFY_ONLY"


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
    Code.SIDE_DISABLED: "a short sale, and short sales are switched off",
    Code.NO_PRICE: "the signal carries no price to judge or size it by",
    Code.PRICE_OUT_OF_RANGE: "the price lies outside your range",
    Code.STOP_REQUIRED: "the signal carries no stop",
    Code.STOP_WRONG_SIDE: "the stop lies on the profit side of the price, or on it",
    Code.STOP_TOO_WIDE: "the stop is further away than you allow",
    Code.TARGET_WRONG_SIDE: "the target lies on the loss side of the price, or on it",
    Code.SIZE_BELOW_MIN: "your sizing gives less than one share or less than your minimum",
    Code.MAX_NOTIONAL: "your largest order value",
    Code.MAX_QTY: "your largest number of shares in an order",
    Code.MAX_OPEN_POSITIONS: "you hold as many positions as you allow",
    Code.ALREADY_IN_POSITION: "you hold this ticker, or an entry in it is under way",
    Code.MAX_EXPOSURE: "your largest share of equity in positions",
    Code.ORDER_RATE: "too many entries within a minute",
    Code.MAX_TRADES_PER_DAY: "too many entries within 24 hours",
    Code.INSUFFICIENT_FUNDS: "not enough cash beyond your reserve, or the account is not known",
    Code.WATCH_ONLY: "for your eyes: the signal asks for no order",
    Code.RETRACTION: "withdraws an earlier signal; asks for no order",
    Code.NOTIFY_ONLY: "it would have been accepted; mode notify orders nothing",
}
