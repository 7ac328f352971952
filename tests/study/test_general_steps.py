"""General benchmarks as steps: chosen models and their starts, with the tasks of the study's own folder in the key."""

import pytest

from eutectic.errors import InputError
from eutectic.study.study import Study


@pytest.fixture
def asked(small):
    """A small study that names tasks of its own."""
    (small / "tasks").mkdir()
    (small / "tasks" / "fibres.yaml").write_text("task: fibres\n")
    file = small / "study.yaml"
    file.write_text(
        file.read_text() + 'general:\n  - {models: [instruct/cpt-sft, "grid:*", blend], tasks: [fibres], folder: tasks, limit: 9}\n'
    )
    return small


def steps(folder):
    return {step.address: step for step in Study.load(folder).graph.steps if step.kind == "general"}


def test_the_start_is_measured_too_and_merges_stay_unwritten(asked):
    found = steps(asked)
    merges = ["grid:instruct/cpt-sft-dpo,t=0.5", "grid:instruct/cpt-sft-dpo,t=1.25"]
    assert list(found) == ["instruct", "instruct/cpt-sft", *merges, "blend"]
    (model,) = found["blend"].parents["model"]
    assert not model.written
    assert {step.spec.limit for step in found.values()} == {9}


def test_data_of_the_tasks_are_part_of_the_key_and_the_folders_name_is_not(asked):
    before = {address: step.key for address, step in steps(asked).items()}
    (asked / "tasks").rename(asked / "mine")
    file = asked / "study.yaml"
    file.write_text(file.read_text().replace("folder: tasks", "folder: mine"))
    assert {address: step.key for address, step in steps(asked).items()} == before
    (asked / "mine" / "fibres.jsonl").write_text('{"question": "?"}\n')
    assert not {step.key for step in steps(asked).values()} & set(before.values())


def test_a_folder_without_tasks_is_an_error_with_its_line(asked):
    (asked / "tasks" / "fibres.yaml").unlink()
    with pytest.raises(InputError, match="'tasks' is no folder with task files") as error:
        steps(asked)
    lines = (asked / "study.yaml").read_text().splitlines()
    assert "folder: tasks" in lines[error.value.line - 1]
