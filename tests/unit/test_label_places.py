"""Labels of bubbles: none is read as another bubble's."""

import math

from hypothesis import given
from hypothesis import strategies as st

from harness.render.label_places import Place, Spot, label_places

WIDTH, HEIGHT = 330.0, 240.0


def spot(x: float, y: float, *, half: float = 20, width: float = 45) -> Spot:
    return Spot(x=x, y=y, low=y - half, high=y + half, radius=12, width=width, height=10)


def distance(place: Place, own: Spot, other: Spot) -> float:
    across = max(place.x - other.x, 0, other.x - place.x - own.width)
    return math.hypot(across, max(place.y - other.y, 0, other.y - place.y - own.height))


def apart(one: Place, a: Spot, other: Place, b: Spot) -> bool:
    across = one.x + a.width <= other.x or other.x + b.width <= one.x
    return across or one.y + a.height <= other.y or other.y + b.height <= one.y


def test_neighbours_are_told_apart() -> None:
    spots = [spot(122, 90), spot(123, 96), spot(148, 96), spot(180, 96), spot(256, 40), spot(277, 50)]
    places = label_places(spots, WIDTH, HEIGHT)
    for n, (place, own) in enumerate(zip(places, spots, strict=True)):
        assert distance(place, own, own) <= min(distance(place, own, other) for other in spots)
        assert all(apart(place, own, places[k], spots[k]) for k in range(n))


def test_a_lone_label_stands_beside_its_bubble_and_off_its_bar() -> None:
    (place,) = label_places([spot(100, 100)], WIDTH, HEIGHT)
    assert not place.apart and place.x > 100 and place.y > 100


def test_bubbles_upon_each_other_get_labels_that_a_line_leads_to() -> None:
    spots = [spot(150, 100) for _ in range(9)]
    places = label_places(spots, WIDTH, HEIGHT)
    assert any(place.apart for place in places) and len({(p.x, p.y) for p in places}) == 9


@given(st.lists(st.tuples(st.floats(0, WIDTH), st.floats(0, HEIGHT)), max_size=7))
def test_no_label_leaves_the_frame(centres: list[tuple[float, float]]) -> None:
    spots = [spot(x, y) for x, y in centres]
    for place, own in zip(label_places(spots, WIDTH, HEIGHT), spots, strict=True):
        assert place.x >= 0 and place.y >= 0
        assert place.x + own.width <= WIDTH and place.y + own.height <= HEIGHT
