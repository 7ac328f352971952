"""One stage trained by several processes of this machine, one a device, through torch's elastic launcher.

The processes meet in a process group (NCCL on CUDA, gloo elsewhere); errors and progress come back to who asked.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from eutectic.artifacts import Parents, read_json, write_json
from eutectic.context import Context, Silent
from eutectic.errors import EutecticError, InputError, WorkError
from eutectic.processes import Relay, die_with, relayed, threads_each
from eutectic.specs.steps import TrainStep
from eutectic.store import full_disk_is_an_error
from eutectic.train import stage
from eutectic.train.team import Team

ERROR = ".error.json"


@dataclass(frozen=True)
class Job:
    """What each process is told."""

    spec: TrainStep
    parents: Parents
    out: Path
    context: Context  # of all processes together; its progress goes through a relay
    save_seconds: float
    launcher: int  # process that started them


def train(spec: TrainStep, parents: Parents, out: Path, context: Context, save_seconds: float) -> dict[str, Any]:
    """See `tune.build`. Raises what the first failing process raised, `WorkError` when one died without a word."""
    size = len(context.devices)
    (out / ERROR).unlink(missing_ok=True)
    queue = multiprocessing.get_context("spawn").Queue()
    told = replace(context, threads=threads_each(context.threads, size), progress=Relay(queue))
    job = Job(spec, parents, out, told, save_seconds, os.getpid())
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # our own error says it in one paragraph
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=size, rdzv_backend="c10d", rdzv_endpoint="127.0.0.1:0", run_id=out.name, max_restarts=0
    )
    try:
        with relayed(queue, {"": context.progress}):
            ledgers: dict[int, dict[str, Any]] = elastic_launch(config, _process)(job)
    except ChildFailedError as error:
        raise _told(out, error) from error
    return ledgers[0]


def _told(out: Path, error: ChildFailedError) -> EutecticError:
    """The error a process left behind, or what the launcher knows."""
    if (out / ERROR).exists():
        found = read_json(out / ERROR)
        kind = InputError if found.pop("kind") == "InputError" else WorkError
        return kind(**found)
    rank, failure = error.get_first_failure()
    cause = failure.signal_name() if failure.exitcode < 0 else str(failure.message).splitlines()[0]
    return WorkError(
        f"process {rank} of the training died ({cause})",
        remedy="If memory ran out use more devices or a smaller `sequence`; run again to go on from the last save.",
    )


def _process(job: Job) -> dict[str, Any]:
    """One process of the team."""
    rank, size = int(os.environ["RANK"]), len(job.context.devices)
    die_with(job.launcher)
    place = job.context.devices[rank]
    kind = torch.device(place).type
    if kind == "cuda":
        torch.cuda.set_device(torch.device(place))
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        team = Team(rank, size, init_device_mesh(kind, (size,)))
        context = replace(job.context, devices=(place,))
        if not team.leads:  # one process tells
            context = replace(context, progress=Silent(), track=())
        with full_disk_is_an_error(job.out):
            return stage.train(job.spec, job.parents, job.out, context, job.save_seconds, team)
    except EutecticError as error:
        if rank == 0 or not (job.out / ERROR).exists():
            where = {"file": str(error.file) if error.file else None, "line": error.line, "place": error.place}
            write_json(job.out / ERROR, {"kind": type(error).__name__, "found": error.found, "remedy": error.remedy, **where})
        raise
    finally:
        dist.destroy_process_group()
