"""DreamBench: learn every subject with `ti invert`, then score them as the DreamBooth paper does.

    python benchmarks/dreambench.py FOLDER --home DIR -m MODEL [--encoder E ...] [-- FLAGS...]

FOLDER is the DreamBooth dataset's (2208.12242). DIR is the library that the subjects are learned
into, each under its own name: those in it are not learned again, so the same command goes on
after a stop. FLAGS go to `ti invert`. Draws four pictures of each of the folder's prompts and
prints one JSON document: CLIP-I and DINO as the mean cosine of all pairs of picture and photo,
CLIP-T as that of pictures with their prompts (the class word stands for the concept), and real
photos with one another. No published figure was checked against this: sampler, steps, model and
preprocessing all move it, and are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ticli.errors import BadContent, NotFound
from ticli.generation.draw import place_rows
from ticli.generation.model_choice import ModelRequest
from ticli.generation.picture_plan import DrawingRequest
from ticli.library.library import Library
from ticli.models.hardware import pick_hardware
from ticli.photos.cropping import training_picture
from ticli.scoring.judge import (
    DIGITS,
    Scorer,
    draw_prompts,
    picture_features,
    protocol_jobs,
    sentence_features,
)
from ticli.scoring.measures import photos_among_themselves
from ticli.scoring.protocol import Counts, sentences
from ticli.scoring.score_plan import ScoreRequest, ScoreSubject, plan_scores
from ticli.settings import load_settings

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


def plan_subject(
    subject: BenchSubject, options: argparse.Namespace, library: Library
) -> ScoreSubject:
    """Find a subject's concept, model and encoders. Raises NotFound where it is not learned yet."""
    request = ScoreRequest(
        concepts=(subject.name.lower(),),
        photos=(str(subject.folder),),
        encoders=tuple(options.encoder) or ENCODERS,
        class_word=subject.class_word,
        scenes=subject.scenes,
        scene_samples=PICTURES_A_PROMPT,
        drawing=DrawingRequest(steps=options.steps),
        model=ModelRequest(options.model, device=options.device),
    )
    (planned,) = plan_scores(request, library, load_settings()).subjects
    # The paper says the class of every subject after its token, whatever the concept's noun.
    token = planned.concept.token
    trigger = token if options.no_noun else f"{token} {subject.class_word}"
    counts = Counts(0, PICTURES_A_PROMPT)
    protocols = tuple(replace(protocol, counts=counts) for protocol in planned.protocols)
    return replace(planned, trigger=trigger, protocols=protocols)


def score_subject(scorer: Scorer, subject: ScoreSubject) -> dict[str, Any]:
    """Draw four pictures of each prompt and compare them with the photos and the prompts.

    `image` is the mean cosine of all pairs of picture and photo, `text` that of pictures with
    their prompts, the class word standing for the concept; `real` photos with one another.
    """
    model, protocol = scorer.model_of(subject.source), subject.protocols[0]
    rows = place_rows({subject.concept.name: subject.embedding})
    # The plain prompt is none of the paper's.
    jobs = protocol_jobs(subject.trigger, protocol)[1:]
    drawn = list(draw_prompts(model, jobs, rows, protocol.drawn))
    photos = [training_picture(photo, subject.source.size) for photo in subject.photos.photos]
    figures, warmed_by = {}, {}
    for source, warmed in zip(subject.encoders, subject.warmed, strict=True):
        encoder = scorer.encoder_of(source)
        real = picture_features(encoder, photos)
        seen = picture_features(encoder, [picture for scene in drawn for picture in scene])
        text = None
        if source.reads:
            asked = sentence_features(encoder, sentences(protocol.prompts, subject.class_word))
            own = torch.tensor([n for n, scene in enumerate(drawn) for _ in scene])
            text = float((seen * asked[own]).sum(1).mean())
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


def learn(subject: BenchSubject, options: argparse.Namespace) -> None:
    """Learn a subject into the library, unless it is there."""
    if Library.open().find(subject.name) is None:
        word = subject.class_word.split()[-1]
        command = [sys.executable, "-m", "ticli", "invert", str(subject.folder)]
        command += ["-t", subject.name, "--init", word, "-m", options.model, "-q"]
        subprocess.run([*command, *options.flags], check=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("-m", "--model", default="starter")
    parser.add_argument("--encoder", action="append", default=[])
    parser.add_argument("--subjects", default="", help="names, with commas; all by default")
    parser.add_argument("--steps", type=int, help="sampling steps; the model's by default")
    parser.add_argument("--device", default="")
    parser.add_argument("--no-noun", action="store_true", help="leave the class word out")
    given = list(sys.argv[1:] if arguments is None else arguments)
    cut = given.index("--") if "--" in given else len(given)
    options = parser.parse_args(given[:cut], argparse.Namespace(flags=given[cut + 1 :]))
    os.environ["TI_HOME"] = str(options.home.absolute())
    subjects = read_benchmark(options.folder)
    wanted = options.subjects.split(",") if options.subjects else [s.name for s in subjects]
    if unknown := set(wanted) - {subject.name for subject in subjects}:
        raise SystemExit(f"{options.folder} has no subject {', '.join(sorted(unknown))}")
    chosen = [subject for subject in subjects if subject.name in wanted]
    for subject in chosen:
        learn(subject, options)
    library, settings = Library.open(), load_settings()
    planned = [plan_subject(subject, options, library) for subject in chosen]
    hardware = pick_hardware(options.device or settings["device"], settings["dtype"])
    scorer = Scorer(hardware, lambda text: print(text, file=sys.stderr))
    results = [score_subject(scorer, subject) for subject in planned]
    protocols = {p.as_json()["id"]: p.as_json() for s in planned for p in s.protocols}
    document = {
        "subjects": results,
        "mean": mean_figures(results),
        "protocols": list(protocols.values()),
    }
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
