"""Safetensors folders: what is written is read back (also by the reference reader), and no lie in a header leads outside the file."""

import json
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from eutectic.errors import InputError
from eutectic.models.checkpoint import INDEX, SINGLE, Writer, copy_assets, open_checkpoint, set_config_dtype, write
from eutectic.models.safetensors_file import TYPES

WEIGHTS = {
    "a.weight": torch.arange(12, dtype=torch.float32).view(3, 4),
    "b.bias": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "scalar": torch.tensor(7, dtype=torch.int64),
    "empty": torch.empty(0, 3, dtype=torch.float16),
    "mask": torch.tensor([True, False, True]),
}


def raw(folder: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    folder.mkdir(exist_ok=True)
    (folder / SINGLE).write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return folder


def entry(start: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def test_written_tensors_are_read_back_here_and_by_the_reference_reader(tmp_path: Path) -> None:
    write(tmp_path, WEIGHTS.items())
    found = open_checkpoint(tmp_path)
    assert found.names == tuple(WEIGHTS)
    reference = load_file(tmp_path / SINGLE)
    for name, tensor in WEIGHTS.items():
        assert (found.shape(name), found.dtype(name)) == (tuple(tensor.shape), tensor.dtype)
        assert torch.equal(found.tensor(name), tensor)
        assert torch.equal(reference[name], tensor)


def test_files_of_the_reference_writer_are_read(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / SINGLE, metadata={"format": "pt"})
    found = open_checkpoint(tmp_path)
    assert {name: tensor.tolist() for name, tensor in found.tensors()} == {name: tensor.tolist() for name, tensor in WEIGHTS.items()}


@pytest.mark.parametrize("dtype", [t for t in TYPES.values() if t.is_floating_point])
def test_every_floating_type_is_written_and_read(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.tensor([[0.5, -1.0], [2.0, 0.0]]).to(dtype)
    write(tmp_path, [("x", tensor)])
    assert torch.equal(open_checkpoint(tmp_path).tensor("x").float(), tensor.float())


def test_only_floating_tensors_are_rounded_to_nearest_even(tmp_path: Path) -> None:
    halfway = torch.tensor([1 + 2**-8, 1 + 3 * 2**-8])  # between two bf16 numbers: the one with an even last digit wins
    write(tmp_path, [("x", halfway), ("n", torch.tensor([3]))], torch.bfloat16)
    found = open_checkpoint(tmp_path)
    assert found.tensor("x").float().tolist() == [1.0, 1 + 2**-6]
    assert found.dtype("n") == torch.int64


@pytest.mark.parametrize("largest", [1, 40, 60, 10**9])
def test_shards_hold_the_same_tensors_as_one_file(tmp_path: Path, largest: int) -> None:
    write(tmp_path, WEIGHTS.items(), max_shard_bytes=largest)
    assert (tmp_path / INDEX).exists() == (largest < 10**9)
    found = dict(open_checkpoint(tmp_path).tensors())
    assert all(torch.equal(found[name], tensor) for name, tensor in WEIGHTS.items())
    assert found.keys() == WEIGHTS.keys()


def test_a_writer_takes_parts_in_any_order(tmp_path: Path) -> None:
    tensor = torch.arange(10, dtype=torch.float32)
    with Writer(tmp_path, [("x", torch.float32, (10,)), ("y", torch.float32, (1,))]) as writer:
        writer.put("y", torch.tensor([3.0]))
        writer.put("x", tensor[6:], 6)
        writer.put("x", tensor[:6])
    part = torch.empty(3)
    open_checkpoint(tmp_path).read("x", 5, part)
    assert torch.equal(open_checkpoint(tmp_path).tensor("x"), tensor)
    assert part.tolist() == [5.0, 6.0, 7.0]


def test_a_stream_must_give_every_tensor_of_its_layout(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="never given"):
        write(tmp_path, [("x", torch.zeros(2))], layout=[("x", torch.float32, (2,)), ("y", torch.float32, (2,))])


HEADERS = {
    "no JSON": (b"nonsense", b"", "sound JSON"),
    "no object": (b"[1]", b"", "no JSON object"),
    "a name twice": (
        b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        b"0" * 4,
        "twice",
    ),
    "beyond the end": ({"x": entry(0, 400, [100])}, b"0" * 40, "ends at byte"),
    "range shorter than shape": ({"x": entry(0, 4, [100])}, b"0" * 4, "to a tensor of 400 bytes"),
    "huge shape": ({"x": entry(0, 4, [2**62, 2**62])}, b"0" * 4, "to a tensor of"),
    "negative offset": ({"x": entry(-4, 0, [1])}, b"0" * 4, "byte range"),
    "negative shape": ({"x": entry(0, 4, [-1])}, b"0" * 4, "shape"),
    "reversed": ({"x": entry(4, 0, [1])}, b"0" * 4, "to a tensor of"),
    "overlap": ({"x": entry(0, 8, [2]), "y": entry(4, 12, [2])}, b"0" * 12, "overlap"),
    "same place": ({"x": entry(0, 4, [1]), "y": entry(0, 4, [1])}, b"0" * 4, "overlap"),
    "hole": ({"x": entry(0, 4, [1]), "y": entry(8, 12, [1])}, b"0" * 12, "hole"),
    "trailing bytes": ({"x": entry(0, 4, [1])}, b"0" * 9, "5 bytes stand behind"),
    "unknown type": ({"x": entry(0, 4, [1], "F33")}, b"0" * 4, "F33"),
    "entry is a list": ({"x": [1]}, b"", "no JSON object"),
    "boolean offsets": ({"x": {"dtype": "U8", "shape": [1], "data_offsets": [False, True]}}, b"0", "byte range"),
    "nested bomb": (b"[" * 200_000, b"", "sound JSON"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_lying_header_is_an_input_error_naming_the_file(tmp_path: Path, name: str) -> None:
    header, data, message = HEADERS[name]
    with pytest.raises(InputError, match=message) as caught:
        open_checkpoint(raw(tmp_path / "m", header, data))
    assert SINGLE in str(caught.value)


@pytest.mark.parametrize("length", [0, 1, 10**6, 2**63 + 5])
def test_a_header_length_outside_the_file_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(InputError, match="not a whole safetensors file"):
        open_checkpoint(raw(tmp_path / "m", {"x": entry(0, 4, [1])}, b"0" * 4, length))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_is_read_as_a_whole_model(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any prefix of a file is refused; any changed byte of the header is refused or leaves tensors inside the file."""
    folder = tmp_path_factory.mktemp("damage")
    write(folder, WEIGHTS.items())
    whole = (folder / SINGLE).read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    (folder / SINGLE).write_bytes(whole[:cut])
    with pytest.raises(InputError):
        open_checkpoint(folder)
    place = data.draw(st.integers(0, len(whole) - 80))
    changed = bytearray(whole)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    (folder / SINGLE).write_bytes(changed)
    try:
        found = open_checkpoint(folder)
    except InputError:
        return
    for tensor in found.places.values():
        assert 0 <= tensor.offset <= tensor.offset + tensor.size <= len(whole)
    list(found.tensors())


def test_a_file_that_shrinks_after_opening_is_an_error_not_rubbish(tmp_path: Path) -> None:
    write(tmp_path, [("x", torch.ones(1000))])
    found = open_checkpoint(tmp_path)
    with (tmp_path / SINGLE).open("r+b") as stream:
        stream.truncate(2000)
    with pytest.raises(InputError, match="in the middle of a tensor"):
        found.tensor("x")


def sharded(folder: Path, change: dict[str, str]) -> Path:
    write(folder, WEIGHTS.items(), max_shard_bytes=1)
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"].update(change)
    (folder / INDEX).write_text(json.dumps(index))
    return folder


def test_an_index_that_names_a_missing_shard_is_refused(tmp_path: Path) -> None:
    folder = sharded(tmp_path, {})
    next(folder.glob("model-00002-*")).unlink()
    with pytest.raises(InputError, match=r"model-00002.*missing"):
        open_checkpoint(folder)


def test_an_index_must_agree_with_its_shards_and_stay_in_its_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="in no shard"):
        open_checkpoint(sharded(tmp_path / "a", {"ghost": "model-00001-of-00005.safetensors"}))
    with pytest.raises(InputError, match="which the index puts into"):
        open_checkpoint(
            sharded(tmp_path / "b", {"a.weight": "model-00002-of-00005.safetensors", "b.bias": "model-00001-of-00005.safetensors"})
        )
    with pytest.raises(InputError, match="no safetensors file of this folder"):
        open_checkpoint(sharded(tmp_path / "c", {"a.weight": "../c/model-00001-of-00005.safetensors"}))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / INDEX).write_text("{}")
    with pytest.raises(InputError, match="no index of shards"):
        open_checkpoint(tmp_path / "d")


def test_a_folder_without_weights_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model folder"):
        open_checkpoint(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no model"):
        open_checkpoint(tmp_path)
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(InputError, match="no pickled checkpoint that can be read safely"):
        open_checkpoint(tmp_path)


def test_assets_are_copied_byte_for_byte_and_weights_and_records_are_not(tmp_path: Path) -> None:
    start, out = tmp_path / "start", tmp_path / "out"
    write(start, WEIGHTS.items())
    kept = {"config.json": b'{ "rope_theta":  1e5 }\n', "tokenizer.json": b"{}", "chat_template.jinja": b"{{ x }}", "LICENSE": b"\xff\x00"}
    left = ("record.json", "metrics.jsonl", "README.md", "pytorch_model.bin", ".hidden", "model.safetensors.index.json")
    for name, content in kept.items():
        (start / name).write_bytes(content)
    for name in left:
        (start / name).write_bytes(b"x")
    (start / "epochs").mkdir()
    copy_assets(start, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == kept


def test_only_a_wrong_dtype_changes_the_config(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{ "torch_dtype":  "bfloat16", "x": 1 }')
    set_config_dtype(tmp_path, torch.bfloat16)
    assert file.read_text() == '{ "torch_dtype":  "bfloat16", "x": 1 }'
    set_config_dtype(tmp_path, torch.float32)
    assert json.loads(file.read_text()) == {"torch_dtype": "float32", "x": 1}
