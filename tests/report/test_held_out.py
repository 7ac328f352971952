"""Forgetting in words, and the figures of preferences."""

import csv

from eutectic.report import held_out


def test_rising_perplexity_is_forgetting_and_named():
    text = held_out.forgetting(
        {"a/cpt": {"papers": ([0, 1], [47.0, 15.1]), "general": ([0, 1], [5.9, 7.5]), "same": ([0, 1], [8.0, 8.04])}}
    )
    assert text == (
        "Forgotten, perplexity of held-out text rose: general in a/cpt from 5.9 to 7.5 (+27 %). "
        "Learned, it fell: papers in a/cpt from 47.0 to 15.1 (−68 %). Kept within 1 %: same in a/cpt from 8.0 to 8.0 (+0 %)."
    )


def test_without_forgetting_the_reader_is_told_so():
    text = held_out.forgetting({"a/cpt": {"papers": ([0, 1], [47.0, 15.1])}})
    assert text.startswith("Nothing that was probed was forgotten. Learned")


def test_preferences_have_margin_both_log_probabilities_and_the_divergence(report):
    with (report.parent / "tables" / "held_out.csv").open() as stream:
        rows = {row["measure"]: row for row in csv.DictReader(stream) if row["model"] == "instruct/cpt-sft-dpo"}
    assert set(rows) == {held_out.MEASURES[name] for name in ("pair_accuracy", "margin", "chosen_logprob", "rejected_logprob", "kl")}
    kl = rows[held_out.MEASURES["kl"]]
    assert (kl["before"], kl["after"], kl["change"]) == ("", "0.021", "")


def test_both_probed_texts_stand_in_one_figure(report):
    (figure, *_) = sorted((report.parent / "figures").glob("probe-*.svg"))
    text = figure.read_text()
    assert ">ontology<" in text
    assert ">general<" in text
    assert ">20<" in text  # a logarithmic axis, labelled as people read it
