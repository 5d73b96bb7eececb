"""Cut a square out of a photo, around its subject; never squashed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ticli.photos.opening import Photo

# Pixels of the short side on which the subject is looked for.
_SMALL = 64
# A colour belongs to the background where it takes so much of the border.
_SHARE = 0.08
# Windows that hold nearly as much of the subject as the best one; the middle of them is taken.
_SLACK = 0.01
# The best window must hold so much more than an even spread would put there.
_GAIN = 1.08


def crop_box(photo: Photo) -> tuple[int, int, int, int]:
    """The square (left, top, right, bottom) in pixels of the upright photo in its file.

    Its side is the short side. Along the long one it is centred on what a mask leaves or is not
    transparent, or else on what differs most from the border's colours, or else in the middle.
    """
    left, top = _corner(photo, photo.width, photo.height)
    side = min(photo.width, photo.height)
    return left, top, left + side, top + side


def training_picture(photo: Photo, size: int) -> Image.Image:
    """Return the photo's square as an RGB picture of size × size pixels."""
    return _square(photo, photo.image, size, Image.Resampling.LANCZOS)


def training_mask(photo: Photo, size: int) -> Image.Image:
    """Return the same square of the photo's mask, size × size levels of grey; white without one."""
    if photo.mask is None:
        return Image.new("L", (size, size), 255)
    return _square(photo, photo.mask, size, Image.Resampling.BOX)


def describe_crop(photo: Photo) -> str:
    """Say what becomes of a photo, such as `mug-2.jpg 480×640 turned, crop 480×480 at 0,90`."""
    left, top, right, bottom = crop_box(photo)
    turned = " turned" if photo.turned else ""
    shape = f"{photo.file} {photo.width}×{photo.height}{turned}"
    if photo.width == photo.height:
        return f"{shape}, whole"
    return f"{shape}, crop {right - left}×{bottom - top} at {left},{top}"


def _square(
    photo: Photo, image: Image.Image, size: int, resampling: Image.Resampling
) -> Image.Image:
    left, top = _corner(photo, *image.size)
    side = min(image.size)
    square = image.crop((left, top, left + side, top + side))
    if side == size:
        return square
    return square.resize((size, size), resampling, reducing_gap=3.0)


def _corner(photo: Photo, width: int, height: int) -> tuple[int, int]:
    """Place the square in a picture of width × height, whatever size it is looked at in."""
    slack = abs(width - height)
    if slack == 0:
        return 0, 0
    offset = min(max(round(_centre(photo) * max(width, height) - min(width, height) / 2), 0), slack)
    return (offset, 0) if width > height else (0, offset)


def _centre(photo: Photo) -> float:
    """Where along the long side the square is centred, 0 to 1."""
    sideways = photo.image.width >= photo.image.height
    subject = photo.mask if photo.mask is not None else photo.alpha
    if subject is not None and (box := subject.getbbox()) is not None:
        first, last = (box[0], box[2]) if sideways else (box[1], box[3])
        return (first + last) / 2 / max(photo.image.size)
    return _densest(_subject(photo.image).sum(axis=0 if sideways else 1), _SMALL)


def _subject(image: Image.Image) -> NDArray[np.float64]:
    """How much each pixel of a small copy differs from the border's colours, (height, width)."""
    scale = _SMALL / min(image.size)
    width, height = (max(_SMALL, round(side * scale)) for side in image.size)
    small = np.asarray(image.resize((width, height), Image.Resampling.BOX), dtype=np.float64)
    frame = np.ones((height, width), dtype=bool)
    frame[2:-2, 2:-2] = False
    border = small[frame]
    colours = _main_colours(border)
    # The border's own spread is texture, not subject. Squared, because otherwise a little texture
    # over half of a photo outweighs a small subject.
    noise = float(np.quantile(_distance(border, colours), 0.9))
    return np.square(np.clip(_distance(small, colours) - noise, 0.0, None))


def _main_colours(border: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the colours that take a good share of the border, (count, 3); at least one."""
    bins = (border // 64).astype(np.int64) @ np.array([16, 4, 1])
    found = [border[bins == number] for number in np.unique(bins)]
    main = [group.mean(axis=0) for group in found if len(group) >= _SHARE * len(border)]
    return np.stack(main) if main else np.median(border, axis=0)[None]


def _distance(pixels: NDArray[np.float64], colours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of pixels (..., 3) to the nearest of the colours (count, 3)."""
    apart = np.stack([np.linalg.norm(pixels - colour, axis=-1) for colour in colours])
    nearest: NDArray[np.float64] = apart.min(axis=0)
    return nearest


def _densest(weights: NDArray[np.float64], window: int) -> float:
    """The centre, 0 to 1, of the window with most weight; 0.5 if none stands out."""
    total = float(weights.sum())
    # Windows reach over the edge, so that those with all of a subject lie around it.
    sums = np.convolve(np.pad(weights, window), np.ones(window), mode="valid")
    best = int(np.argmax(sums))
    if total <= 0 or sums[best] < _GAIN * total * window / len(weights):
        return 0.5
    good = np.flatnonzero(sums >= sums[best] - _SLACK * total)
    # Only the run around the best: another far-off window may be nearly as good.
    run = good[np.abs(good - best) <= window]
    return float(run[0] + run[-1] - window) / 2 / len(weights)


# The second crop's share of the training square's side: small enough to differ at every pixel,
# large enough to hold most of a subject in the middle.
SHARE = 0.85


def other_picture(photo: Photo, size: int, corner: int) -> Image.Image:
    """A square from one corner (0 to 3) of the training square, for evaluations: size × size."""
    return _other_corner(training_picture(photo, round(size / SHARE)), size, corner)


def other_mask(photo: Photo, size: int, corner: int) -> Image.Image:
    """The same square of the photo's mask, size × size levels of grey; white without one."""
    return _other_corner(training_mask(photo, round(size / SHARE)), size, corner)


def _other_corner(whole: Image.Image, size: int, corner: int) -> Image.Image:
    slack = whole.width - size
    left, top = slack * (corner % 2), slack * (corner // 2 % 2)
    return whole.crop((left, top, left + size, top + size))
