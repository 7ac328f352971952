"""General benchmarks: the numbers of lm-evaluation-harness's own command line, for a folder and for a merge that was never written."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eutectic.artifacts import SAMPLES, SUMMARY, Artifact, read_json, read_rows
from eutectic.context import Context
from eutectic.errors import InputError
from eutectic.evaluate import general
from eutectic.merge import stream
from eutectic.specs.rows import GeneralSample
from eutectic.specs.steps import GeneralStep, MergeStep

ROOT = Path(__file__).parents[2]
TASK = """task: fibres
dataset_path: json
dataset_kwargs: {data_files: {test: fibres.jsonl, train: shots.jsonl}}
test_split: test
fewshot_split: train
output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: "{{options}}"
doc_to_target: answer
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
metadata: {version: 3.0}
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    options = ["collagen", "keratin of wool", "silk", "a mineral of bone"]
    rows = [{"question": f"Which fibre is number {n}?", "options": options, "answer": n % 4} for n in range(24)]
    (folder / "fibres.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:20]))
    (folder / "shots.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[20:]))
    (folder / "fibres.yaml").write_text(TASK)
    (folder / "elsewhere.yaml").write_text("task: elsewhere\n" + TASK.partition("\n")[2].replace("json\n", "nobody/nothing\n", 1))
    return folder


@pytest.fixture(scope="module")
def measured(tmp_path_factory, tasks, tiny, tiny_other) -> Path:
    python = os.environ.get("EUTECTIC_ORACLE_PYTHON")
    if not python:
        pytest.skip("EUTECTIC_ORACLE_PYTHON names no oracle environment")
    out = tmp_path_factory.mktemp("general")
    bare = Path(shutil.copytree(tiny, out / "without_template"))
    (bare / "chat_template.jinja").unlink()
    linear, base = MergeStep(method="linear", parameters={"t": 0.5}), Artifact("checkpoint", "base", "b", tiny)
    (out / "written").mkdir()
    stream.build(linear, {"base": (base,), "models": (Artifact("checkpoint", "o", "o", tiny_other),)}, out / "written", Context())
    job = {"base": str(tiny), "other": str(tiny_other), "tasks": str(tasks), "out": str(out), "bare": str(bare)}
    (out / "job.json").write_text(json.dumps(job))
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(out / "hub"),
        "OMP_NUM_THREADS": "1",
    }
    script = str(Path(__file__).with_name("run_general.py"))
    done = subprocess.run([python, script, str(out / "job.json")], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "it/s" not in done.stderr, "a bar of the harness is shown"
    assert done.stdout == ""
    for name, model in (("base", tiny), ("merge", out / "written")):
        command = [python, "-m", "lm_eval", "--model", "hf", "--model_args", f"pretrained={model},dtype=float32", "--tasks", "fibres",
                   "--include_path", str(tasks), "--num_fewshot", "1", "--device", "cpu", "--batch_size", "8",
                   "--output_path", str(out / f"{name}.json")]  # fmt: skip
        peer = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tasks, check=False)
        assert peer.returncode == 0, peer.stderr[-3000:]
    return out


@pytest.mark.oracle
@pytest.mark.parametrize("model", ["base", "merge"])
def test_the_numbers_are_those_of_the_command_line(measured: Path, model: str) -> None:
    (file,) = measured.glob(f"**/{model}*.json")
    peer = json.loads(file.read_text())
    ours = read_json(measured / model / SUMMARY)
    task = ours["tasks"]["fibres"]
    assert (task["version"], task["shots"], task["items"]) == (3.0, 1, 20)
    assert ours["lm_eval"] == peer["lm_eval_version"]
    assert ours["asked"] == {"fibres": ["fibres"]}
    for metric in ("acc", "acc_norm"):
        assert task["metrics"][f"{metric},none"]["value"] == pytest.approx(peer["results"]["fibres"][f"{metric},none"], abs=1e-6)
        assert task["metrics"][f"{metric},none"]["stderr"] == pytest.approx(peer["results"]["fibres"][f"{metric}_stderr,none"], abs=1e-6)
    rows = read_rows(measured / model / SAMPLES, GeneralSample)
    assert len({row.question for row in rows}) == 20
    assert sum(row.values["acc,none"] for row in rows) / 20 == pytest.approx(task["metrics"]["acc,none"]["value"])


@pytest.mark.oracle
def test_what_cannot_be_measured_is_told_in_a_paragraph(measured: Path) -> None:
    told = read_json(measured / "told.json")
    assert "Did you mean fibres" in told["unknown"]
    assert "the hub cannot be reached" in told["offline"]
    assert told["context"].startswith("bare: has no chat template")


@pytest.mark.skipif("lm_eval" in sys.modules, reason="the harness is here")
def test_without_the_harness_the_command_that_installs_it_is_told() -> None:
    pytest.importorskip("eutectic.evaluate.general")
    try:
        import lm_eval  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match=r"pip install 'eutectic\[general\]'"):
            general.check(GeneralStep(tasks=("arc_easy",)), {})
    else:
        pytest.skip("the harness is installed here")
