import shutil

import pytest

from eutectic.artifacts import PROMPTS, Artifact, read_rows
from eutectic.context import Context
from eutectic.converse import image_prompts
from eutectic.errors import InputError
from eutectic.models import loading
from eutectic.specs.rows import ImagePrompt
from eutectic.specs.steps import ImagePromptsStep

CONCEPTS = ("spider silk", "collagen", "leaf venation")


def test_one_prompt_a_style(tmp_path, tiny):
    roomy = shutil.copytree(tiny, tmp_path / "roomy")
    config = roomy / "config.json"
    config.write_text(config.read_text().replace('"max_position_embeddings": 512', '"max_position_embeddings": 4096'))
    parents = {"model": (Artifact("checkpoint", "instruct", "k", roomy),)}
    spec = ImagePromptsStep(concepts=CONCEPTS, styles=("microstructure", "a bridge"))
    ledger = image_prompts.build(spec, parents, tmp_path, Context())
    rows = read_rows(tmp_path / PROMPTS, ImagePrompt)
    assert [row.style for row in rows] == ["microstructure", "a bridge"]
    tokenizer = loading.tokenizer(roomy)
    assert all(row.concepts == CONCEPTS for row in rows)
    assert [row.tokens for row in rows] == [len(tokenizer(row.prompt, add_special_tokens=False)["input_ids"]) for row in rows]
    assert ledger["prompts"] == 2


@pytest.mark.parametrize(
    ("concept", "text", "found"),
    [
        ("spider silk", "Silken towers", False),
        ("spider silk", "A web of SILK.", True),
        ("leaf venation", "Leafs of glass", True),
        ("nacre", "sacred", False),
        ("bee", "a hive and its bees", True),
    ],
)
def test_whether_a_concept_is_named(concept, text, found):
    assert image_prompts.names(concept, text) is found


def test_one_concept_is_too_few(tiny):
    parents = {"model": (Artifact("checkpoint", "instruct", "k", tiny),)}
    with pytest.raises(InputError, match="at least two concepts"):
        image_prompts.check(ImagePromptsStep(concepts=("silk",), styles=("city",)), parents)
