"""What can be said of a merge before any file is opened."""

from __future__ import annotations

from eutectic.errors import InputError
from eutectic.merge.methods import INTERPOLATIONS, NEED_BASE, schema
from eutectic.merge.schedule import check_parameters
from eutectic.specs.steps import MergeStep


def check(spec: MergeStep, n_models: int, has_base: bool) -> None:
    """Raise `InputError` for whatever is wrong with a merge before any file is opened: method, parents, parameters and their ranges."""
    known = schema(spec.method)
    if spec.method in NEED_BASE and not has_base:
        raise InputError(
            f"`{spec.method}` needs a base", place="base", remedy="Name the model where t = 0 lies and deltas begin as `base`."
        )
    if n_models < 1:
        raise InputError("a merge needs at least one model", place="models", remedy="Name the models to merge.")
    two = spec.method in INTERPOLATIONS or "t" in spec.parameters
    if two and not (has_base and n_models == 1):
        found = f"{n_models} models{' and a base' if has_base else ' and no base'}"
        raise InputError(
            f"`{spec.method}` with `t` goes from a base to one model, but was given {found}",
            place="models", remedy="Give `base` and one model (or `each`); several models are averaged by `linear` with `weight`.",
        )  # fmt: skip
    if spec.method == "linear" and has_base and n_models == 1 and not two:
        raise InputError(
            "a linear merge of a base and one model needs `t`", place="parameters", remedy="t = 0 is the base, t = 1 the model."
        )
    check_parameters(spec.parameters, known, n_models)
