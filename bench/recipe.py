"""How the demo's preference settings are chosen: every candidate on the dev pairs, which the report does not tell of.

`python bench/recipe.py FOLDER "orpo: {learning_rate: 2e-4}" "dpo: {epochs: 3}"` trains the demo's chain up to `sft` and from there one
stage for each candidate, which names a stage of the demo and what is changed in it, and prints what each does to dev pairs.
`--start CHECKPOINT` takes an `sft` model that is there already.
"""

import argparse
from pathlib import Path

import yaml

from eutectic import Study
from eutectic.artifacts import LEDGER, read_json
from eutectic.context import Context
from eutectic.demo.assets import fetch
from eutectic.demo.study import write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("candidates", nargs="+", type=yaml.safe_load)
    parser.add_argument("--start", type=Path, help="checkpoint of `instruct/cpt-sft`")
    parser.add_argument("--pairs", type=int, help="training pairs, for the demo's")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    demo = yaml.safe_load(write(asked.folder, fetch(Context()), quick=False).read_text())
    study = {part: demo[part] for part in ("seed", "models", "corpora", "datasets", "stages", "benchmarks")} | {"study": "recipe"}
    named = {f"candidate{number}": candidate for number, candidate in enumerate(asked.candidates, 1)}
    for name, candidate in named.items():
        ((stage, changed),) = candidate.items()
        study["stages"][name] = study["stages"][stage] | changed
    if asked.pairs:
        study["datasets"]["preferences"]["limit"] = asked.pairs
    before = ""
    if asked.start:
        study["models"]["instruct"] = {"path": str(asked.start.resolve())}
    else:
        before = "cpt-sft-"
    study["chains"] = [{"models": ["instruct"], "stages": [before + name for name in named]}]
    file = asked.folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(study))
    opened = Study.load(file)
    opened.run(Context(threads=asked.threads))
    for name, candidate in named.items():
        ledger = read_json(opened.model_folder(f"instruct/{before}{name}") / LEDGER)
        told, change = ledger["dev"], ledger["dev"]["change"]
        print(
            f"{candidate}: dev pairs {told['before']['pair_accuracy']:.3f} -> {told['after']['pair_accuracy']:.3f}, change",
            f"[{change['interval'][0]:+.3f}, {change['interval'][1]:+.3f}], mended {change['mended']}, broken {change['broken']}, margin",
            f"{told['before']['margin']:.2f} -> {told['after']['margin']:.2f} nats; {ledger['tokens']:,} tokens, {ledger['seconds']:.0f} s",
        )


if __name__ == "__main__":
    main()
