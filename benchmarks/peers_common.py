"""What every program of `peers.py` has, and the concept that they are tried with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from learned_words import FAMILIES, OTHERS
from peers_code import Rows, Shelf

from ticli.library import Target

WIDTHS: Mapping[str, Mapping[str, int]] = {**FAMILIES, **OTHERS}
WORD = "<mug>"
COUNT = 3
CLIPS, SDXL = ("sd1", "sd2"), ("sd1", "sd2", "sdxl")
OLD_TORCH = "torch.load of torch 1, which reads any pickle"


def layouts(*names: str) -> list[Target]:
    """Layouts to try, as targets of an export."""
    return [Target(format=name) for name in names]


class Program:
    """A peer. `title` is how people call it, `consumer` what `ti export --for` calls it.

    `takes` are the exports it reads of a family, none if it has no such models; `saves` are the
    families that it writes files for.
    """

    title = consumer = ""
    saves: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stubs: set[str] = set()
        self.prepare()

    def prepare(self) -> None:
        """Import or cut out what is needed of the program."""

    def takes(self, family: str) -> list[Target]:
        """The exports to try with a family."""
        return [Target(self.consumer)] if self.consumer else []

    def read(self, place: Path, family: str) -> Rows:
        """Load an exported file or folder."""
        raise NotImplementedError

    def write(self, folder: Path, family: str, rows: Rows) -> list[Path]:
        """Save vectors, in every way that the program has."""
        raise NotImplementedError

    def shelf(self, *real: str, absent: tuple[str, ...] = (), under: str = "") -> Shelf:
        """Open the checkout for imports."""
        shelf = Shelf(self.folder / under, real, absent)
        self.stubs = shelf.stubs
        return shelf

    def old_torch(self) -> None:
        """Load pickles as the torch that the program was made for does."""
        os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
        self.stubs.add(OLD_TORCH)


def by_width(family: str, tensors: list[torch.Tensor]) -> Rows:
    """Tensors by the encoder that has their width."""
    names = {width: encoder for encoder, width in WIDTHS[family].items()}
    return {names[tensor.shape[-1]]: tensor for tensor in tensors}


def numbered(word: str, mark: str = "_") -> list[str]:
    """The words of a concept of several vectors: mug, mug_1, mug_2."""
    return [word, *(f"{word}{mark}{i}" for i in range(1, COUNT))]


def added(tokenizer: Any) -> list[int]:
    """Add the words of the concept to a tokenizer; their ids."""
    tokenizer.add_tokens(numbered(WORD))
    ids: list[int] = tokenizer.convert_tokens_to_ids(numbered(WORD))
    return ids


ACCELERATOR = SimpleNamespace(unwrap_model=lambda model: model)
