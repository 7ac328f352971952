"""Curves that a reader can tell apart."""

import itertools
import re

import numpy as np
import pytest

from eutectic.report import figures

# Machado, Oliveira & Fernandes 2009, severity 1, on linear RGB.
EYES = {
    "all cones": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def linear(colour):
    s = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(rgb, 0, 1)
    f = np.array([np.cbrt(v) if v > 216 / 24389 else (24389 / 27 * v + 16) / 116 for v in xyz / [0.9505, 1, 1.089]])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eye", EYES)
def test_nine_colours_are_told_apart_by_every_eye(eye):
    seen = [lab(np.array(EYES[eye]) @ linear(colour)) for colour in figures.LINES]
    assert len(figures.LINES) == 9
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15  # 2 is just noticeable


def test_every_colour_stands_out_from_the_page():
    light = [float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in figures.LINES]
    assert min(1.05 / (value + 0.05) for value in light) > 2.9


def test_curves_differ_in_colour_and_marker_and_the_tenth_is_dashed():
    series = {f"m{i}": (range(30), [i + 1.0] * 30) for i in range(11)}
    svg = figures.lines("f", "t", series, labels=("layer", "angle")).svg
    drawn = re.findall(
        r'<path d="[^"]*" clip-path="[^"]*" style="fill: none; (?:stroke-dasharray: ([^;]*); stroke-dashoffset: 0; )?stroke: (#\w+)', svg
    )
    styles = [each for each in drawn if each[1] in figures.LINES]
    assert len(styles) == len(set(styles)) == 11


@pytest.mark.parametrize(("high", "logarithmic"), [(40.0, True), (12.0, False)])
def test_the_axis_is_logarithmic_where_values_differ_much(high, logarithmic):
    svg = figures.lines("f", "t", {"a": ([0, 1], [6.0, 7.0]), "b": ([0, 1], [high, 9.0])}, labels=("tokens", "perplexity"), logs=True).svg
    assert (">20<" in svg and ">15<" not in svg and ">25<" not in svg) == logarithmic
