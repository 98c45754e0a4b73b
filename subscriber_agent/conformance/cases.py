"""The table of cases: what each looks at, what it needs, and the function that tries it.

read_cases     ask only: safe on any account
order_cases    order, and close what they opened
"""

from __future__ import annotations

from subscriber_agent.conformance.case import Case
from subscriber_agent.conformance.order_cases import ORDER_CASES
from subscriber_agent.conformance.protection_cases import PROTECTION_CASES
from subscriber_agent.conformance.read_cases import READ_CASES

CASES: tuple[Case, ...] = (*READ_CASES, *ORDER_CASES, *PROTECTION_CASES)


def case_of(case_id: str) -> Case:
    """The case of that id; raises KeyError."""
    return {each.id: each for each in CASES}[case_id]
