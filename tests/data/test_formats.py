"""Rows in the forms people share."""

import json

import pytest

from eutectic.data import formats
from eutectic.errors import InputError

CHAT = [{"role": "user", "content": "What is silk?"}, {"role": "assistant", "content": "A fibre."}]


def write(tmp_path, *rows):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.mark.parametrize(
    "row",
    [
        {"messages": CHAT},
        {"prompt": "What is silk?", "completion": "A fibre."},
        {"prompt": CHAT[:1], "completion": CHAT[1:]},
        {"instruction": "What is silk?", "input": "", "output": "A fibre."},
        {"conversations": [{"from": "human", "value": "What is silk?"}, {"from": "gpt", "value": "A fibre."}]},
        {
            "conversations": [
                {"from": "human", "value": "What is silk?"},
                {"from": "gpt", "value": "A fibre."},
                {"from": "human", "value": "And?"},
            ]
        },
    ],
)
def test_every_form_of_instructions_is_one_chat(tmp_path, row):
    (found,) = formats.read_file(write(tmp_path, row), "instruction")
    assert [message.model_dump() for message in found.messages] == CHAT


def test_alpacas_input_stands_below_the_instruction(tmp_path):
    (found,) = formats.read_file(
        write(tmp_path, {"instruction": "Name the fibre.", "input": "Spiders spin it.", "output": "Silk."}), "instruction"
    )
    assert found.messages[0].content == "Name the fibre.\n\nSpiders spin it."


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"prompt": [{"role": "user", "content": "q"}], "chosen": [{"role": "assistant", "content": "a"}], "rejected": [{"role": "assistant", "content": "b"}]},
        {"chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
         "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]},
    ],
)  # fmt: skip
def test_every_form_of_preferences_is_one_pair(tmp_path, row):
    (found,) = formats.read_file(write(tmp_path, row), "preference")
    assert [message.content for message in (*found.prompt, *found.chosen, *found.rejected)] == ["q", "a", "b"]


def test_parquet_gives_the_rows_of_json_lines(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"messages": CHAT, "source": "web"}, {"messages": [*CHAT, *CHAT], "source": "web"}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    assert formats.read_file(tmp_path / "rows.parquet", "instruction") == formats.read_file(write(tmp_path, *rows), "instruction")
    assert formats.columns(tmp_path / "rows.parquet", "instruction") == "messages; not read: source"
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "rows.parquet").read_bytes()[:100])
    with pytest.raises(InputError, match="no whole Parquet"):
        formats.read_file(tmp_path / "cut.parquet", "instruction")


def test_bad_rows_are_listed_with_their_lines(tmp_path):
    file = write(tmp_path, {"messages": CHAT}, {"messages": CHAT[:1]}, {"text": "x"}, {"conversations": [{"from": "robot", "value": "x"}]})
    with pytest.raises(
        InputError, match=r"rows.jsonl, line 2: is no instruction row: its last turn is not the assistant's and 2 more rows \(lines 3, 4\)"
    ):
        formats.read_file(file, "instruction")


def test_a_pair_must_differ(tmp_path):
    with pytest.raises(InputError, match="are the same"):
        formats.read_file(write(tmp_path, {"prompt": "q", "chosen": "a", "rejected": "a"}), "preference")
