"""A friend's limits: every field with its unit, range, default and one line that becomes its documentation.

No limit can be switched off; what is called a filter, an override or an own way to exit starts switched off. Caps cut
an order down: refusing an oversized order (`oversize: refuse`) would let a *smaller* sizing trade where a larger one is
refused, so it is a choice and not the default.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, Self

from pydantic import Field, model_validator

from signal_contract.model import Session
from subscriber_agent.risk.fields import (
    EVERYTHING,
    Amount,
    CatalystNames,
    Count,
    Flag,
    SecondsByCatalyst,
    Sessions,
    Settings,
    Texts,
    TickerNames,
)

__all__ = ["EVERYTHING", "Amount", "Count", "Flag", "Limits", "Settings"]

Sizing = Literal["fixed_usd", "percent_of_equity", "risk_per_trade", "suggested", "kelly"]
Unknown = Literal["skip", "pass"]
Oversize = Literal["clamp", "refuse"]
_UNKNOWN = "When it is not known: skip refuses the entry, pass trades it. Counts once that filter is set."


class Limits(Settings):
    """The `risk:` section. Percentages are 0..100, amounts USD, durations seconds, quantities shares."""

    max_age_s: Amount = Field(
        Decimal(120),
        ge=1,
        le=86_400,
        description="An entry published longer ago is refused as STALE. Exits never expire.",
    )
    max_age_s_by_catalyst: SecondsByCatalyst = Field(
        {},
        description="Other ages for some catalysts, such as {fda: 60}, each 1 to 86400; the smallest that fits counts.",
    )
    warn_clock_skew_s: Amount = Field(
        Decimal(2), ge=0, le=60, description="A clock that differs by more is marked in every decision's clock check."
    )
    max_clock_skew_s: Amount = Field(
        Decimal(10),
        ge=1,
        le=60,
        description="Entries are refused as CLOCK_SKEW when clocks differ by more, or a signal comes from the future.",
    )
    min_confidence: Amount = Field(
        Decimal("0.70"),
        ge=0,
        le=1,
        description="The classifier's confidence below which an entry is refused. Higher means fewer trades.",
    )
    allow_catalysts: CatalystNames = Field(
        (EVERYTHING,),
        description="The catalysts whose entries you trade; ['*'] is all that you receive, [] is none.",
    )
    deny_catalysts: CatalystNames = Field(
        (),
        description="An entry with any of these among its catalysts is refused, even if it is also allowed.",
    )
    allow_tickers: TickerNames = Field(
        (EVERYTHING,),
        description="The tickers whose entries you trade; ['*'] is all that you receive, [] is none.",
    )
    deny_tickers: TickerNames = Field((), description="Entries in these tickers are refused, even if also allowed.")
    deny_sources: Texts = Field(
        (), description="Entries on news from these sources are refused; capitals make no difference."
    )
    refuse_degraded: Flag = Field(
        False, description="Whether entries are refused while the classifier ran below its usual quality."
    )
    allow_shorts: Flag = Field(
        False,
        description="Whether `sell` signals may open short positions. A short can lose more than its own value.",
    )
    min_price_usd: Amount = Field(
        Decimal("0.10"),
        gt=0,
        le=100_000,
        description="Entries below this price are refused. 0.10 is where the classifier's own range starts.",
    )
    max_price_usd: Amount = Field(Decimal(20), gt=0, le=1_000_000, description="Entries above this price are refused.")
    min_market_cap_usd: Amount = Field(
        Decimal(0),
        ge=0,
        le=100_000_000_000_000,
        description="Entries in smaller companies are refused. 0 is no filter.",
    )
    unknown_market_cap: Unknown = Field("skip", description=_UNKNOWN)
    min_rvol: Amount = Field(
        Decimal(0),
        ge=0,
        le=1000,
        description="Entries below this relative volume (1 is an ordinary day) are refused. 0 is no filter.",
    )
    unknown_rvol: Unknown = Field("skip", description=_UNKNOWN)
    allow_sectors: Texts = Field(
        (EVERYTHING,),
        description="The sectors whose entries you trade, as signals name them; ['*'] is all, and no filter.",
    )
    deny_sectors: Texts = Field((), description="Entries in these sectors are refused, even if also allowed.")
    unknown_sector: Unknown = Field("skip", description=_UNKNOWN)
    max_price_move_percent: Amount = Field(
        Decimal("1.0"),
        ge=0,
        le=20,
        description="An entry is refused when the price ran further from the signal's; its limit price is that far.",
    )
    max_quote_age_s: Amount = Field(
        Decimal(15), ge=1, le=300, description="An older quote counts as none. Only for engines that have quotes."
    )
    sessions: Sessions = Field(
        (Session.REGULAR,),
        description="When entries are made, in New York: any of pre, regular, after, and closed (paper engines only).",
    )
    max_stop_distance_percent: Amount = Field(
        Decimal(15),
        gt=0,
        le=50,
        description="How far the stop may be from the price. An entry without a stop is always refused.",
    )
    own_stop_percent: Amount = Field(
        Decimal(0), ge=0, le=50, description="Your own stop, this far from the price. 0 takes the signal's."
    )
    own_target_percent: Amount = Field(
        Decimal(0), ge=0, le=1000, description="Your own target, this far from the price. 0 takes the signal's."
    )
    trailing_stop_percent: Amount = Field(
        Decimal(0),
        ge=0,
        le=50,
        description="A stop that follows the price at this distance, beside the fixed one. 0 is none.",
    )
    max_hold_s_by_catalyst: SecondsByCatalyst = Field(
        {},
        description="A position is closed after this long, such as {fda: 3600, '*': 14400}, each 1 to 86400.",
    )
    sizing: Sizing = Field("fixed_usd", description="How an order is sized, always floored; the caps below cut it.")
    fixed_usd: Amount = Field(
        Decimal(500), ge=1, le=1_000_000, description="The value of one order when sizing is fixed_usd."
    )
    equity_percent: Amount = Field(
        Decimal(5), gt=0, le=100, description="The value of one order when sizing is percent_of_equity."
    )
    risk_percent: Amount = Field(
        Decimal("0.5"),
        gt=0,
        le=10,
        description="The share of equity that is lost when the stop is hit, when sizing is risk_per_trade.",
    )
    suggested_factor: Amount = Field(
        Decimal(1),
        gt=0,
        le=5,
        description="Multiplies the signal's own share of equity when sizing is suggested.",
    )
    kelly_factor: Amount = Field(
        Decimal("0.25"), gt=0, le=1, description="The part of the full Kelly fraction when sizing is kelly."
    )
    kelly_cap_percent: Amount = Field(
        Decimal(5), gt=0, le=25, description="Kelly never asks for more than this share of equity."
    )
    kelly_win_probability: Amount = Field(
        Decimal("0.55"),
        gt=0,
        le=Decimal("0.9"),
        description="Kelly never believes in more than this chance, however confident the classifier is.",
    )
    allow_fractions: Flag = Field(
        False, description="Whether an order may hold parts of shares (1/10000) where engine and ticker allow it."
    )
    min_notional_usd: Amount = Field(
        Decimal(10),
        ge=0,
        le=1_000_000,
        description="Smaller orders are refused as SIZE_BELOW_MIN; an order is never made larger to reach it.",
    )
    max_notional_usd: Amount = Field(
        Decimal(1000), ge=1, le=1_000_000, description="No order is worth more; a larger one is cut down to it."
    )
    max_quantity: Count = Field(
        5000,
        ge=1,
        le=1_000_000,
        description="No order has more shares; a larger one is cut down. 5000 is 500 USD at the lowest price.",
    )
    oversize: Oversize = Field(
        "clamp",
        description="What happens to an order above max_notional_usd or max_quantity: it is cut down, or refused.",
    )
    max_buying_power_percent: Amount = Field(
        Decimal(95), gt=0, le=100, description="No order uses more of the cash at hand than this share of it."
    )
    max_open_positions: Count = Field(
        5, ge=1, le=100, description="Entries are refused at this number of positions and entries under way."
    )
    max_exposure_percent: Amount = Field(
        Decimal(50),
        gt=0,
        le=100,
        description="All positions together are never worth more than this share of equity; an order is cut down.",
    )
    max_ticker_exposure_percent: Amount = Field(
        Decimal(10), gt=0, le=100, description="The same for one ticker: an order is cut down to it."
    )
    max_catalyst_exposure_percent: Amount = Field(
        Decimal(25), gt=0, le=100, description="The same for all positions that one catalyst opened."
    )
    max_sector_exposure_percent: Amount = Field(
        Decimal(30), gt=0, le=100, description="The same for one sector; an unknown sector counts as any."
    )
    daily_loss_percent: Amount = Field(
        Decimal(2),
        gt=0,
        le=100,
        description="No entries for the rest of the New York day after losing this share of the day's first equity.",
    )
    daily_loss_usd: Amount = Field(
        Decimal(500), ge=1, le=1_000_000, description="The same as an amount; whichever is reached first."
    )
    weekly_loss_percent: Amount = Field(
        Decimal(5),
        gt=0,
        le=100,
        description="No entries after losing this share of the week's first equity, until you reset it.",
    )
    max_drawdown_percent: Amount = Field(
        Decimal(10),
        gt=0,
        le=100,
        description="No entries when equity is this far below its highest ever, until you reset it.",
    )
    flatten_on_breach: Flag = Field(
        False, description="Whether a broken daily, weekly or drawdown limit also closes every position."
    )
    max_losing_streak: Count = Field(
        3, ge=1, le=100, description="After this many losing trades in a row entries pause, and after each further one."
    )
    streak_pause_s: Amount = Field(
        Decimal(3600), ge=60, le=604_800, description="How long entries pause after a losing streak."
    )
    cooldown_s: Amount = Field(
        Decimal(1800), ge=0, le=604_800, description="No new entry in a ticker for this long after an exit from it."
    )
    max_orders_per_minute: Count = Field(
        5, ge=1, le=60, description="Further entries within 60 seconds are refused: a runaway loop ends here."
    )
    max_trades_per_day: Count = Field(20, ge=1, le=1000, description="Further entries within any 24 hours are refused.")
    cash_reserve_percent: Amount = Field(
        Decimal(5), ge=0, le=100, description="This share of equity stays in cash; an order is cut down to leave it."
    )
    max_leverage: Amount = Field(
        Decimal(1),
        gt=0,
        le=1,
        description="All positions together, as a multiple of equity. Nothing here trades on borrowed money.",
    )
    limit_day_trades: Flag = Field(
        False, description="Whether your broker limits round trips within one day; then max_day_trades counts."
    )
    max_day_trades: Count = Field(
        3, ge=1, le=100, description="Further entries are refused after this many round trips within 8 days."
    )
    approve_above_usd: Amount = Field(
        Decimal(1_000_000),
        ge=0,
        le=1_000_000,
        description="Larger entries wait for your `approve`. The default is beyond every order; 0 asks for each.",
    )
    engine_failures: Count = Field(
        3, ge=1, le=20, description="After this many failures in a row the engine gets no entries for a while."
    )
    engine_pause_s: Amount = Field(
        Decimal(60), ge=5, le=3600, description="How long that is; then one entry tries whether it works again."
    )

    @model_validator(mode="after")
    def _ranges_fit(self) -> Self:
        if self.min_price_usd > self.max_price_usd:
            raise ValueError("min_price_usd is above max_price_usd: every entry would be refused")
        if self.min_notional_usd > self.max_notional_usd:
            raise ValueError("min_notional_usd is above max_notional_usd: every entry would be refused")
        if self.own_stop_percent > self.max_stop_distance_percent:
            raise ValueError("own_stop_percent is above max_stop_distance_percent: every entry would be refused")
        return self
