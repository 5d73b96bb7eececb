"""Model folders beside the starter, and the starter loaded once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ticli.generation import PictureRequest, plan_pictures
from ticli.models import STARTER
from ticli.settings import load_settings

REQUEST = PictureRequest(prompts=(), seed=7, output="")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty current folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def plan() -> Callable[..., Any]:
    """Plan one picture a prompt from seed 7: plan(library, "<mug>", count=2) → Plan."""

    def make(library: Any, *prompts: str, **changes: Any) -> Any:
        request = replace(REQUEST, prompts=prompts, **changes)
        return plan_pictures(request, library, load_settings())

    return make


@pytest.fixture
def model_folder(tmp_path: Path) -> Callable[..., Path]:
    """Make a diffusers folder with the starter's weights and, in its words, another width."""

    def make(name: str, width: int = 256) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for part in STARTER.iterdir():
            if part.name != "text_encoder":
                (folder / part.name).symlink_to(part)
        encoder = folder / "text_encoder"
        encoder.mkdir()
        (encoder / "model.safetensors").symlink_to(STARTER / "text_encoder" / "model.safetensors")
        config = json.loads((STARTER / "text_encoder" / "config.json").read_text())
        (encoder / "config.json").write_text(json.dumps(config | {"hidden_size": width}))
        return folder

    return make


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Draw on one thread: on a busy machine two threads wait for each other most of the time."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def starter_model() -> Any:
    from ticli.models import load_model, pick_hardware
    from ticli.models.locate import starter

    return load_model(starter(), pick_hardware("cpu"))
