"""A replay as CSV: one row a signal, for a spreadsheet."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from pathlib import Path

from signal_contract.errors import StorageFailed
from subscriber_agent.replay.compare import head_dict, result_dict
from subscriber_agent.replay.simulate import Replay

_HEAD = ("number", "published_at", "signal_id", "revision", "event", "action", "ticker", "catalyst")
_RESULT = ("outcome", "side", "quantity", "price", "why")


def write_csv(path: Path, replays: Sequence[Replay]) -> None:
    """Write one row a signal; a second replay's columns begin with `other_`, and `differs` says yes or no.

    An existing file is overwritten. Raises StorageFailed.
    """
    columns = [*_HEAD, *_RESULT]
    if len(replays) > 1:
        columns += [*(f"other_{name}" for name in _RESULT), "differs"]
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            for steps in zip(*(each.steps for each in replays), strict=True):
                head, results = head_dict(steps[0]), [result_dict(each) for each in steps]
                differs = [] if len(steps) == 1 else ["yes" if steps[0].result != steps[1].result else "no"]
                values = itertools.chain.from_iterable(each.values() for each in results)
                writer.writerow([*head.values(), *values, *differs])
    except OSError as error:
        raise written_failed(path, error) from error


def written_failed(path: Path, error: OSError) -> StorageFailed:
    """The error for a file that could not be written."""
    return StorageFailed(f"{path} cannot be written: {error.strerror}", hint="Choose another place for the file.")
