"""Rows of an Evaluation, as every form begins them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from transformers import PreTrainedModel

from eutectic.evaluate.contexts import Task
from eutectic.specs.rows import Item, ItemScore


def judged(model: PreTrainedModel, task: Task, item: Item, **found: Any) -> ItemScore:
    """The row of an item of a task, scored by `model`."""
    return ItemScore(
        id=item.id,
        benchmark=task.benchmark,
        group=item.group,
        role=item.role,
        split=item.split,
        form=task.form,
        prompt=task.prompt.name,
        answer=item.answer,
        precision="float32" if str(model.dtype) == "torch.float32" else "bfloat16",
        **found,
    )


def kept(values: Iterable[float]) -> tuple[float, ...]:
    """Nats as they are written: five decimals are far below what bfloat16 resolves."""
    return tuple(round(value, 5) for value in values)


def likeliest(values: Sequence[float]) -> int:
    """The option of the highest value, the first of equals."""
    return max(range(len(values)), key=lambda i: (values[i], -i))
