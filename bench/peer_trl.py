"""One run of TRL, in its own environment and process: `PEER_PYTHON bench/peer_trl.py JOB.json` writes `job["out"]`."""

import json
import resource
import sys
import time
from pathlib import Path

import torch
import trl
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl.experimental.orpo import ORPOConfig, ORPOTrainer


class Clock(TrainerCallback):
    """Wall and CPU seconds of every update, and the useful tokens that went into it."""

    def __init__(self) -> None:
        self.updates: list[dict] = []
        self.tokens = 0

    def on_step_begin(self, args, state, control, **_):
        self.wall, self.cpu, self.tokens = time.perf_counter(), time.process_time(), 0

    def on_step_end(self, args, state, control, **_):
        self.updates.append({"amount": self.tokens, "wall": time.perf_counter() - self.wall, "cpu": time.process_time() - self.cpu})


def useful(batch: dict) -> int:
    """Tokens that are no padding; a prompt that stands there twice, for the chosen and the rejected answer, counts once."""
    if "chosen_attention_mask" in batch:  # ORPO
        return int(batch["chosen_attention_mask"].sum() + (batch["rejected_labels"] != -100).sum())
    mask = batch.get("attention_mask")
    if mask is None:  # packed, no padding
        return batch["input_ids"].numel()
    if "completion_mask" in batch:  # DPO: all chosen, then all rejected
        half = len(mask) // 2
        return int(mask[:half].sum() + batch["completion_mask"][half:].sum())
    return int(mask.sum())


def counted(trainer: type, clock: Clock) -> type:
    class Counted(trainer):
        def training_step(self, model, inputs, *args, **kwargs):
            clock.tokens += useful(inputs)
            return super().training_step(model, inputs, *args, **kwargs)

    return Counted


def main(job: dict) -> dict:
    torch.set_num_threads(job["threads"])
    dtype = torch.float32 if job.get("precision") == "float32" else torch.bfloat16
    lora = job["lora"] and LoraConfig(
        r=job["lora"]["rank"], lora_alpha=2 * job["lora"]["rank"], target_modules="all-linear", task_type="CAUSAL_LM"
    )
    common = {
        "output_dir": job["work"],
        "max_length": job["sequence"],
        "learning_rate": job["learning_rate"],
        "max_steps": job["updates"],
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.1,
        "per_device_train_batch_size": job["rows"],
        "gradient_accumulation_steps": job["batch"] // job["rows"],
        "gradient_checkpointing": job["checkpointing"],
        "bf16": dtype == torch.bfloat16,
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        "seed": 17,
    }
    rows = [json.loads(line) for line in (Path(job["data"]) / "pairs.jsonl").read_text().splitlines()]
    if job["objective"] == "sft":
        rows = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in rows]
    config, trainer, extra = {
        "sft": (trl.SFTConfig, trl.SFTTrainer, {"packing": job["packing"]}),
        "dpo": (trl.DPOConfig, trl.DPOTrainer, {"beta": 0.1}),
        "orpo": (ORPOConfig, ORPOTrainer, {"beta": 0.1}),
    }[job["objective"]]
    clock = Clock()
    run = counted(trainer, clock)(
        model=AutoModelForCausalLM.from_pretrained(job["model"], dtype=dtype),
        args=config(**common, **extra),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(job["model"]),
        peft_config=lora or None,
        callbacks=[clock],
    )
    run.train()
    told = [row for row in run.state.log_history if "loss" in row]
    first = {"loss": told[0]["loss"]}
    if job["objective"] == "dpo":
        first |= {f"{side} log p": told[0][f"logps/{side}"] for side in ("chosen", "rejected")}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"updates": clock.updates, "reference": [], "losses": [row["loss"] for row in told], "first": first, "peak_mb": peak / 1024}


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text())
    Path(asked["out"]).write_text(json.dumps(main(asked)))
