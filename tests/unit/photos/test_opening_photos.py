"""Every pixel as its author saw it: upright, 8-bit, sRGB, on white."""

from __future__ import annotations

import hashlib
import io
import struct
import sys

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from ticli.errors import BadContent
from ticli.photos import open_photo


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def near(image: Image.Image, other: Image.Image, levels: float = 6.0) -> bool:
    return image.size == other.size and np.abs(pixels(image) - pixels(other)).mean() < levels


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_ends_upright(folder, corners, encoded, format, orientation):
    # What a camera stores for this tag: the upright picture, turned the opposite way.
    undo = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    exif = Image.Exif()
    exif[0x0112] = undo
    stored = corners.copy()
    stored.info["exif"] = exif.tobytes()
    stored = ImageOps.exif_transpose(stored)
    exif[0x0112] = orientation
    path = folder / "photo"
    path.write_bytes(encoded(stored, format, exif=exif.tobytes(), quality=95))
    photo = open_photo(path)
    assert (photo.width, photo.height) == photo.image.size == (48, 32)
    assert near(photo.image, corners)
    assert photo.turned == (orientation > 1)


def test_the_example_stored_on_its_side_ends_upright(mug):
    photo = open_photo(mug / "mug-2.jpg")
    with Image.open(mug / "mug-2.jpg") as stored:
        assert stored.getexif()[0x0112] == 6
        upright = ImageOps.exif_transpose(stored)
    assert (photo.width, photo.height) == (480, 640)
    assert pixels(photo.image).tolist() == pixels(upright).tolist()
    assert photo.sha256 == hashlib.sha256((mug / "mug-2.jpg").read_bytes()).hexdigest()
    assert photo.file == "mug-2.jpg"


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_means_nothing_changes_nothing(folder, corners, value):
    exif = Image.Exif()
    exif[0x0112] = value
    corners.save(folder / "a.png", exif=exif)
    photo = open_photo(folder / "a.png")
    assert near(photo.image, corners)
    assert not photo.turned


def test_damaged_metadata_costs_a_note_and_not_the_photo(folder, corners, encoded):
    block = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0\x01"
    (folder / "a.jpg").write_bytes(encoded(corners, "JPEG", exif=block, quality=95))
    photo = open_photo(folder / "a.jpg")
    assert near(photo.image, corners)
    assert photo.notes == ("its metadata is damaged",)


@pytest.mark.parametrize(("format", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "I;16B")])
def test_16_bit_greys_are_scaled_and_not_clipped(folder, format, mode):
    ramp = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    stored = Image.frombytes(mode, (16, 16), ramp.astype(">u2" if "B" in mode else "<u2").tobytes())
    stored.save(folder / "a", format)
    photo = open_photo(folder / "a")
    assert pixels(photo.image)[..., 1].flatten().tolist() == list(range(256))


def test_16_bit_grey_with_a_transparent_value(folder, png):
    rows = b"".join(b"\0" + struct.pack(">8H", 1000, *[32896] * 7) for _ in range(8))
    clear = (b"tRNS", struct.pack(">H", 1000))
    (folder / "a.png").write_bytes(png(8, 8, 16, 0, rows, clear))
    photo = open_photo(folder / "a.png")
    assert photo.image.getpixel((0, 3)) == (255, 255, 255)
    assert photo.image.getpixel((1, 3)) == (128, 128, 128)
    assert photo.alpha is not None
    assert photo.alpha.getbbox() == (1, 0, 8, 8)


def test_16_bit_colour(folder, png):
    rows = b"".join(b"\0" + struct.pack(">3H", 65535, 32896, 0) * 8 for _ in range(8))
    (folder / "a.png").write_bytes(png(8, 8, 16, 2, rows))
    assert open_photo(folder / "a.png").image.getpixel((4, 4)) == (255, 128, 0)


@pytest.mark.parametrize(("mode", "word"), [("F", "floating-point"), ("I", "32-bit")])
def test_pixels_without_a_white_are_refused(folder, mode, word):
    Image.new(mode, (8, 8), 1).save(folder / "a.tif")
    with pytest.raises(BadContent, match=word):
        open_photo(folder / "a.tif")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "YCbCr"])
def test_plain_modes_become_rgb(folder, corners, mode):
    stored = corners.convert(mode)
    stored.save(folder / "a", "TIFF")
    photo = open_photo(folder / "a")
    assert photo.image.mode == "RGB"
    assert photo.alpha is None
    assert near(photo.image, stored.convert("RGB"))


def test_the_colour_under_transparency_never_shows(folder):
    stored = Image.new("RGBA", (40, 20), (255, 0, 0, 0))
    stored.paste((0, 0, 255, 255), (0, 0, 20, 20))
    stored.putpixel((30, 10), (0, 0, 0, 128))
    stored.save(folder / "a.png")
    photo = open_photo(folder / "a.png")
    assert photo.image.getpixel((35, 5)) == (255, 255, 255)
    assert photo.image.getpixel((5, 5)) == (0, 0, 255)
    assert photo.image.getpixel((30, 10)) == (127, 127, 127)
    assert photo.alpha is not None
    assert photo.alpha.getpixel((5, 5)) == 255


def test_reducing_keeps_hidden_colours_out_of_the_edge(folder):
    stored = Image.new("RGBA", (400, 400), (255, 0, 0, 0))
    stored.paste((0, 0, 255, 255), (100, 100, 300, 300))
    stored.save(folder / "a.png")
    red, green, _ = open_photo(folder / "a.png", 50).image.split()
    # White to blue: red never exceeds green.
    assert np.all(pixels(red) - pixels(green) <= 2)


def test_palette_with_transparency(folder):
    stored = Image.new("P", (16, 16), 0)
    stored.putpalette([200, 30, 30, 30, 200, 30])
    stored.paste(1, (8, 0, 16, 16))
    stored.save(folder / "a.png", transparency=b"\x00\xff")
    photo = open_photo(folder / "a.png")
    assert photo.image.getpixel((2, 2)) == (255, 255, 255)
    assert photo.image.getpixel((12, 2)) == (30, 200, 30)
    assert photo.alpha is not None


def test_grey_with_alpha_and_a_transparent_colour(folder):
    Image.new("LA", (8, 8), (10, 128)).save(folder / "a.png")
    assert open_photo(folder / "a.png").image.getpixel((1, 1)) == (132, 132, 132)
    keyed = Image.new("RGB", (8, 8), (1, 2, 3))
    keyed.paste((9, 9, 9), (4, 0, 8, 8))
    keyed.save(folder / "b.png", transparency=(1, 2, 3))
    assert open_photo(folder / "b.png").image.getpixel((1, 1)) == (255, 255, 255)


def test_an_opaque_alpha_is_none_and_a_wholly_clear_one_refused(folder, corners):
    corners.convert("RGBA").save(folder / "a.png")
    assert open_photo(folder / "a.png").alpha is None
    Image.new("RGBA", (8, 8), (9, 9, 9, 0)).save(folder / "b.png")
    with pytest.raises(BadContent, match="transparent"):
        open_photo(folder / "b.png")


def test_cmyk_without_a_profile_is_converted_with_a_note(folder, corners):
    corners.convert("CMYK").save(folder / "a.jpg", quality=95)
    photo = open_photo(folder / "a.jpg")
    assert near(photo.image, corners)
    assert "CMYK" in photo.notes[0]


def test_cmyk_goes_through_its_profile(folder):
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(
        folder / "a.jpg", quality=95, icc_profile=cmyk_profile()
    )
    photo = open_photo(folder / "a.jpg")
    # The made-up ink: full cyan is Lab (50, 0, 0), a grey, and not the screen's (0, 255, 255).
    assert np.abs(pixels(photo.image)[8, 8] - 119).max() <= 4
    assert photo.notes == ()


def test_a_colour_profile_is_applied(folder):
    table = srgb()
    swapped = table.replace(b"rXYZ", b"....").replace(b"bXYZ", b"rXYZ").replace(b"....", b"bXYZ")
    Image.new("RGB", (8, 8), (255, 0, 0)).save(folder / "a.png", icc_profile=swapped)
    red, green, blue = open_photo(folder / "a.png").image.getpixel((4, 4))
    assert (red < 10, green < 10, blue > 245) == (True, True, True)


@pytest.mark.parametrize("mode", ["L", "P", "LA", "RGBA", "RGB"])
def test_an_srgb_profile_changes_nothing_in_any_mode(folder, corners, mode):
    stored = corners.convert(mode)
    stored.save(folder / "a.png", icc_profile=srgb())
    photo = open_photo(folder / "a.png")
    assert near(photo.image, stored.convert("RGB"), 2)
    assert photo.notes == ()


@pytest.mark.parametrize("profile", [b"garbage", srgb()[:200], None], ids=["text", "cut", "cmyk"])
def test_a_useless_profile_costs_a_note_and_not_the_photo(folder, corners, profile):
    corners.save(folder / "a.png", icc_profile=profile or cmyk_profile())
    photo = open_photo(folder / "a.png")
    assert near(photo.image, corners, 1)
    assert "profile" in photo.notes[0]


def test_lab_pixels(folder):
    Image.new("LAB", (8, 8), (128, 128, 128)).save(folder / "a.tif")
    values = pixels(open_photo(folder / "a.tif").image)[4, 4]
    assert np.abs(values - values.mean()).max() <= 3
    assert 110 < values.mean() < 130


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_several_frames_give_the_first_and_a_note(folder, format):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(folder / "a", format, save_all=True, append_images=frames[1:])
    photo = open_photo(folder / "a")
    assert near(photo.image, frames[0])
    assert photo.notes == ("it holds several pictures; the first is used",)


def test_a_large_photo_is_reduced_to_its_use_and_keeps_its_own_size_in_words(folder):
    image = Image.linear_gradient("L").resize((3000, 2000)).convert("RGB")
    for name in ("a.jpg", "a.png"):
        image.save(folder / name)
        photo = open_photo(folder / name, 128)
        assert (photo.width, photo.height) == (3000, 2000)
        assert photo.image.size == (192, 128)
        assert near(photo.image, image.resize((192, 128), Image.Resampling.LANCZOS), 1.5)


def test_a_photo_keeps_its_pixels_where_it_is_no_larger_than_its_use(folder, corners):
    corners.save(folder / "a.png")
    photo = open_photo(folder / "a.png", 32)
    assert pixels(photo.image).tolist() == pixels(corners).tolist()


def test_a_file_name_that_is_no_utf8_can_still_be_written_down(folder, corners):
    path = folder / "caf\udce9.png"
    corners.save(folder / "a.png")
    (folder / "a.png").rename(path)
    photo = open_photo(path)
    assert photo.file.encode("utf-8").startswith(b"caf")


def test_heic_needs_its_extra_and_says_so(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (folder / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    with pytest.raises(BadContent) as caught:
        open_photo(folder / "a.heic")
    assert "HEIC" in caught.value.message
    assert 'pip install "ticli[heic]"' in caught.value.hint


def test_heic_with_its_extra(folder, corners):
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    lying = corners.transpose(Image.Transpose.ROTATE_90)
    pillow_heif.from_pillow(lying).save(buffer, quality=95, exif=exif.tobytes())
    (folder / "a.heic").write_bytes(buffer.getvalue())
    photo = open_photo(folder / "a.heic")
    assert (photo.width, photo.height) == photo.image.size == (48, 32)
    assert near(photo.image, corners)
    (folder / "b.heic").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(BadContent, match=r"damaged|cut off"):
        open_photo(folder / "b.heic")


def cmyk_profile() -> bytes:
    """A CMYK output profile (ICC.1, lut8Type): full cyan prints Lab (50, 0, 0), no ink white."""
    corners = [
        (0, 128, 128) if k or m or y else (128, 128, 128) if c else (255, 128, 128)
        for c in (0, 1)
        for m in (0, 1)
        for y in (0, 1)
        for k in (0, 1)
    ]
    ramp = bytes(range(256))
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = bytes(value for corner in corners for value in corner)
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + matrix + ramp * 4 + table + ramp * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    body_at = 128 + 4 + 2 * 12
    tags = struct.pack(">I", 2)
    tags += b"A2B0" + struct.pack(">II", body_at, len(lut))
    tags += b"wtpt" + struct.pack(">II", body_at + len(lut), len(white))
    body = tags + lut + white
    header = struct.pack(">I4sI", 128 + len(body), b"lcms", 0x02400000) + b"prtrCMYKLab "
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    return header.ljust(128, b"\0") + body
