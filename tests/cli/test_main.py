import re
import subprocess
import sys
from pathlib import Path

import pytest

VERBS = ["demo", "init", "check", "plan", "run", "status", "why", "report", "chat", "merge", "evaluate", "compare", "verify"]


def eutectic(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "eutectic", *arguments], capture_output=True, text=True, cwd=cwd, check=False, timeout=120)


def test_help_names_every_verb() -> None:
    done = eutectic("--help")
    assert done.returncode == 0
    assert all(re.search(rf"\b{verb}\b", done.stdout) for verb in VERBS)


def test_help_imports_neither_torch_nor_numpy() -> None:
    code = "import sys; sys.argv = ['eutectic', '--help']\nfrom eutectic.cli.main import main\ntry: main()\nexcept SystemExit: pass\n"
    code += "print(sorted({'torch', 'numpy', 'transformers', 'pydantic', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    done = eutectic(verb, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_a_missing_study_is_one_paragraph_and_exit_2(tmp_path: Path) -> None:
    done = eutectic("plan", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "study.yaml: there is no such file" in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = eutectic("plan", "--debug", cwd=tmp_path)
    assert "Traceback" in done.stderr


def test_init_writes_a_study_that_loads_and_never_overwrites(tmp_path: Path) -> None:
    assert eutectic("init", cwd=tmp_path).returncode == 0
    again = eutectic("init", cwd=tmp_path)
    assert again.returncode == 2
    assert "is there already" in again.stderr
    from eutectic.study import file

    assert file.load(tmp_path).spec.study == "my_field"


def test_version() -> None:
    from eutectic import __version__

    assert eutectic("--version").stdout.strip() == f"eutectic {__version__}"
