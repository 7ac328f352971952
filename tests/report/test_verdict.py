"""The verdict: sentences follow their tests."""

from dataclasses import replace

from eutectic.report import results, verdict


def test_a_gain_is_named_with_its_family(study):
    sentence = verdict.merged(results.collect(study))
    assert sentence.startswith(
        "1 of 9 merges is shown to beat every one of its parents (one family of 45 claims, max-T): "
        "this checkpoint of paper:instruct/cpt-sft-dpo by"
    )
    assert sentence.endswith("no other gain is shown.")
    assert "strategy" not in sentence


def test_without_gains_the_sentence_says_how_small_they_could_be(study):
    found = results.collect(study)
    quiet = [each for each in found.synergies if each["merge"].startswith("grid")]
    sentence = verdict.merged(replace(found, synergies=quiet))
    assert sentence.startswith(
        "None of 4 merges is shown to beat every one of its parents (one family of 45 claims, max-T); a gain of less than"
    )


def test_outside_the_family_nothing_is_claimed(study):
    found = results.collect(study)
    described = [{**each, "comparisons": [{**row, "claimed": False} for row in each["comparisons"]]} for each in found.synergies]
    assert "described only" in verdict.merged(replace(found, synergies=described))


def test_a_change_that_chance_could_make_is_called_so(study):
    step = study.find("instruct/cpt-sft-dpo", "train")
    (told,) = verdict._change(step)
    assert "95 % interval of the change" in told
    assert "chance" not in told  # this one excludes zero
    (doubtful,) = verdict._change(study.find("instruct/cpt-sft-orpo", "train"))
    assert "points, a change that chance could make)" in doubtful


def test_every_verdict_of_one_seed_is_about_this_checkpoint(study):
    found = results.collect(study)
    bought, learned, *_ = verdict.sentences(study, found)
    assert "this checkpoint of instruct/cpt gained" in learned
    assert "strateg" not in bought + learned
    for each in found.synergies:
        assert "this checkpoint" in each["verdict"].lower()
        assert "strateg" not in each["verdict"]
