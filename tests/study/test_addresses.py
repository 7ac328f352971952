import pytest

from eutectic.study import addresses

ALL = [
    "base", "instruct", "instruct/cpt", "instruct/cpt-sft", "instruct/cpt@2", "base/cpt#3",
    "paper:instruct/cpt", "paper:instruct/cpt-sft", "paper:instruct/cpt+linear", "grid:instruct/cpt,t=0.3", "blend", "blend,t=0.5",
]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", ["base", "instruct"]),
        ("*/*", ["instruct/cpt", "instruct/cpt-sft", "base/cpt#3"]),
        ("instruct/cpt", ["instruct/cpt"]),
        ("*/cpt-sft*", ["instruct/cpt-sft"]),
        ("*/*@*", ["instruct/cpt@2"]),
        ("paper:*", ["paper:instruct/cpt", "paper:instruct/cpt-sft"]),
        ("grid:*", ["grid:instruct/cpt,t=0.3"]),
        ("blend,t=0.5", ["blend,t=0.5"]),
        ("paper:instruct/cpt+linear", ["paper:instruct/cpt+linear"]),
        ("nothing", []),
    ],
)
def test_patterns(pattern: str, expected: list[str]) -> None:
    assert [a for a in ALL if addresses.matches(pattern, a, {"blend", "blend,t=0.5"})] == expected


def test_everything_leaves_out_controls_and_kept_epochs() -> None:
    chosen, empty = addresses.select(["**", "none:*"], ALL)
    assert "instruct/cpt@2" not in chosen
    assert "paper:instruct/cpt+linear" not in chosen
    assert "blend,t=0.5" in chosen
    assert empty == ["none:*"]


def test_addresses_are_written_as_people_write_them() -> None:
    assert addresses.chain("instruct", ["cpt", "sft"], seed=3, epoch=2) == "instruct/cpt-sft@2#3"
    assert addresses.merge("grid", "instruct/cpt", {"t": 0.30}) == "grid:instruct/cpt,t=0.3"
    assert addresses.merge("blend", None, {}) == "blend"
