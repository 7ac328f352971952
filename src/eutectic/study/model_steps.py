"""The models a study starts from: folders by content, and base models under another model's template, as steps."""

from __future__ import annotations

from pathlib import Path

from eutectic.errors import EutecticError, InputError
from eutectic.models.hub import MODEL_FILES, snapshot
from eutectic.specs.steps import AdoptStep
from eutectic.specs.study import ModelSpec
from eutectic.study.graph import Draft
from eutectic.study.nodes import Source, Step, unmade
from eutectic.study.work import WORK
from eutectic.yaml_file import Place


def enter(draft: Draft) -> None:
    """Enter every model that has weights, in the order of the file."""
    made: dict[str, Source | Step] = {}
    for name, model in draft.file.spec.models.items():
        if model.path is not None:
            draft.graph.models[name] = _model(draft, name, made, ())
        elif model.chat_template is not None:
            raise draft.file.error(
                ("models", name, "chat_template"), "a model behind an endpoint takes no other template", "Remove the key."
            )


def _model(draft: Draft, name: str, made: dict[str, Source | Step], above: tuple[str, ...]) -> Source | Step:
    """A model's folder, or the step that gives it the template of another model; circles are refused."""
    file, model = draft.file, draft.file.spec.models[name]
    place: Place = ("models", name, "chat_template")
    if name in above:
        circle = " -> ".join((*above[above.index(name) :], name))
        raise file.error(place, f"the templates go in a circle: {circle}", "One of these models must have a template of its own.")
    if name not in made:
        source = _source(draft, name, model)
        made[name] = source if model.chat_template is None else _adopt(draft, name, source, made, (*above, name))
    return made[name]


def _adopt(draft: Draft, name: str, source: Source, made: dict[str, Source | Step], above: tuple[str, ...]) -> Step:
    """The step at a model's address that gives it another model's tokenizer, template and special tokens."""
    file, other = draft.file, str(draft.file.spec.models[name].chat_template)
    place: Place = ("models", name, "chat_template")
    file.known(place, other, file.spec.models, "model")
    if file.spec.models[other].path is None:
        raise file.error(place, f"{other} is behind an endpoint and has no template to take", "Name a model that has a `path`.")
    template = _model(draft, other, made, above)
    spec = AdoptStep()
    try:
        WORK["adopt"].check(spec, {"model": (unmade(source),), "template": (unmade(template),)})
    except EutecticError as error:
        raise file.locate(error, ("models", name)) from error
    return draft.graph.add(Step("adopt", name, spec, {"model": (source,), "template": (template,)}))


def _source(draft: Draft, name: str, model: ModelSpec) -> Source:
    """A base model's folder, by the content of the files that make it."""
    from blake3 import blake3

    file, place = draft.file, ("models", name, "path")
    folder = Path(str(model.path)).expanduser()
    folder = folder if folder.is_absolute() else file.folder / folder
    if not folder.is_dir():
        try:
            folder = snapshot(str(model.path))
        except InputError as error:
            raise file.locate(error, place) from error
    files = sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern)})
    if not (folder / "config.json").is_file():
        raise file.error(place, f"{folder} has no config.json", "Give the folder of a Hugging Face model.")
    if not any(f.suffix == ".safetensors" for f in files):
        raise file.error(place, f"{folder} has no safetensors weights", "Give the folder of a Hugging Face model saved as safetensors.")
    if not any((folder / f).is_file() for f in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise file.error(place, f"{folder} has no tokenizer (tokenizer.json)", "Copy the model's tokenizer files into that folder.")
    lines = [f"{path.name}\0{draft.digests.digest(path)}\n" for path in files]
    return Source("checkpoint", name, folder, blake3("".join(lines).encode()).hexdigest())
