import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GENERATE = runpy.run_path(str(ROOT / "docs" / "generate.py"))


@pytest.mark.parametrize("name", sorted(GENERATE["FILES"]))
def test_generated_documents_are_those_of_the_code(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == GENERATE["FILES"][name](), "run `make docs`"


def test_the_study_in_the_readme_is_valid(tmp_path: Path) -> None:
    from eutectic.specs.study import StudySpec
    from eutectic.yaml_file import read_yaml

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = text.split("```yaml\n")[1].split("```")[0]
    file = tmp_path / "study.yaml"
    file.write_text(block)
    assert StudySpec.model_validate(read_yaml(file).value).study == "silk"


def test_importing_the_package_stays_light_and_public_names_resolve() -> None:
    code = (
        "import sys, eutectic\n"
        "assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "assert all(callable(getattr(eutectic, name)) for name in eutectic.__all__ if not name.startswith('_'))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_links_of_the_readme_lead_somewhere() -> None:
    import re

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", text) if not t.startswith("http")]
    assert targets
    assert all((ROOT / t).exists() for t in targets)
