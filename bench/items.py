"""Items for `bench/evaluate.py`, made from the demo's ontologies: `python bench/items.py FOLDER ITEMS`; prints where model and items are.

`plain`: a question and four options. `cloze`: the same behind solved examples, 524 tokens that all items share. `letters`: the options
lettered in the question, behind 466 tokens of solved examples. `passages`: `plain` behind some 400 tokens of notes that no other item has.
"""

import json
import sys
from pathlib import Path

from rows import documents

from eutectic.artifacts import DOCUMENTS, ITEMS, Artifact, read_rows
from eutectic.context import Context
from eutectic.data import benchmarks
from eutectic.demo import assets
from eutectic.models import loading
from eutectic.specs.rows import Document, Item
from eutectic.specs.steps import BenchmarkStep

CLOZE, LETTERS, PASSAGE = 524, 466, 400


def main() -> None:
    """Write `TASK.json`: a list of {question, options}."""
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    found = assets.fetch(Context())
    tokenizer = loading.tokenizer(found.model)
    documents(folder / "corpus", found)
    (folder / "benchmark").mkdir(exist_ok=True)
    parents = {"corpus": (Artifact("corpus", "corpus", "", folder / "corpus"),)}
    benchmarks.build(BenchmarkStep(dev=0.1, items=max(count, 200)), parents, folder / "benchmark", Context())
    items = read_rows(folder / "benchmark" / ITEMS, Item)
    test, solved = ([item for item in items if item.split == split] for split in ("test", "dev"))
    notes = iter([document.text for document in read_rows(folder / "corpus" / DOCUMENTS, Document)] * 50)

    def passage() -> str:
        lines, size = [], 0
        while size < PASSAGE:
            lines.append(next(notes))
            size += len(tokenizer(lines[-1])["input_ids"]) + 1
        return "\n".join(lines) + "\n\n"

    def lettered(item: Item) -> str:
        lines = [f"{letter}. {option}" for letter, option in zip("ABCD", item.options, strict=False)]
        return "\n".join([item.question, *lines, "Answer:"])

    def behind(examples: list[str], size: int) -> str:
        """Solved examples cut to a number of tokens."""
        return tokenizer.decode(tokenizer("\n\n".join(examples))["input_ids"][: size - 1]) + "\n\n"

    few_shot = behind([f"{item.question} {item.options[item.answer]}" for item in solved], CLOZE)
    few_letters = behind([f"{lettered(item)} {'ABCD'[item.answer]}" for item in solved], LETTERS)
    tasks = {
        "plain": [(item.question, item.options) for item in test[:200]],
        "cloze": [(few_shot + item.question, item.options) for item in test[:count]],
        "letters": [(few_letters + lettered(item), "ABCD"[: len(item.options)]) for item in test[:count]],
        "passages": [(passage() + item.question, item.options) for item in test[:count]],
    }
    for name, rows in tasks.items():
        (folder / f"{name}.json").write_text(json.dumps([{"question": question, "options": list(options)} for question, options in rows]))
    print(json.dumps({"model": str(found.model), "data": str(folder)}))


if __name__ == "__main__":
    main()
