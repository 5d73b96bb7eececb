"""The programs that words are written for: which layout and file name each can use."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ticli.errors import Conflict, Usage
from ticli.library.formats import write_layouts
from ticli.library.formats.metadata import STARTER_WIDTH, Package, usage_hint
from ticli.library.formats.torch_write import signs_of
from ticli.library.formats.write_layouts import (
    CASCADE,
    CLIP,
    FLUX,
    LEARNED,
    PIXART,
    SANA,
    SD1,
    SD2,
    SD3,
    SDXL,
    Layout,
    family_in_words,
    in_pipeline_order,
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
            return write_layouts.LAYOUTS[self.choices]
        if encoders not in self.choices:
            raise Conflict(
                f"{name!r} has vectors for {family_in_words(encoders)}, and {self.title} "
                f"cannot use them: {self.why}",
                "--for ti keeps every word; ti export --help names the other programs",
                name=name,
                consumer=self.name,
            )
        return write_layouts.LAYOUTS[self.choices[encoders]]


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


# What a user must do, beyond copying the file, for another program to use a word.

# Encoders of a pipeline whose pooled vector is read at the highest token number: with a new word
# that is the word itself, and what stands after it is lost (huggingface/diffusers 10754).
POOLED = {SDXL: ("_2",), FLUX: ("",), SD3: ("", "_2")}
# Programs that have no model with the starter's vectors.
WITHOUT_STARTER = {"a1111", "comfyui", "invokeai", "sdnext", "kohya", "onetrainer", "png"}


def advice(packages: Sequence[Package], layout: Layout, consumer: str) -> list[str]:
    """Lines for the user, each once."""
    lines: list[str] = []
    for package in packages:
        lines += _loading(package, layout)
        if package.word and package.word != package.token:
            lines.append(usage_hint(package))
        if consumer in WITHOUT_STARTER and STARTER_WIDTH in package.embedding.widths.values():
            lines.append(
                f"{package.concept.token} was learned on the starter, whose vectors have "
                f"{STARTER_WIDTH} numbers: no model of {CONSUMERS[consumer].title} takes it"
            )
    if layout.name == "original-pt" and len(packages) > 1:
        signs = ", ".join(f"{sign} for {token}" for token, sign in signs_of(packages).items())
        lines.append(f"in a prompt of the original code write {signs}")
    return list(dict.fromkeys(lines))


def _loading(package: Package, layout: Layout) -> list[str]:
    """How a diffusers pipeline of several encoders takes a word."""
    if layout.name != "diffusers-pair":
        return []
    lines = []
    for number, encoder in enumerate(in_pipeline_order(package), 1):
        if package.encoders == SD3:
            # Its pipelines have no load_textual_inversion; the rows go in by hand.
            break
        end = "" if number == 1 else f"_{number}"
        lines.append(
            f'pipe.load_textual_inversion("{LEARNED}{end}.safetensors", '
            f"text_encoder=pipe.text_encoder{end}, tokenizer=pipe.tokenizer{end})  # {encoder}"
        )
    for end in POOLED.get(package.encoders, ()):
        lines.append(
            f'getattr(pipe.text_encoder{end}, "text_model", pipe.text_encoder{end}).eos_token_id '
            f"= pipe.tokenizer{end}.eos_token_id  # else words after {package.token} are not heard"
        )
    return lines
