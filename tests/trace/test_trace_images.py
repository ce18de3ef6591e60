import os

import pytest
from PIL import Image

from cot.image import from_pixels, load_image
from cot.trace.images import image_path, keep_image
from cot.trace.record import Recorder

IMAGE = from_pixels(Image.effect_noise((20, 10), 50).convert("RGB"), source="noise")


def keep(tmp_path, name, **options):
    folder = tmp_path / name
    folder.mkdir()
    return keep_image(folder, IMAGE, **options)


def test_runs_of_a_store_share_one_file(tmp_path):
    paths = []
    for _ in range(3):
        with Recorder(tmp_path) as recorder:
            recorder.add_image(IMAGE)
            recorder.add_image(IMAGE)
        paths.append(image_path(recorder.folder, IMAGE.sha256))
    assert paths[0] != paths[1]
    assert {path.stat().st_ino for path in paths} == {image_path(tmp_path, IMAGE.sha256).stat().st_ino}
    assert load_image(paths[2]).sha256 == IMAGE.sha256


def test_without_links_each_has_its_own(tmp_path, monkeypatch):
    def refused(*arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    paths = [keep(tmp_path, name, shared=tmp_path) for name in "ab"]
    assert [load_image(path).sha256 for path in paths] == [IMAGE.sha256] * 2
    assert [path.stat().st_nlink for path in paths] == [1, 1]
    assert not image_path(tmp_path, IMAGE.sha256).exists()


def test_what_is_deleted_elsewhere_stays_here(tmp_path):
    first = keep(tmp_path, "a", shared=tmp_path)
    second = keep(tmp_path, "b", shared=tmp_path)
    image_path(tmp_path, IMAGE.sha256).unlink()
    first.unlink()
    assert load_image(second).sha256 == IMAGE.sha256
    third = keep(tmp_path, "c", shared=tmp_path)
    assert load_image(third).sha256 == IMAGE.sha256


@pytest.mark.parametrize("size", [0, 5, 200])
def test_what_a_power_cut_left_of_a_shared_image_is_written_anew(tmp_path, size):
    keep(tmp_path, "a", shared=tmp_path)
    os.truncate(image_path(tmp_path, IMAGE.sha256), size)
    second, third = (keep(tmp_path, name, shared=tmp_path) for name in "bc")
    assert load_image(second).sha256 == IMAGE.sha256
    assert second.samefile(image_path(tmp_path, IMAGE.sha256))
    assert second.samefile(third)


def test_no_half_of_an_image_is_left_where_it_is_looked_for(tmp_path, monkeypatch):
    def full(path, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="No space left"):
        keep(tmp_path, "a", shared=tmp_path)
    assert not list(tmp_path.rglob("*.png"))


def test_no_image_is_shared_behind_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "images").symlink_to(tmp_path / "elsewhere")
    path = keep(tmp_path / "traces", "a", shared=tmp_path / "traces")
    assert (path.stat().st_nlink, list((tmp_path / "elsewhere").iterdir())) == (1, [])
