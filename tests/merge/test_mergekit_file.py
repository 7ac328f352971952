"""mergekit's files: what they become, and errors that name key, file and line."""

from pathlib import Path

import pytest

from eutectic.errors import InputError
from eutectic.merge.mergekit_file import MergekitMerge, read

SLERP = """
models:
  - model: models/trained
  - model: models/instruct
merge_method: slerp
base_model: models/instruct
parameters:
  t:
    - filter: self_attn
      value: [0, 0.5, 0.3, 0.7, 1]
    - filter: mlp
      value: [1, 0.5, 0.7, 0.3, 0]
    - value: 0.5
dtype: bfloat16
"""
TIES = """
merge_method: ties
base_model: org/base
tokenizer_source: base
models:
  - model: org/base
  - model: org/one
    parameters: {weight: 0.5, density: [1, 0.7, 0.1]}
  - model: org/two
    parameters:
      weight:
        - filter: mlp
          value: 1e-1
        - value: 0
parameters:
  normalize: yes
  int8_mask: true
  lambda: 0.9
  density: 0.4
dtype: float32
out_dtype: float16
"""


SLICES = """merge_method: linear
slices:
  - sources:
      - model: x
        layer_range: [0, 4]
      - model: z
        layer_range: [4, 8]
        parameters: {weight: 2}
"""


def parsed(folder: Path, text: str) -> MergekitMerge:
    file = folder / "merge.yml"
    file.write_text(text)
    return read(file)


def test_the_papers_slerp(tmp_path: Path) -> None:
    found = parsed(tmp_path, SLERP)
    assert (found.base, found.models, found.step.method) == ("models/instruct", ("models/trained",), "slerp")
    assert found.step.parameters == {
        "t": [{"filter": "self_attn", "value": [0, 0.5, 0.3, 0.7, 1]}, {"filter": "mlp", "value": [1, 0.5, 0.7, 0.3, 0]}, {"value": 0.5}],
        "out_dtype": "bfloat16",
    }
    assert found.lines == {"models/trained": 3, "models/instruct": 4}


def test_slerp_may_leave_the_base_out_of_its_models(tmp_path: Path) -> None:
    text = SLERP.replace("  - model: models/instruct\n", "")
    assert parsed(tmp_path, text).step == parsed(tmp_path, SLERP).step


def test_ties_with_per_model_and_shared_parameters(tmp_path: Path) -> None:
    found = parsed(tmp_path, TIES)
    assert (found.base, found.models) == ("org/base", ("org/one", "org/two"))
    assert found.step.parameters == {
        "models": [{"weight": 0.5, "density": [1, 0.7, 0.1]}, {"weight": [{"filter": "mlp", "value": 0.1}, {"value": 0}]}],
        "normalize": True,
        "lambda": 0.9,
        "density": 0.4,
        "out_dtype": "float16",
    }


def test_the_base_of_an_average_is_one_of_its_models_where_listed(tmp_path: Path) -> None:
    text = "{merge_method: linear, base_model: a, models: [{model: a, parameters: {weight: 1}}, {model: b, parameters: {weight: 3}}]}"
    found = parsed(tmp_path, text)
    assert (found.base, found.models) == ("a", ("a", "b"))
    assert found.step.parameters == {"models": [{"weight": 1}, {"weight": 3}]}


def test_slices_name_parents_by_index_and_each_its_own_base(tmp_path: Path) -> None:
    text = SLICES.replace("linear", "slerp").replace("        parameters: {weight: 2}\n", "    base_model: z\n    parameters: {t: 0.3}\n")
    found = parsed(tmp_path, text)
    assert (found.base, found.models, found.lines) == (None, ("x", "z"), {"x": 4, "z": 6})
    ((part,),) = [module.slices for module in found.step.modules]
    assert [(source.model, source.layers) for source in part.sources] == [(0, (0, 4)), (1, (4, 8))]
    assert (part.base, part.parameters) == (1, {"t": 0.3})


def test_the_models_of_a_module_bring_the_base_along(tmp_path: Path) -> None:
    text = "{merge_method: task_arithmetic, base_model: a, modules: {default: {models: [{model: b, parameters: {weight: 2}}]}}}"
    found = parsed(tmp_path, text)
    ((part,),) = [module.slices for module in found.step.modules]
    assert [(source.model, source.layers, source.parameters) for source in part.sources] == [(0, None, {"weight": 2}), (-1, None, {})]
    assert (part.base, found.base, found.models) == (1, "a", ("b",))


BAD = {
    "no slices": ("merge_method: linear\nslices: []\n", 2, "must list the slices"),
    "slices and models": ("merge_method: linear\nmodels: [{model: x}]\nslices: [{}]\n", 3, "both given"),
    "residual": (SLICES + "    residual_weight: 1\n", 9, "`residual_weight` is not supported"),
    "no range": (SLICES.replace("[0, 4]", "4"), 5, "two layers, not 4"),
    "a range backwards": (SLICES.replace("[0, 4]", "[4, 0]"), 5, "two layers"),
    "a source without model": (SLICES.replace("model: x", "name: x"), 4, "`name` is not supported"),
    "a base besides the sources": (SLICES + "    base_model: other\n", 9, "not among the sources"),
    "a parameter in a slice": (SLICES + "    parameters: {weigth: 1}\n", 9, "`weigth` is not supported for linear"),
    "a module of nothing": ("merge_method: linear\nmodules: {default: {}}\n", 2, "either `slices` or `models`"),
    "chat_template": (TIES + "chat_template: chatmel\n", 22, "'chatmel' is no chat template.*chatml"),
    "unknown parameter": (TIES.replace("lambda", "lamda"), 18, "`lamda` is not supported for ties.*lambda"),
    "parameter of another method": (SLERP.replace("parameters:", "parameters:\n  weight: 1"), 8, "`weight` is not supported for slerp"),
    "unknown method": (SLERP.replace("slerp", "slurp"), 5, "no merge method 'slurp'.*nuslerp"),
    "no method": ("models: [{model: a}]\n", None, "`merge_method` is missing"),
    "no models": ("merge_method: linear\n", None, "must list the models"),
    "an entry without model": ("merge_method: linear\nmodels:\n  - mode: x\n", 3, "needs `model`"),
    "key of an entry": ("merge_method: linear\nmodels:\n  - model: x\n    layer_range: [0, 3]\n", 4, "`layer_range` is not supported"),
    "twice": ("merge_method: linear\nmodels:\n  - model: x\n  - model: x\n", 4, "listed twice"),
    "two adapters": ("merge_method: linear\nmodels:\n  - model: x+lora+lora\n", 3, "MODEL\\+ADAPTER"),
    "duplicate key": (SLERP + "dtype: float16\n", 15, "given twice"),
    "no base": (SLERP.replace("base_model: models/instruct\n", ""), None, "`slerp` needs a base"),
    "three for slerp": (SLERP.replace("merge_method", "  - model: third\nmerge_method"), 2, "takes 1 model and a base.*2 models"),
    "t for one model": (
        SLERP.replace("instruct\nmerge", "instruct\n    parameters: {t: 1}\nmerge").replace("trained", "trained\n    parameters: {t: 1}"),
        4,
        "not for one model",
    ),
    "range": (TIES.replace("density: 0.4", "density: 1.4"), 19, "at most 1"),
    "per-model range": (TIES.replace("[1, 0.7, 0.1]", "[1, 0.7, 0]"), 8, "above 0"),
    "rescale": (SLERP.replace("parameters:", "parameters:\n  rescale: true"), 8, "`rescale` is not supported for slerp"),
    "dtype": (SLERP.replace("bfloat16", "int8"), 14, "`dtype: int8` is not supported"),
    "tokenizer": (TIES.replace("_source: base", "_source: other/model"), 4, "'other/model' is none of the models"),
    "two tokenizers": (TIES + "tokenizer: {source: base}\n", 22, "both given"),
    "a key of the tokenizer": (TIES.replace("tokenizer_source: base", "tokenizer: {sauce: base}"), 4, "`sauce` is not supported"),
    "padding": (TIES.replace("tokenizer_source: base", "tokenizer: {pad_to_multiple_of: 0}"), 4, "whole number above 0"),
    "a token": (TIES.replace("tokenizer_source: base", "tokenizer: {tokens: {a: {source: {kind: one}}}}"), 4, "no source of a token"),
    "no mapping": ("- 1\n", None, "no mergekit configuration"),
    "a tag": ("merge_method: !!python/name:os.system x\n", 1, "tag"),
    "no t": (SLERP[: SLERP.index("parameters")], None, "`t` is missing"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_supported_is_named_with_file_and_line(tmp_path: Path, name: str) -> None:
    text, line, message = BAD[name]
    with pytest.raises(InputError, match=message) as caught:
        parsed(tmp_path, text)
    assert caught.value.file == tmp_path / "merge.yml"
    if line is not None:
        assert caught.value.line == line
