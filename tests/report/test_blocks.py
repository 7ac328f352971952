"""How values are written."""

import pytest

from eutectic.report.blocks import Column, Table, duration, headed, interval, show


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (None, "count", "–"),
        (1234567, "count", "1,234,567"),
        (0.5234, "percent", "52.3"),
        (-0.031, "points", "−3.1"),
        (0.031, "points", "+3.1"),
        (0.0001, "p", "< 0.001"),
        (0.0421, "p", "0.042"),
        (2.4e9, "memory", "2.40 GB"),
        (2e-5, "sci", "2e-05"),
        (3.14159e12, "flops", "3.14 × 10¹²"),
        ("a\nb", "lines", "a\nb"),
        ("ab" * 32, "key", "abababababab"),
        (46.81, "number", "46.8"),
        (2.3104, "number", "2.310"),
    ],
)
def test_values(value, form, text):
    assert show(value, form) == text


def test_durations_and_intervals():
    assert [duration(s) for s in (0.42, 31.2, 310, 7200)] == ["0.4 s", "31 s", "5.2 min", "2.0 h"]
    assert interval(0.05, -0.012, 0.1, sign=True) == "+5.0 [−1.2, +10.0]"


def test_hidden_columns_are_in_the_file_only(tmp_path):
    table = Table("t", "caption", headed("name", "share|percent", "raw|number"), [("a", 0.123456, 1.5)], hidden=frozenset({"raw"}))
    assert [column.title for column in table.shown] == ["name", "share"]
    assert table.body[0]["cells"] == ["a", "12.3"]
    table.write(tmp_path)
    assert (tmp_path / "t.csv").read_text().splitlines() == ["name,share,raw", "a,0.123456,1.5"]
    assert not Column("x", "address").numeric
