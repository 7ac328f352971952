"""What a study claims of its merges, as steps: the family of claims of an entry of `evaluations`, and the synergy of every merge."""

from __future__ import annotations

from collections.abc import Mapping

from eutectic.specs.rows import FORM_WORDS
from eutectic.specs.steps import FamilyStep, MergeStep, SynergyStep
from eutectic.study import choose, merge_steps
from eutectic.study.file import suggestion
from eutectic.study.graph import Draft
from eutectic.study.nodes import Node, Step


def enter(draft: Draft, index: int, final: Mapping[str, Step]) -> None:
    """Enter the family of an entry and the synergy of its merges; `final` holds the scores of every model, by address."""
    merges = [address for address in final if address in draft.graph.controls]
    if not merges:
        return
    by_key = {draft.graph.models[address].key: step for address, step in final.items()}
    family = _family(draft, index, merges, by_key)
    for address in merges:
        _synergy(draft, address, by_key, family)


def _family(draft: Draft, index: int, merges: list[str], by_key: Mapping[str, Step]) -> Step:
    """All claims of the entry as one step. An equal merge may carry another name, so scores are found by the model's key."""
    graph = draft.graph
    claimed = _claimed(draft, index, merges)
    parents = list(dict.fromkeys(node.key for address in claimed for node in _parents(graph.models[address])))
    spec = FamilyStep(
        of=tuple(tuple(parents.index(node.key) for node in _parents(graph.models[address])) for address in claimed),
        forms=draft.file.spec.evaluations[index].family.forms,
        seed=draft.file.spec.seed,
    )
    roles: dict[str, tuple[Node, ...]] = {
        "merges": tuple(by_key[graph.models[address].key] for address in claimed),
        "parents": tuple(by_key[key] for key in parents),
    }
    return graph.add(Step("family", f"claims_{index + 1}", spec, roles))


def _claimed(draft: Draft, index: int, merges: list[str]) -> list[str]:
    """The merges of the entry that its family names: all, where it names none."""
    file, graph = draft.file, draft.graph
    declared, place = file.spec.evaluations[index].family, ("evaluations", index, "family")
    for position, label in enumerate(declared.forms):
        form, _, prompt = label.partition(":")
        known = file.spec.evaluations[index].prompts
        if form not in FORM_WORDS or (prompt and prompt not in known):
            labels = [*FORM_WORDS, *(f"{each}:{name}" for each in FORM_WORDS for name in known)]
            raise file.error((*place, "forms", position), f"there is no form {label!r} here", suggestion(label, labels, "form"))
    if not declared.merges:
        return merges
    keys = {graph.models[address].key for address in choose.models(draft, (*place, "merges"), declared.merges, graph.controls)}
    found = [address for address in merges if graph.models[address].key in keys]
    if not found:
        raise file.error((*place, "merges"), "no merge of the family is evaluated here", "Name merges that `models` matches.")
    return found


def _parents(merge: Node) -> list[Node]:
    """What a merge is made of, each model once."""
    assert isinstance(merge, Step)
    return list({node.key: node for role in ("models", "base") for node in merge.parents.get(role, ())}.values())


def _synergy(draft: Draft, address: str, by_key: Mapping[str, Step], family: Step) -> None:
    """Compare a merge with its parents and controls, each found by key since an equal merge may carry another name."""
    file, graph = draft.file, draft.graph
    controls = graph.controls[address]
    parents: dict[str, tuple[Node, ...]] = {
        "merge": (by_key[graph.models[address].key],),
        "parents": tuple(by_key[node.key] for node in _parents(graph.models[address])),
        "controls": tuple(by_key[graph.models[control].key] for _, control in controls),
        "family": (family,),
    }
    spec = SynergyStep(
        controls=tuple(name for name, _ in controls),
        weights=_weights(graph.models[address]),
        ensemble=merge_steps.uses_ensemble(file, address),
        seed=file.spec.seed,
    )
    graph.add(Step("synergy", address, spec, parents))


def _weights(merge: Node) -> tuple[float, ...]:
    """Weights of `_parents` where one t between base and model stands behind a merge; none at 1/2, where they are equal."""
    assert isinstance(merge, Step)
    assert isinstance(merge.spec, MergeStep)
    t = merge.spec.parameters.get("t")
    if len(_parents(merge)) != 2 or not merge.parents.get("base") or not isinstance(t, int | float) or not 0 < t < 1 or t == 0.5:
        return ()
    base = merge.parents["base"][0].key
    return tuple(1 - t if node.key == base else t for node in _parents(merge))
