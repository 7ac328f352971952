"""Building the graph of a study, part by part in the order of the file."""

from __future__ import annotations

from eutectic.fingerprint import DigestCache
from eutectic.study import (
    contamination_steps,
    data_steps,
    general_steps,
    measure_steps,
    merge_steps,
    model_steps,
    search_steps,
    train_steps,
)
from eutectic.study.file import StudyFile
from eutectic.study.graph import Draft, Graph


def build(file: StudyFile, digests: DigestCache) -> Graph:
    """The graph of a study; raises `InputError` with file and line for names, patterns, files and parameters that do not fit."""
    draft = Draft(file, digests)
    for part in (model_steps, data_steps, train_steps, merge_steps, search_steps, measure_steps, general_steps, contamination_steps):
        part.enter(draft)
    digests.save()
    return draft.graph
