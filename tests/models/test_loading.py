import json
import shutil

import pytest
import torch

from eutectic.errors import InputError
from eutectic.models import loading
from eutectic.models.checkpoint import open_checkpoint

CPU = torch.device("cpu")


def state_of(model):
    """Parameters by the names they have on disk; a tied head is stored once, under the embedding's name."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def test_publishing_copies_everything_but_weights_byte_for_byte(tiny, tmp_path):
    model = loading.load(tiny, torch.float32, CPU)
    loading.publish(state_of(model), tiny, tmp_path)
    for name in ("tokenizer.json", "config.json", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (tiny / name).read_bytes()
    assert open_checkpoint(tmp_path).names == open_checkpoint(tiny).names
    for name, tensor in open_checkpoint(tiny).tensors():
        assert torch.equal(open_checkpoint(tmp_path).tensor(name), tensor)


def test_publishing_what_does_not_fit_is_an_error(tiny, tmp_path):
    state = state_of(loading.load(tiny, torch.float32, CPU))
    state.pop("model.norm.weight")
    with pytest.raises(InputError, match="do not fit"):
        loading.publish(state, tiny, tmp_path)


def test_swap_puts_another_model_in_place(tiny, tiny_other):
    model, other = (loading.load(folder, torch.float32, CPU) for folder in (tiny, tiny_other))
    loading.swap(model, open_checkpoint(tiny_other).tensors())
    ids = torch.tensor([[5, 6, 7]])
    assert torch.equal(model(input_ids=ids).logits, other(input_ids=ids).logits)


def test_a_folder_without_tokenizer_or_config_is_named(tiny, tmp_path):
    with pytest.raises(InputError, match="no tokenizer"):
        loading.tokenizer(tmp_path)
    with pytest.raises(InputError, match=r"no config\.json"):
        loading.load(tmp_path, torch.float32, CPU)


def test_truncated_weights_are_an_error(tiny, tmp_path):
    folder = tmp_path / "cut"
    shutil.copytree(tiny, folder)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError):
        loading.load(folder, torch.float32, CPU)


def test_the_config_names_the_published_type(tiny, tmp_path):
    start = tmp_path / "start"
    shutil.copytree(tiny, start)
    config = json.loads((start / "config.json").read_text()) | {"dtype": "float32"}
    (start / "config.json").write_text(json.dumps(config))
    loading.publish(state_of(loading.load(tiny, torch.float32, CPU)), start, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"
