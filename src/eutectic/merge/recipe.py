"""What a merge method is: a function from one tensor of all parents to a recipe, and the facts its signature does not tell.

A method looks at one tensor of all parents (a `Group`), measures what it needs over the whole tensor, and returns a `Recipe` that
makes any part of the result. All arithmetic is fp32 whatever the storage type, sums over a tensor are fp64. Its keyword-only parameters
are the schema that users meet: one annotated `Scheduled` may follow a schedule over depth, `PerModel` may in addition differ from model to
model; `Count` (a whole number), `bool` and choices are plain settings.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args

if TYPE_CHECKING:  # the schema is read by `check` and `plan`, which should not wait for torch
    import torch

    from eutectic.merge.group import Parts

OUTPUT_TYPES = ("float32", "bfloat16", "float16")
Scheduled: TypeAlias = float
PerModel: TypeAlias = tuple[float, ...]
Count: TypeAlias = int
Scale: TypeAlias = Literal["raw", "geometric"]
CHOICES: Mapping[str, tuple[str, ...]] = {"Scale": get_args(Scale)}
Trim: TypeAlias = "Callable[[Parts, torch.Tensor], None]"  # sets what it drops of a delta to zero, in place
Base: TypeAlias = Literal["needed", "origin", "input", "none"]


@dataclass(frozen=True)
class Recipe:
    """How a part of the merged tensor is made: `combine(parts)` in fp32, which may reuse the parts' memory.

    `copy` names the one parent that the result equals bit for bit (an index into the models, -1 for the base); then nothing is computed.
    `angle` (radians) and `norms` stand here when the method measured them.
    """

    branch: str
    combine: Callable[[Parts], torch.Tensor] | None = None
    copy: int | None = None
    angle: float | None = None
    norms: tuple[float, float] | None = None


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method as users write it."""

    name: str
    kind: Literal["Scheduled", "PerModel", "Count", "bool", "choice"]
    default: Any  # None: none, or only used when given
    required: bool
    choices: tuple[str, ...] = ()

    @property
    def keyword(self) -> str:
        """Its name in the function."""
        return "lambda_" if self.name == "lambda" else self.name


@dataclass(frozen=True)
class Method:
    """A merge method by name.

    `base` says what a base is to it: `needed`; the `origin` of deltas where one is given; an `input` like the models; or there must be
    `none`. `models` are the least and the largest number of models beside the base. `random`: the seed matters. `rows`: parts must hold
    whole rows of a matrix.
    """

    name: str
    function: Callable[..., Recipe]
    base: Base
    models: tuple[int, int | None]
    random: bool
    rows: bool

    @property
    def schema(self) -> dict[str, Parameter]:
        """Its parameters, read from the signature."""
        found = {}
        for keyword, parameter in inspect.signature(self.function).parameters.items():
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                kind = str(parameter.annotation).removesuffix(" | None")
                required = parameter.default is inspect.Parameter.empty
                default = None if required else parameter.default[0] if kind == "PerModel" else parameter.default
                name = keyword.removesuffix("_")
                choices = CHOICES.get(kind, ())
                found[name] = Parameter(name, "choice" if choices else kind, default, required, choices)  # type: ignore[arg-type]
        return found


METHODS: dict[str, Method] = {}
Function = TypeVar("Function", bound=Callable[..., Recipe])


def method(
    *, base: Base = "needed", models: tuple[int, int | None] = (1, None), random: bool = False, rows: bool = False
) -> Callable[[Function], Function]:
    """Make a function a merge method, known by its own name."""

    def register(function: Function) -> Function:
        METHODS[function.__name__] = Method(function.__name__, function, base, models, random, rows)
        return function

    return register
