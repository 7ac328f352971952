from pathlib import Path

import pytest

from eutectic.context import Context
from eutectic.demo import assets
from eutectic.demo.assets import Assets
from eutectic.demo.study import FULL, QUICK, text, write
from eutectic.errors import WorkError
from eutectic.specs.study import StudySpec
from eutectic.store import cache_folder
from eutectic.yaml_file import read_yaml


@pytest.fixture
def found(tmp_path) -> Assets:
    cache = tmp_path / "cache"
    cache.mkdir()
    for name in ("a.obo", "elements.jsonl", "ATTRIBUTION.md"):
        (cache / name).write_text(name)
    return Assets(cache / "model", (cache / "a.obo",), cache / "elements.jsonl", cache / "ATTRIBUTION.md")


@pytest.mark.parametrize("quick", [False, True])
def test_the_study_file_is_a_study(tmp_path, found, quick):
    file = write(tmp_path / "demo", found, quick)
    spec = StudySpec.model_validate(read_yaml(file).value)
    size = QUICK if quick else FULL
    assert spec.corpora["materials"].limit == size.documents
    assert spec.models["instruct"].path == str(found.model)
    assert "extracellular matri" in spec.corpora["materials"].keywords
    assert len(set(spec.corpora["materials"].keywords)) == len(spec.corpora["materials"].keywords)
    assert "$" not in file.read_text()


def test_sources_and_attribution_lie_beside_it(tmp_path, found):
    write(tmp_path / "demo", found, quick=False)
    assert sorted(p.name for p in (tmp_path / "demo" / "sources").iterdir()) == ["ATTRIBUTION.md", "a.obo", "elements.jsonl"]
    (tmp_path / "demo" / "sources" / "a.obo").write_text("changed by the user")
    assert found.ontologies[0].read_text() == "a.obo"


def test_a_changed_study_file_is_kept(tmp_path, found):
    file = write(tmp_path / "demo", found, quick=False)
    file.write_text(text(found.model, FULL) + "# mine\n")
    write(tmp_path / "demo", found, quick=False)
    assert file.read_text().endswith("# mine\n")


def test_a_folder_that_cannot_be_written_is_one_paragraph(tmp_path, found):
    (tmp_path / "demo").write_text("a file in the way")
    with pytest.raises(WorkError, match="cannot be written"):
        write(tmp_path / "demo", found, quick=False)


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("EUTECTIC_CACHE", str(tmp_path / "c"))
    assert cache_folder() == tmp_path / "c"
    monkeypatch.delenv("EUTECTIC_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "eutectic"


def test_a_cache_that_cannot_be_made_is_one_paragraph(monkeypatch, tmp_path):
    (tmp_path / "c").write_text("a file in the way")
    monkeypatch.setenv("EUTECTIC_CACHE", str(tmp_path / "c"))
    with pytest.raises(WorkError, match=r"the cache .* cannot be written"):
        assets.fetch(Context())


def test_a_half_made_folder_is_made_anew(tmp_path):
    def fails(out: Path) -> None:
        (out / "half").write_text("x")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        assets._made(tmp_path / "thing", fails)
    assert not (tmp_path / "thing").exists()
    assert assets._made(tmp_path / "thing", lambda out: (out / "whole").touch()).joinpath("whole").exists()
    assert not (tmp_path / "thing" / "half").exists()
