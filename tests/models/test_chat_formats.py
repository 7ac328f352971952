"""The chat formats a mergekit file may name, as the models that use them write them."""

import pytest
from jinja2 import Environment

from eutectic.models.chat_formats import FORMATS

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " Is nacre tough? "},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "Why?"},
]
WRITTEN = {
    "alpaca": (
        "Be brief.\n\n### Instruction:\nIs nacre tough?\n\n### Response:\nYes.</s>\n\n### Instruction:\nWhy?\n\n",
        "### Response:\n",
    ),
    "chatml": (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nIs nacre tough?<|im_end|>\n"
        "<|im_start|>assistant\nYes.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n",
        "<|im_start|>assistant\n",
    ),
    "exaone": (
        "[|system|]Be brief.[|endofturn|]\n[|user|]Is nacre tough?\n[|assistant|]Yes.[|endofturn|]\n[|user|]Why?\n",
        "[|assistant|]",
    ),
    "llama3": (
        "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
        "Is nacre tough?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nYes.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nWhy?<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    "mistral": ("<s>[INST] Be brief. [/INST][INST] Is nacre tough? [/INST] Yes.</s>[INST] Why? [/INST]", ""),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_reads_as_its_models_expect(name: str) -> None:
    template = Environment(autoescape=False).from_string(FORMATS[name])
    written, opening = WRITTEN[name]
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    assert template.render(messages=TALK, add_generation_prompt=False, **special) == written
    assert template.render(messages=TALK, add_generation_prompt=True, **special) == written + opening
