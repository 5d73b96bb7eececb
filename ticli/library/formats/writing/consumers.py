"""The programs that words are written for: which layout and file name each can use."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ticli.errors import Conflict, Usage
from ticli.library.formats.writing import layouts
from ticli.library.formats.writing.layouts import (
    CASCADE,
    CLIP,
    FLUX,
    PIXART,
    SANA,
    SD1,
    SD2,
    SD3,
    SDXL,
    Layout,
    family_in_words,
)

Choices = Mapping[frozenset[str], str]
# What CLIP's vocabulary can hold as one piece. A program that adds a file's name to a tokenizer,
# or looks for it in a prompt, takes such a word for the ordinary one.
ORDINARY = re.compile(r"[a-z]+|[0-9]")
ANY_NAME = re.compile(r".+")


@dataclass(frozen=True)
class Consumer:
    """A program. `choices` gives the layout by encoders; a word of others is refused with `why`.

    `stem` is the file's name for a concept's, `word` what to write in a prompt then; `named`
    says which names of files the program can address.
    """

    name: str
    title: str
    choices: Choices | str
    why: str = ""
    stem: Callable[[str], str] = str
    word: Callable[[str], str] = str
    named: re.Pattern[str] = ANY_NAME

    def layout(self, name: str, encoders: frozenset[str]) -> Layout:
        """The layout for a concept with vectors for these encoders.

        Raises Conflict with the reason where the program cannot read any.
        """
        if isinstance(self.choices, str):
            return layouts.LAYOUTS[self.choices]
        if encoders not in self.choices:
            raise Conflict(
                f"{name!r} has vectors for {family_in_words(encoders)}, and {self.title} "
                f"cannot use them: {self.why}",
                "--for ti keeps every word; ti export --help names the other programs",
                name=name,
                consumer=self.name,
            )
        return layouts.LAYOUTS[self.choices[encoders]]


def unmistakable(name: str) -> str:
    """A file name that is no word of a vocabulary: `mug-ti` for `mug`, `blue-mug` as it is."""
    return f"{name}-ti" if ORDINARY.fullmatch(name) else name


def in_brackets(stem: str) -> str:
    """`<mug>`, as diffusers and InvokeAI write a word."""
    return f"<{stem}>"


def after_embedding(stem: str) -> str:
    """`embedding:mug`, as ComfyUI writes a word."""
    return f"embedding:{stem}"


def _one_tensor(*encoders: frozenset[str], key: str = "emb_params") -> Choices:
    return dict.fromkeys(encoders, key)


SIMPLE: Choices = {**_one_tensor(SD1, SD2), SDXL: "sdxl"}
CONSUMERS: Mapping[str, Consumer] = {
    consumer.name: consumer
    for consumer in (
        Consumer(
            "diffusers",
            "diffusers",
            {
                **_one_tensor(SD1, SD2, key="diffusers"),
                SDXL: "diffusers-pair",
                FLUX: "diffusers-pair",
            },
            "its pipelines for that family have no load_textual_inversion",
            word=in_brackets,
        ),
        Consumer(
            "a1111",
            "AUTOMATIC1111",
            SIMPLE,
            "it reads one CLIP tensor, or clip_l with clip_g",
            stem=unmistakable,
            named=re.compile(r"[\w. -]+"),
        ),
        Consumer(
            "comfyui",
            "ComfyUI",
            {**SIMPLE, **_one_tensor(SD3, FLUX, PIXART, key="t5"), CASCADE: "encoder-keys"},
            "it looks words up for CLIP and T5 only",
            word=after_embedding,
            # A prompt's word ends at a space, < or [, and its brackets and colons are weights.
            named=re.compile(r"[^\s<>\[\](),:]+"),
        ),
        Consumer(
            "invokeai",
            "InvokeAI",
            SIMPLE,
            "it takes words of Stable Diffusion 1, 2 and SDXL only",
            word=in_brackets,
            named=re.compile(r"[\w., -]+"),
        ),
        Consumer(
            "sdnext",
            "SD.Next",
            SIMPLE,
            "it takes words of Stable Diffusion 1, 2 and SDXL only",
            stem=unmistakable,
        ),
        Consumer(
            "kohya",
            "kohya's scripts",
            SIMPLE,
            "they draw with words of Stable Diffusion 1, 2 and SDXL only",
            stem=unmistakable,
        ),
        Consumer(
            "onetrainer",
            "OneTrainer",
            {
                **_one_tensor(SD1, SD2, key="emp_params"),
                SDXL: "sdxl",
                **_one_tensor(SD3, FLUX, PIXART, key="t5"),
                **_one_tensor(SANA, CASCADE, key="encoder-keys"),
            },
            "it has no key for them",
            word=lambda stem: "<embedding>",
        ),
        Consumer(
            "concept-repo",
            "a concept repository",
            _one_tensor(*CLIP, key="concept-repo"),
            "it holds the vectors of one CLIP encoder",
            word=in_brackets,
        ),
        Consumer(
            "png",
            "AUTOMATIC1111",
            _one_tensor(SD1, SD2, SDXL, key="png"),
            "its pictures hold one CLIP tensor, or clip_l with clip_g",
            stem=unmistakable,
        ),
        Consumer("ti", "ti", "ti", word=in_brackets),
    )
}


def consumer_named(name: str) -> Consumer:
    """The program of that name. Raises Usage."""
    if name not in CONSUMERS:
        raise Usage(f"no program {name!r} to export for", f"choose {', '.join(CONSUMERS)}")
    return CONSUMERS[name]


def check_stem(consumer: Consumer, stem: str) -> None:
    """Raise Usage where a program could not address a file of that name."""
    if not (stem.isprintable() and consumer.named.fullmatch(stem)):
        raise Usage(
            f"{consumer.title} could not address a file called {stem!r}",
            "name it with letters, digits, - and _",
        )
