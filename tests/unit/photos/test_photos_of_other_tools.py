"""Photos, masks and captions as other tools leave them."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ticli.errors import BadContent, Usage
from ticli.photos import find_photos, load_photos, open_photo
from ticli.photos.kinds import HEIC


def picture(path: Path, color: str = "red") -> bytes:
    """A picture of many blocks, so that a cut is felt."""
    image = Image.effect_mandelbrot((64, 64), (-2, -1, 1, 1), 40).convert("RGB")
    image.paste(color, (0, 0, 20, 20))
    stream = io.BytesIO()
    image.save(stream, "PNG" if path.suffix == ".png" else "JPEG")
    path.write_bytes(stream.getvalue())
    return stream.getvalue()


@pytest.mark.parametrize("suffix", [".mask.png", "-masklabel.png", "_mask.png"])
def test_masks_by_every_name_are_no_photos(folder, suffix) -> None:
    picture(folder / "a.jpg")
    picture(folder / f"a{suffix}", "white")
    found = find_photos([str(folder)])
    assert [path.name for path in found.files] == ["a.jpg"]
    assert [path.name for path in found.masks] == [f"a{suffix}"]


def test_a_photo_called_like_a_mask_of_nothing_stays_a_photo(folder) -> None:
    picture(folder / "venice_mask.png")
    assert [path.name for path in find_photos([str(folder)]).files] == ["venice_mask.png"]


@pytest.mark.parametrize("suffix", [".txt", ".caption"])
def test_captions_are_counted_not_skipped(folder, suffix) -> None:
    picture(folder / "a.jpg")
    (folder / f"a{suffix}").write_text("a red mug")
    found = find_photos([str(folder)])
    assert (found.captions, found.skipped_other) == (1, 0)
    assert find_photos([str(folder / "a.jpg")]).captions == 1


def test_photos_in_a_folder_inside_are_named(folder) -> None:
    picture(folder / "a.jpg")
    (folder / "more").mkdir()
    (folder / "empty").mkdir()
    (folder / ".thumbnails").mkdir()
    picture(folder / "more" / "b.jpg")
    picture(folder / ".thumbnails" / "a.jpg")
    (note,) = find_photos([str(folder)]).notes
    assert str(folder / "more") in note and "empty" not in note and "thumb" not in note


def test_an_address_is_no_missing_file() -> None:
    with pytest.raises(Usage, match="is an address, not a file"):
        find_photos(["https://example.org/a.jpg"])


def test_what_heic_needs_is_said_once(folder, monkeypatch) -> None:
    from ticli.photos import opening

    picture(folder / "a.jpg")
    for name in ("b.heic", "c.heic"):
        (folder / name).write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))

    def missing(data: bytes) -> Image.Image:
        raise opening.Refusal(f"it is {HEIC.name}", 'pip install "ticli[heic]"')

    monkeypatch.setattr(opening, "_open_heic", missing)
    found = load_photos(find_photos([str(folder)]))
    assert len(found.photos) == 1 and len(found.rejected) == 2
    assert sum("ticli[heic]" in warning for warning in found.warnings) == 1
    (folder / "a.jpg").unlink()
    with pytest.raises(BadContent) as refusal:
        load_photos(find_photos([str(folder)]))
    assert refusal.value.hint.count("ticli[heic]") == 1


def chunk(kind: bytes, body: bytes, checksum: int | None = None) -> bytes:
    found = zlib.crc32(kind + body) if checksum is None else checksum
    return len(body).to_bytes(4, "big") + kind + body + found.to_bytes(4, "big")


@pytest.mark.parametrize(
    "comment",
    [
        chunk(b"zTXt", b"history\0\0" + zlib.compress(bytes(3 << 20))),
        chunk(b"tEXt", b"comment\0hello", checksum=7),
        chunk(b"pHYs", bytes(9), checksum=7),
    ],
)
@pytest.mark.parametrize("ended", [True, False])
def test_a_png_with_whole_pixels_is_used(folder, comment, ended) -> None:
    data = picture(folder / "plain.png")
    odd = data[:33] + comment + data[33:]
    (folder / "odd.png").write_bytes(odd if ended else odd[:-12])
    wanted = np.asarray(open_photo(folder / "plain.png").image)
    np.testing.assert_array_equal(np.asarray(open_photo(folder / "odd.png").image), wanted)
    # 12 bytes of end mark, 4 of checksum and 4 of zlib's own are no pixels.
    for less in (21, 24, 60):
        (folder / "cut.png").write_bytes(odd[:-less])
        with pytest.raises(BadContent):
            open_photo(folder / "cut.png")


@pytest.mark.parametrize("comment", [b"", chunk(b"tEXt", b"comment\0hello", checksum=7)])
def test_a_png_with_damaged_pixels_is_refused(folder, comment) -> None:
    data = picture(folder / "plain.png")
    for place in range(60, len(data) - 20, 97):
        damaged = bytearray(data)
        damaged[place] ^= 4
        (folder / "odd.png").write_bytes(damaged[:33] + comment + damaged[33:])
        with pytest.raises(BadContent):
            open_photo(folder / "odd.png")


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"restart_marker_blocks": 2}])
def test_a_jpeg_without_its_end_is_used_only_if_it_is_whole(folder, encoded, options) -> None:
    picture(folder / "plain.png")
    data = encoded(Image.open(folder / "plain.png"), "JPEG", **options)
    (folder / "plain.jpg").write_bytes(data)
    wanted = np.asarray(open_photo(folder / "plain.jpg").image)
    for missing in (1, 2):
        (folder / "endless.jpg").write_bytes(data[:-missing])
        np.testing.assert_array_equal(np.asarray(open_photo(folder / "endless.jpg").image), wanted)
    for length in (*range(len(data) - 4, len(data) - 90, -1), len(data) // 2):
        (folder / "cut.jpg").write_bytes(data[:length])
        with pytest.raises(BadContent, match="cut off"):
            open_photo(folder / "cut.jpg")


def test_a_jpeg_of_several_passes_is_not_guessed_to_be_whole(folder, encoded) -> None:
    data = encoded(Image.effect_noise((64, 64), 80), "JPEG", progressive=True)
    (folder / "cut.jpg").write_bytes(data[: data.rindex(b"\xff\xda")])
    with pytest.raises(BadContent, match="cut off"):
        open_photo(folder / "cut.jpg")
