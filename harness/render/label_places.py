"""Where the labels of bubbles stand: beside their own, off each other and off other bubbles. Lengths in points."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

GAP = 3.0
RINGS = (0.0, 9.0, 20.0)
"""How much further out than the bubble's rim a label is tried."""
DIRECTIONS = (45, 135, -45, -135, 0, 180, 90, -90)
"""Degrees, the best first."""
OVERLAP, OUTSIDE, FOREIGN, COVERED, CROSSED, RING = 40.0, 1e6, 60.0, 80.0, 8.0, 12.0
"""What it costs to lie on another label, beyond the frame, nearer to another bubble, on its centre, on a bar, apart."""


@dataclass(frozen=True)
class Spot:
    """A bubble with its upright error bar, and its label's size."""

    x: float
    y: float
    low: float
    high: float
    """Where the bar ends."""
    radius: float
    width: float
    height: float


@dataclass(frozen=True)
class Place:
    """A label's lower left corner."""

    x: float
    y: float
    apart: bool
    """So far from its bubble that a line must lead there."""


def label_places(spots: Sequence[Spot], width: float, height: float) -> list[Place]:
    """One place a label, in a frame of this size whose lower left corner is (0, 0)."""
    found: list[Place] = []
    for index, spot in enumerate(spots):
        others = [other for number, other in enumerate(spots) if number != index]
        taken = list(zip(found, spots, strict=False))
        found.append(min(_candidates(spot), key=lambda place: _cost(place, spot, others, taken, (width, height))))
    return found


def _candidates(spot: Spot) -> Iterator[Place]:
    for ring in RINGS:
        for degrees in DIRECTIONS:
            right, up = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
            away = spot.radius * 0.72 + GAP + ring
            x = spot.x + away * right + (_sign(right) - 1) / 2 * spot.width
            y = spot.y + away * up + (_sign(up) - 1) / 2 * spot.height
            yield Place(x=x, y=y, apart=ring > 0)


def _sign(value: float) -> float:
    return 0.0 if abs(value) < 0.1 else math.copysign(1.0, value)


def _cost(
    place: Place,
    own: Spot,
    others: Sequence[Spot],
    taken: Sequence[tuple[Place, Spot]],
    frame: tuple[float, float],
) -> float:
    overlap = sum(_overlap(place, own, other, spot) for other, spot in taken)
    beyond = max(0.0, -place.x, -place.y, place.x + own.width - frame[0], place.y + own.height - frame[1])
    near = _distance(place, own, own.x, own.y)
    apart = [_distance(place, own, other.x, other.y) for other in others]
    foreign = sum(distance < near for distance in apart) * FOREIGN
    covered = sum(distance < GAP for distance in apart) * COVERED
    crossed = sum(_crosses(place, own, spot) for spot in (own, *others)) * CROSSED
    where = OUTSIDE * (beyond > 0) + RING * place.apart + near / 100
    return OVERLAP * overlap / own.height + foreign + covered + crossed + where


def _overlap(one: Place, one_spot: Spot, other: Place, other_spot: Spot) -> float:
    """Area."""
    wide = min(one.x + one_spot.width, other.x + other_spot.width) - max(one.x, other.x)
    tall = min(one.y + one_spot.height, other.y + other_spot.height) - max(one.y, other.y)
    return wide * tall if wide > 0 and tall > 0 else 0.0


def _crosses(place: Place, own: Spot, other: Spot) -> bool:
    """Whether the label lies on the other's upright bar."""
    upright = place.y < other.high and other.low < place.y + own.height
    return upright and place.x < other.x < place.x + own.width


def _distance(place: Place, spot: Spot, x: float, y: float) -> float:
    """From the label's nearest edge to a point; 0 within."""
    across = max(place.x - x, 0.0, x - place.x - spot.width)
    along = max(place.y - y, 0.0, y - place.y - spot.height)
    return math.hypot(across, along)
