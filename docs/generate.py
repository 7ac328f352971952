"""Write docs/study-file.md and docs/study.schema.json from the specs; a test compares them with what is committed."""

import json
import sys
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from eutectic.converse import script
from eutectic.specs import study

HERE = Path(__file__).parent
SECTIONS = (
    ("The file", study.StudySpec),
    ("models", study.ModelSpec),
    ("corpora", study.CorpusSpec),
    ("datasets", study.DatasetSpec),
    ("datasets.NAME.mix", study.MixPart),
    ("stages", study.StageSpec),
    ("stages.NAME.lora", study.LoraSpec),
    ("stages.NAME.probe", study.ProbeSpec),
    ("chains", study.ChainSpec),
    ("merges", study.MergeSpec),
    ("benchmarks", study.BenchmarkSpec),
    ("search", study.SearchSpec),
    ("prompts", study.PromptSpec),
    ("evaluations", study.EvaluationSpec),
    ("evaluations.family", study.FamilySpec),
    ("general", study.GeneralSpec),
    ("conversations", study.ConversationSpec),
    ("image_prompts", study.ImagePromptsSpec),
    ("Conversation scripts (a file of their own)", script.Script),
    ("turns of a script", script.TurnSpec),
    ("sampling of a script", script.SamplingSpec),
)


def reference() -> str:
    """The study-file reference as Markdown."""
    parts = ["# The study file", "", "Made by `make docs` from the specs in `src/eutectic/specs/study.py`; do not edit by hand."]
    for title, spec in SECTIONS:
        parts += ["", f"## {title}", "", " ".join((spec.__doc__ or "").split()), ""]
        parts += ["| key | type | default | meaning |", "|---|---|---|---|"]
        parts += [row(name, field) for name, field in spec.model_fields.items()]
    return "\n".join(parts) + "\n"


def row(name: str, field: FieldInfo) -> str:
    """One key of a table."""
    default = "required" if field.is_required() else shown(field.get_default(call_default_factory=True))
    return f"| `{name}` | {kind(field.annotation)} | {default} | {field.description or ''} |"


def shown(value: Any) -> str:
    """A default as it would be written in the file."""
    if isinstance(value, BaseModel):
        return "as below"
    if value is None or value in ((), {}):
        return "none"
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"


def kind(annotation: Any) -> str:
    """A type in words."""
    words = {str: "text", int: "whole number", float: "number", bool: "yes or no", type(None): ""}
    if annotation in words:
        return words[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    name, inner = getattr(annotation, "__origin__", None), get_args(annotation)
    if str(annotation).startswith("typing.Literal"):
        return " or ".join(f"`{v}`" if v else "empty" for v in inner)
    if name is dict:
        return "mapping"
    if name is tuple:
        return "list" if isinstance(inner[0], type) and issubclass(inner[0], BaseModel) else f"list of {kind(inner[0])}"
    return " or ".join(dict.fromkeys(w for w in (kind(a) for a in inner) if w)) if inner else "any"


def schema() -> str:
    """JSON Schema of a study file, for editors."""
    return json.dumps(study.StudySpec.model_json_schema(), indent=1) + "\n"


FILES = {"study-file.md": reference, "study.schema.json": schema}

if __name__ == "__main__":
    for name, make in FILES.items():
        (HERE / name).write_text(make(), encoding="utf-8")
        sys.stdout.write(f"{HERE / name}\n")
