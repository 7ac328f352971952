"""From a study to the view the report is written from."""

from __future__ import annotations

from eutectic.report.view import StepView, StudyView
from eutectic.specs.base import Spec
from eutectic.study.nodes import Source
from eutectic.study.status import Standing
from eutectic.study.study import Study


def gather(study: Study) -> StudyView:
    """Models, steps and their states as they are now; an address is that of the step that really stands behind it."""
    sources = [node for node in study.graph.models.values() if isinstance(node, Source)]
    steps = [_model(source) for source in sources] + [_step(standing) for standing in study.plan()]
    text = study.file.path.read_text(encoding="utf-8")
    return StudyView(study.name, study.file.spec.seed, text, tuple(steps), dict(study.graph.aliases))


def _model(source: Source) -> StepView:
    return StepView("model", source.address, source.key, source.path, None, "done", {}, Spec())


def _step(standing: Standing) -> StepView:
    step = standing.step
    state = "done" if standing.state == "unwritten" else standing.state
    parents = {role: tuple(node.address for node in nodes) for role, nodes in step.parents.items()}
    return StepView(step.kind, step.address, step.key, standing.folder, standing.record, state, parents, step.spec)
