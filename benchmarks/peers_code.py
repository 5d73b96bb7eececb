"""Run parts of another program without the rest of it: for `peers.py`.

A `Shelf` imports chosen modules of a checkout and puts stubs in the place of all the others; `cut`
runs one function, class or block of a source file. Tiny encoders stand in for real models: they
have the real widths and the real CLIP tokenizer, and nothing else of a model matters here.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from abc import ABCMeta
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import torch

ROOT = Path(__file__).resolve().parent.parent
CLIP_TOKENIZER = ROOT / "ticli" / "models" / "clip_tokenizer"
Rows = dict[str, torch.Tensor]


class StubType(ABCMeta):
    """The type of stub classes, which can be inherited from, joined by `|` and indexed."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock(name=name)

    def __getitem__(cls, _item: Any) -> Any:
        return cls


class StubModule(ModuleType):
    """A module that has every name: classes where they begin with a capital, else mocks."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        any_given = {"__init__": lambda self, *_, **__: None}
        value = StubType(name, (), any_given) if name[0].isupper() else MagicMock(name=name)
        setattr(self, name, value)
        return value


class Shelf:
    """Finds the modules of a checkout: those in `real` are run, and the rest are stubs.

    `absent` are packages that the checkout needs and that may be missing here. `stubs` are the
    modules that were replaced. A folder of the checkout is a package whose own code is not run.
    """

    def __init__(self, root: Path, real: Collection[str], absent: Collection[str] = ()) -> None:
        self.root, self.real = root, real
        self.tops = {name.partition(".")[0] for name in real} | set(absent)
        self.stubs: set[str] = set()
        for name in [name for name in sys.modules if name.partition(".")[0] in self.tops]:
            del sys.modules[name]
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        """Say where a module comes from, for the import system."""
        if name.partition(".")[0] not in self.tops:
            return None
        place = self.root.joinpath(*name.split("."))
        if name in self.real:
            return importlib.util.spec_from_file_location(name, place.with_suffix(".py"))
        return ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return a plain package for a folder, and a stub for anything else."""
        folder = self.root.joinpath(*spec.name.split(".")).is_dir()
        if folder and any(name.startswith(f"{spec.name}.") for name in self.real):
            return ModuleType(spec.name)
        self.stubs.add(spec.name)
        return StubModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: a stub has no code."""

    def get(self, name: str) -> Any:
        """Import a module."""
        return importlib.import_module(name)


def cut(file: Path, path: str, names: Mapping[str, Any]) -> Any:
    """One function or class of a source file, run among `names`: "function" or "Class.method"."""
    body: Sequence[ast.AST] = ast.parse(file.read_text("utf-8")).body
    for name in path.split("."):
        (node,) = [n for n in body if getattr(n, "name", None) == name]
        body = getattr(node, "body", [])
    return _run(node, file, names)[path.rpartition(".")[2]]


def cut_block(file: Path, condition: str, names: Mapping[str, Any]) -> dict[str, Any]:
    """Run the one `if` of a source file that has this condition; the names it leaves."""
    tree = ast.parse(file.read_text("utf-8"))
    blocks = [n for n in ast.walk(tree) if isinstance(n, ast.If) and condition == _text(n.test)]
    return _run(blocks[0], file, names)


def _text(node: ast.AST) -> str:
    return ast.unparse(node)


def _run(node: Any, file: Path, names: Mapping[str, Any]) -> dict[str, Any]:
    # Annotations name types of the whole program; they are not looked at.
    later = ast.parse("from __future__ import annotations").body
    space = {"__name__": file.stem, **names}
    exec(compile(ast.Module([*later, node], []), str(file), "exec"), space)
    return space


# Models: an embedding table of the right width, and a tokenizer to find its rows with.


def clip_tokenizer() -> Any:
    """CLIP's own tokenizer."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(CLIP_TOKENIZER)


def t5_tokenizer() -> Any:
    """A T5 tokenizer of a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import T5TokenizerFast

    pieces = ["<pad>", "</s>", "<unk>", "▁a", "▁photo", "▁of"]
    plain = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=2))
    plain.pre_tokenizer = pre_tokenizers.Metaspace()
    return T5TokenizerFast(tokenizer_object=plain, extra_ids=0)


def text_encoder(encoder: str, width: int) -> Any:
    """A text encoder of one layer with vectors of this width."""
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    if encoder == "t5":
        return T5EncoderModel(
            T5Config(vocab_size=64, d_model=width, d_kv=8, d_ff=8, num_layers=1, num_heads=1)
        ).eval()
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=49408, hidden_size=width, intermediate_size=8, num_hidden_layers=1,
            num_attention_heads=4, projection_dim=8,
        )
    ).eval()  # fmt: skip


def parts(widths: Mapping[str, int]) -> dict[str, tuple[Any, Any]]:
    """The tokenizer and the text encoder for each encoder of a family."""
    return {
        encoder: (
            t5_tokenizer() if encoder == "t5" else clip_tokenizer(),
            text_encoder(encoder, width),
        )
        for encoder, width in widths.items()
    }


def pipe_of(models: Mapping[str, tuple[Any, Any]], **more: Any) -> SimpleNamespace:
    """A pipeline as far as programs look at it: tokenizer, text_encoder, tokenizer_2 …"""
    pipe = SimpleNamespace(**more)
    for number, (tokenizer, model) in enumerate(models.values(), 1):
        end = "" if number == 1 else f"_{number}"
        setattr(pipe, f"tokenizer{end}", tokenizer)
        setattr(pipe, f"text_encoder{end}", model)
    return pipe


def held(models: Mapping[str, tuple[Any, Any]], words: Sequence[str]) -> Rows:
    """The rows that the encoders have for added words."""
    found = {}
    for encoder, (tokenizer, model) in models.items():
        ids = tokenizer.convert_tokens_to_ids(list(words))
        if len(set(ids)) != len(words):
            raise ValueError(f"{encoder}'s tokenizer does not have {', '.join(words)}")
        found[encoder] = model.get_input_embeddings().weight.data[ids].clone()
    return found


def with_rows(rows: Rows, add: Callable[[Any], list[int]]) -> dict[str, tuple[Any, Any, list[int]]]:
    """Encoders that hold the rows under added words: tokenizer, model and ids of each."""
    filled = {}
    widths = {encoder: tensor.shape[1] for encoder, tensor in rows.items()}
    for encoder, (tokenizer, model) in parts(widths).items():
        ids = add(tokenizer)
        model.resize_token_embeddings(len(tokenizer))
        model.get_input_embeddings().weight.data[ids] = rows[encoder]
        filled[encoder] = (tokenizer, model, ids)
    return filled
