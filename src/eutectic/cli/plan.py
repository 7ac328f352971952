"""`eutectic plan`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from eutectic.cli.arguments import STUDY, Json, StorePath, StudyPath, give, open_study

if TYPE_CHECKING:
    from eutectic.study.outlines import Arm
    from eutectic.study.status import Standing

MARKS = {"done": "done ", "stale": "STALE", "todo": "to do", "unwritten": "     "}
COUNTS = ("tokens", "loss_tokens", "pairs", "updates", "learning_rate_integral", "flops", "seconds")
HEADINGS = ("training arm", "", "tokens", "loss tokens", "pairs", "updates", "lr integral", "FLOPs", "time")


def command(study: StudyPath = STUDY, store: StorePath = None, json: Json = False) -> None:
    """Show every step: done, stale or to do, and what every training arm reads and costs. Runs nothing.

    Tokens and FLOPs of an arm are known once its dataset is made; they are counted as training would count them.
    """
    from eutectic.cli.view import view

    opened = open_study(study, store)
    plan = opened.plan()
    with view() as shown:
        arms = opened.arms(plan, shown.notice)
    result = {"study": opened.name, "steps": [entry(s) for s in plan], "arms": [arm_entry(arm) for arm in arms]}
    give(result, json, [f"study {opened.name}", *lines(plan), *arm_lines(plan, arms), *totals(plan)])


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


def arm_entry(arm: Arm) -> dict[str, object]:
    """A training arm for machines; a count that is not known is null."""
    counts: dict[str, Any] = {name: arm.counts.get(name) for name in (*COUNTS, "examples", "cut_rows", "cut_tokens", "plan")}
    return {"address": arm.step.address, "key": arm.step.key, "known": arm.known, "note": arm.note, **counts}


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


def arm_lines(plan: list[Standing], arms: Sequence[Arm]) -> list[str]:
    """The training arms as a table: numbers to the right, a note where there are none."""
    if not arms:
        return []
    states = {standing.step.key: MARKS[standing.state].strip() for standing in plan}
    rows = [(arm.step.address, states[arm.step.key], *cells(arm)) for arm in arms]
    widths = [max(len(row[place]) for row in (HEADINGS, *rows)) for place in range(len(HEADINGS))]
    out = []
    for row, note in zip((HEADINGS, *rows), ("", *(arm.note for arm in arms)), strict=True):
        names = [cell.ljust(width) for cell, width in zip(row[:2], widths, strict=False)]
        numbers = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        out.append("  ".join([*names, note] if note else [*names, *numbers]).rstrip())
    return ["", *out, ""]


def cells(arm: Arm) -> list[str]:
    """The counts of an arm as text."""
    from eutectic.cli.view import duration

    forms = {
        "learning_rate_integral": lambda value: f"{value:.3g}",
        "flops": lambda value: f"{value:.2e}".replace("e+", "e"),
        "seconds": duration,
    }
    found = [(name, arm.counts.get(name)) for name in COUNTS]
    return [
        "-" if value is None or (name, value) == ("pairs", 0) else forms.get(name, lambda count: f"{count:,}")(value)
        for name, value in found
    ]


def totals(plan: list[Standing]) -> list[str]:
    """One line of counts."""
    states = [s.state for s in plan]
    unwritten = f"; {states.count('unwritten')} merges stay in memory" if "unwritten" in states else ""
    return [f"{states.count('done')} done, {states.count('stale')} stale, {states.count('todo')} to do{unwritten}."]
