"""The DreamBooth paper's protocol (2208.12242) on a folder in its dataset's layout."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ticli.errors import BadContent, NotFound
from ticli.generation.draw import place_rows
from ticli.photos.cropping import training_picture
from ticli.scoring.judge import DIGITS, Studio, draw_prompts, picture_features, sentence_features
from ticli.scoring.measures import photos_among_themselves
from ticli.scoring.score_plan import Subject

LIST = "prompts_and_classes.txt"
PICTURES_A_PROMPT = 4
# The classes of the nine subjects that get the prompts for living things.
LIVE = ("cat", "dog")
HEADING = "subject_name,class"
PROMPT = re.compile(r"""^(['"])(.*)\1\.format\(""")
ENCODERS = ("openai/clip-vit-base-patch32", "facebook/dino-vits16")


@dataclass(frozen=True)
class BenchSubject:
    """One subject: its folder of photos, its class word, and its prompts with {} for the word."""

    name: str
    folder: Path
    class_word: str
    scenes: tuple[str, ...]


def read_benchmark(folder: Path) -> list[BenchSubject]:
    """Read a folder that holds prompts_and_classes.txt and one folder of photos a subject.

    The dataset's own folder, or the one above it. Raises NotFound and BadContent naming what is
    missing.
    """
    root = folder if (folder / LIST).is_file() else folder / "dataset"
    try:
        text = (root / LIST).read_text("utf-8")
    except FileNotFoundError:
        raise NotFound(
            f"{folder} has no {LIST}", "give the folder of the DreamBooth dataset"
        ) from None
    except (OSError, ValueError) as error:
        raise BadContent(f"{root / LIST} cannot be read: {error}") from error
    classes, (objects, living) = _classes(text), _prompts(text)
    if not classes or not objects:
        raise BadContent(
            f"{root / LIST} lists no subjects or no prompts",
            f"it has a table under {HEADING!r}, and prompts under 'Object Prompts'",
        )
    subjects = [
        BenchSubject(name, root / name, word, living if word in LIVE and living else objects)
        for name, word in classes.items()
        if (root / name).is_dir()
    ]
    if not subjects:
        raise NotFound(f"{root} has none of the {len(classes)} subjects' folders", "check the path")
    return subjects


def judge_subject(studio: Studio, subject: Subject) -> dict[str, Any]:
    """Draw four pictures of each prompt and compare them with the photos and the prompts.

    `image` is the mean cosine of all pairs of picture and photo, `text` that of pictures with
    their prompts, the class word standing for the concept; `real` photos with one another.
    """
    model = studio.model_of(subject.source)
    rows = place_rows({subject.concept.name: subject.embedding})
    protocol = subject.protocols[0]
    jobs = [
        (scene.replace("{}", subject.trigger), protocol.counts.scene, protocol.seed(number))
        for number, scene in enumerate(protocol.prompts.scenes, 1)
    ]
    studio.said(f"drawing {len(jobs)} prompts of {subject.trigger!r} …")
    drawn = list(draw_prompts(model, jobs, rows, protocol))
    photos = [training_picture(photo, subject.source.size) for photo in subject.photos.photos]
    figures, warmed_by = {}, {}
    for source, warmed in zip(subject.encoders, subject.warmed, strict=True):
        judge = studio.judge_of(source)
        real = picture_features(judge, photos)
        seen = picture_features(judge, [picture for scene in drawn for picture in scene])
        text = None
        if source.reads:
            asked = [s.replace("{}", subject.class_word) for s in protocol.prompts.scenes]
            own = torch.tensor([n for n, scene in enumerate(drawn) for _ in scene])
            text = float((seen * sentence_features(judge, asked)[own]).sum(1).mean())
        figures[source.describe()] = {
            "image": _short(float((seen @ real.T).mean())),
            "text": _short(text),
            "real": _short(photos_among_themselves(real)[0]),
        }
        warmed_by[source.describe()] = warmed
    return {
        "name": subject.concept.name,
        "trigger": subject.trigger,
        "class_word": subject.class_word,
        "photos": len(photos),
        "pictures": sum(map(len, drawn)),
        "figures": figures,
        "warmed_by_encoder": warmed_by,
    }


def mean_figures(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Means over subjects, by encoder; None where no subject has the figure."""
    return {
        encoder: {key: _mean(r["figures"][encoder][key] for r in results) for key in figures}
        for encoder, figures in results[0]["figures"].items()
    }


def _classes(text: str) -> dict[str, str]:
    _, _, table = text.partition(HEADING)
    found = {}
    for line in table.strip("\r\n").splitlines():
        name, comma, word = line.strip().partition(",")
        if not comma:
            break
        # A name is one folder inside the dataset, nothing above it.
        if name and Path(name).name == name:
            found[name] = word.strip()
    return found


def _prompts(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The prompts for objects and for living subjects, the token and class as one {}."""
    objects, _, living = text.partition("Live Subject Prompts")
    return _listed(objects), _listed(living)


def _listed(text: str) -> tuple[str, ...]:
    matches = (PROMPT.match(line.strip()) for line in text.splitlines())
    prompts = (match[2].replace("{0} {1}", "{}") for match in matches if match)
    return tuple(prompt for prompt in prompts if "{}" in prompt)


def _mean(values: Iterator[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _short(sum(known) / len(known)) if known else None


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
