import pytest
from PIL import Image

from cot.errors import ToolError
from cot.image import from_pixels
from cot.region import Box, parse_box


@pytest.mark.parametrize(
    "edges",
    [(0.5, 0, 0.5, 1), (0.6, 0, 0.5, 1), (-0.1, 0, 1, 1), (0, 0, 1.1, 1), (0, 1, 1, 1), (10, 10, 50, 50)]
    + [(float("nan"), 0, 1, 1), (0, 0, 1, float("inf"))],
)
def test_boxes_outside_the_image_are_refused(edges):
    with pytest.raises(ToolError, match=r"got the box .* expected .left, top, right, bottom. from 0 to 1"):
        Box(*edges)


@pytest.mark.parametrize("text", ["[0.1, 0.25, 0.5, 1]", " [0.1,0.25,0.5,1.0] "])
def test_boxes_are_read(text):
    assert parse_box(text) == Box(0.1, 0.25, 0.5, 1)


@pytest.mark.parametrize(
    "text",
    ["", "left", "[0, 0, 1]", "[0, 0, 2, 1]", "[0.5, 0, 0.1, 1]", "[10, 20, 30, 40]", "at [0, 0, 1, 1]", "[" * 9],
)
def test_what_is_no_box_is_none(text):
    assert parse_box(text) is None


@pytest.mark.parametrize("box", [Box(0.1, 0.25, 0.5, 1), Box(0, 0, 0.00001, 0.000000001), Box(1 / 3, 0, 2 / 3, 1)])
def test_what_is_shown_is_read_again(box):
    found = parse_box(str(box))
    assert (found.left, found.bottom) == pytest.approx((box.left, box.bottom))


def test_edges_hold_every_pixel_that_a_box_touches():
    image = from_pixels(Image.new("RGB", (10, 20)), source="a.png")
    assert Box(0.25, 0.51, 0.35, 1).edges(image) == (2, 10, 4, 20)
    assert Box(0.5, 0.5, 0.500001, 0.500001).edges(image) == (5, 10, 6, 11)
