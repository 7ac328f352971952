"""Merges that are equal in formula get one spec, and every merge gets the controls it must beat.

Rules of `canonical`, each an identity of the formulas (not only of some inputs):
- parameters at their default go, a list or filters of one repeated value become that value, equal per-model values become one;
- the seed goes unless the method draws random numbers with a density below 1;
- what drops parts of a delta (dare, della, breadcrumbs) is, with density 1 everywhere, task arithmetic, or ties without trimming;
- task arithmetic, or ties without trimming, of one model is linear with t = lambda x weight (ties and `normalize`: t = lambda);
- slerp with t = 0 or 1 everywhere is linear with that t: a copy; equal weights that `normalize` divides by are no weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eutectic.merge.methods import find
from eutectic.merge.schedule import numbers
from eutectic.specs.steps import MergeStep

LINES = ("linear", "slerp")  # their `t` goes from the base to the model
UNTRIMMED = {
    **dict.fromkeys(("dare_linear", "della_linear", "breadcrumbs"), "task_arithmetic"),
    **dict.fromkeys(("dare_ties", "della", "breadcrumbs_ties"), "ties"),
}
WEIGHED = ("linear", "task_arithmetic", "ties", *UNTRIMMED)  # their `normalize` divides by the weights, so that equal ones cancel out
OF_TRIMMING = ("density", "epsilon", "gamma", "rescale")  # without effect where nothing is dropped


def canonical(step: MergeStep, *, has_base: bool, n_models: int) -> MergeStep:
    """The one spec that stands for every merge of the same formula; idempotent. The step must have passed `check`."""
    if step.modules:  # every slice has its own parents
        return step
    method, given = step.method, _shared(step.parameters, n_models)
    if method in UNTRIMMED and _constant(given, "density", 1.0) == 1:
        normalize = given.get("normalize", find(method).schema["normalize"].default)
        method, given = UNTRIMMED[method], {**_without(given, OF_TRIMMING), "normalize": normalize}
    elif method == "ties" and _constant(given, "density", 1.0) == 1:
        given = _without(given, ("rescale",))
    if has_base and n_models == 1 and (t := _as_linear(method, given)) is not None:
        method, given = "linear", {"t": t} | {key: given[key] for key in ("out_dtype",) if key in given}
    if method == "slerp" and given["t"] in (0, 1):
        method, given = "linear", {key: value for key, value in given.items() if key != "scale"}
    if method == "linear" and "t" in given:
        given = {key: value for key, value in given.items() if key in ("t", "out_dtype")}
    made = find(method)
    known = made.schema
    if method in WEIGHED and given.get("normalize", known["normalize"].default) and _constant(given, "weight", 1.0) not in (None, 0):
        given.pop("weight", None)
    kept = {name: value for name, value in given.items() if name not in known or value != known[name].default}
    return step.model_copy(update={"method": method, "parameters": kept, "seed": step.seed if made.random else 0})


def idle(step: MergeStep, *, has_base: bool, n_models: int) -> list[str]:
    """Parameters that were set and change nothing, whatever the parents: another value would give the same merge."""
    if step.modules:
        return []
    own, known = canonical(step, has_base=has_base, n_models=n_models), find(step.method).schema
    found = []
    for name in dict.fromkeys([*step.parameters, *(name for mine in step.parameters.get("models", ()) for name in mine)]):
        if name in known and not known[name].required and step.parameters.get(name) != known[name].default:
            left = step.model_copy(update={"parameters": _without(step.parameters, (name,))})
            if canonical(left, has_base=has_base, n_models=n_models) == own:
                found.append(name)
    return found


def _without(given: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Parameters, those of single models too, but for some."""
    kept = {name: value for name, value in given.items() if name not in names and name != "models"}
    own = [{name: value for name, value in mine.items() if name not in names} for mine in given.get("models", ())]
    return {**kept, "models": own} if any(own) else kept


def _shared(parameters: Mapping[str, Any], n_models: int) -> dict[str, Any]:
    """Parameters with settings simplified and per-model values that do not differ moved to the merge."""
    given = {name: simplify(value) for name, value in parameters.items() if name != "models"}
    own = [{name: simplify(value) for name, value in mine.items()} for mine in parameters.get("models") or [{}] * n_models]
    for name in sorted(set(own[0]).intersection(*own[1:])):
        if all(mine[name] == own[0][name] for mine in own) and not _has_gaps(own[0][name]):
            given[name] = own[0][name]
            own = [{key: value for key, value in mine.items() if key != name} for mine in own]
    return {**given, "models": own} if any(own) else given


def simplify(setting: Any) -> Any:
    """A setting that has the same value at every tensor, as that number; others unchanged. Integers become floats, tuples lists."""
    if isinstance(setting, bool | str) or setting is None:
        return setting
    values = set(numbers(setting))
    if len(values) == 1 and not _has_gaps(setting):
        return values.pop()
    if isinstance(setting, Mapping):
        return {"filter": setting.get("filter"), "value": simplify(setting["value"])}
    return [simplify(entry) for entry in setting]


def _has_gaps(setting: Any) -> bool:
    """Whether some tensor may fit no entry."""
    entries = [setting] if isinstance(setting, Mapping) else setting if isinstance(setting, list | tuple) else []
    return bool(entries) and all(isinstance(entry, Mapping) and entry.get("filter") not in (None, "*") for entry in entries)


def _constant(given: Mapping[str, Any], name: str, default: float) -> float | None:
    """The one value of a parameter over all tensors and models, or None if it has several."""
    if any(name in mine for mine in given.get("models", ())):
        return None
    value = given.get(name, default)
    return value if isinstance(value, int | float) else None


def _as_linear(method: str, given: Mapping[str, Any]) -> Any:
    """The t of the linear merge that a delta method of one model is, or None when it is none (or t would be a product of schedules)."""
    if method not in ("task_arithmetic", "ties") or _constant(given, "density", 1.0) != 1 or "models" in given:
        return None
    normalize = given.get("normalize", method == "ties")
    weight, strength = 1.0 if normalize else given.get("weight", 1.0), given.get("lambda", 1.0)
    if normalize and _constant(given, "weight", 1.0) in (None, 0):
        return None
    if isinstance(weight, float) and isinstance(strength, float):
        return weight * strength
    return strength if weight == 1 else weight if strength == 1 and not _has_gaps(weight) else None


def controls(step: MergeStep, *, has_base: bool = True, n_models: int = 1) -> list[tuple[str, MergeStep]]:
    """The controls of a merge by name, canonical; one equal to the merge itself, or to an earlier control, is left out.

    `linear_schedule`: linear with the merge's own t at every tensor. `linear`: one t for all tensors (the merge's where it has a single
    one, else 0.5), or the plain average of the models where several are merged. A delta method of one model has t = lambda x weight.
    """
    own = canonical(step, has_base=has_base, n_models=n_models)
    extra = {key: own.parameters[key] for key in ("out_dtype",) if key in own.parameters}
    found: list[tuple[str, MergeStep]] = []
    for name, parameters in _control_parameters(own, has_base=has_base, n_models=n_models):
        plain = own.model_copy(update={"method": "linear", "parameters": {**parameters, **extra}, "seed": 0})
        made = canonical(plain, has_base=has_base, n_models=n_models)
        if made != own and made not in [other for _, other in found]:
            found.append((name, made))
    return found


def _control_parameters(own: MergeStep, *, has_base: bool, n_models: int) -> list[tuple[str, dict[str, Any]]]:
    if own.modules:  # a slice of one parent has nothing plainer to be compared with
        return []
    if not (has_base and n_models == 1):
        return [("linear", {})]
    if own.method not in LINES:
        normalize = own.parameters.get("normalize", own.method == "ties")
        weight = 1.0 if normalize else _constant(own.parameters, "weight", 1.0)
        strength = _constant(own.parameters, "lambda", 1.0)
        if weight is None or strength is None or "lambda" not in find(own.method).schema:
            return [("linear", {"t": 0.5})]
        return [("linear", {"t": weight * strength})]
    t = own.parameters["t"]
    if isinstance(t, int | float):
        return [("linear", {"t": t})]
    return [("linear_schedule", {"t": t}), ("linear", {"t": 0.5})]
