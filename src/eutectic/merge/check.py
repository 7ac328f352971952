"""What can be said of a merge before any file is opened."""

from __future__ import annotations

from eutectic.errors import InputError
from eutectic.merge.methods import find
from eutectic.merge.schedule import check_parameters
from eutectic.specs.steps import MergeStep


def check(spec: MergeStep, n_models: int, has_base: bool) -> None:
    """Raise `InputError` for whatever is wrong with a merge before any file is opened: method, parents, parameters and their ranges."""
    method = find(spec.method)
    if method.base == "needed" and not has_base:
        raise InputError(
            f"`{spec.method}` needs a base", place="base", remedy="Name the model where t = 0 lies and deltas begin as `base`."
        )
    if method.base == "none" and has_base:
        raise InputError(f"`{spec.method}` takes no base", place="base", remedy="Leave `base` out.")
    along_a_line = spec.method == "linear" and "t" in spec.parameters
    least, most = (1, 1) if along_a_line else method.models
    if not least <= n_models <= (most or n_models) or (along_a_line and not has_base):
        wanted = f"{least}" if most == least else f"at least {least}" if most is None else f"{least} to {most}"
        wanted += " model" if least == 1 else " models"
        origin = " and a base" if along_a_line or method.base == "needed" else ""
        found = f"{n_models} models{' and a base' if has_base else ' and no base'}"
        raise InputError(
            f"`{spec.method}`{' with `t`' if along_a_line else ''} takes {wanted}{origin}, but was given {found}",
            place="models",
            remedy="Several models are averaged by `linear` with `weight`." if most == 1 else "Name the models to merge.",
        )
    if spec.method == "linear" and has_base and n_models == 1 and not along_a_line:
        raise InputError(
            "a linear merge of a base and one model needs `t`", place="parameters", remedy="t = 0 is the base, t = 1 the model."
        )
    check_parameters(spec.parameters, method.schema, n_models)
