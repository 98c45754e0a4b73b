"""One line → one outcome. The form is recognised by its fields; whatever the line holds, the answer is a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from pydantic import ValidationError

from publisher.intake.bot import Terms, outcome_from_accepted, outcome_from_merged, schema_refusal
from publisher.intake.outcome import Draft, Outcome, RefusalCode, Refused, Unusable
from publisher.intake.own import drill_from, signal_from_own
from publisher.intake.rules import Rules


@dataclass(frozen=True, slots=True)
class Intake:
    """How lines are read: `now` (aware UTC) becomes the publish time; `is_drill` turns signals into fire drills.

    `rules` are the operator's, see `read_rules`.
    """

    now: datetime
    is_drill: bool = False
    classifier_version: str = "unknown"
    rules: Rules = field(default_factory=Rules)

    def outcome(self, line: bytes) -> Outcome:
        """What becomes of one line of JSON. Never raises, on any input."""
        try:
            outcome = self._read(line)
            if isinstance(outcome, Draft) and self.is_drill:
                return Draft(drill_from(outcome.signal, self.now))
        except Unusable as unusable:
            return unusable.refused
        except ValidationError as error:
            return schema_refusal(error).refused
        except OverflowError:
            return Refused(RefusalCode.TIME_INVALID, "a time lies outside the calendar")
        return outcome

    @property
    def _terms(self) -> Terms:
        return Terms(self.now, self.classifier_version, self.rules)

    def _read(self, line: bytes) -> Outcome:
        record = _parsed(line)
        if "news_item" in record and "scored_item" in record:
            return outcome_from_merged(record, self._terms)
        if "cls" in record and "accepted" in record:
            return outcome_from_accepted(record, self._terms)
        if "schema_version" in record or "signal_id" in record:
            return Draft(signal_from_own(record, line))
        raise Unusable(
            RefusalCode.SHAPE_UNKNOWN,
            "neither a Catalyst-Bot record (news_item, scored_item, trading_signal), an accepted item nor a Signal",
        )


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        raise Unusable(RefusalCode.NOT_UTF8, f"byte {error.start + 1} is not UTF-8") from error
    try:
        record = orjson.loads(line)  # unlike the standard library, orjson refuses NaN and Infinity
    except orjson.JSONDecodeError as error:
        raise Unusable(RefusalCode.NOT_JSON, f"not JSON: {error.msg} at character {error.pos + 1}") from error
    if not isinstance(record, dict):
        raise Unusable(RefusalCode.NOT_AN_OBJECT, "not a JSON object")
    return record
