"""What continued pretraining forgets, with and without replay, in the demo's setting.

`python bench/forgetting.py FOLDER` writes a study into FOLDER and runs it: SmolLM2-135M-Instruct reads the demo's texts about biological
materials alone, and mixed with general prose (Python's own manual, which comes with the interpreter); a probe follows the perplexity
of held-out documents of both. Every arm reads the same number of tokens. Prints the two curves of each arm.
"""

import argparse
import json
import pydoc_data.topics
from pathlib import Path

from eutectic import Study, report
from eutectic.context import Context
from eutectic.demo.assets import fetch
from eutectic.demo.study import KEYWORDS, write

STUDY = """\
study: forgetting
models: {{instruct: {{path: "{model}"}}}}
corpora:
  materials: {{files: "sources/*.obo", held_out: 0.36, limit: 2200, keywords: [{keywords}]}}
  general: {{files: general.jsonl, held_out: 0.3}}
datasets:
  plain: {{kind: text, mix: [{{corpus: materials}}], wordings: 3}}
  replayed: {{kind: text, mix: [{{corpus: materials}}, {{corpus: general, share: {share}}}], wordings: 3}}
stages:
  cpt: {{objective: cpt, dataset: plain, learning_rate: 2e-4, tokens: {tokens}, batch: 4, sequence: 512, {probe}}}
  replay: {{objective: cpt, dataset: replayed, learning_rate: 2e-4, tokens: {tokens}, batch: 4, sequence: 512, {probe}}}
chains: [{{models: [instruct], stages: [cpt, replay]}}]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokens", type=int, default=60_000)
    parser.add_argument("--share", type=float, default=0.2, help="of general prose in the replayed arm")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    assets = fetch(Context())
    write(asked.folder, assets, quick=False)  # for the sources beside it
    pages = [{"id": name, "text": text} for name, text in pydoc_data.topics.topics.items()]
    (asked.folder / "general.jsonl").write_text("".join(json.dumps(page) + "\n" for page in pages))
    probe = f"probe: {{every: {asked.tokens // 6}, corpora: [materials, general]}}"
    study = STUDY.format(model=assets.model, keywords=KEYWORDS.strip(), tokens=asked.tokens, share=asked.share, probe=probe)
    (asked.folder / "forgetting.yaml").write_text(study)
    opened = Study.load(asked.folder / "forgetting.yaml")
    opened.run(Context(threads=asked.threads))
    for address in ("instruct/cpt", "instruct/replay"):
        rows = [json.loads(line) for line in (opened.model_folder(address) / "metrics.jsonl").read_text().splitlines()]
        for corpus in ("materials", "general"):
            curve = [(row["tokens"], row["perplexity"]) for row in rows if row.get("probe") == corpus]
            print(f"{address:16} {corpus:10}", "  ".join(f"{tokens / 1000:.0f}k {value:.1f}" for tokens, value in curve))
    print(report(opened))


if __name__ == "__main__":
    main()
