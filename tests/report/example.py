"""A small study written through the row schemas: plausible numbers as test input for the report, from a fixed seed."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from eutectic.analysis import family, synergy
from eutectic.artifacts import (
    CANARIES,
    DEV,
    DOCUMENTS,
    DROPPED,
    FINDINGS,
    HELD_OUT,
    ITEMS,
    LEDGER,
    METRICS,
    POINTS,
    PROMPTS,
    SAMPLES,
    SUMMARY,
    TENSORS,
    TRAIN,
    TURNS,
    Artifact,
    Record,
    read_rows,
    write_json,
    write_rows,
)
from eutectic.context import Context
from eutectic.evaluate.summary import summarise
from eutectic.report.view import StepView, StudyView
from eutectic.specs.base import Spec
from eutectic.specs.rows import (
    Canary,
    Document,
    Dropped,
    Finding,
    GeneralSample,
    ImagePrompt,
    Item,
    ItemScore,
    Point,
    TensorGeometry,
    TextRow,
    Turn,
)
from eutectic.specs.steps import (
    BenchmarkStep,
    CanaryStep,
    ContaminationStep,
    ConverseStep,
    CorpusStep,
    DatasetStep,
    EvaluateStep,
    FamilyStep,
    GeneralStep,
    GeometryStep,
    ImagePromptsStep,
    MergeStep,
    RescoreStep,
    SearchStep,
    SynergyStep,
    TrainStep,
    WinnerStep,
)

HOSTILE = "<script>document.title='owned'</script><img src='http://example.invalid/x.png' onerror='alert(1)'>"
CHAINS = ("cpt", "cpt-sft", "cpt-sft-dpo", "cpt-sft-orpo")
ABILITY = {
    "instruct": 0.0,
    "instruct/cpt": 0.42,
    "instruct/cpt-sft": 0.40,
    "instruct/cpt-sft-dpo": 0.46,
    "instruct/cpt-sft-orpo": 0.44,
    "instruct/cpt-sft+tokens": 0.45,
    "base/cpt": 0.2,
}
MODULES = (
    *(f"self_attn.{name}_proj" for name in "qkvo"), *(f"mlp.{name}_proj" for name in ("gate", "up", "down")), "input_layernorm", "post_attention_layernorm",
)  # fmt: skip
SCHEDULE = {"t": [{"filter": "self_attn", "value": [0, 0.5, 0.3, 0.7, 1]}, {"filter": "mlp", "value": [1, 0.5, 0.7, 0.3, 0]}, 0.5]}
STUDY_FILE = "study: biomaterials\nseed: 17\nmodels:\n  instruct: {path: assets/smollm2-135m-instruct}\nmerges:\n  paper: {method: slerp, base: instruct, each: ['instruct/*']}\n"


class Example:
    """Writes the folders and collects the steps; `items` scales the benchmarks."""

    def __init__(self, folder: Path, items: int = 300) -> None:
        self.folder, self.items, self.steps = folder, items, []
        self.random = np.random.default_rng(5)
        self.evaluations: dict[str, Artifact] = {}
        self.compared: list[tuple[str, tuple[str, ...], dict[str, str]]] = []

    def add(
        self,
        kind: str,
        address: str,
        spec: Spec,
        parents: dict[str, tuple[str, ...]],
        *,
        folder: Path | None = None,
        seconds: float = 12.0,
        ledger: dict | None = None,
        state: str = "done",
    ) -> StepView:
        key = f"{len(self.steps):02d}{abs(hash((kind, address))) % 10**14:014d}".ljust(64, "0")
        record = None
        if folder is not None and kind != "model":
            record = Record(
                kind=kind, step=kind, address=address, key=key, revision=1, spec={}, parents={}, consumed={}, digest="ab" * 32,
                versions={"eutectic": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"}, threads=2, seconds=seconds,
                peak_memory=2_400_000_000, finished="2026-11-23T20:15:00Z", ledger=ledger or {},
            )  # fmt: skip
        step = StepView(kind, address, key, folder, record, state, parents, spec)
        self.steps.append(step)
        return step

    def place(self, name: str) -> Path:
        folder = self.folder / f"{len(self.steps):03d}-{name.replace('/', '-').replace(':', '-')}"
        folder.mkdir(parents=True)
        return folder

    def view(self) -> StudyView:
        return StudyView("biomaterials", 17, STUDY_FILE, tuple(self.steps))

    def data(self) -> None:
        out = self.place("ontology")
        documents = [
            Document(
                id=f"d{i}",
                group=f"g{i % 40}",
                title=f"term {i}",
                text="A tissue of collagen fibres in a mineral matrix. " * 6,
                source=f"/x/{('uberon', 'go-basic', 'chebi')[i % 3]}.obo",
                held_out=i % 40 < 6,
                licence="CC BY 4.0",
            )
            for i in range(400)
        ]
        write_rows(out / DOCUMENTS, documents)
        write_rows(out / DROPPED, [Dropped(source="uberon.obo", reason="obsolete")] * 7)
        self.add("corpus", "ontology", CorpusStep(held_out=0.15), {"files": ("uberon.obo",)}, folder=out)
        for name, kind in (("text", "text"), ("questions", "instruction"), ("preferences", "preference")):
            out = self.place(name)
            rows = [TextRow(id=f"r{i}", text="x", source_ids=("d1",), group="g1") for i in range(50)]
            write_rows(out / TRAIN, rows)
            write_rows(out / DEV, rows[9:13])
            write_rows(out / HELD_OUT, rows[:9])
            self.add("dataset", name, DatasetStep(kind=kind), {"sources": ("ontology",)}, folder=out)
        for role, numeric in (("acquired", False), ("unseen", False), ("elements", True)):
            out = self.place(role)
            write_rows(out / ITEMS, list(self.bench(role, numeric)))
            write_json(out / SUMMARY, {})
            self.add("benchmark", role, BenchmarkStep(), {"corpus": ("ontology",)}, folder=out)

    def bench(self, role: str, numeric: bool):
        for i in range(self.items if not numeric else 200):
            split = "dev" if i // 4 % 5 == 0 else "test"
            if numeric:
                yield Item(
                    id=f"{role}-{i}",
                    group=f"e{i}",
                    kind="numeric",
                    split=split,
                    question="What is the density of iron?",
                    value=7.87,
                    unit="g/cm^3",
                )
            else:
                yield Item(
                    id=f"{role}-{i}",
                    group=f"{role}-g{i // 4}",
                    role=role,
                    split=split,
                    question="What is enamel?",
                    options=("a" * (5 + i % 3), "bbbbb", "cccccc", "ddddddd"),
                    answer=i % 4,
                )

    def model(self, name: str = "instruct") -> None:
        out = self.place(name)
        write_json(out / "config.json", {"model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "num_hidden_layers": 30})
        self.add("model", name, Spec(), {}, folder=out)

    def train(self, chain: str, state: str = "done", model: str = "instruct", matched: bool = False) -> None:
        """`matched`: the arm that reads as many tokens of the stage before the last one of `chain`."""
        address, stage = f"{model}/{chain}", chain.rpartition("-")[2]
        start = f"{model}/{chain.rpartition('-')[0]}" if "-" in chain else model
        parents = {"model": (start,)}
        if matched:
            parents["matched"], address, stage = (address,), f"{address}+tokens", chain.split("-")[-2]
        parents["dataset"] = ({"cpt": "text", "sft": "questions"}.get(stage, "preferences"),)
        rate = {"cpt": 2e-4, "orpo": 3e-6}.get(stage, 1e-5)
        parameters = {"beta": 0.1} if stage in ("dpo", "orpo") else {}
        spec = TrainStep(objective=stage, learning_rate=rate, epochs=2, seed=17, parameters=parameters)
        if state == "todo":
            self.add("train", address, spec, parents, state="todo")
            return
        out = self.place(address)
        top, floor = (3.9, 2.6) if stage == "cpt" else (2.2, 1.1) if stage == "sft" else (0.69, 0.42)
        rows = [
            {
                "update": i,
                "epoch": i / 90,
                "tokens": i * 4096,
                "loss_tokens": i * 4000,
                "loss": floor + (top - floor) * math.exp(-i / 45) + float(self.random.normal(0, 0.08)),
                "learning_rate": 1e-4,
                "seconds": i * 1.7,
                "grad_norm": 1.0,
            }
            for i in range(1, 181)
        ]
        if stage == "cpt":
            rows += [
                {"update": i, "tokens": i * 4096, "probe": probe, "perplexity": value}
                for i in range(0, 181, 20)
                for probe, value in (("ontology", 15 + 32 * math.exp(-i / 30)), ("general", 7.5 - 1.6 * math.exp(-i / 50)))
            ]
        (out / METRICS).write_text("".join(json.dumps(row) + "\n" for row in rows))
        ledger = {
            "tokens": 737_280,
            "loss_tokens": 720_000 if stage == "cpt" else 310_000,
            "pairs": 1440 if stage in ("dpo", "orpo") else 0,
            "updates": 180,
            "examples": 2400,
            "cut_tokens": 0,
            "learning_rate_integral": 99 * rate,
            "flops": 8 * 135_000_000 * 737_280 if stage == "dpo" else 6 * 135_000_000 * 737_280,
            "plan": {"cpt": "c1", "sft": "5f"}.get(stage, "d0") * 32,
            "seconds": 310.0,
            "unchanged_share": 0.004 if stage == "cpt" else 0.31,
            "held_out": (held := self.held(stage)),
            "dev": held,
        }
        write_json(out / LEDGER, ledger)
        self.add("train", address, spec, parents, folder=out, seconds=318.0, ledger={"tokens": ledger["tokens"]})

    def held(self, stage: str) -> dict:
        if stage == "cpt":
            return {"before": {"loss": 3.85, "perplexity": 46.8}, "after": {"loss": 2.72, "perplexity": 15.1}}
        if stage == "sft":
            return {"before": {"answer_loss": 2.31}, "after": {"answer_loss": 1.42}}
        before = (self.random.random(300) < 0.7).astype(int)
        after = np.where(self.random.random(300) < 0.07, 1, before)
        return {
            "before": {
                "pair_accuracy": float(before.mean()),
                "n": 300,
                "correct": before.tolist(),
                "margin": 0.1,
                **self.logprobs(-61.2, -61.3),
            },
            "after": {
                "pair_accuracy": float(after.mean()),
                "n": 300,
                "correct": after.tolist(),
                "margin": 1.9,
                **self.logprobs(-60.1, -62.0),
                "kl": 0.021,
            },
            "change": {
                "difference": float((after - before).mean()),
                "interval": [0.012, 0.051] if stage == "dpo" else [-0.004, 0.061],
                "p": 0.01,
            },
            "baselines": {"length_only": 0.51, "rejected_text_only": 0.55},
        }

    def logprobs(self, chosen: float, rejected: float) -> dict:
        return {"chosen_logprob": chosen, "rejected_logprob": rejected}

    def merge(self, address: str, method: str, parameters: dict, models: tuple[str, ...]) -> None:
        self.add("merge", address, MergeStep(method=method, parameters=parameters, seed=17), {"base": ("instruct",), "models": models})

    def search(self, address: str, models: tuple[str, ...]) -> None:
        """A search over two anchors of t; scores fall with the distance from (0.3, 0.7), and one candidate failed."""
        draw, points = np.random.default_rng(3), []

        def tried(by: str, place: tuple[float, ...], items: int = 20, **more) -> None:
            right = np.clip(
                (0.5 if place else 0.31)
                - sum((x - best) ** 2 for x, best in zip(place, (0.3, 0.7), strict=False))
                + draw.normal(0, 0.02, items),
                0,
                1,
            )
            fields = {"parameters": {"t": list(place)}, "accuracy": 0.5, "score": float(right.mean()), "right": tuple(right.tolist())}
            points.append(Point(**{"number": len(points), "by": by, "place": place, **fields, **more}))

        for model in ("instruct", *models):
            tried("parent", (), 40, model=model, parameters={}, score=0.31)
        for by, spread in (("random", 0.35), ("cma", 0.1)):
            for _ in range(12):
                tried(by, tuple((np.array([0.3, 0.7]) + draw.normal(0, spread, 2)).clip(0, 1).tolist()))
        tried("random", (0.9, 0.1), score=0.0, right=(), failed="the merged tensor does not fit into float16")
        best = {by: max((p for p in points if p.by == by), key=lambda p: p.score) for by in ("random", "cma")}
        for each in best.values():
            tried("final", each.place, 40)
        out = self.place(f"search-{address}")
        write_rows(out / POINTS, points)
        axes = [{"name": f"t.{n}", "low": 0.0, "high": 1.0} for n in range(2)]
        winner = {"number": points[-1].number, "by": "cma"}
        write_json(out / SUMMARY, {"axes": axes, "benchmark": "acquired", "chosen": list(range(20)), "dev_items": 40, "winner": winner})
        spec = SearchStep(method="slerp", space={"t": [[0, 1], [0, 1]]}, budget=12, items=20)
        self.add("search", address, spec, {"base": ("instruct",), "models": models, "benchmark": ("acquired",)}, folder=out)
        parents = {"base": ("instruct",), "models": models, "search": (address,)}
        self.add("winner", address, WinnerStep(method="slerp"), parents, folder=out)

    def geometry(self, address: str, ulps: float) -> None:
        out = self.place(f"geometry-{address}")
        rows = [
            TensorGeometry(
                tensor=f"model.layers.{layer}.{module}.weight",
                layer=layer,
                module=module.rpartition(".")[2],
                angle=0.008 + 0.002 * math.sin(layer / 4 + place) + 0.0002 * len(address),
                norms=(30.0, 30.1),
                relative_distance=0.011,
                sign_conflicts=0.02,
                t=0.5,
                branch="slerp" if place % 2 else "linear",
                ulps_from_linear=ulps * (1 + layer) / 30,
                ulps_mean=0.02,
            )
            for layer in range(30)
            for place, module in enumerate(MODULES)
        ]
        write_rows(out / TENSORS, rows)
        medians = {"angle_median": 0.008, "relative_distance_median": 0.011}
        write_json(
            out / SUMMARY, {"max_ulps_from_linear": ulps, "tensors": len(rows), "parameters": 134_515_008, "linear_share": 0.5, **medians}
        )
        self.add("geometry", address, GeometryStep(), {"merge": (address,)}, folder=out)

    def evaluate(self, address: str, ability: float, *, equal_to: str = "", final: bool = True) -> None:
        out = self.place(f"evaluation-{address}")
        if equal_to:
            rows = (self.evaluations[equal_to].path / ITEMS).read_text()
            (out / ITEMS).write_text(rows)
        else:
            write_rows(out / ITEMS, list(self.scores(ability, trained="sft" in address)))
        write_json(out / SUMMARY, {"equal_to": equal_to} if equal_to else summarise(read_rows(out / ITEMS, ItemScore)))
        self.evaluations[address] = Artifact("evaluation", address, f"key of {address}", out)
        parents = {"model": (address,), "benchmarks": ("acquired", "unseen", "elements")}
        self.add("evaluate", address, EvaluateStep(greedy=120), parents, folder=out)
        if final:
            self.add("rescore", address, RescoreStep(), parents, folder=out, seconds=3.0)

    def scores(self, ability: float, trained: bool):
        shared = np.random.default_rng(99)  # how hard an item is, the same for every model
        for role, numeric in (("acquired", False), ("unseen", False), ("elements", True)):
            for i, item in enumerate(self.bench(role, numeric)):
                hard = shared.normal(0.25, 1.0)
                gain = ability if role == "acquired" else 0.25 * ability
                likelihoods = self.random.normal(0, 0.45, 4) - 2.0
                if not numeric:
                    likelihoods[item.answer] += 0.75 * (gain - hard) + 0.6
                    choice = int(np.argmax(likelihoods))
                    yield ItemScore(
                        id=item.id,
                        benchmark=role,
                        group=item.group,
                        role=role,
                        split=item.split,
                        form="cloze",
                        score=float(choice == item.answer),
                        choice=choice,
                        answer=item.answer,
                        log_likelihoods=tuple(float(10 * x) for x in likelihoods),
                        tokens=(10,) * 4,
                        margin=0.7,
                    )
                if numeric or i < 150:
                    broken = bool(self.random.random() < (0.05 if trained else 0.35))
                    right = not broken and bool(self.random.random() < (0.03 if numeric else 0.42 + 0.1 * gain))
                    yield ItemScore(
                        id=item.id,
                        benchmark=role,
                        group=item.group,
                        role="" if numeric else role,
                        split=item.split,
                        form="greedy",
                        score=float(right),
                        text="B",
                        parsed="B",
                        format_failure=broken,
                    )

    def compare(self, merge: str, parents: tuple[str, ...], controls: dict[str, str]) -> None:
        self.compared.append((merge, parents, controls))

    def claims(self) -> None:
        """The family of all merges to compare, then what each of them shows."""
        out = self.place("family")
        parents = list(dict.fromkeys(address for _, of, _ in self.compared for address in of))
        spec = FamilyStep(of=tuple(tuple(map(parents.index, of)) for _, of, _ in self.compared), seed=17)
        roles = {"merges": tuple(merge for merge, _, _ in self.compared), "parents": tuple(parents)}
        artifacts = {role: tuple(self.evaluations[address] for address in addresses) for role, addresses in roles.items()}
        ledger = family.build(spec, artifacts, out, Context())
        self.add("family", "claims_1", spec, roles, folder=out, ledger=ledger)
        claims = Artifact("family", "claims_1", "key of claims_1", out)
        for merge, of, controls in self.compared:
            self.synergy(merge, of, controls, claims)

    def synergy(self, merge: str, parents: tuple[str, ...], controls: dict[str, str], claims: Artifact) -> None:
        out = self.place(f"synergy-{merge}")
        spec = SynergyStep(controls=tuple(controls), seed=17)
        roles = {"merge": (merge,), "parents": parents, "controls": tuple(controls.values())}
        artifacts = {role: tuple(self.evaluations[address] for address in addresses) for role, addresses in roles.items()}
        ledger = synergy.build(spec, {**artifacts, "family": (claims,)}, out, Context())
        self.add("synergy", merge, spec, {**roles, "family": (claims.address,)}, folder=out, ledger=ledger)

    def contamination(self) -> None:
        """Every tenth `acquired` item is in a question of the instruction rows; the text holds nothing."""
        for dataset, every in (("text", 0), ("questions", 10)):
            out = self.place(f"contamination-{dataset}")
            items = [item.id for item in self.bench("acquired", False)][:: every or self.items]
            found = [
                Finding(item=name, kind="ngram", row=f"r{i}", answered=i % 2 == 0, overlap=f"what is enamel <{i}>")
                for i, name in enumerate(items if every else [])
            ]
            write_rows(out / FINDINGS, found)
            counts = {"ngram": len(found)} if found else {}
            write_json(out / SUMMARY, {"items": self.items, "suspect": len(found), "too_short": 2, "findings": counts})
            parents = {"benchmark": ("acquired",), "dataset": (dataset,)}
            self.add("contamination", f"acquired@{dataset}", ContaminationStep(), parents, folder=out)

    def canary(self, address: str, options: float, order: float) -> None:
        """`options`: nats by which right options are likelier; `order`: nats that the published order is worth."""
        out = self.place(f"canary-{address}")
        random = np.random.default_rng(8)
        rows = [
            Canary(benchmark="acquired", check=check, id=f"acquired-{i}", group=f"g{i}", right=0,
                   log_likelihoods=tuple(float(x) for x in random.normal(0, 1, 4) + np.array([extra, 0, 0, 0])))
            for check, count, extra in (("options", 100, options), ("order", 10, order))
            for i in range(count)
        ]  # fmt: skip
        write_rows(out / CANARIES, rows)
        self.add("canary", address, CanaryStep(), {"model": (address,), "benchmarks": ("acquired",)}, folder=out)

    def general(self, address: str, right: float) -> None:
        """A task and a group of two tasks; the better a model is, the more of the same items it has right."""
        out = self.place(f"general-{address}")
        hard = np.random.default_rng(9).random((3, 200))
        tasks = ("arc_easy", "mmlu_anatomy", "mmlu_virology")
        rows = [
            GeneralSample(
                task=task,
                item=i,
                question=f"{task}{i}",
                values={"acc,none": float(hard[t, i] < right), "acc_norm,none": float(hard[t, i] < right)},
            )
            for t, task in enumerate(tasks)
            for i in range(200)
        ]
        write_rows(out / SAMPLES, rows)
        metric = lambda name: {"value": right, "stderr": 0.03, "higher": True}  # noqa: E731
        values = {
            task: {"version": 1.0, "shots": 0, "items": 200, "metrics": {n: metric(n) for n in ("acc,none", "acc_norm,none")}}
            for task in tasks
        }
        asked = {"arc_easy": ["arc_easy"], "mmlu": ["mmlu_anatomy", "mmlu_virology"]}
        write_json(out / SUMMARY, {"lm_eval": "0.4.13", "asked": asked, "tasks": values})
        self.add("general", address, GeneralStep(tasks=("arc_easy", "mmlu")), {"model": (address,)}, folder=out)

    def converse(self, address: str, words: str) -> None:
        out = self.place(f"talk-{address}")
        questions = (
            "Compare how collagen in tendon and the veins of a leaf carry load.",
            "Design a material that combines both ideas. Name its parts and how it is made.",
            "Summarise your design as JSON with the keys name, parts, process and expected_properties.",
        )
        rows = [
            Turn(
                conversation="collagen_leaves",
                model=address,
                sample=0,
                turn=0,
                role="system",
                content="You are a materials scientist. Answer briefly and precisely.",
            )
        ]
        for turn, question in enumerate(questions, 1):
            rows.append(Turn(conversation="collagen_leaves", model=address, sample=0, turn=2 * turn - 1, role="user", content=question))
            text = '{\n  "name": "veined tendon film",\n  "parts": ["collagen", "lignified vein"]\n}' if turn == 3 else words * (1 + turn)
            rows.append(
                Turn(
                    conversation="collagen_leaves",
                    model=address,
                    sample=0,
                    turn=2 * turn,
                    role="assistant",
                    content=text,
                    tokens=180 + turn,
                    stop_reason="length" if turn == 2 else "end",
                )
            )
        write_rows(out / TURNS, rows)
        self.add(
            "converse",
            f"collagen_leaves@{address}",
            ConverseStep(script={"turns": list(questions)}),
            {"model": (address,)},
            folder=out,
            seconds=41.0,
        )

    def prompts(self, address: str, text: str) -> None:
        out = self.place(f"prompts-{address}")
        rows = [
            ImagePrompt(
                model=address,
                concepts=("spider silk", "collagen", "leaf"),
                style=style,
                principles="Hierarchy from nanofibre to network; crimp that straightens under load.",
                prompt=text,
                short_prompt="Crimped silk network in a leaf lattice, electron micrograph.",
                names_concepts=True,
                tokens=140,
            )
            for style in ("microstructure", "city")
        ]
        write_rows(out / PROMPTS, rows)
        self.add(
            "image_prompts",
            f"leaf@{address}",
            ImagePromptsStep(concepts=("spider silk", "collagen", "leaf"), styles=("microstructure", "city")),
            {"model": (address,)},
            folder=out,
        )


def whole(folder: Path, items: int = 300) -> StudyView:
    """A finished study: four chains, their slerp merges with controls, a sweep, ties, talks and prompts."""
    made = Example(folder, items)
    made.data()
    made.model()
    made.model("base")
    for chain in CHAINS:
        made.train(chain)
    made.train("cpt-sft", matched=True)
    made.train("cpt", model="base")
    for address, ability in ABILITY.items():
        made.evaluate(address, ability)
    for chain in CHAINS:
        source, address = f"instruct/{chain}", f"paper:instruct/{chain}"
        made.merge(address, "slerp", SCHEDULE, (source,))
        made.geometry(address, 1.5 if chain == "cpt" else 61.0)
        made.evaluate(address, 0.9 if chain == "cpt-sft-dpo" else 0.3)
        controls = {}
        for control in ("linear_schedule", "linear"):
            controls[control] = f"{address}+{control}"
            made.merge(controls[control], "linear", {"t": 0.5}, (source,))
            made.evaluate(controls[control], 0.3, equal_to=address if chain == "cpt" and control == "linear_schedule" else "")
        made.compare(address, ("instruct", source), controls)
    for t in (0.25, 0.5, 0.75, 1.25):
        address = f"grid:instruct/cpt-sft-dpo,t={t:g}"
        made.merge(address, "linear", {"t": t}, ("instruct/cpt-sft-dpo",))
        made.evaluate(address, 0.46 * t)
        made.compare(address, ("instruct", "instruct/cpt-sft-dpo"), {})
    made.merge("blend", "ties", {"weight": 1.0, "density": 0.5}, ("instruct/cpt-sft-dpo", "instruct/cpt-sft-orpo"))
    made.evaluate("blend", 0.45)
    made.compare("blend", ("instruct/cpt-sft-dpo", "instruct/cpt-sft-orpo", "instruct"), {})
    made.claims()
    made.contamination()
    made.canary("instruct", 0.0, 0.0)
    made.canary("instruct/cpt", 1.5, 4.0)
    for address, right in (("instruct", 0.6), ("instruct/cpt", 0.45), ("paper:instruct/cpt-sft-dpo", 0.6)):
        made.general(address, right)
    words = "Collagen carries load along fibrils that are staggered and cross-linked, while leaf veins carry load as a branching network of stiff tubes in a soft sheet. "
    for address in ("instruct", "instruct/cpt-sft-dpo", "paper:instruct/cpt-sft-dpo"):
        made.converse(address, words * 4 if address != "instruct" else HOSTILE + words)
        made.prompts(
            address,
            HOSTILE
            if address == "instruct"
            else "A macro photograph of a translucent leaf whose veins are crimped silk fibrils, woven with collagen bundles, side light, shallow depth of field.",
        )
    made.search("best", ("instruct/cpt-sft-dpo",))
    made.evaluate("best", 0.4)
    return made.view()


def partial(folder: Path) -> StudyView:
    """The same study early on: data, one stage trained and one evaluation done, the rest to do."""
    made = Example(folder)
    made.data()
    made.model()
    made.train("cpt")
    made.train("cpt-sft", state="todo")
    made.evaluate("instruct", 0.0, final=False)
    made.add("evaluate", "instruct/cpt", EvaluateStep(), {"model": ("instruct/cpt",)}, state="todo")
    made.merge("paper:instruct/cpt-sft", "slerp", SCHEDULE, ("instruct/cpt-sft",))
    made.add("synergy", "paper:instruct/cpt-sft", SynergyStep(), {"merge": ("paper:instruct/cpt-sft",)}, state="todo")
    return made.view()
