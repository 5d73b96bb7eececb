"""The programs that words are written for: which layout and file name each can use."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ticli.errors import Conflict, Usage
from ticli.families import STARTER_WIDTH, encoders_in_words, exports_of, family_with
from ticli.library.formats.metadata import Package, usage_hint
from ticli.library.formats.torch_write import signs_of
from ticli.library.formats.write_layouts import LAYOUTS, LEARNED, Layout, in_pipeline_order
from ticli.names import did_you_mean, slug

# What CLIP's vocabulary can hold as one piece. A program that adds a file's name to a tokenizer,
# or looks for it in a prompt, takes such a word for the ordinary one.
ORDINARY = re.compile(r"[a-z]+|[0-9]")
# Some programs find a word inside of others, and no English word begins with this.
MARK = "tiq"
ANY_NAME = re.compile(r".+")
PLAIN_NAME = re.compile(r"[a-z0-9._-]+")
A1111_NAME = re.compile(r"[\w. -]+")
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@dataclass(frozen=True)
class Consumer:
    """A program. The families' table has the layout it reads; what it has none for is refused.

    `why` is the reason. `reads_all` is the layout of a program that reads any concept.
    `stem` is the file's name for a concept's, `word` what to write in a prompt then; `named`
    says which names of files the program can address. A program that cannot read `whole` vectors
    reads those of the encoder `part` in them.
    """

    name: str
    title: str
    why: str = ""
    reads_all: str = ""
    stem: Callable[[str], str] = str
    word: Callable[[str], str] = str
    named: re.Pattern[str] = ANY_NAME
    whole: frozenset[str] = frozenset()
    part: str = ""

    def layout(self, name: str, encoders: frozenset[str]) -> Layout:
        """The layout for a concept with vectors for these encoders.

        Raises Conflict with the reason if the program cannot read any.
        """
        chosen = self.reads_all or exports_of(encoders).get(self.name)
        if chosen is None:
            raise Conflict(
                f"{name!r} has vectors for {encoders_in_words(encoders)}, and {self.title} "
                f"cannot use them: {self.why}",
                "--for ti keeps every concept; ti export --help names the other programs",
                name=name,
                consumer=self.name,
            )
        return LAYOUTS[chosen]


def unmistakable(name: str) -> str:
    """A file name that is no word of a vocabulary: `mug-tiq` for `mug`, `blue-mug` as it is."""
    return f"{name}-{MARK}" if ORDINARY.fullmatch(name) else name


def letters_only(name: str) -> str:
    """A file name of letters that is no word: `bluemugtwotiq` for `blue-mug-2`."""
    spelled = re.sub("[0-9]", lambda digit: DIGITS[int(digit[0])], name)
    return re.sub("[^a-z]", "", spelled).removesuffix(MARK) + MARK


def in_brackets(stem: str) -> str:
    """`<mug>`, as diffusers and InvokeAI write a concept."""
    return f"<{stem}>"


def after_embedding(stem: str) -> str:
    """`embedding:mug`, as ComfyUI writes a concept."""
    return f"embedding:{stem}"


CONSUMERS: Mapping[str, Consumer] = {
    consumer.name: consumer
    for consumer in (
        Consumer(
            "diffusers",
            "diffusers",
            "its pipelines for that family have no load_textual_inversion",
            word=in_brackets,
        ),
        Consumer(
            "a1111",
            "AUTOMATIC1111",
            "it reads one CLIP tensor, or clip_l with clip_g",
            stem=unmistakable,
            named=A1111_NAME,
        ),
        Consumer(
            "forge",
            "Forge",
            "it reads one CLIP tensor, or clip_l with clip_g",
            stem=unmistakable,
            named=A1111_NAME,
            whole=frozenset({"clip_l", "t5"}),
            part="clip_l",
        ),
        Consumer(
            "comfyui",
            "ComfyUI",
            "it looks concepts up for CLIP, T5 and Llama only",
            word=after_embedding,
            # A prompt's word ends at a space, < or [, and its brackets and colons are weights.
            named=re.compile(r"[^\s<>\[\](),:]+"),
        ),
        Consumer(
            "invokeai",
            "InvokeAI",
            "it takes concepts of Stable Diffusion 1, 2 and SDXL only",
            word=in_brackets,
            named=re.compile(r"[a-zA-Z0-9., _-]+"),
        ),
        Consumer(
            "sdnext",
            "SD.Next",
            "it takes concepts of Stable Diffusion 1, 2 and SDXL only",
            stem=unmistakable,
            named=PLAIN_NAME,
        ),
        Consumer(
            "easydiffusion",
            "Easy Diffusion",
            "it takes concepts of Stable Diffusion 1, 2 and SDXL only",
            stem=unmistakable,
            # A name ends at its first dot there.
            named=re.compile(r"[a-z0-9_-]+"),
        ),
        Consumer(
            "kohya",
            "kohya's scripts",
            "they draw with concepts of Stable Diffusion 1, 2 and SDXL only",
            stem=unmistakable,
            named=PLAIN_NAME,
        ),
        Consumer(
            "sdcpp",
            "stable-diffusion.cpp",
            "it takes concepts of Stable Diffusion 1, 2 and SDXL only",
            # It cuts a prompt into runs of letters before it looks for words.
            stem=letters_only,
            named=re.compile(r"[a-z]+"),
        ),
        Consumer(
            "onetrainer",
            "OneTrainer",
            "it has no key for them",
            word=lambda stem: "<embedding>",
        ),
        Consumer(
            "concept-repo",
            "a concept repository",
            "it holds the vectors of one CLIP encoder",
            word=in_brackets,
        ),
        Consumer(
            "png",
            "AUTOMATIC1111",
            "its pictures hold one CLIP tensor, or clip_l with clip_g",
            stem=unmistakable,
            named=A1111_NAME,
        ),
        Consumer("ti", "ti", reads_all="ti", word=in_brackets),
    )
}


def consumer_named(name: str) -> Consumer:
    """The program of that name. Raises Usage."""
    if name not in CONSUMERS:
        raise Usage(f"no program {name!r} to export for", did_you_mean(name, CONSUMERS))
    return CONSUMERS[name]


def check_stem(consumer: Consumer, stem: str) -> None:
    """Raise Usage, naming a good one, if a program would not find a file's name in a prompt."""
    ordinary = consumer.stem is not str and ORDINARY.fullmatch(stem.lower()) is not None
    ordinary = ordinary and not stem.endswith(MARK)
    if stem.isprintable() and consumer.named.fullmatch(stem) and not ordinary:
        return
    why = "it is an ordinary word" if ordinary else "it does not find such a name in a prompt"
    raise Usage(
        f"{consumer.title} could not use a file called {stem!r}: {why}",
        f"call it {consumer.stem(slug(stem))}, or add --force",
    )


# What a user must do, beyond copying the file, for another program to use a word.

# Programs that have no model with the starter's vectors.
WITHOUT_STARTER = set(CONSUMERS) - {"diffusers", "concept-repo", "ti"}


# Layouts whose files hold the token, so that a program needs no name of the file.
KEYED_BY_TOKEN = {"diffusers", "diffusers-pair", "diffusers-bin", "concept-repo", "ti"}


def advice(packages: Sequence[Package], layout: Layout, consumer: str) -> list[str]:
    """Lines for the user, each once."""
    lines: list[str] = []
    for package in packages:
        lines += _loading(package, layout)
        keyed = package.word == package.token or layout.name in KEYED_BY_TOKEN
        if package.word:
            lines.append(usage_hint(package))
        elif keyed:
            lines.append(f"in a prompt, write: {package.token} {package.concept.noun}".strip())
        if keyed and package.concept.token != package.token and layout.name != "ti":
            lines.append(
                f"write it in lower case, as the file has it: with the capitals of "
                f"{package.concept.token}, vectors are lost"
            )
        if left_out := package.concept.widths.keys() - package.encoders:
            lines.append(
                f"of {package.concept.token}, the vectors for {', '.join(left_out)} are left out: "
                f"{package.program} reads no such vectors, and may draw it less well"
            )
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
    """How a diffusers pipeline of several encoders takes a concept."""
    if layout.name != "diffusers-pair":
        return []
    lines = []
    family = family_with(package.encoders)
    # A pipeline without load_textual_inversion takes the rows by hand.
    loads = family is None or "diffusers" in family.exports
    for number, encoder in enumerate(in_pipeline_order(package) if loads else (), 1):
        end = "" if number == 1 else f"_{number}"
        lines.append(
            f'pipe.load_textual_inversion("{LEARNED}{end}.safetensors", '
            f"text_encoder=pipe.text_encoder{end}, tokenizer=pipe.tokenizer{end})  # {encoder}"
        )
    # A pooled vector is read at the highest token number: with a new token that is the token
    # itself, and what stands after it is lost (huggingface/diffusers 10754).
    for part in family.encoders if family else ():
        if part.pooled:
            end = part.folder.removeprefix("text_encoder")
            lines.append(
                f'getattr(pipe.text_encoder{end}, "text_model", pipe.text_encoder{end})'
                f".eos_token_id = pipe.tokenizer{end}.eos_token_id  "
                f"# else what follows {package.token} is lost"
            )
    return lines
