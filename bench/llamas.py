"""Three Llama-shaped bf16 checkpoints, siblings 3 and 6 % apart from the first: `llamas.py FOLDER LAYERS` (16 layers are 2.07 GB)."""

import json
import sys
from pathlib import Path

import torch

from eutectic.models.checkpoint import Writer

VOCABULARY, HIDDEN, INNER = 16_000, 2048, 8192
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": VOCABULARY,
    "torch_dtype": "bfloat16",
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}
LAYER = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (HIDDEN // 4, HIDDEN),
    "self_attn.v_proj": (HIDDEN // 4, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (INNER, HIDDEN),
    "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
    "input_layernorm": (HIDDEN,),
    "post_attention_layernorm": (HIDDEN,),
}


def main() -> None:
    folder, layers = Path(sys.argv[1]), int(sys.argv[2])
    shapes = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN)}
    shapes |= {f"model.layers.{i}.{name}.weight": shape for i in range(layers) for name, shape in LAYER.items()}
    shapes |= {"model.norm.weight": (HIDDEN,), "lm_head.weight": (VOCABULARY, HIDDEN)}
    generator, writers = torch.Generator().manual_seed(0), []
    for index in range(3):
        model = folder / f"m{index}"
        model.mkdir(parents=True)
        (model / "config.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": layers}))
        writers.append(Writer(model, [(name, torch.bfloat16, shape) for name, shape in shapes.items()]))
    for name, shape in shapes.items():
        base = torch.randn(shape, generator=generator).mul_(0.03)
        for index, writer in enumerate(writers):
            noise = torch.randn(shape, generator=generator).mul_(0.03 * index).add_(1)
            writer.put(name, noise.mul_(base).to(torch.bfloat16))
    for writer in writers:
        writer.__exit__(None, None, None)


if __name__ == "__main__":
    main()
