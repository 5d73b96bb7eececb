"""Files that lie, break off or never end: each refused with its reason, none opened twice."""

from __future__ import annotations

import os
import random
import socket
import warnings
import zlib
from pathlib import Path

import pytest
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngImageFile

from ticli.errors import BadContent
from ticli.photos import LARGEST_FILE, Photo, kind_of, open_photo

FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]


def reason(path: Path) -> str:
    with pytest.raises(BadContent) as caught:
        open_photo(path)
    assert str(path) in caught.value.message
    assert caught.value.details["path"] == str(path)
    return str(caught.value.details["reason"])


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_was_cut_off(folder, encoded, format):
    noise = Image.effect_noise((200, 200), 80).convert("RGB")
    whole = encoded(noise, format)
    (folder / "a.jpg").write_bytes(whole)
    assert open_photo(folder / "a.jpg").image.size == (200, 200)
    (folder / "a.jpg").write_bytes(whole[: len(whole) // 2])
    assert "cut off" in reason(folder / "a.jpg") or "damaged" in reason(folder / "a.jpg")


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_the_commonest_ones_are_said_to_be_cut_off(folder, encoded, format):
    whole = encoded(Image.effect_noise((200, 200), 80).convert("RGB"), format)
    (folder / "a").write_bytes(whole[:-2000])
    assert "cut off" in reason(folder / "a")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><title>404</title>", "a web page"),
        (b"\n <html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a git-lfs pointer"),
        (b"%PDF-1.7", "a PDF"),
        (b"PK\x03\x04rest", "a ZIP archive"),
        (b"<?xml version='1.0'?><svg>", "an SVG drawing"),
        (b"\xff\x0a\xfa\x1f", "a JPEG XL picture"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"),
        (b"8BPS\0\x01", "a Photoshop document"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "a video"),
        (b"\0\0\0\x18ftypcrx \0\0\0\0crx isom", "a camera raw file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "not a picture"),
        (b"SIMPLE  =                    T", "not a picture"),
        (b"BM is how this text begins, and no bitmap", "not a picture"),
        (b"\0" * 600, "not a picture"),
    ],
)
def test_what_is_no_usable_picture_is_called_by_its_name(folder, content, word):
    (folder / "a.jpg").write_bytes(content)
    assert word in reason(folder / "a.jpg")


def test_the_thumbnail_in_a_camera_raw_file_is_not_taken_for_the_photo(folder, corners):
    corners.save(folder / "a.dng", "TIFF")
    assert "camera raw" in reason(folder / "a.dng")


def test_brands_tell_avif_from_heic():
    def kind(major: bytes, *others: bytes) -> str:
        box = b"ftyp" + major + bytes(4) + b"".join(others)
        return kind_of((len(box) + 4).to_bytes(4, "big") + box + b"avif", Path("a")).name

    assert kind(b"avif", b"mif1", b"miaf") == "an AVIF"
    assert kind(b"mif1", b"avif") == "an AVIF"
    assert kind(b"mif1", b"heic") == "a HEIC photo"
    assert kind(b"heic", b"mif1") == "a HEIC photo"
    assert kind(b"qt  ") == "a video"


@pytest.mark.parametrize(
    ("width", "height", "word"),
    [
        (8000, 8000, "8000×8000 pixels large, and 50 million are the most"),
        (10000, 10000, "10000×10000 pixels large, and 50 million are the most"),
        (14000, 14000, "far too many pixels"),
        (60000, 60000, "far too many pixels"),
        (0, 10, "damaged"),
    ],
)
def test_a_header_that_claims_too_much_is_refused_before_decoding(
    folder, png, monkeypatch, width, height, word
):
    monkeypatch.setattr(PngImageFile, "load", lambda image: pytest.fail("it was decoded"))
    (folder / "a.png").write_bytes(png(width, height, 8, 2, b"\0"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert word in reason(folder / "a.png")


def test_a_very_large_jpeg_is_decoded_small_and_others_are_refused(folder, encoded):
    large = Image.new("L", (9000, 6000), 100)
    (folder / "a.jpg").write_bytes(encoded(large, "JPEG"))
    photo = open_photo(folder / "a.jpg", 64)
    assert (photo.width, photo.height, photo.image.size) == (9000, 6000, (96, 64))
    (folder / "b.jpg").write_bytes(encoded(large, "JPEG", progressive=True))
    assert "9000×6000 pixels large" in reason(folder / "b.jpg")


def test_pillows_own_log_stays_off_the_terminal(folder, encoded, capfd):
    whole = bytearray(encoded(Image.new("RGB", (4, 4)), "TIFF"))
    at = whole.index(b"\x15\x01\x03\0")
    whole[at + 8 : at + 10] = (2048).to_bytes(2, "little")
    (folder / "a.tif").write_bytes(whole)
    assert "damaged" in reason(folder / "a.tif")
    assert capfd.readouterr().err == ""


def test_a_bomb_among_the_text_chunks(folder, png):
    bomb = (b"zTXt", b"k\0\0" + zlib.compress(bytes(2 << 20)))
    (folder / "a.png").write_bytes(png(1, 1, 8, 2, b"\0\0\0\0", bomb))
    # It is never unpacked; the pixels are whole.
    assert open_photo(folder / "a.png").width == 1


def test_a_file_over_the_limit_is_not_read_to_its_end(folder):
    with (folder / "a.jpg").open("wb") as file:
        file.truncate(1 << 40)
    assert f"larger than {LARGEST_FILE >> 20} MiB" in reason(folder / "a.jpg")


def test_special_files_are_refused_without_waiting(folder, hang_guard, monkeypatch):
    os.mkfifo(folder / "pipe.jpg")
    assert "named pipe" in reason(folder / "pipe.jpg")
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.jpg")
        assert "socket" in reason(Path("socket.jpg"))
    assert "device" in reason(Path("/dev/zero"))
    (folder / "x.jpg").mkdir()
    assert "folder" in reason(folder / "x.jpg")


def test_a_pipe_put_in_place_after_the_check_does_not_block(folder, hang_guard, monkeypatch):
    path = folder / "a.jpg"
    path.write_bytes(b"x")
    plain = os.open

    def swapped(target, *rest):
        path.unlink()
        os.mkfifo(path)
        return plain(target, *rest)

    monkeypatch.setattr(os, "open", swapped)
    assert "named pipe" in reason(path)


def test_links_that_lead_nowhere(folder):
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    assert "back to itself" in reason(folder / "loop.jpg")
    (folder / "gone.jpg").symlink_to(folder / "absent.jpg")
    assert "gone" in reason(folder / "gone.jpg")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(folder, corners):
    corners.save(folder / "a.png")
    (folder / "a.png").chmod(0)
    assert "may not read" in reason(folder / "a.png")


@pytest.mark.parametrize("format", FORMATS)
def test_flipped_bytes_never_escape_as_another_error(folder, encoded, format):
    whole = encoded(Image.linear_gradient("L").resize((40, 30)).convert("RGB"), format)
    draw = random.Random(format)
    refused = 0
    for _ in range(60):
        broken = bytearray(whole)
        for _ in range(draw.randint(1, 6)):
            broken[draw.randrange(len(broken))] = draw.randrange(256)
        (folder / "a").write_bytes(broken)
        try:
            assert isinstance(open_photo(folder / "a"), Photo)
        except BadContent as error:
            assert error.details["reason"]
            refused += 1
    assert format in ("GIF", "BMP") or refused
