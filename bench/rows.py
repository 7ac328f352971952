"""The rows both sides train on, made from the demo's ontologies: questions about a handful of terms beside a few notes.

Run in our environment: `python bench/rows.py FOLDER EXAMPLES` writes `instruction/train.jsonl`, `preference/train.jsonl` (our rows) and
`pairs.jsonl` (the same as plain text, for the peer: prompt as the chat template writes it, answers closed by the stop token).
"""

import hashlib
import itertools
import json
import sys
from pathlib import Path

from eutectic.artifacts import DOCUMENTS, Artifact, read_rows
from eutectic.context import Context
from eutectic.data import corpus
from eutectic.demo import assets
from eutectic.demo.study import KEYWORDS
from eutectic.models import chat_template, loading
from eutectic.specs.rows import Document, Message
from eutectic.specs.steps import CorpusStep

MOST_NOTES, MOST_TERMS = 7, 5


def drawn(name: str, count: int) -> int:
    """A number below `count` that depends on `name` alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % count


def documents(folder: Path, found: assets.Assets) -> list[Document]:
    """Terms of the demo's corpus in an order that hangs on their ids."""
    folder.mkdir(parents=True, exist_ok=True)
    words = tuple(word.strip() for word in KEYWORDS.split(","))
    files = tuple(Artifact("file", file.name, "", file) for file in found.ontologies)
    corpus.build(CorpusStep(keywords=words, limit=2200), {"files": files}, folder, Context())
    terms = [document for document in read_rows(folder / DOCUMENTS, Document) if document.term is not None]
    return sorted(terms, key=lambda document: hashlib.sha256(document.id.encode()).digest())


def pairs(terms: list[Document]):
    """Question, right and wrong answer: one to five terms are asked for, up to seven others stand in the notes."""
    ring = itertools.cycle(terms)
    for number in itertools.count():
        notes = [next(ring) for _ in range(drawn(f"notes {number}", MOST_NOTES + 1))]
        asked = [next(ring) for _ in range(1 + drawn(f"terms {number}", MOST_TERMS))]
        wrong = [next(ring) for _ in asked]
        lines = [f"- {term.text}" for term in notes]
        names = ", ".join(term.title for term in asked)
        question = "\n".join([*(["Notes:", *lines, ""] if lines else []), f"Explain in one sentence each: {names}."])
        right = "\n".join(f"{one.title}: {one.term.definition}" for one in asked)
        other = "\n".join(f"{one.title}: {two.term.definition}" for one, two in zip(asked, wrong, strict=True))
        yield question, right, other


def write(folder: Path, count: int) -> None:
    """`count` rows of every kind, none longer than 1,000 tokens; prints the lengths."""
    found = assets.fetch(Context())
    tokenizer = loading.tokenizer(found.model)
    lengths = []
    for kind in ("instruction", "preference"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    with (
        (folder / "instruction/train.jsonl").open("w") as instructions,
        (folder / "preference/train.jsonl").open("w") as preferences,
        (folder / "pairs.jsonl").open("w") as plain,
    ):
        for number, texts in enumerate(pairs(documents(folder / "corpus", found))):
            user, right, wrong = (Message(role=r, content=t) for r, t in zip(("user", "assistant", "assistant"), texts, strict=True))
            prompt, chosen = chat_template.continuation(tokenizer, [user], [right])
            _, rejected = chat_template.continuation(tokenizer, [user], [wrong])
            if len(prompt) + max(len(chosen), len(rejected)) > 1000:
                continue
            common = {"id": f"row{number}", "source_ids": [], "group": str(number)}
            messages = [message.model_dump() for message in (user, right, wrong)]
            instructions.write(json.dumps(common | {"messages": messages[:2]}) + "\n")
            preferences.write(json.dumps(common | {"prompt": messages[:1], "chosen": messages[1:2], "rejected": messages[2:]}) + "\n")
            plainly = {name: tokenizer.decode(ids) for name, ids in {"prompt": prompt, "chosen": chosen, "rejected": rejected}.items()}
            plain.write(json.dumps(plainly) + "\n")
            lengths.append((len(prompt), len(chosen), len(rejected)))
            if len(lengths) == count:
                break
    columns = [sorted(column) for column in zip(*lengths, strict=True)]
    facts = {
        n: {"median": c[count // 2], "least": c[0], "most": c[-1]} for n, c in zip(("prompt", "chosen", "rejected"), columns, strict=True)
    }
    means = {n: sum(c) / count for n, c in zip(facts, columns, strict=True)}
    (folder / "lengths.json").write_text(json.dumps(means))
    print(json.dumps({"model": str(found.model), "lengths": facts, "rows": count}))


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
