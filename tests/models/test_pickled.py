"""Pickled checkpoints: read when they are plain weights, refused when they are anything else."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from eutectic.errors import InputError
from eutectic.models.checkpoint import Pickled, open_checkpoint

TENSORS = {"a.weight": torch.randn(5, 7), "b.weight": torch.randn(9, dtype=torch.float32).to(torch.bfloat16), "count": torch.arange(4)}


def folder(tmp_path: Path, value: Any, **how: Any) -> Path:
    torch.save(value, tmp_path / "pytorch_model.bin", **how)
    return tmp_path


@pytest.mark.parametrize("new", [True, False])
def test_plain_weights_are_read_in_parts(tmp_path: Path, new: bool) -> None:
    found = open_checkpoint(folder(tmp_path, TENSORS, _use_new_zipfile_serialization=new))
    assert isinstance(found, Pickled)
    assert found.names == tuple(TENSORS)
    for name, tensor in TENSORS.items():
        assert torch.equal(found.tensor(name), tensor)
        part = torch.empty(3, dtype=tensor.dtype)
        found.read(name, 1, part)
        assert torch.equal(part, tensor.flatten()[1:4])


def test_transposed_and_shared_tensors_are_read_as_they_look(tmp_path: Path) -> None:
    weight = torch.randn(4, 6)
    found = open_checkpoint(folder(tmp_path, {"w": weight.T, "tied": weight, "row": weight[1]}))
    assert torch.equal(found.tensor("w"), weight.T)
    assert torch.equal(found.tensor("row"), weight[1])


def test_shards_are_read_and_a_missing_one_is_named(tmp_path: Path) -> None:
    names = {"a.weight": "one.bin", "b.weight": "two.bin"}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": names}))
    for name, file in names.items():
        torch.save({name: TENSORS[name]}, tmp_path / file)
    assert set(open_checkpoint(tmp_path).names) == set(names)
    (tmp_path / "two.bin").unlink()
    with pytest.raises(InputError, match=r"names the shard two\.bin, which is missing"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("shard", ["../evil.bin", "/etc/passwd", 3])
def test_an_index_does_not_lead_out_of_its_folder(tmp_path: Path, shard: Any) -> None:
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(InputError, match="no file of this folder"):
        open_checkpoint(tmp_path)


class Hostile:
    """What an attacker would pickle."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_code_in_a_pickle_is_refused_and_never_run(tmp_path: Path, new: bool, inside: bool) -> None:
    mark = tmp_path / "it-ran"
    value: Any = {"a.weight": TENSORS["a.weight"], "extra": Hostile(mark)} if inside else Hostile(mark)
    with pytest.raises(InputError, match=r"pytorch_model.bin.* is no pickled checkpoint that can be read safely"):
        open_checkpoint(folder(tmp_path, value, _use_new_zipfile_serialization=new))
    assert not mark.exists()


@pytest.mark.parametrize("value", [[1, 2], {"a": 3}, {"a": {"b": torch.ones(2)}}, torch.ones(3)])
def test_something_else_than_named_tensors_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(InputError, match="something else than named tensors"):
        open_checkpoint(folder(tmp_path, value))


@pytest.mark.parametrize("new", [True, False])
def test_a_damaged_file_is_told(tmp_path: Path, soak: bool, new: bool) -> None:
    whole = (folder(tmp_path, TENSORS, _use_new_zipfile_serialization=new) / "pytorch_model.bin").read_bytes()
    generator = torch.Generator().manual_seed(0)
    for _ in range(300 if soak else 30):
        length = int(torch.randint(len(whole), (), generator=generator))
        (tmp_path / "pytorch_model.bin").write_bytes(whole[:length])
        with pytest.raises(InputError):
            open_checkpoint(tmp_path)
    for _ in range(300 if soak else 30):
        place, bit = (int(torch.randint(high, (), generator=generator)) for high in (len(whole), 8))
        broken = bytearray(whole)
        broken[place] ^= 1 << bit
        (tmp_path / "pytorch_model.bin").write_bytes(bytes(broken))
        with contextlib.suppress(InputError):  # a flipped bit may lie in a number; anything but tensors or a clear word may not happen
            open_checkpoint(tmp_path)
