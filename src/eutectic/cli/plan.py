"""`eutectic plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eutectic.cli.arguments import STUDY, Json, StorePath, StudyPath, give, open_study

if TYPE_CHECKING:
    from eutectic.study.status import Standing

MARKS = {"done": "done ", "stale": "STALE", "todo": "to do", "unwritten": "     "}


def command(study: StudyPath = STUDY, store: StorePath = None, json: Json = False) -> None:
    """Show every step: done, stale or to do. Runs nothing."""
    opened = open_study(study, store)
    plan = opened.plan()
    give({"study": opened.name, "steps": [entry(s) for s in plan]}, json, [f"study {opened.name}", *lines(plan), *totals(plan)])


def entry(standing: Standing) -> dict[str, object]:
    """A step for machines."""
    step = standing.step
    parents = {role: [node.address for node in nodes] for role, nodes in step.parents.items()}
    seconds = standing.record.seconds if standing.record else None
    folder = str(standing.folder) if standing.folder else None
    return {
        "kind": step.kind,
        "address": step.address,
        "key": step.key,
        "state": standing.state,
        "reason": standing.reason,
        "parents": parents,
        "seconds": seconds,
        "folder": folder,
    }


def lines(plan: list[Standing]) -> list[str]:
    """The tree as text: steps by kind, models below the model they come from."""
    from eutectic.cli.view import duration

    out: list[str] = []
    for kind in dict.fromkeys(s.step.kind for s in plan):
        out.append(f"{kind}")
        for standing in (s for s in plan if s.step.kind == kind):
            step = standing.step
            depth = step.address.count("-") if kind == "train" else 0
            cost = f"  {duration(standing.record.seconds)}" if standing.record else ""
            reason = f"  ({standing.reason})" if standing.reason else ""
            out.append(f"  {MARKS[standing.state]} {'  ' * depth}{step.address}{cost}{reason}")
    return out


def totals(plan: list[Standing]) -> list[str]:
    """One line of counts."""
    states = [s.state for s in plan]
    unwritten = f"; {states.count('unwritten')} merges stay in memory" if "unwritten" in states else ""
    return [f"{states.count('done')} done, {states.count('stale')} stale, {states.count('todo')} to do{unwritten}."]
