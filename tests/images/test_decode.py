import io
import subprocess
import sys
import threading
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from tunesmith.errors import DataError
from tunesmith.images import decode
from tunesmith.images.decode import decode_rgb


def scene(width=48, height=32):
    """A picture without symmetry, so that a wrong turn shows."""
    values = np.zeros((height, width, 3), np.uint8)
    values[..., 0] = np.linspace(0, 255, width)[None]
    values[..., 1] = np.linspace(0, 255, height)[:, None]
    values[: height // 4, : width // 4, 2] = 255
    return Image.fromarray(values)


def saved(image, form="PNG", **given):
    stream = io.BytesIO()
    image.save(stream, form, **given)
    return stream.getvalue()


def bomb(width, height):
    """A PNG whose header promises that many pixels, and whose data unpack to zeros."""

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    body = zlib.compress(bytes(10**6))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "TIFF", "PNG", "WEBP"])
def test_a_turned_photo_is_seen_upright(orientation, form):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(scene(), form, exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        expected = ImageOps.exif_transpose(image).convert("RGB")
    got = decode_rgb(content)
    assert got.size == ((48, 32) if orientation < 5 else (32, 48))
    assert np.array_equal(np.asarray(got), np.asarray(expected))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_data_do_not_spoil_a_picture():
    content = saved(scene(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert decode_rgb(content).size == (48, 32)


@pytest.mark.parametrize("mode", ["L", "1", "CMYK"])
def test_other_colour_spaces_become_rgb_as_pillow_has_them(mode):
    image = scene().convert(mode)
    got = decode_rgb(saved(image, "TIFF"))
    assert got.mode == "RGB"
    assert np.array_equal(np.asarray(got), np.asarray(image.convert("RGB")))


def with_hole(mode):
    image = scene().convert(mode)
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (0, 0, 8, 8))
    image.putalpha(alpha)
    return image


def palette_with_hole():
    image = Image.new("P", (16, 16), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 8, 8))
    return image


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (saved(with_hole("RGB")), None),
        (saved(with_hole("L")), None),
        (saved(palette_with_hole(), transparency=0), (0, 0, 255)),
        (saved(palette_with_hole(), "GIF", transparency=0), (0, 0, 255)),
        (saved(palette_with_hole(), transparency=bytes([0, 255])), (0, 0, 255)),
        (saved(palette_with_hole().convert("RGB"), transparency=(255, 0, 0)), (0, 0, 255)),
    ],
)
def test_transparent_parts_are_white_not_what_lies_under_them(content, seen):
    got = decode_rgb(content)
    assert got.getpixel((2, 2)) == (255, 255, 255)
    assert got.getpixel((12, 12)) == (seen or got.getpixel((12, 12))) != (255, 255, 255)


@pytest.mark.parametrize(("form", "dtype"), [("PNG", np.uint16), ("TIFF", np.uint16), ("TIFF", np.int32)])
def test_sixteen_bits_are_scaled_not_clipped(form, dtype):
    values = np.linspace(0, 65535, 256).reshape(16, 16).astype(dtype)
    got = np.asarray(decode_rgb(saved(Image.fromarray(values), form)))
    assert np.array_equal(got[..., 0].ravel(), np.arange(256))


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize(("form", "dtype"), [("PNG", np.uint16), ("TIFF", np.uint16), ("TIFF", np.int32)])
def test_an_x_ray_of_fewer_bits_than_its_file_is_not_black(bits, form, dtype):
    values = np.linspace(0, 2**bits - 1, 256).reshape(16, 16).astype(dtype)
    got = np.asarray(decode_rgb(saved(Image.fromarray(values), form)))[..., 0].ravel()
    assert np.abs(got.astype(int) - np.arange(256)).max() <= 1


def test_a_few_hot_pixels_do_not_darken_a_picture_and_a_narrow_range_is_stretched():
    values = np.linspace(0, 4095, 10_000).reshape(100, 100).astype(np.uint16)
    plain = np.asarray(decode_rgb(saved(Image.fromarray(values))))
    values[0, :5] = 65535
    assert np.array_equal(np.asarray(decode_rgb(saved(Image.fromarray(values))))[1:], plain[1:])
    offset = (np.linspace(0, 1500, 10_000).reshape(100, 100) + 32_768).astype(np.uint16)
    got = np.asarray(decode_rgb(saved(Image.fromarray(offset))))
    assert got.min() == 0
    assert got.max() == 255
    assert decode_rgb(saved(Image.fromarray(np.full((4, 4), 900, np.uint16)))).getpixel((1, 1)) == (224,) * 3


def deep_colour(values):
    """A PNG of 16 bits a channel."""

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    height, width = values.shape[:2]
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x10\x02\0\0\0"
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


def test_colours_of_sixteen_bits_are_read_and_those_that_would_be_black_are_told():
    values = np.stack([np.linspace(0, 65535, 256).reshape(16, 16)] * 3, axis=-1)
    assert np.abs(np.asarray(decode_rgb(deep_colour(values)))[..., 0].ravel() - np.arange(256.0)).max() <= 1
    with pytest.raises(
        ValueError, match=r"has 16 bits a channel, .* below 16 of 256 levels: it would be nearly black"
    ):
        decode_rgb(deep_colour(values / 16))


def strokes(mode, colour, alpha=255):
    """Bars of one colour on nothing."""
    image = Image.new("RGBA", (240, 60))
    for bar in range(8):
        image.paste((*colour, alpha), (10 + 28 * bar, 10, 25 + 28 * bar, 15 + 5 * bar))
    return image.convert(mode)


@pytest.mark.parametrize(
    ("content", "ground"),
    [
        (saved(strokes("RGBA", (255, 255, 255))), 0),
        (saved(strokes("RGBA", (240, 240, 240), 120)), 0),
        (saved(strokes("LA", (250, 250, 250))), 0),
        (saved(strokes("RGBA", (255, 255, 255)), "WEBP", lossless=True), 0),
        (saved(strokes("RGBA", (0, 0, 0))), 255),
        (saved(strokes("RGBA", (255, 255, 0))), 255),
    ],
)
def test_what_stands_on_nothing_is_seen_whatever_its_colour(content, ground):
    got = np.asarray(decode_rgb(content))
    assert got[0, 0].tolist() == [ground] * 3
    assert np.abs(got[12, 15].astype(int) - ground).max() > 100


def test_white_in_a_transparent_palette_is_seen_and_so_is_white_beside_colours():
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.paste(0, (0, 0, 8, 16))
    assert decode_rgb(saved(image, "GIF", transparency=0)).getpixel((2, 2)) == (0, 0, 0)
    logo = strokes("RGBA", (255, 255, 255))
    logo.paste((200, 30, 30, 255), (10, 10, 25, 40))
    assert decode_rgb(saved(logo)).getpixel((0, 0)) == (0, 0, 0)


def test_a_picture_of_which_nothing_is_visible_is_told():
    image = scene().convert("RGBA")
    image.putalpha(0)
    with pytest.raises(ValueError, match="is transparent everywhere"):
        decode_rgb(saved(image))


def test_whatever_a_decoder_raises_of_a_damaged_file_becomes_one_sentence(monkeypatch):
    content = saved(scene(), "AVIF")
    for start in range(40, len(content), 23):
        damaged = content[:start] + bytes([content[start] ^ 0xFF]) + content[start + 1 :]
        try:
            decode_rgb(damaged)
        except ValueError as error:
            assert "\n" not in str(error)  # noqa: PT017
    monkeypatch.setattr(Image.Image, "load", lambda self: 1 / 0)
    with pytest.raises(ValueError, match=r"is a broken picture \(division by zero\)"):
        decode_rgb(JPEG)


def test_of_an_animation_the_first_frame_is_seen():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    for form in ("GIF", "WEBP", "PNG"):
        given = {
            "save_all": True,
            "append_images": frames[1:],
            **({"lossless": True} if form == "WEBP" else {}),
        }
        assert decode_rgb(saved(frames[0], form, **given)).getpixel((4, 4)) == (255, 0, 0)


JPEG = saved(scene(400, 300), "JPEG")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", r"is empty: it has no bytes"),
        (b"<!DOCTYPE html><html>Not found</html>", r"is text, not a picture \(it begins '<!DOCTYPE html>"),
        (b"404: Not Found\n" * 30, r"is text, not a picture \(it begins '404: Not Found"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid x",
            r"is a pointer of Git LFS \(run `git lfs pull`\)",
        ),
        (b"%PDF-1.7 ...", r"is PDF. Possible are JPEG, PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", r"is PostScript"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", r"is HEIC. Possible are .*: convert it"),
        (bytes(range(256)), r"is no picture of a known form"),
        (bytes(128) + b"DICM" + bytes(99), r"is DICOM. Possible are .*: convert it"),
        (b"\xff\x0a" + bytes(range(60)), r"is JPEG XL. Possible are"),
        (JPEG[:2000], r"is cut off \(image file is truncated .*\). Copy or load it again"),
        (saved(scene(400, 300))[:900], r"is cut off|is a broken picture"),
        (saved(scene(400, 300), "WEBP")[:900], r"is cut off|is a broken picture"),
        (saved(scene(400, 300), "GIF")[:900], r"is cut off|is a broken picture"),
        (saved(scene(400, 300), "TIFF")[:9000], r"is no picture|is cut off|is a broken picture"),
        (saved(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), r"holds floating-point numbers"),
        (saved(Image.fromarray(np.full((4, 4), 70000, np.int32)), "TIFF"), r"numbers from 70000 to 70000"),
    ],
)
@pytest.mark.parametrize("as_file", [False, True])
def test_what_cannot_be_read_is_told_in_words(tmp_path, content, why, as_file):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=why):
        decode_rgb(tmp_path / "a.jpg" if as_file else content)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        decode_rgb(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="is a folder, not a picture"):
        decode_rgb(tmp_path)


def test_the_limit_of_pixels_is_ours_and_pillows_is_as_it_was():
    theirs = Image.MAX_IMAGE_PIXELS
    with pytest.raises(
        ValueError, match=r"30000 x 30000 pixels, more than data.pictures.max_pixels \(100000000\)"
    ):
        decode_rgb(bomb(30_000, 30_000), 100_000_000)
    assert theirs == Image.MAX_IMAGE_PIXELS
    with pytest.raises(ValueError, match="400 x 300 pixels, more than"):
        decode_rgb(JPEG, 400 * 300 - 1)
    assert decode_rgb(JPEG, 400 * 300).size == (400, 300)


def test_pillows_limit_is_back_after_many_threads_read():
    theirs = Image.MAX_IMAGE_PIXELS
    threads = [threading.Thread(target=lambda: [decode_rgb(JPEG) for _ in range(20)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert theirs == Image.MAX_IMAGE_PIXELS is not None


def test_a_bomb_costs_no_memory(tmp_path):
    (tmp_path / "bomb.png").write_bytes(bomb(30_000, 30_000))
    program = (
        "import resource, sys\nfrom pathlib import Path\nfrom tunesmith.images.decode import decode_rgb\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"import PIL.Image; PIL.Image.init(); before = peak()\n"
        f"file = Path({str(tmp_path)!r}) / 'bomb.png'\n"
        "try: decode_rgb(file, 10**8)\nexcept ValueError: print(peak() - before)\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 20_000


def test_without_pillow_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(
        DataError, match=r"pillow, which is not installed. Run `pip install 'tunesmith\[vision\]'`"
    ):
        decode_rgb(JPEG)
    assert "imagehash" in decode.missing_library("imagehash")
