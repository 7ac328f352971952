"""Measure models on a task with the package's own doors, in an environment that has the harness: `run_general.py JOB.json`."""

import json
import sys
from pathlib import Path

import torch

from eutectic.artifacts import Artifact
from eutectic.context import Context
from eutectic.errors import EutecticError
from eutectic.evaluate import general
from eutectic.models import device
from eutectic.search import unwritten
from eutectic.specs.steps import GeneralStep, MergeStep

job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
base, other = (Artifact("checkpoint", name, name, Path(job[name])) for name in ("base", "other"))
tasks = Artifact("tasks", "tasks", "t", Path(job["tasks"]))
device.compute_dtype = lambda _: torch.float32  # exact: the comparison is of the road, not of a rounding
linear = MergeStep(method="linear", parameters={"t": 0.5})
merge = Artifact("checkpoint", "merge", "m", None, linear, {"base": (base,), "models": (other,)})
spec, out = GeneralStep(tasks=("fibres",), shots=1), Path(job["out"])
for model, build in ((base, general.build), (merge, unwritten.general)):
    (out / model.address).mkdir(parents=True)
    build(spec, {"model": (model,), "tasks": (tasks,)}, out / model.address, Context())
told = {}
for name, wrong in {
    "unknown": GeneralStep(tasks=("fibers",)),
    "offline": GeneralStep(tasks=("elsewhere",)),
    "context": GeneralStep(tasks=("fibres",), chat=True),
}.items():
    try:
        (out / name).mkdir()
        bare = Artifact("checkpoint", "bare", "b", Path(job["bare"]))
        general.build(wrong, {"model": (bare,), "tasks": (tasks,)}, out / name, Context())
    except EutecticError as error:
        told[name] = str(error)
(out / "told.json").write_text(json.dumps(told), encoding="utf-8")
