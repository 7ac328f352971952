"""A Llama model in one GGUF file, dequantised into a Hugging Face folder.

transformers reads GGUF but refuses to save what it read; and readers of other versions need both forms of the rotary
base in the configuration. Tensors are bit-equal to transformers' dequantised load cast to bfloat16.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
INSIDE = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
CONTROL = 3  # GGUF's type of tokens that are never read from text
# Padding must not be the end-of-turn token, or the stop would be masked out of the loss; this reserved token is in no text.
PAD = "<empty_output>"


def convert(source: Path, out: Path) -> None:
    """Write `model.safetensors` (bfloat16), `config.json`, generation config, tokenizer and chat template into `out`."""
    import gguf

    reader = gguf.GGUFReader(source)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    _write_weights(reader, fields, out)
    _write_tokenizer(fields, out)
    _write_configs(fields, out)


def _write_weights(reader: Any, fields: dict[str, Any], out: Path) -> None:
    import torch
    from safetensors.torch import save_file

    tensors = {name: torch.from_numpy(array).to(torch.bfloat16) for name, array in _arrays(reader, fields)}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})


def _arrays(reader: Any, fields: dict[str, Any]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Hugging Face names and dequantised arrays."""
    import gguf
    import numpy as np

    heads = {"attn_q": fields["llama.attention.head_count"], "attn_k": fields["llama.attention.head_count_kv"]}
    for tensor in reader.tensors:
        array = gguf.dequantize(tensor.data, tensor.tensor_type)
        parts = tensor.name.split(".")
        if parts[0] == "blk":
            array = unpermuted(array, heads[parts[2]]) if parts[2] in heads else array
            name = f"model.layers.{parts[1]}.{INSIDE[parts[2]]}.weight"
        else:
            name = f"{OUTSIDE[parts[0]]}.weight"
        yield name, np.array(array, dtype=np.float32, order="C")  # a copy: dequantised views of the file are read-only


def unpermuted(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows of a query or key projection [rows, hidden] in Hugging Face's order.

    llama.cpp rotates neighbouring pairs, Hugging Face halves: within each head row (i, j) of [half, 2] goes to (j, i).
    """
    half = weight.shape[0] // heads // 2
    return weight.reshape(heads, half, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def _write_tokenizer(fields: dict[str, Any], out: Path) -> None:
    """Byte-level BPE that splits every digit apart, as SmolLM2 was trained with."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    texts = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={text: index for index, text in enumerate(texts)}, merges=merges))
    bytes_apart = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), bytes_apart])
    tokenizer.decoder = decoders.ByteLevel()
    control = [text for text, kind in zip(texts, fields["tokenizer.ggml.token_type"], strict=True) if kind == CONTROL]
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in control])
    tokenizer.save(str(out / "tokenizer.json"))
    named = {
        "bos_token": texts[fields["tokenizer.ggml.bos_token_id"]],
        "eos_token": texts[fields["tokenizer.ggml.eos_token_id"]],
        "unk_token": texts[fields["tokenizer.ggml.unknown_token_id"]],
        "pad_token": PAD,
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": fields["llama.context_length"],
        "chat_template": fields["tokenizer.chat_template"],
    }
    _write_json(out / "tokenizer_config.json", {**settings, **named})
    _write_json(out / "special_tokens_map.json", named)
    (out / "chat_template.jinja").write_text(fields["tokenizer.chat_template"], encoding="utf-8")


def _write_configs(fields: dict[str, Any], out: Path) -> None:
    rotary = float(fields["llama.rope.freq_base"])
    tokens = {
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields["tokenizer.ggml.tokens"].index(PAD),
    }
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "head_dim": fields["llama.rope.dimension_count"],
        "max_position_embeddings": fields["llama.context_length"],
        "hidden_act": "silu",
        "rms_norm_eps": float(f"{fields['llama.attention.layer_norm_rms_epsilon']:.6g}"),  # stored as float32
        "rope_theta": rotary,  # for readers of transformers 4 and others
        "rope_scaling": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": rotary},  # for transformers 5
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.041666666666666664,
        "tie_word_embeddings": True,
        "use_cache": True,
        "torch_dtype": "bfloat16",
        "dtype": "bfloat16",
        **tokens,
    }
    _write_json(out / "config.json", config)
    _write_json(out / "generation_config.json", tokens)


def _write_json(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
