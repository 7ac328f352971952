"""`eutectic check`."""

from __future__ import annotations

from eutectic.cli.arguments import STUDY, Json, StorePath, StudyPath, give, open_study


def command(study: StudyPath = STUDY, store: StorePath = None, json: Json = False) -> None:
    """Check a study and all it names before time is spent.

    Reads the file, the models' folders, the data files and the parameters of every step, and tries whether the store can be written.
    Warns of stages whose learning rate and updates are too small to move most published weights.
    """
    from eutectic.cli.view import view
    from eutectic.study.outlines import warnings
    from eutectic.study.status import artifact
    from eutectic.study.work import WORK

    opened = open_study(study, store)
    steps = list(opened.graph.written())
    for step in steps:
        WORK[step.kind].check(step.spec, artifact(step, opened.store).parents)
    opened.store.prepare()
    with view() as shown:
        warned = warnings(opened.arms(tell=shown.notice), opened.store)
    kinds = {kind: sum(s.kind == kind for s in steps) for kind in dict.fromkeys(s.kind for s in steps)}
    result = {"study": opened.name, "steps": kinds, "models": list(opened.graph.models), "equal": opened.graph.aliases, "warnings": warned}
    summary = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    lines = [f"{opened.file.path}: the study {opened.name} is sound: {summary}."]
    lines += [f"{address} equals {other} in formula; it is made and counted once." for address, other in opened.graph.aliases.items()]
    lines += [f"warning: {sentence}" for sentence in warned]
    give(result, json, lines)
