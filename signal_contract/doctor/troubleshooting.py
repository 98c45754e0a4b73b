"""Troubleshooting as text, made from the registry: docs/troubleshooting.md and a part of the README. Pure."""

from __future__ import annotations

from signal_contract.doctor.checks import CHECKS
from signal_contract.doctor.finding import Check, Side, Symptom

_WHOSE = {
    (Side.AGENT,): "friend",
    (Side.OPERATOR,): "operator",
    (Side.AGENT, Side.OPERATOR): "friend and operator",
}
_BEGIN = """# When something is wrong

`subscriber-agent doctor` (a friend) and `catalyst doctor` (the operator) look at everything between the bot and an
order: each check is OK, WARN or FAIL and says in one line what to do. They change nothing, may run beside everything
else, and need less than 15 seconds. Exit status 0: nothing failed; 3: something did.

```sh
subscriber-agent doctor                  # all of it
subscriber-agent doctor --only D12,D15   # these, and what they need
subscriber-agent doctor --explain D12    # what a check looks at, and what its results mean
subscriber-agent doctor --wait 20        # listen long enough to be sure about the publisher (D19)
subscriber-agent doctor --json           # for programs, and to be sent with a report: it holds no secret
catalyst doctor --canary                 # also one signed message the whole way, to nobody who could trade it
```

A check whose ground is missing is SKIPPED, and the first cause is named: begin with that one.

Made from the registry of checks by `make generate`; do not edit it by hand.
"""


def checks_for(symptom: Symptom) -> tuple[Check, ...]:
    """The checks to look at, in their order."""
    return tuple(each for each in CHECKS if symptom in each.symptoms)


def symptoms_markdown() -> str:
    """The README's table: what you see, and which checks say why."""
    lines = ["| you see | look at |", "|---|---|"]
    for symptom in Symptom:
        named = ", ".join(f"{each.id} {each.title}" for each in checks_for(symptom))
        lines.append(f"| **{symptom.value}** | {named} |")
    return "\n".join(lines) + "\n"


def troubleshooting_markdown() -> str:
    """The whole document: by symptom, then each check."""
    parts = [_BEGIN, "## By what you see\n"]
    for symptom in Symptom:
        parts.append(f"### {symptom.value[0].upper()}{symptom.value[1:]}\n")
        parts.append(_steps(symptom))
    parts.append("## The checks\n")
    parts += [_check(each) for each in CHECKS]
    return "\n".join(parts).rstrip() + "\n"


def _steps(symptom: Symptom) -> str:
    rows = ["| check | it fails or warns when | what to do |", "|---|---|---|"]
    for each in checks_for(symptom):
        when = each.fails if each.warns == "never" else f"{each.fails}; {each.warns}"
        if each.fails.startswith("never"):
            when = each.warns
        rows.append(f"| [{each.id}](#{_anchor(each)}) {each.title} | {when} | {_cures(each, ' · ')} |")
    return "\n".join(rows) + "\n"


def _check(check: Check) -> str:
    lines = [
        f"### {check.id} {check.title}\n",
        f"*{_WHOSE[check.sides]}* looks at {check.looks_at}.\n",
        f"- **WARN**: {check.warns}",
        f"- **FAIL**: {check.fails}",
        f"- **What to do**: {_cures(check, '; ')}",
    ]
    needs = tuple(dict.fromkeys((*check.needs, *check.needs_operator)))
    lines += [f"- Needs {', '.join(needs)}"] if needs else []
    return "\n".join([*lines, "", check.explanation, ""])


def _cures(check: Check, between: str) -> str:
    if not check.cure_operator:
        return check.cure
    return f"{check.cure}{between}operator: {check.cure_operator}"


def _anchor(check: Check) -> str:
    """The heading's anchor, as Markdown viewers make it."""
    kept = "".join(each for each in f"{check.id} {check.title}".lower() if each.isalnum() or each in " -_")
    return kept.replace(" ", "-")
