"""What a user must do, beyond copying the file, for another program to use a word."""

from __future__ import annotations

from collections.abc import Sequence

from ticli.library.formats.writing.consumers import CONSUMERS
from ticli.library.formats.writing.layouts import FLUX, SD3, SDXL, Layout
from ticli.library.formats.writing.metadata import STARTER_WIDTH, usage_hint
from ticli.library.formats.writing.package import Package
from ticli.library.formats.writing.pickles import signs_of
from ticli.library.formats.writing.tensors import LEARNED, in_pipeline_order

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
