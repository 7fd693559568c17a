"""A drawing as PNG."""

import io
import math
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from harness.render.scene import DASHES, Dot, Label, Point, Rect, Scene, Strokes
from harness.render.words import clean

PNG_DPI = 160
SCALE = PNG_DPI / 72
FINER = 4
"""Slanted lines and circles are drawn so much larger and scaled down: Pillow draws hard edges."""
ANCHORS = {"start": "lm", "middle": "mm", "end": "rm"}


def png(scene: Scene) -> bytes:
    """The scene on its paper (white for none)."""
    size = (round(scene.width * SCALE), round(scene.height * SCALE))
    image = Image.new("RGB", size, scene.paper or "#ffffff")
    draw = ImageDraw.Draw(image)
    for shape in scene.shapes:
        match shape:
            case Rect():
                _rect(draw, shape)
            case Strokes():
                _strokes(image, draw, shape)
            case Dot():
                _dot(image, shape)
            case Label():
                _label(image, draw, shape)
    body = io.BytesIO()
    image.save(body, format="PNG", compress_level=6)
    return body.getvalue()


def _rect(draw: ImageDraw.ImageDraw, rect: Rect) -> None:
    left, top = round(rect.x * SCALE), round(rect.y * SCALE)
    right, bottom = round((rect.x + rect.width) * SCALE) - 1, round((rect.y + rect.height) * SCALE) - 1
    if right >= left and bottom >= top:
        draw.rectangle((left, top, right, bottom), fill=rect.fill)


def _strokes(image: Image.Image, draw: ImageDraw.ImageDraw, strokes: Strokes) -> None:
    width = max(1, round(strokes.width * SCALE))
    segments = [part for one in strokes.segments for part in (_dashes(*one) if strokes.dashed else [one])]
    slanted = []
    for a, b in segments:
        if a[0] == b[0] or a[1] == b[1]:
            x, y = round(min(a[0], b[0]) * SCALE - width / 2), round(min(a[1], b[1]) * SCALE - width / 2)
            long = (round(abs(a[0] - b[0]) * SCALE), round(abs(a[1] - b[1]) * SCALE))
            draw.rectangle((x, y, x + max(long[0], width) - 1, y + max(long[1], width) - 1), fill=strokes.colour)
        else:
            slanted.append((a, b))
    if not slanted:
        return
    xs, ys = ([p[i] * SCALE for one in slanted for p in one] for i in (0, 1))
    left, top = math.floor(min(xs)) - width, math.floor(min(ys)) - width
    size = (math.ceil(max(xs)) + width - left, math.ceil(max(ys)) + width - top)
    mask = Image.new("L", (size[0] * FINER, size[1] * FINER))
    pen = ImageDraw.Draw(mask)
    for one in slanted:
        ends = [((x * SCALE - left) * FINER, (y * SCALE - top) * FINER) for x, y in one]
        pen.line(ends, fill=255, width=max(1, round(strokes.width * SCALE * FINER)))
    image.paste(strokes.colour, (left, top), mask.resize(size, Image.Resampling.BOX))


def _dashes(a: Point, b: Point) -> list[tuple[Point, Point]]:
    length = math.dist(a, b)
    on, off = DASHES
    found = []
    for i in range(math.ceil(length / (on + off))):
        start, end = i * (on + off) / length, min(1.0, (i * (on + off) + on) / length)
        found.append((_between(a, b, start), _between(a, b, end)))
    return found


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _dot(image: Image.Image, dot: Dot) -> None:
    radius = dot.radius * SCALE
    box = math.ceil(radius) + 2
    x, y = dot.x * SCALE, dot.y * SCALE
    left, top = math.floor(x) - box, math.floor(y) - box
    for colour, r, opacity in ((dot.edge, radius + 0.3 * SCALE, 1.0), (dot.fill, radius, dot.opacity)):
        if colour is None:
            continue
        inner = r - (0.3 * SCALE if dot.edge and colour == dot.fill else 0.0)
        mask = Image.new("L", (2 * box * FINER, 2 * box * FINER))
        cx, cy = (x - left) * FINER, (y - top) * FINER
        ends = (cx - inner * FINER, cy - inner * FINER, cx + inner * FINER, cy + inner * FINER)
        ImageDraw.Draw(mask).ellipse(ends, fill=round(255 * opacity))
        image.paste(colour, (left, top), mask.resize((2 * box, 2 * box), Image.Resampling.BOX))


def _label(image: Image.Image, draw: ImageDraw.ImageDraw, label: Label) -> None:
    font, text = _font(round(label.size * SCALE)), clean(label.text)
    if not label.upwards:
        draw.text((label.x * SCALE, label.y * SCALE), text, fill=label.colour, font=font, anchor=ANCHORS[label.anchor])
        return
    length, height = math.ceil(font.getlength(text)) + 2, round(2 * label.size * SCALE)
    mask = Image.new("L", (length, height))
    ImageDraw.Draw(mask).text((length / 2, height / 2), text, fill=255, font=font, anchor="mm")
    turned = mask.transpose(Image.Transpose.ROTATE_90)
    image.paste(label.colour, (round(label.x * SCALE - height / 2), round(label.y * SCALE - length / 2)), turned)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, of which matplotlib carries a copy: it need not be imported for that."""
    spec = find_spec("matplotlib")
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
