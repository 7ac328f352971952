"""Run in the oracle environment: losses and gradients of TRL's DPO and ORPO trainers on tiny models, as JSON on standard output.

Arguments: folder of the model, folder of the reference model, folder to work in.
"""

import contextlib
import json
import sys
from pathlib import Path

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

PAIRS = [
    ("What is silk?", " A protein fibre.", " A brick."),
    ("What is bone?", " A mineralised collagen tissue.", " A leaf with water."),
    ("What is nacre?", " A composite of aragonite tablets.", " A triple helix."),
]
COMMON = {
    "per_device_train_batch_size": 3,
    "use_cpu": True,
    "bf16": False,
    "report_to": "none",
    "gradient_checkpointing": False,
    "beta": 0.2,
}
GRADIENT = "model.layers.1.self_attn.q_proj.weight"


def told(trainer, ids, learned):
    model = trainer.model.train(False)  # no dropout on either side
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    loss = trainer.compute_loss(model, batch)
    loss.backward()
    gradient = dict(model.named_parameters())[GRADIENT].grad
    return {
        "loss": loss.item(),
        "gradient": gradient.flatten().tolist(),
        **{k: [v.tolist() for v in values(batch)] for k, values in {"ids": ids, "learned": learned}.items()},
    }


def main(model: str, reference: str, work: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model)
    data = Dataset.from_list([dict(zip(("prompt", "chosen", "rejected"), pair, strict=True)) for pair in PAIRS])
    load = {"dtype": "float32"}
    policy, frozen = (AutoModelForCausalLM.from_pretrained(folder, **load) for folder in (model, reference))
    dpo = DPOTrainer(policy, frozen, args=DPOConfig(output_dir=f"{work}/dpo", **COMMON), train_dataset=data, processing_class=tokenizer)
    found = {"dpo": told(dpo, lambda b: b["input_ids"].chunk(2), lambda b: b["completion_mask"].chunk(2))}
    args = ORPOConfig(output_dir=f"{work}/orpo", max_length=128, remove_unused_columns=False, **COMMON)
    orpo = ORPOTrainer(AutoModelForCausalLM.from_pretrained(model, **load), args=args, train_dataset=data, processing_class=tokenizer)
    sides = ("chosen", "rejected")
    found["orpo"] = told(
        orpo,
        lambda b: [b[f"{s}_input_ids"] for s in sides],
        lambda b: [(b[f"{s}_labels"] != -100).long() * (b[f"{s}_attention_mask"]) for s in sides],
    )
    (Path(work) / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        main(*sys.argv[1:])
