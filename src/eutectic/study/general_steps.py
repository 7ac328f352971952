"""General benchmarks of a study, as steps: every chosen model, and the model each started from, which it is compared with."""

from __future__ import annotations

from pathlib import Path

from eutectic.specs.steps import GeneralStep
from eutectic.study import choose
from eutectic.study.graph import Draft
from eutectic.study.nodes import Kept, Node, Source, Step
from eutectic.yaml_file import Place


def enter(draft: Draft) -> None:
    """Enter a step for every model of every entry and for its start."""
    graph = draft.graph
    for index, entry in enumerate(draft.file.spec.general):
        place: Place = ("general", index)
        tasks = {"tasks": (_folder(draft, (*place, "folder"), entry.folder),)} if entry.folder is not None else {}
        spec = GeneralStep(tasks=entry.tasks, shots=entry.shots, limit=entry.limit, chat=entry.chat)
        chosen = [graph.models[address] for address in choose.models(draft, (*place, "models"), entry.models)]
        for node in dict.fromkeys([*map(start, chosen), *chosen]):
            graph.add(Step("general", node.address, spec, {"model": (node,), **tasks}))


def start(node: Node) -> Node:
    """The model a trained or merged model began as: through `model`, else the first of the merged."""
    maker = node.step if isinstance(node, Kept) else node
    if isinstance(maker, Source) or maker.kind == "adopt":
        return maker
    return start(next(maker.parents[role][0] for role in ("model", "models", "base") if maker.parents.get(role)))


def _folder(draft: Draft, place: Place, name: str) -> Source:
    """A folder of task files, by the names and contents of all that is in it."""
    from blake3 import blake3

    folder = Path(name).expanduser()
    folder = folder if folder.is_absolute() else draft.file.folder / folder
    files = sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    if not any(p.suffix in (".yaml", ".yml") for p in files):
        raise draft.file.error(place, f"{name!r} is no folder with task files (*.yaml)", "Give the folder your tasks stand in.")
    lines = [f"{path.relative_to(folder)}\0{draft.digests.digest(path)}\n" for path in files]
    return Source("tasks", folder.name, folder, blake3("".join(lines).encode()).hexdigest())
