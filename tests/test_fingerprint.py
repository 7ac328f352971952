import math
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from eutectic import fingerprint
from eutectic.errors import InputError, WorkError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), PLAIN, max_size=6))
def test_order_of_keys_does_not_matter(value: dict) -> None:
    assert fingerprint.canonical_json(value) == fingerprint.canonical_json(dict(reversed(list(value.items()))))


@given(PLAIN)
def test_canonical_form_is_a_fixed_point(value: object) -> None:
    import json

    text = fingerprint.canonical_json(value)
    assert fingerprint.canonical_json(json.loads(text)) == text


def test_a_number_written_as_float_or_integer_is_the_same_number() -> None:
    assert fingerprint.canonical_json({"epochs": 1.0}) == fingerprint.canonical_json({"epochs": 1})
    assert fingerprint.canonical_json(5e-6) == "5e-06"


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, object(), Path("x")])
def test_what_has_no_stable_form_is_refused(value: object) -> None:
    with pytest.raises(WorkError, match="fingerprinted"):
        fingerprint.canonical_json({"a": [value]})


def test_key_depends_on_each_part() -> None:
    base = ("train", 1, {"a": 1}, {"model": ["k"]})
    keys = {
        fingerprint.key(*base),
        fingerprint.key("merge", *base[1:]),
        fingerprint.key("train", 2, *base[2:]),
        fingerprint.key("train", 1, {"a": 2}, base[3]),
        fingerprint.key("train", 1, {"a": 1}, {"model": ["other"]}),
        fingerprint.key("train", 1, {"a": 1}, {"base": ["k"]}),
    }
    assert len(keys) == 6


def test_streams_of_one_seed_differ_by_purpose() -> None:
    seeds = {fingerprint.stream_seed(17, purpose) for purpose in ("order", "dropout", "sampling")}
    assert len(seeds) == 3
    assert all(0 <= s < 2**63 for s in seeds)


def test_file_digest_is_blake3_and_the_cache_sees_a_change(tmp_path: Path) -> None:
    file, cache = tmp_path / "f", tmp_path / "cache" / "digests.json"
    file.write_bytes(b"one")
    digests = fingerprint.DigestCache(cache)
    assert digests.digest(file) == blake3(b"one").hexdigest()
    digests.save()
    again = fingerprint.DigestCache(cache)
    file.write_bytes(b"three")
    assert again.digest(file) == blake3(b"three").hexdigest()


def test_a_torn_cache_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "digests.json").write_text('{"a')
    (tmp_path / "f").write_bytes(b"x")
    assert fingerprint.DigestCache(tmp_path / "digests.json").digest(tmp_path / "f") == blake3(b"x").hexdigest()


def test_folder_digest_sees_names_and_contents_but_neither_record_nor_hidden_files(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("1")
    (folder / "sub" / "b").write_text("2")
    digests = fingerprint.DigestCache()
    first = digests.folder(folder)
    (folder / "record.json").write_text("{}")
    (folder / ".state").mkdir()
    (folder / ".state" / "x").write_text("x")
    assert digests.folder(folder) == first
    (folder / "a").rename(folder / "c")
    assert digests.folder(folder) != first


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        fingerprint.DigestCache().digest(tmp_path / "none")
