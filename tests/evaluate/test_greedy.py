from collections import Counter

from eutectic.evaluate.greedy import row, subset
from eutectic.evaluate.prompts import order
from eutectic.specs.rows import Item


def choice(n: int, split="test") -> Item:
    return Item(id=f"i{n}", group="g", split=split, question="q", options=("a", "b", "c", "d"), answer=1)


def test_a_larger_subset_holds_the_smaller_one_and_no_dev_item():
    items = [choice(n, "dev" if n % 3 == 0 else "test") for n in range(60)]
    small, large = subset(items, 5), subset(items, 20)
    assert large[:5] == small
    assert Counter(item.split for item in large) == {"test": 20}
    assert subset(items[::-1], 5) == small


def test_a_judged_row_keeps_the_text():
    item = choice(1)
    letter = "ABCD"[order(item).index(1)]
    good, bad = row("b", item, letter, "float32"), row("b", item, "no idea", "bfloat16")
    assert (good.score, good.choice, good.precision, good.format_failure) == (True, 1, "float32", False)
    assert (bad.score, bad.choice, bad.text, bad.format_failure) == (False, None, "no idea", True)
