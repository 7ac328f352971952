import json
from pathlib import Path

import pytest
import torch
from training_world import parents as stage_parents
from training_world import step

from eutectic.artifacts import Artifact
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.merge import stream
from eutectic.models import chat_template, loading
from eutectic.models.checkpoint import open_checkpoint
from eutectic.specs.rows import Message
from eutectic.specs.steps import AdoptStep, MergeStep
from eutectic.train import adopt, tune

ONE = Context(threads=1)
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")


@pytest.fixture
def base(make_tiny, tmp_path: Path) -> Path:
    """A base model: no chat template, the end-of-text token as its end of sequence."""
    folder = make_tiny(tmp_path / "base", seed=0)
    (folder / "chat_template.jinja").unlink()
    edit(folder / "tokenizer_config.json", eos_token="<|endoftext|>", chat_template=None)
    edit(folder / "config.json", eos_token_id=0, rope_theta=12345.0)
    return folder


@pytest.fixture
def instruct(make_tiny, tmp_path: Path) -> Path:
    return make_tiny(tmp_path / "instruct", seed=1)


@pytest.fixture
def larger(make_tiny, tmp_path: Path) -> Path:
    """An instruct model whose tokenizer and untied tables have eight more tokens."""
    folder = make_tiny(tmp_path / "larger", seed=1, tied=False)
    tokenizer = loading.tokenizer(folder)
    tokenizer.add_tokens([f"<extra{i}>" for i in range(8)], special_tokens=True)
    tokenizer.save_pretrained(folder)
    model = loading.load(folder, torch.bfloat16, torch.device("cpu"))
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.save_pretrained(folder)
    return folder


def edit(file: Path, **changes) -> None:
    config = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def given(model: Path, template: Path):
    return {
        "model": (Artifact("checkpoint", "base", "a" * 64, model),),
        "template": (Artifact("checkpoint", "instruct", "b" * 64, template),),
    }


def adopted(model: Path, template: Path, out: Path) -> tuple[Path, dict]:
    out.mkdir()
    return out, adopt.build(AdoptStep(), given(model, template), out, ONE)


def test_weights_are_the_bases_and_what_talks_is_the_others(base, instruct, tmp_path):
    (base / "vocab.json").write_text("{}")  # a tokenizer file that only the base has must not come along
    out, ledger = adopted(base, instruct, tmp_path / "out")
    assert (out / "model.safetensors").samefile(base / "model.safetensors")
    assert all((out / name).read_bytes() == (instruct / name).read_bytes() for name in TOKENIZER)
    assert not (out / "vocab.json").exists()
    config, before, theirs = (json.loads((f / "config.json").read_text()) for f in (out, base, instruct))
    assert config == {**before, **{f"{name}_token_id": theirs[f"{name}_token_id"] for name in ("bos", "eos", "pad")}}
    assert config["rope_theta"] == 12345.0
    assert ledger["rows"] == ledger["rows_before"] == config["vocab_size"]
    assert ledger["new_rows"] == []
    ids = chat_template.render(loading.tokenizer(out), [Message(role="user", content="What is silk?")], generation_prompt=True)
    assert ids == chat_template.render(loading.tokenizer(instruct), [Message(role="user", content="What is silk?")], generation_prompt=True)


def test_new_rows_are_the_mean_of_the_old_ones_in_both_tables(make_tiny, larger, tmp_path):
    base = make_tiny(tmp_path / "untied", seed=0, tied=False)
    (base / "chat_template.jinja").unlink()
    out, ledger = adopted(base, larger, tmp_path / "out")
    before, after = open_checkpoint(base), open_checkpoint(out)
    rows = before.shape("model.embed_tokens.weight")[0]
    assert (ledger["rows_before"], ledger["rows"], ledger["new_rows"], ledger["new_tokens"]) == (rows, rows + 8, [rows, rows + 7], 8)
    for name, old in before.tensors():
        new = after.tensor(name)
        assert torch.equal(new[: old.shape[0]], old)
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            assert torch.equal(new[rows:], old.float().mean(0).to(old.dtype).expand(8, -1))
    assert json.loads((out / "config.json").read_text())["vocab_size"] == rows + 8
    model = loading.load(out, torch.float32, torch.device("cpu"))
    old_model = loading.load(base, torch.float32, torch.device("cpu"))
    ids = torch.tensor([[5, 6, 7, 8]])
    torch.testing.assert_close(model(ids).logits[..., :rows], old_model(ids).logits)
    merged = tmp_path / "merged"
    merged.mkdir()
    roles = {"base": (Artifact("checkpoint", "b", "a" * 64, larger),), "models": (Artifact("checkpoint", "m", "b" * 64, out),)}
    stream.build(MergeStep(method="slerp", parameters={"t": 0.5}), roles, merged, ONE)
    assert open_checkpoint(merged).shape("lm_head.weight")[0] == rows + 8


def test_shards_are_linked_one_by_one(base, instruct, tmp_path):
    from eutectic.models.checkpoint import write

    tensors = list(open_checkpoint(base).tensors())
    (base / "model.safetensors").unlink()
    write(base, tensors, max_shard_bytes=20_000)
    out, _ = adopted(base, instruct, tmp_path / "out")
    assert len(list(out.glob("model-*.safetensors"))) > 1
    assert all(file.samefile(base / file.name) for file in out.glob("*.safetensors"))
    assert open_checkpoint(out).names == open_checkpoint(base).names


def test_a_token_that_would_change_its_id_is_named(base, instruct, tmp_path):
    file = instruct / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    first, second = sorted(vocabulary, key=vocabulary.get)[20:22]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    file.write_text(json.dumps(tokenizer))
    with pytest.raises(
        InputError, match=r"2 of \d+ tokens of base have another id or none in instruct: '.' \(20 -> 21\), '.' \(21 -> 20\)"
    ):
        adopted(base, instruct, tmp_path / "out")


def test_a_model_without_template_gives_none(base, instruct, tmp_path):
    with pytest.raises(InputError, match="instruct has no chat template to take"):
        adopt.check(AdoptStep(), given(instruct, base) | {"template": (Artifact("checkpoint", "instruct", "b" * 64, base),)})


def test_from_base_start_through_every_stage_to_a_merge_the_template_stays(base, instruct, datasets, tmp_path):
    """Base -> CPT -> SFT -> DPO -> SLERP with instruct, and the (instruct - base) residual added to the base that read the papers."""
    start, _ = adopted(base, instruct, tmp_path / "start")
    folder, made = start, {"start": start}
    for objective, kind in (("cpt", "text"), ("sft", "instruction"), ("dpo", "preference")):
        stage, out = step(objective, epochs=1, learning_rate=1e-4), tmp_path / objective
        out.mkdir()
        tune.build(stage, stage_parents(folder, datasets[kind], stage, tmp_path / f"{objective}-reference"), out, ONE)
        folder = made[objective] = out
    for name in ("slerp", "residual"):
        (tmp_path / name).mkdir()
    one = lambda *folders: tuple(Artifact("checkpoint", f.name, f.name * 16, f) for f in folders)  # noqa: E731
    stream.build(
        MergeStep(method="slerp", parameters={"t": 0.5}), {"base": one(instruct), "models": one(made["dpo"])}, tmp_path / "slerp", ONE
    )
    residual = MergeStep(method="task_arithmetic", parameters={"weight": 1.0})
    stream.build(residual, {"base": one(start), "models": one(made["cpt"], instruct)}, tmp_path / "residual", ONE)
    for each in (*made.values(), tmp_path / "slerp", tmp_path / "residual"):
        assert all((each / name).read_bytes() == (instruct / name).read_bytes() for name in TOKENIZER)
        loading.load(each, torch.bfloat16, torch.device("cpu"))
    b, cpt, chat, got = (dict(open_checkpoint(f).tensors()) for f in (base, made["cpt"], instruct, tmp_path / "residual"))
    for name, tensor in got.items():
        torch.testing.assert_close(
            tensor, (cpt[name].float() + chat[name].float() - b[name].float()).to(tensor.dtype), rtol=0.01, atol=1e-4
        )
    assert not torch.equal(got["model.embed_tokens.weight"], cpt["model.embed_tokens.weight"])
