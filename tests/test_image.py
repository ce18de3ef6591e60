"""Images of every kind come out as upright 8-bit RGB; everything else is one clear error."""

import contextlib
import gzip
import hashlib
import http.server
import io
import os
import stat
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cot.errors import ImageError
from cot.image import HARD_MAX_PIXELS, ImageLimits, LoadedImage, Original, from_pixels, load_image
from cot.source import MAX_REDIRECTS

RED, GREEN, WHITE = (255, 0, 0), (0, 128, 0), (255, 255, 255)


def picture() -> Image.Image:
    """6 x 4, and no two pixels alike."""
    values = numpy.arange(6 * 4 * 3, dtype=numpy.uint8).reshape(4, 6, 3) * 3
    return Image.fromarray(values)


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def loaded(data: bytes, **bounds: Any) -> LoadedImage:
    return load_image(io.BytesIO(data), ImageLimits(**bounds))


def refused(source: Any, **bounds: Any) -> str:
    """The message of the ImageError that `source` gives; it must be one line."""
    with pytest.raises(ImageError) as caught:
        load_image(source, ImageLimits(**bounds))
    message = str(caught.value)
    assert "\n" not in message
    assert "expected" in message
    return message


def png(width: int, height: int, depth: int, colour: int, rows: bytes, transparent: bytes = b"") -> bytes:
    """A PNG as it stands in the file, where Pillow would write other depths."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"".join(
        [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), chunk(b"tRNS", transparent) if transparent else b""]
        + [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    )


def png_header(width: int, height: int) -> bytes:
    return png(width, height, 8, 2, b"\0" * 9)


class TestFormats:
    @pytest.mark.parametrize(
        ("format", "options"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("PPM", None)]
    )
    def test_lossless(self, format: str, options: dict[str, Any] | None) -> None:
        data = encoded(picture(), format, **(options or {}))
        if options is None:
            assert "not an image that can be read" in refused(io.BytesIO(data))
            return
        image = loaded(data)
        assert image.pixels.mode == "RGB"
        assert image.pixels.tobytes() == picture().tobytes()
        assert (image.width, image.height) == (6, 4)
        assert image.notes == ()

    def test_jpeg(self) -> None:
        image = loaded(encoded(Image.new("RGB", (16, 16), RED), "JPEG"))
        assert all(abs(got - want) <= 2 for got, want in zip(first_pixel(image), RED, strict=True))

    def test_cmyk_jpeg(self) -> None:
        image = loaded(encoded(Image.new("RGB", (16, 16), RED).convert("CMYK"), "JPEG", quality=100))
        assert all(abs(got - want) <= 3 for got, want in zip(first_pixel(image), RED, strict=True))

    @pytest.mark.parametrize(("alphas", "pixels"), [((0, 0), (RED, GREEN)), ((0, 255), (WHITE, GREEN))])
    def test_a_bmp_that_is_transparent_everywhere_is_not(
        self, alphas: tuple[int, int], pixels: tuple[tuple[int, int, int], ...]
    ) -> None:
        masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        header = struct.pack("<IiiHHIIiiII", 56, 2, 1, 1, 32, 3, 8, 0, 0, 0, 0) + masks
        colours = b"".join(bytes([*colour[::-1], alpha]) for colour, alpha in zip((RED, GREEN), alphas, strict=True))
        image = loaded(b"BM" + struct.pack("<IHHI", 14 + 56 + 8, 0, 0, 14 + 56) + header + colours)
        assert tuple(image.pixels.get_flattened_data()) == pixels

    @pytest.mark.parametrize(
        ("format", "note"),
        [("GIF", "frame"), ("WEBP", "frame"), ("PNG", "frame"), ("TIFF", "page"), ("MPO", "picture")],
    )
    def test_the_first_of_many_frames(self, format: str, note: str) -> None:
        frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN, WHITE)]
        options = {"lossless": True} if format == "WEBP" else {}
        image = loaded(encoded(frames[0], format, save_all=True, append_images=frames[1:], **options))
        assert numpy.abs(numpy.subtract(first_pixel(image), RED)).max() <= 2
        assert image.notes == (f"only the first {note} is used",)

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_orientation(self, format: str, orientation: int) -> None:
        upright = Image.new("RGB", (32, 16), "white")
        upright.paste("black", (0, 0, 16, 8))
        undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
        stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = loaded(encoded(stored, format, exif=exif))
        assert image.pixels.size == (32, 16)
        assert numpy.abs(pixels(image) - numpy.asarray(upright, dtype=int)).max() < 12

    @pytest.mark.parametrize("orientation", [0, 9, 65535])
    def test_orientation_out_of_range_is_upright(self, orientation: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        assert loaded(encoded(picture(), exif=exif)).pixels.tobytes() == picture().tobytes()

    @pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nonsense", b"Exif\0\0"])
    def test_damaged_exif_does_no_harm(self, exif: bytes) -> None:
        assert loaded(encoded(picture(), "JPEG", exif=exif)).pixels.size == (6, 4)

    def test_large_profiles_and_notes_do_no_harm(self) -> None:
        notes = PngInfo()
        notes.add_text("a", "x" * 1_200_000, zip=True)
        notes.add_itxt("b", "x" * 1_200_000, zip=True)
        data = encoded(picture(), pnginfo=notes, icc_profile=b"x" * 1_200_000)
        assert loaded(data).pixels.tobytes() == picture().tobytes()


def first_pixel(image: LoadedImage) -> tuple[int, ...]:
    return tuple(image.pixels.tobytes()[:3])


def pixels(image: LoadedImage) -> "numpy.ndarray[Any, numpy.dtype[numpy.int64]]":
    return numpy.asarray(image.pixels, dtype=numpy.int64)


class TestColourModes:
    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
    def test_white_and_black_in_png(self, mode: str) -> None:
        values = numpy.array([[0, 255]], dtype=numpy.uint8)
        if mode == "I;16":
            image = Image.fromarray(values.astype(numpy.uint16) * 257)
        else:
            image = Image.fromarray(values).convert(mode)
        assert pixels(loaded(encoded(image))).tolist() == [[[0, 0, 0], [255, 255, 255]]]

    @pytest.mark.parametrize("mode", ["RGBA", "LA", "RGBa", "La"])
    def test_alpha_is_put_on_white(self, mode: str) -> None:
        image = Image.new("LA" if mode == "La" else "RGBA", (2, 1))
        image.putpixel((1, 0), (0, 128) if mode == "La" else (0, 0, 0, 128))
        image = image.convert(mode)
        assert pixels(from_pixels(image, source="made")).tolist() == [[[255] * 3, [127] * 3]]

    @pytest.mark.parametrize("format", ["PNG", "GIF"])
    def test_palette_with_transparency(self, format: str) -> None:
        image = Image.new("P", (2, 1), 0)
        image.putpalette([255, 0, 0, 0, 0, 255])
        image.putpixel((1, 0), 1)
        data = encoded(image, format, transparency=1)
        assert pixels(loaded(data)).tolist() == [[[255, 0, 0], [255, 255, 255]]]

    @pytest.mark.parametrize(("mode", "key"), [("L", 0), ("RGB", (0, 0, 0)), ("1", 0)])
    def test_one_transparent_colour(self, mode: str, key: Any) -> None:
        image = Image.new(mode, (2, 1), 0)
        image.putpixel((1, 0), 255 if mode != "RGB" else RED)
        first, second = pixels(loaded(encoded(image, transparency=key)))[0].tolist()
        assert first == [255, 255, 255]
        assert second == (list(RED) if mode == "RGB" else [255, 255, 255])

    def test_one_transparent_grey_of_sixteen_bits(self) -> None:
        image = Image.fromarray(numpy.array([[0, 1000, 25700]], dtype=numpy.uint16))
        assert pixels(loaded(encoded(image, transparency=1000)))[0, :, 0].tolist() == [0, 255, 100]

    @pytest.mark.parametrize(
        ("depth", "row", "named", "wanted"),
        [
            (1, 0b01000000, 0, [255, 255, 255, 255]),
            (2, 0b00011011, 1, [0, 255, 170, 255]),
            (4, 0x05AF, 5, [0, 255, 170, 255]),
            (8, 0x00055580, 5, [0, 255, 85, 128]),
        ],
    )
    def test_one_transparent_grey_of_few_bits(self, depth: int, row: int, named: int, wanted: list[int]) -> None:
        rows = b"\0" + row.to_bytes((4 * depth + 7) // 8)
        image = loaded(png(4, 1, depth, 0, rows, struct.pack(">H", named)))
        assert pixels(image)[0, :, 0].tolist() == wanted

    def test_one_transparent_colour_of_sixteen_bits(self) -> None:
        named = struct.pack(">3H", 0xFF00, 0, 0)
        image = loaded(png(3, 1, 16, 2, b"\0" + named + bytes(6) + struct.pack(">3H", 0, 0x80FF, 0), named))
        assert pixels(image)[0].tolist() == [[255, 255, 255], [0, 0, 0], [0, 128, 0]]

    @pytest.mark.parametrize("format", ["PNG", "TIFF"])
    def test_sixteen_bits_are_scaled_and_not_clipped(self, format: str) -> None:
        image = Image.fromarray(numpy.array([[0, 257, 32896, 65535]], dtype=numpy.uint16))
        assert pixels(loaded(encoded(image, format)))[0, :, 0].tolist() == [0, 1, 128, 255]

    def test_sixteen_bits_that_count_from_white(self) -> None:
        image = Image.fromarray(numpy.array([[0, 25700, 65535]], dtype=numpy.uint16))
        assert pixels(loaded(encoded(image, "TIFF", tiffinfo={262: 0})))[0, :, 0].tolist() == [255, 155, 0]

    def test_sixteen_bits_big_endian(self) -> None:
        image = Image.frombytes("I;16B", (2, 1), struct.pack(">HH", 25700, 65535))
        assert pixels(from_pixels(image, source="made"))[0, :, 0].tolist() == [100, 255]

    @pytest.mark.parametrize(
        ("values", "kind", "wanted", "white"),
        [
            ([0.0, 0.5, 1.0], numpy.float32, [0, 128, 255], "1"),
            ([0.0, 51.0, 255.0], numpy.float32, [0, 51, 255], "255"),
            ([-1.0, 0.0, 1.0], numpy.float32, [0, 128, 255], "1"),
            ([float("nan"), float("inf"), 1.0], numpy.float32, [0, 0, 255], "1"),
            ([7, 100, 255], numpy.int32, [7, 100, 255], "255"),
            ([0, 25700, 65535], numpy.int32, [0, 100, 255], "65535"),
            ([-(2**31), 0, 2**31 - 1], numpy.int32, [0, 128, 255], "2.14748e+09"),
            ([-5, -5, -5], numpy.int32, [0, 0, 0], "-5"),
        ],
    )
    def test_thirty_two_bits(self, values: list[float], kind: Any, wanted: list[int], white: str) -> None:
        image = loaded(encoded(Image.fromarray(numpy.array([values], dtype=kind)), "TIFF"))
        assert pixels(image)[0, :, 0].tolist() == wanted
        assert image.notes[0].startswith("32-bit values: ")
        assert image.notes[0].endswith(f" and {white} as white")

    @pytest.mark.parametrize(
        ("bits", "format", "values", "wanted", "note"),
        [
            (32, 1, struct.pack("<3I", 0, 2**31, 2**32 - 1), [0, 128, 255], "0 is shown as black and 4.29497e+09"),
            (32, 1, struct.pack("<3I", 0, 51, 255), [0, 51, 255], "0 is shown as black and 255"),
            (32, 2, struct.pack("<3i", -1, 0, 1), [0, 128, 255], "-1 is shown as black and 1"),
            (16, 2, struct.pack("<3h", -1, 0, 1), [0, 128, 255], "-1 is shown as black and 1"),
        ],
    )
    def test_whole_numbers_with_and_without_a_sign(
        self, bits: int, format: int, values: bytes, wanted: list[int], note: str
    ) -> None:
        tags = {256: 3, 257: 1, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(values), 339: format}
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
        data = struct.pack("<2sHI", b"II", 42, 8 + len(values)) + values + struct.pack("<H", len(tags)) + entries
        image = loaded(data + bytes(4))
        assert pixels(image)[0, :, 0].tolist() == wanted
        assert image.notes == (f"{bits}-bit values: {note} as white",)

    def test_lab(self) -> None:
        white = Image.new("LAB", (2, 2), (255, 128, 128))
        assert min(first_pixel(loaded(encoded(white, "TIFF")))) >= 253


class TestOriginal:
    @pytest.mark.parametrize(
        ("format", "mode"),
        [("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "I;16"), ("GIF", "P"), ("JPEG", "CMYK"), ("TIFF", "F")],
    )
    def test_the_mode_of_the_file_is_told(self, format: str, mode: str) -> None:
        was = Image.new("I;16", (6, 4)) if mode == "I;16" else Image.new("RGB", (6, 4), RED)
        image = loaded(
            encoded(was if was.mode == mode else was.convert("L" if mode == "F" else mode).convert(mode), format)
        )
        assert image.original == Original(mode, 6, 4)
        assert image.pixels.mode == "RGB"

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
    def test_the_size_is_that_before_it_was_turned(self, format: str) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        image = loaded(encoded(picture(), format, exif=exif))
        assert ((image.width, image.height), image.original) == ((4, 6), Original("RGB", 6, 4))

    def test_of_pixels_it_is_what_they_were(self) -> None:
        assert from_pixels(Image.new("LA", (3, 2)), source="made").original == Original("LA", 3, 2)


class TestIdentity:
    def test_hash_is_the_documented_one(self) -> None:
        wanted = hashlib.sha256(struct.pack(">II", 6, 4) + picture().tobytes()).hexdigest()
        assert loaded(encoded(picture())).sha256 == wanted

    def test_hash_tells_shapes_apart(self) -> None:
        assert loaded(encoded(Image.new("RGB", (2, 8)))).sha256 != loaded(encoded(Image.new("RGB", (4, 4)))).sha256

    def test_png_gives_the_same_image_without_metadata(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        first = loaded(encoded(picture(), "TIFF", exif=exif, icc_profile=b"profile"))
        second = loaded(first.to_png())
        assert second.sha256 == first.sha256
        assert Image.open(io.BytesIO(first.to_png())).info == {}

    @pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (5, 255), (5, 256), (5, 257), (3, 513)])
    def test_png_of_any_size(self, size: tuple[int, int]) -> None:
        noise = numpy.random.default_rng(3).integers(0, 256, (size[1], size[0], 3), dtype=numpy.uint8)
        image = from_pixels(Image.fromarray(noise), source="made")
        data = image.to_png()
        Image.open(io.BytesIO(data)).verify()
        again = loaded(data)
        assert (again.sha256, again.original) == (image.sha256, Original("RGB", *size))

    def test_the_callers_pixels_are_not_kept(self) -> None:
        mine = picture()
        image = from_pixels(mine, source="made")
        mine.putpixel((0, 0), WHITE)
        assert first_pixel(image) == (0, 3, 6)

    def test_equal_and_hashable(self) -> None:
        one, two = (from_pixels(picture(), source="made") for _ in range(2))
        assert len({one, two}) == 1


class TestRefused:
    def test_missing(self, tmp_path: Path) -> None:
        assert "does not exist" in refused(tmp_path / "none.png")
        assert "does not exist" in refused("no\nsuch\nfile.png")

    def test_folder(self, tmp_path: Path) -> None:
        assert "is a directory" in refused(tmp_path)

    def test_empty(self) -> None:
        assert "is empty (0 bytes)" in refused(io.BytesIO())

    @pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "~nobody-of-that-name/x.png"])
    def test_impossible_paths(self, name: str) -> None:
        assert len(refused(name)) < 500

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
    def test_no_permission(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.png"
        path.write_bytes(encoded(picture()))
        path.chmod(0)
        assert "permission denied" in refused(path)

    def test_no_permission_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def deny(*_: object) -> int:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", deny)
        assert "permission denied" in refused(tmp_path / "mine.png")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_named_pipe_and_device(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
        assert "is a named pipe" in refused(tmp_path / "pipe")
        assert "is a device" in refused("/dev/zero")

    @pytest.mark.parametrize("data", [b"hello", b"<svg/>", b"%PDF-1.7", b"\x89PNG\r\n\x1a\n", b"\0" * 100])
    def test_no_image(self, data: bytes) -> None:
        assert "not an image that can be read" in refused(io.BytesIO(data))

    def test_too_many_bytes(self) -> None:
        data = encoded(picture())
        assert loaded(data, max_bytes=len(data))
        assert "expected at most 20" in refused(io.BytesIO(data), max_bytes=20)

    def test_a_row_too_long(self) -> None:
        assert "at most 65535 a side" in refused(io.BytesIO(png_header(99_000_000, 1)))

    def test_memory_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise MemoryError

        monkeypatch.setattr("cot.image.pixel_hash", fail)
        assert "does not fit the memory" in refused(io.BytesIO(encoded(Image.new("RGB", (2, 2)), "PNG")))

    def test_too_many_pixels(self) -> None:
        assert loaded(encoded(picture()), max_pixels=24)
        assert "6 x 4 = 24 pixels; expected at most 23" in refused(io.BytesIO(encoded(picture())), max_pixels=23)

    def test_bomb_is_refused_by_its_header(self) -> None:
        assert "2500000000 pixels" in refused(io.BytesIO(png_header(50_000, 50_000)))
        assert "expected at most 100000000" in refused(io.BytesIO(png_header(12_000, 12_000)))
        message = refused(io.BytesIO(png_header(50_000, 50_000)), max_pixels=10**12)
        assert f"expected at most {HARD_MAX_PIXELS}" in message

    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
    def test_cut_short(self, format: str) -> None:
        values = numpy.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=numpy.uint8)
        data = encoded(Image.fromarray(values), format)
        whole = loaded(data).sha256
        for part in (0.01, 0.1, 0.5, 0.9):
            cut = data[: int(len(data) * part)]
            try:
                found = loaded(cut).sha256
            except ImageError:
                assert "cut short" in refused(io.BytesIO(cut))
            else:
                assert found == whole

    def test_a_tiff_whose_pages_go_in_circles(self) -> None:
        data = bytearray(encoded(picture(), "TIFF"))
        (start,) = struct.unpack_from("<I", data, 4)
        (count,) = struct.unpack_from("<H", data, start)
        struct.pack_into("<I", data, start + 2 + 12 * count, start)
        assert loaded(bytes(data)).pixels.tobytes() == picture().tobytes()

    def test_a_gif_of_very_many_frames(self) -> None:
        frame = encoded(Image.new("P", (1, 1)), "GIF")
        body = frame[frame.index(b",") : -1]
        data = frame[:-1] + body * 200_000 + b";"
        started = time.process_time()
        assert loaded(data).notes == ("only the first frame is used",)
        assert time.process_time() - started < 2

    @pytest.mark.parametrize(
        ("format", "options"), [("JPEG", {}), ("MPO", {"save_all": True, "append_images": [picture()]})]
    )
    def test_a_jpeg_of_very_many_scans(self, format: str, options: dict[str, Any]) -> None:
        data = encoded(picture(), format, progressive=True, **options)
        end = data.index(b"\xff\xd9")
        scan = data[data.rindex(b"\xff\xda", 0, end) : end]
        assert loaded(data[:end] + scan * 20 + data[end:])
        assert "more than 100 scans" in refused(io.BytesIO(data[:end] + scan * 1000 + data[end:]))

    def test_what_looks_like_scans_within_a_jpeg_or_behind_it_is_none(self) -> None:
        assert loaded(encoded(picture(), "JPEG", exif=b"Exif\0\0" + b"\xff\xda" * 200) + b"\xff\xda" * 200)

    @settings(max_examples=150)
    @given(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"]), st.integers(0, 10**6), st.binary(max_size=8))
    def test_damage_is_an_image_or_an_image_error(self, format: str, place: int, damage: bytes) -> None:
        data = bytearray(encoded(picture(), format))
        start = place % len(data)
        data[start : start + len(damage)] = damage
        with contextlib.suppress(ImageError):
            assert loaded(bytes(data), max_pixels=10**6).pixels.mode == "RGB"


class TestSources:
    def test_path_home_and_file_url(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "a b.png"
        path.write_bytes(encoded(picture()))
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        for source in (path, str(path), "~/a b.png", path.as_uri(), f"file://localhost{path.as_posix()}"):
            image = load_image(source)
            assert image.pixels.tobytes() == picture().tobytes()
            assert image.source == str(source)

    def test_standard_input(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stream = io.TextIOWrapper(io.BytesIO(encoded(picture())))
        monkeypatch.setattr(sys, "stdin", stream)
        assert load_image("-").source == "-"

    def test_standard_input_from_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stream = io.TextIOWrapper(io.BytesIO())
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
        monkeypatch.setattr(sys, "stdin", stream)
        assert "terminal" in refused("-")

    @pytest.mark.parametrize("url", ["ftp://host/a.png", "gopher://host", "file://elsewhere/a.png", "file://[/a.png"])
    def test_other_addresses(self, url: str) -> None:
        assert "expected" in refused(url)


class Handler(http.server.BaseHTTPRequestHandler):
    """A server of images, good and bad."""

    def do_GET(self) -> None:
        page = self.path.partition("?")[0].strip("/")
        if page.startswith("hop"):
            left = int(page[3:])
            self._start(302, {"Location": f"/hop{left - 1}" if left > 1 else "/image"})
        elif page == "image":
            self._start(200, {"Content-Length": str(len(encoded(picture())))})
            self.wfile.write(encoded(picture()))
        elif page == "plain":
            self._start(200, {"Content-Encoding": "aws-chunked"})
            self.wfile.write(encoded(picture()))
        elif page.startswith("gzip"):
            data = encoded(picture())
            encodings = page.split(",")
            for _ in encodings:
                data = gzip.compress(data)
            self._start(200, {"Content-Encoding": ", ".join(encodings)})
            self.wfile.write(data)
        elif page == "declared":
            self._start(200, {"Content-Length": "999999999999"})
        elif page == "endless":
            self._start(200, {})
            self._send_for_ever(b"x" * 65536, 0.0)
        elif page == "drip":
            self._start(200, {})
            self._send_for_ever(b"x", 0.05)
        elif page == "away":
            self._start(302, {"Location": "file:///etc/hostname"})
        else:
            self._start(404, {})

    def _start(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send_for_ever(self, data: bytes, pause_seconds: float) -> None:
        try:
            while True:
                self.wfile.write(data)
                time.sleep(pause_seconds)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class TestDownloads:
    def test_image(self, server: str) -> None:
        image = load_image(f"{server}/image")
        assert image.pixels.tobytes() == picture().tobytes()
        assert image.source == f"{server}/image"

    def test_credentials_are_not_kept(self, server: str) -> None:
        secret = server.replace("http://", "HTTP://user:secret@")
        assert load_image(f"{secret}/image").source == server.replace("http", "HTTP") + "/image"
        assert "secret" not in refused(f"{secret}/none")

    def test_what_signs_an_address_is_not_kept(self, server: str) -> None:
        assert load_image(f"{server}/image?token=secret#secret").source == f"{server}/image?…"
        assert "secret" not in refused(f"{server}/none?token=secret")

    def test_what_is_compressed_more_than_once_is_not_unpacked(self, server: str) -> None:
        assert load_image(f"{server}/plain").pixels.tobytes() == picture().tobytes()
        assert load_image(f"{server}/gzip").pixels.tobytes() == picture().tobytes()
        assert "was sent compressed as 'gzip, gzip'" in refused(f"{server}/gzip,gzip")

    def test_redirects_are_bounded(self, server: str) -> None:
        assert load_image(f"{server}/hop{MAX_REDIRECTS}")
        assert "redirect" in refused(f"{server}/hop{MAX_REDIRECTS + 1}").lower()
        assert "cannot be downloaded" in refused(f"{server}/away")

    @pytest.mark.parametrize(
        ("page", "reason"),
        [("none", "HTTP 404"), ("declared", "999999999999 bytes"), ("endless", "more than 100000 bytes")],
    )
    def test_refused(self, server: str, page: str, reason: str) -> None:
        assert reason in refused(f"{server}/{page}", max_bytes=100_000)

    def test_the_whole_download_is_bounded(self, server: str) -> None:
        started = time.monotonic()
        assert "did not arrive within 0.3 seconds" in refused(f"{server}/drip", timeout_seconds=0.3)
        assert time.monotonic() - started < 3

    @pytest.mark.parametrize("url", ["http://", "http://[", "http://127.0.0.1:1/a.png", "http://127.0.0.1:99999/"])
    def test_nobody_there(self, url: str) -> None:
        assert "cannot be downloaded" in refused(url, timeout_seconds=10)


def test_the_user_hears_of_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    makers: list[Callable[[], bytes]] = [
        lambda: encoded(picture().convert("P"), transparency=b"\0" * 5),
        lambda: png_header(9500, 9500),
    ]
    for make in makers:
        with contextlib.suppress(ImageError):
            loaded(make())
    assert not list(recwarn)
