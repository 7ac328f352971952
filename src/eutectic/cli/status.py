"""`eutectic status`."""

from __future__ import annotations

from eutectic.cli.arguments import STUDY, Json, StorePath, StudyPath, give, open_study


def command(study: StudyPath = STUDY, store: StorePath = None, json: Json = False) -> None:
    """Say how far a study is, and what is stale and why."""
    opened = open_study(study, store)
    plan = opened.plan()
    counts = {state: sum(s.state == state for s in plan) for state in ("done", "stale", "todo")}
    stale = [{"kind": s.step.kind, "address": s.step.address, "reason": s.reason} for s in plan if s.state == "stale"]
    following = next((f"{s.step.kind} {s.step.address}" for s in plan if s.state in ("stale", "todo")), "")
    spent = sum(s.record.seconds for s in plan if s.record)
    lines = [
        f"study {opened.name}: {counts['done']} done, {counts['stale']} stale, {counts['todo']} to do; {spent:,.0f} s of work in the store."
    ]
    lines += [f"stale: {s['kind']} {s['address']}: {s['reason']}" for s in stale]
    lines += [f"next: {following}"] if following else []
    give({"study": opened.name, **counts, "stale_steps": stale, "next": following, "seconds": spent}, json, lines)
