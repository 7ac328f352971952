"""The demo's study: a commented study file and its sources, in a folder of the user's."""

from __future__ import annotations

import shutil
import textwrap
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from eutectic.demo.assets import Assets
from eutectic.errors import WorkError

# The strict core of biological materials: tissues, their substances and their minerals. Word starts, so `chitin` finds `chitinous`.
KEYWORDS = """
collagen, silk, keratin, chitin, cuticl, mineral, biomineral, bone, bony, enamel, dentin, cellulos, lignin, lignif,
cartilag, shell, tendon, ligament, feather, antler, tooth, teeth, dental, nacre, aragonit, calcit, apatit, elastin,
fibroin, xylem, exoskelet, endoskelet, spicul, ossif, osteo, chondro, chondral, extracellular matri, proteoglycan,
glycosaminoglycan, pectin, cell wall, suberin, fascia, connective tissue, dermis, dermal, epiderm, byssus, carapace,
hair, scale, scute, claw, nail, hoof, horn, wood, vertebra, phalan, suture, beak, fin ray, skeletal element, skeletal
tissue, skin, fibrous, fibril, joint, spine, cranial, mandib, maxilla, femur, tibia, sternum, bristle, seta, eggshell,
egg coat, mucus, wax, cutaneous, integument, periost, trabecul, myofib, sclera, gelatin
"""


@dataclass(frozen=True)
class Size:
    """How much data a demo takes: documents, benchmark items, rows and passes."""

    study: str
    documents: int
    held_out: float
    wordings: int
    items: int
    quantities: int
    greedy: int
    instructions: int
    element_questions: int
    pairs: int
    talkers: str  # models that hold the conversation
    painters: str  # models that write image prompts


FULL = Size(
    study="biomaterials",
    documents=2200,
    held_out=0.36,
    wordings=3,
    items=1000,
    quantities=200,
    greedy=100,
    instructions=600,
    element_questions=240,
    pairs=560,
    talkers='["*", "*/*"]',
    painters='[instruct, instruct/cpt, instruct/cpt-sft-dpo, "paper:instruct/cpt-sft-dpo"]',
)
QUICK = Size(
    study="biomaterials_quick",
    documents=260,
    held_out=0.4,
    wordings=2,
    items=40,
    quantities=30,
    greedy=6,
    instructions=48,
    element_questions=40,
    pairs=32,
    talkers="[instruct, instruct/cpt-sft-dpo]",
    painters='[instruct, "paper:instruct/cpt-sft-dpo"]',
)


def write(folder: Path, assets: Assets, quick: bool) -> Path:
    """Write `study.yaml` (`quick.yaml` for the short one) and `sources/` into `folder`; return the study file.

    A study file that is there already stays as it is, with whatever the user changed. Raises `WorkError` where the folder
    cannot be written.
    """
    file = folder / ("quick.yaml" if quick else "study.yaml")
    try:
        sources = folder / "sources"
        sources.mkdir(parents=True, exist_ok=True)
        for source in (*assets.ontologies, assets.elements, assets.attribution):
            _bring(source, sources / source.name)
        if not file.exists():
            file.write_text(text(assets.model, QUICK if quick else FULL), encoding="utf-8")
    except OSError as error:
        raise WorkError(
            f"the demo's folder {folder} cannot be written ({error.strerror or error})", remedy="Name another folder."
        ) from error
    return file


def text(model: Path, size: Size) -> str:
    """The study file as text."""
    template = Template(files("eutectic.demo").joinpath("study.template.yaml").read_text(encoding="utf-8"))
    keywords = textwrap.indent(f"[{KEYWORDS.strip()}]", " " * 6)
    return template.substitute(asdict(size), model=model.as_posix(), keywords=keywords)


def _bring(source: Path, target: Path) -> None:
    """A copy of a source file; no link, or an edit in the study's folder would reach the cache."""
    if not target.exists() or target.stat().st_size != source.stat().st_size:
        shutil.copyfile(source, target)
