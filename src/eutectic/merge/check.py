"""What can be said of a merge before any file is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eutectic.errors import InputError
from eutectic.merge.methods import find
from eutectic.merge.schedule import check_parameters
from eutectic.specs.steps import MergeStep


def check(spec: MergeStep, n_models: int, has_base: bool) -> None:
    """Raise `InputError` for whatever is wrong with a merge before any file is opened: method, parents, parameters and their ranges."""
    merge = ("parameters", spec.parameters)
    if not spec.modules:
        _check_one(spec.method, [merge], spec.parameters.get("models", []), n_models, has_base=has_base)
    for m, module in enumerate(spec.modules):
        for s, part in enumerate(module.slices):
            own = [source.parameters for i, source in enumerate(part.sources) if i != part.base]
            place = f"modules.{m}.slices.{s}.parameters"
            levels = [(place, part.parameters), (f"modules.{m}.parameters", module.parameters), merge]
            _check_one(spec.method, levels, own, len(own), has_base=part.base is not None)


def _check_one(name: str, levels: Sequence[tuple[str, Mapping[str, Any]]], own: Any, n_models: int, *, has_base: bool) -> None:
    """Check a merge, or one slice of it."""
    method = find(name)
    if method.base == "needed" and not has_base:
        raise InputError(f"`{name}` needs a base", place="base", remedy="Name the model where t = 0 lies and deltas begin as `base`.")
    if method.base == "none" and has_base:
        raise InputError(f"`{name}` takes no base", place="base", remedy="Leave `base` out.")
    along_a_line = name == "linear" and any("t" in parameters for _, parameters in levels)
    least, most = (1, 1) if along_a_line else method.models
    if not least <= n_models <= (most or n_models) or (along_a_line and not has_base):
        wanted = f"{least}" if most == least else f"at least {least}" if most is None else f"{least} to {most}"
        wanted += " model" if least == 1 else " models"
        origin = " and a base" if along_a_line or method.base == "needed" else ""
        found = f"{n_models} models{' and a base' if has_base else ' and no base'}"
        raise InputError(
            f"`{name}`{' with `t`' if along_a_line else ''} takes {wanted}{origin}, but was given {found}",
            place="models",
            remedy="Several models are averaged by `linear` with `weight`." if most == 1 else "Name the models to merge.",
        )
    if name == "linear" and has_base and n_models == 1 and not along_a_line:
        raise InputError(
            "a linear merge of a base and one model needs `t`", place="parameters", remedy="t = 0 is the base, t = 1 the model."
        )
    check_parameters(levels, own, method.schema, n_models)
