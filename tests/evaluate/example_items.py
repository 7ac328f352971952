"""Benchmarks as artifacts, small and written by hand."""

from pathlib import Path

from eutectic.artifacts import ITEMS, Artifact, write_rows
from eutectic.evaluate import contexts
from eutectic.specs.rows import Item
from eutectic.specs.steps import PLAIN

NAMES = ("collagen", "keratin", "aragonite", "chitin", "elastin", "fibroin", "calcite", "apatite")


def items() -> list[Item]:
    made = []
    for n in range(24):
        options = tuple(NAMES[(n + step) % len(NAMES)] for step in (0, 1, 3, 4))
        split = "dev" if n % 4 == 0 else "test"
        role = "acquired" if n % 2 else "unseen"
        made.append(
            Item(id=f"c{n}", group=f"g{n // 2}", role=role, split=split, question=f"Material {n} is", options=options, answer=n % 4)
        )
    numeric = [
        Item(id=f"n{n}", group=f"e{n}", kind="numeric", question=f"Melting point of {n}?", value=100.0 + n, unit="kelvin") for n in range(4)
    ]
    return [*made, *numeric]


def benchmark(place: Path) -> Artifact:
    folder = place / "benchmark"
    folder.mkdir()
    write_rows(folder / ITEMS, items())
    return Artifact("benchmark", "facts", "k", folder)


def cloze_groups(tokenizer, asked):
    """The options of items after their questions, as the plain prompt asks them."""
    wanted = [contexts.asked(PLAIN, item, (), "b") for item in asked]
    return contexts.groups(tokenizer, PLAIN, "cloze", wanted, [item.options for item in asked])
