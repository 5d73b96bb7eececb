"""Every family's tiny model, built once, and photos to learn from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_families import FamilyFolders, load


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny models are slower on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def family_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return FamilyFolders(tmp_path_factory.mktemp("families"))


@pytest.fixture(scope="session")
def models(family_folders):
    """Every family's model, loaded when first asked for; tests change nothing in them."""

    class Models(dict):
        def __missing__(self, name: str):
            self[name] = load(family_folders[name])
            return self[name]

    return Models()


@pytest.fixture
def fresh_model(family_folders):
    """Load a model that the test may change: fresh_model("sdxl")."""
    return lambda name: load(family_folders[name])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two small photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, colour in enumerate(("red", "teal")):
        picture = Image.new("RGB", (80, 72), "white")
        picture.paste(colour, (16, 16, 56, 56))
        picture.save(folder / f"photo-{number}.png")
    return folder
