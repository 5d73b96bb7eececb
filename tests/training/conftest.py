"""The tiny model, loaded, and photos to learn from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny import build_tiny_model


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny models are slower on several threads; restore the count, which runs record."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture
def tiny(tiny_folder: Path):
    """The tiny model, loaded."""
    from ticli.models import load_model, pick_hardware
    from ticli.models.locate import locate

    return load_model(locate(str(tiny_folder)), pick_hardware("cpu"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three photos of different shapes and colours."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, (size, colour) in enumerate(
        [((80, 64), "red"), ((64, 96), "teal"), ((72, 72), "gold")]
    ):
        picture = Image.new("RGB", size, "white")
        picture.paste(colour, (16, 16, 48, 48))
        picture.save(folder / f"photo-{number}.png")
    return folder
