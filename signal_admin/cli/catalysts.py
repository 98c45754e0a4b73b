"""`catalyst catalysts`: the names that signals are published and filtered by."""

from __future__ import annotations

from signal_admin.cli.options import JsonOption


def catalysts(as_json: JsonOption = False) -> None:
    """Show all catalysts: what each means for a trade, and what else people call it.

    Example: catalyst catalysts
    """
    from signal_contract.catalysts import ALIASES, CATALYSTS
    from signal_contract.cli.answer import finish, table
    from signal_contract.envelope import Envelope

    rows = [
        {
            "name": each.name,
            "stance": each.stance.value,
            "aliases": sorted(alias for alias, names in ALIASES.items() if each.name in names),
        }
        for each in CATALYSTS.values()
    ]
    render = table(
        "catalyst",
        "stance",
        "also called",
        rows=[(row["name"], row["stance"], ", ".join(row["aliases"])) for row in rows],
    )
    finish(Envelope("catalyst catalysts", {"catalysts": rows}), as_json=as_json, render=render)
