"""Run in the oracle environment: losses and gradients of TRL's trainers on tiny models.

Arguments: a folder to work in, then names of models. The folder holds `MODEL/policy`, `MODEL/reference` and `rows.json` (`texts`:
token ids, `conversations`: messages). Writes `found.json` (model -> case -> loss, and the tokens TRL's trainer saw) and the gradients
of all parameters as `MODEL/CASE.safetensors`.
"""

import contextlib
import json
import sys
from pathlib import Path

from datasets import Dataset
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

PAIRS = [
    ("What is silk?", " A protein fibre.", " A brick."),
    ("What is bone?", " A mineralised collagen tissue.", " A leaf with water."),
    ("What is nacre?", " A composite of aragonite tablets.", " A triple helix."),
]
# The tests' template with what TRL needs to tell the assistant's tokens from the others.
MARKED = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}{{ '\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ message['content'] }}<|im_end|>{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant{{ '\n' }}{% endif %}"
)
COMMON = {"per_device_train_batch_size": 3, "use_cpu": True, "bf16": False, "report_to": "none", "gradient_checkpointing": False}
BOTH = {**COMMON, "max_length": 128, "remove_unused_columns": False}
SIDES = ("chosen", "rejected")


class Oracle:
    """TRL's trainers on one tiny model."""

    def __init__(self, folder: Path, rows: dict) -> None:
        self.folder, self.rows, self.told = folder, rows, {}
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "policy")
        self.pairs = Dataset.from_list([dict(zip(("prompt", *SIDES), pair, strict=True)) for pair in PAIRS])

    def model(self, name: str = "policy"):
        return AutoModelForCausalLM.from_pretrained(self.folder / name, dtype="float32")

    def tell(self, case: str, trainer, ids, learned, loss=None) -> None:
        """Loss and gradient of the trainer's first batch, without dropout."""
        model = trainer.model.train(False)
        batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
        seen = {key: [v.tolist() for v in values(batch)] for key, values in {"ids": ids, "learned": learned}.items()}
        value = (loss or trainer.compute_loss)(model, batch)
        value.backward()
        save_file({n: p.grad.contiguous() for n, p in model.named_parameters()}, self.folder / f"{case}.safetensors")
        self.told[case] = {"loss": value.item(), **seen}

    def sft(self, case: str, rows: list, **options) -> None:
        args = SFTConfig(output_dir=str(self.folder / case), max_length=None, **options, **COMMON)
        self.tokenizer.chat_template = MARKED
        trainer = SFTTrainer(self.model(), args=args, train_dataset=Dataset.from_list(rows), processing_class=self.tokenizer)
        self.tell(case, trainer, lambda b: [b["input_ids"]], lambda b: [(b["labels"] != -100).long()])

    def dpo(self, loss: str) -> None:
        args = DPOConfig(output_dir=str(self.folder / loss), beta=0.2, loss_type=loss, **COMMON)
        frozen = self.model("reference")
        trainer = DPOTrainer(self.model(), frozen, args=args, train_dataset=self.pairs, processing_class=self.tokenizer)
        self.tell(f"dpo-{loss}", trainer, lambda b: b["input_ids"].chunk(2), lambda b: b["completion_mask"].chunk(2))

    def without_reference(self, case: str, trainer_class, args, loss=None) -> None:
        trainer = trainer_class(self.model(), args=args, train_dataset=self.pairs, processing_class=self.tokenizer)
        self.tell(
            case,
            trainer,
            lambda b: [b[f"{s}_input_ids"] for s in SIDES],
            lambda b: [(b[f"{s}_labels"] != -100).long() * b[f"{s}_attention_mask"] for s in SIDES],
            (lambda model, batch: loss(trainer, model, batch)) if loss else None,
        )


def answers_only(trainer, model, batch):
    """ORPO from TRL's parts, with the likelihood of the chosen answers alone; its odds-ratio loss holds beta and is a log sigma."""
    chosen, rejected, *_ = trainer.concatenated_forward(model, batch)
    lengths = (batch["chosen_labels"][:, 1:] != -100).sum(1)
    return -(chosen * lengths).sum() / lengths.sum() - trainer.odds_ratio_loss(chosen, rejected)[0].mean()


def main(work: str, *models: str) -> None:
    rows = json.loads((Path(work) / "rows.json").read_text())
    found = {}
    for name in models:
        oracle = Oracle(Path(work) / name, rows)
        oracle.sft("cpt", [{"input_ids": ids} for ids in rows["texts"]])
        conversations = [{"messages": messages} for messages in rows["conversations"]]
        oracle.sft("sft-assistant", conversations, assistant_only_loss=True)
        oracle.sft("sft-all", conversations, assistant_only_loss=False)
        for loss in ("sigmoid", "ipo", "hinge"):
            oracle.dpo(loss)
        out = str(oracle.folder / "out")
        oracle.without_reference("orpo-sequence", ORPOTrainer, ORPOConfig(output_dir=out, beta=0.2, **BOTH))
        oracle.without_reference("orpo-answer", ORPOTrainer, ORPOConfig(output_dir=out, beta=0.2, **BOTH), answers_only)
        simpo = CPOConfig(output_dir=out, loss_type="simpo", beta=2.5, simpo_gamma=0.7, cpo_alpha=0.0, **BOTH)
        oracle.without_reference("simpo", CPOTrainer, simpo)
        found[name] = oracle.told
    (Path(work) / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        main(*sys.argv[1:])
