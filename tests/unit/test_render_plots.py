"""Drawings by hand: what stands where, in SVG and in PNG."""

import io
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.render.axes import LINE, Axes, Axis, log_ticks, placed, spread, tick_text, ticks
from harness.render.palette import LIGHT, VARIABLES
from harness.render.plots import Bar, Stack, bars, effects, stacks
from harness.render.raster import SCALE, png
from harness.render.scatter import Bubble, Course, Spot, lines, roofline, tradeoff
from harness.render.scene import Dot, Label, Rect, Scene, inline_svg, line, svg_file

BARS = [
    Bar("bf16", 42.0, 41.0, 43.0, "42 tok/s", False, (30.0, 42.0, 44.0)),
    Bar("int4", 322.0, 318.0, 326.0, "322 tok/s", True, (320.0, 322.0, 325.0)),
]


def pixel(scene: Scene, x: float, y: float) -> tuple[int, ...]:
    image = Image.open(io.BytesIO(png(scene))).convert("RGB")
    found = image.getpixel((round(x * SCALE), round(y * SCALE)))
    assert isinstance(found, tuple)
    return found


def test_a_bar_is_as_long_as_its_value() -> None:
    rects = [s for s in bars(BARS, LIGHT, None).shapes if isinstance(s, Rect)]
    assert rects[0].width / rects[1].width == pytest.approx(42 / 322)
    assert [r.fill for r in rects] == [LIGHT.base, LIGHT.accent]


def test_rounds_are_rings_where_they_lie_apart() -> None:
    dots = [s for s in bars(BARS, LIGHT, None).shapes if isinstance(s, Dot)]
    assert dots == []
    wide = [Bar("a", 10.0, None, None, "10", True, (5.0, 10.0, 11.0))]
    assert len([s for s in bars(wide, LIGHT, None).shapes if isinstance(s, Dot)]) == 3


def test_svg_and_png_show_the_same() -> None:
    scene = Scene(100, 50, "#ffffff", (Rect(10, 10, 30, 20, "#0b5d8a"), Dot(70, 20, 8, "#ff0000")))
    assert pixel(scene, 20, 20) == (0x0B, 0x5D, 0x8A)
    assert pixel(scene, 70, 20) == (255, 0, 0)
    assert pixel(scene, 90, 40) == (255, 255, 255)
    tree = ElementTree.fromstring(svg_file(scene, "t"))
    assert [e.tag.split("}")[-1] for e in tree] == ["title", "rect", "rect", "circle"]


def test_a_pale_dot_lets_the_paper_through() -> None:
    red = pixel(Scene(40, 40, "#ffffff", (Dot(20, 20, 10, "#ff0000", opacity=0.3),)), 20, 20)
    assert red[0] == 255 and 165 <= red[1] <= 190


def test_slanted_and_dashed_lines_are_drawn() -> None:
    slanted = Scene(60, 60, "#ffffff", (line((0, 0), (60, 60), "#000000", 3),))
    assert pixel(slanted, 30, 30) == (0, 0, 0)
    dashed = Image.open(io.BytesIO(png(Scene(60, 9, "#ffffff", (line((0, 4), (60, 4), "#000000", 2, dashed=True),)))))
    row = [dashed.convert("L").getpixel((x, round(4 * SCALE))) for x in range(dashed.width)]
    assert 0 in row and 255 in row


def test_text_is_escaped_and_cleaned_in_svg() -> None:
    svg = inline_svg(Scene(9, 9, None, (Label(0, 0, "<b>&\x1b[31m", "var(--ink)"),)))
    assert "&lt;b&gt;&amp;" in svg and "\x1b" not in svg
    ElementTree.fromstring(svg)


def test_text_stands_in_the_png_where_it_should() -> None:
    scene = Scene(
        120, 60, "#ffffff", (Label(10, 20, "MMMM", "#000000"), Label(100, 30, "MMMM", "#000000", upwards=True))
    )
    image = Image.open(io.BytesIO(png(scene))).convert("L")
    dark = [
        (x / SCALE, y / SCALE) for x in range(image.width) for y in range(image.height) if image.getpixel((x, y)) < 99
    ]
    assert all(15 < y < 25 or x > 90 for x, y in dark)
    upright = [y for x, y in dark if x > 90]
    assert max(upright) - min(upright) > 20


@pytest.mark.parametrize("title", [None, "A title"])
def test_drawings_in_the_page_use_its_variables_and_files_do_not(title: str | None) -> None:
    spots = [Spot("a 80 %", 90.0, 300.0, 400.0, True), Spot("b 20 %", 270.0, 40.0, 133.0, False)]
    bubbles = [
        Bubble("a", 300, 290, 310, 43.0, 40.0, 46.0, 0.4, True),
        Bubble("b", 40, None, None, 46, None, None, 1, False),
    ]
    runs = [Course("a", ((512.0, 40.0, True), (1024.0, 38.0, False), (2048.0, None, True)))]
    for palette in (LIGHT, VARIABLES):
        for scene in (
            bars(BARS, palette, title),
            effects(BARS, palette, title, null=1.0, axis="times"),
            stacks(
                [Stack("a", (("kv", 3.0), ("unexplained", 2.0)), "5 MiB")],
                {"kv": "KV", "unexplained": "?"},
                palette,
                title,
            ),
            tradeoff(bubbles, palette, title, x="x", y="y"),
            roofline(spots, palette, title, x="x", y="y", roof="roof"),
            lines(runs, palette, title, x="x", y="y"),
        ):
            svg = inline_svg(scene)
            ElementTree.fromstring(svg)
            assert ("var(--" in svg) == (palette is VARIABLES)
            assert bool(re.search("#[0-9a-f]{6}", svg)) == (palette is LIGHT)
            assert ("A title" in svg) == (title is not None)
            xs = [s.x for s in scene.shapes if isinstance(s, Label | Dot | Rect)]
            assert min(xs) >= 0 and max(xs) <= scene.width


def test_the_roof_is_a_straight_line_through_the_spots_roofs() -> None:
    spots = [Spot("a", 100.0, 300.0, 450.0, True), Spot("b", 270.0, 40.0, 450.0 * 100 / 270, False)]
    scene = roofline(spots, LIGHT, None, x="x", y="y", roof="roof")
    strokes = [s for s in scene.shapes if type(s).__name__ == "Strokes"]
    roof = next(s for s in strokes if s.width == 1.2)  # type: ignore[union-attr]
    ((x1, y1), (x2, y2)) = roof.segments[0]  # type: ignore[union-attr]
    for drop in (s for s in strokes if s.dashed):  # type: ignore[union-attr]
        _, (x, y) = drop.segments[0]  # type: ignore[union-attr]
        assert y == pytest.approx(y1 + (y2 - y1) * (x - x1) / (x2 - x1))


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_and_inside(low: float, width: float) -> None:
    found = ticks(low, low + width, 5)
    assert 1 <= len(found) <= 11
    assert all(low - 1e-6 * width <= t <= low + width * (1 + 1e-6) for t in found)


def test_ticks_of_both_kinds() -> None:
    assert ticks(0, 10, 5) == [0, 2, 4, 6, 8, 10]
    assert [tick_text(t, ticks(0.0, 0.5, 5)) for t in ticks(0.0, 0.5, 5)] == ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]
    assert log_ticks(30, 600) == [50, 100, 200, 500]
    assert log_ticks(100, 200)[0] == 100


def test_an_axis_may_be_logarithmic() -> None:
    axis = Axis(1, 100, 0, 10, log=True)
    assert axis(10) == pytest.approx(5)
    assert Axis(0, 100, 10, 0)(25) == pytest.approx(7.5)


def test_labels_avoid_each_other() -> None:
    axes = Axes(Axis(0, 1, 0, 300), Axis(0, 1, 200, 0))
    labels = list(
        placed(
            [((100.0, 100.0), 3.0, "variant")] + [((102.0, 101.0 + i), 3.0, f"other {i}") for i in range(3)], axes, "x"
        )
    )
    for i, one in enumerate(labels):
        for other in labels[:i]:
            apart_y = abs(one.y - other.y) >= LINE - 2
            apart_x = abs(one.x - other.x) >= 5.33 * min(len(one.text), len(other.text)) - 1
            assert apart_y or apart_x


@given(st.lists(st.floats(0, 200), min_size=1, max_size=9))
def test_labels_of_lines_are_moved_apart(ys: list[float]) -> None:
    found = sorted(spread(ys))
    assert all(b - a >= LINE - 1e-6 for a, b in pairwise(found))


def test_labels_that_lie_apart_stay() -> None:
    assert spread([0.0, 50.0, 100.0]) == [0.0, 50.0, 100.0]
