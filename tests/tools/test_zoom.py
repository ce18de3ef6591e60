import pytest
from PIL import Image

from cot.image import from_pixels
from cot.region import Box
from cot.tools.zoom import MAX_ENLARGEMENT, zoom, zoom_step


@pytest.fixture
def halves():
    """40 x 20 pixels, red on the left and blue on the right."""
    pixels = Image.new("RGB", (40, 20), "red")
    pixels.paste("blue", (20, 0, 40, 20))
    return from_pixels(pixels, source="halves.png")


def test_a_region_fills_the_image(halves):
    seen = zoom(halves, Box(0.5, 0.5, 1, 1))
    assert (seen.width, seen.height) == (40, 20)
    assert seen.pixels.getcolors() == [(800, (0, 0, 255))]
    assert seen.source == "halves.png [0.5, 0.5, 1, 1]"


def test_the_whole_is_the_whole(halves):
    assert zoom(halves, Box(0, 0, 1, 1)).sha256 == halves.sha256


def test_every_touched_pixel_is_kept_and_enlarging_has_a_limit(halves):
    seen = zoom(halves, Box(0.51, 0.51, 0.511, 0.511))
    assert (seen.width, seen.height) == (MAX_ENLARGEMENT, MAX_ENLARGEMENT)


def test_thin_regions_keep_their_shape(halves):
    assert zoom(halves, Box(0, 0, 1, 0.05)).pixels.size == (40, 1)


def test_the_step_names_its_result(halves):
    use, seen = zoom_step(halves, Box(0, 0, 0.5, 1))
    assert (use.name, use.result) == ("zoom", seen.sha256)
    assert use.arguments == {"image": "halves.png", "left": 0, "top": 0, "right": 0.5, "bottom": 1}
