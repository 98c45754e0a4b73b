"""Tell the engine what became of an order that it does not know of, once a person has looked at the broker.

    python -m subscriber_agent.engines.webhook.settle DATA_DIR ORDER_ID SHARES [PRICE]

SHARES is what filled, 0 for nothing; PRICE is USD a share. A running agent takes it in by itself.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from signal_contract.errors import CatalystError, Conflict, InputError, NotFound
from subscriber_agent.engines.webhook.assumed import Assumed, settled_record
from subscriber_agent.engines.webhook.sent import SENT_FILE, SentLog, settle

_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,10})?")


def settle_order(data: Path, order_id: str, quantity: Decimal, price: Decimal | None, now: datetime) -> str:
    """Write down that `quantity` shares filled at `price`; returns a line that says so.

    Raises NotFound for an order that was never posted, Conflict for one whose end is known, InputError for a fill
    without a price.
    """
    log = SentLog(data / SENT_FILE)
    if not log.path.exists():
        raise NotFound(f"no order was ever posted from {data}", hint="Only orders of engine.webhook can be settled.")
    account = Assumed(Decimal(0))
    for record in log.news()[0]:
        account.apply(record)
    sent = account.sent.get(order_id)
    if sent is None:
        raise NotFound(f"no order {order_id[:64]!r} was posted from {data}")
    if sent not in account.unknown:
        raise Conflict(f"what became of {order_id} is known: {sent.state.value}", hint="There is nothing to settle.")
    if quantity > 0 and not (price or sent.price):
        raise InputError("a fill needs its price", hint="Add the price, USD a share, as the last word.")
    settle(log.path, settled_record(order_id, quantity, price, now))
    return f"{order_id}: {quantity} {sent.plan.ticker} filled" if quantity else f"{order_id}: nothing filled"


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit status."""
    if len(arguments) not in (3, 4) or not all(_NUMBER.fullmatch(each) for each in arguments[2:]):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    price = Decimal(arguments[3]) if len(arguments) == 4 else None
    try:
        line = settle_order(Path(arguments[0]), arguments[1], Decimal(arguments[2]), price, datetime.now(UTC))
    except CatalystError as error:
        sys.stderr.write(f"{error.message}\n{error.hint}\n")
        return int(error.exit_code)
    sys.stdout.write(f"{line}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
