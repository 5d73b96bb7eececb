"""The training loop of diffusers' example script as documented, written here as a reference.

    python benchmarks/script_reference.py PHOTOS --token NAME --init WORD [--lr 5e-4] [--steps 3000]
        [--seconds N] [--seed 0] [--batch 1 --accumulate 4]
        [--dtype fp32] [--encode-once]

What its page and its options describe: the token is a new row of the vocabulary's table; AdamW
with weight decay moves the whole table, and after each step all other rows are put back; photos
are squashed to a square, mirrored at random and encoded anew in every batch; sentences say only
"a photo of a <token>" and the like; the rate is constant, multiplied by batch x accumulation.
--batch 4 --accumulate 1 takes the same gradient at once, and --encode-once keeps latents that would
come out the same: with bfloat16 they shorten a run whose wall time is not asked for. --seconds ends
the run after so much wall time, loading included. The word goes into the library, and its JSON
object to stdout.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

BEGAN = time.monotonic()

import numpy as np  # noqa: E402  # the clock starts before what takes long to import
import torch  # noqa: E402
from PIL import Image  # noqa: E402

from ticli.concept import (  # noqa: E402
    BaseModel,
    Concept,
    Embedding,
    Losses,
    PhotoRecord,
)
from ticli.library.library import Library  # noqa: E402
from ticli.library.record import bare_concept  # noqa: E402
from ticli.models.fingerprint import fingerprint  # noqa: E402
from ticli.models.hardware import pick_hardware  # noqa: E402
from ticli.models.locate import locate  # noqa: E402
from ticli.models.model import (  # noqa: E402
    Model,
    load_model,
)
from ticli.names import parse_token  # noqa: E402
from ticli.photos.finding import find_photos  # noqa: E402
from ticli.photos.loading import load_photos  # noqa: E402
from ticli.photos.sentences import (  # noqa: E402
    family,
    fill,
)

Posterior = tuple[torch.Tensor, torch.Tensor]


@dataclass
class Table:
    """The vocabulary's table with one more row: its number, and the rows as they were."""

    weight: torch.nn.Parameter
    number: int
    before: torch.Tensor

    def put_back(self) -> None:
        """Undo what the step did to every row but the new one."""
        with torch.no_grad():
            others = torch.arange(len(self.weight)) != self.number
            self.weight[others] = self.before[others]


def add_token(model: Model, token: str, init: str) -> Table:
    """Grow tokenizer and table by the token, which starts as the init word's row."""
    (encoder,) = model.encoders
    tokenizer, module = encoder.tokenizer, encoder.module
    ids = tokenizer(init, add_special_tokens=False).input_ids
    if len(ids) != 1:
        raise SystemExit(f"the script takes one token to start from, and {init!r} has {len(ids)}")
    if tokenizer.add_tokens(token) != 1:
        raise SystemExit(f"the tokenizer has {token!r} already")
    module.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    number = tokenizer.convert_tokens_to_ids(token)
    weight = module.get_input_embeddings().weight
    with torch.no_grad():
        weight[number] = weight[ids[0]]
    weight.requires_grad_(True)
    return Table(weight, number, weight.detach().clone())


def batch_of(
    encode: Callable[[int, bool], Posterior], photos: int, sentences: Sequence[str], count: int
) -> tuple[Posterior, list[str]]:
    """Mean and spread of the latents of `count` photos, half of them mirrored, and sentences."""
    drawn = [(random.randrange(photos), random.random() < 0.5) for _ in range(count)]
    with torch.no_grad():
        means, spreads = zip(*(encode(*which) for which in drawn), strict=True)
    texts = [random.choice(sentences) for _ in range(count)]
    return (torch.cat(means), torch.cat(spreads)), texts


def pixels_of(picture: Image.Image, mirrored: bool) -> torch.Tensor:
    """Pixels (1, 3, size, size) in [-1, 1]."""
    if mirrored:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    values = np.asarray(picture, dtype=np.float32) / 127.5 - 1
    return torch.from_numpy(values).permute(2, 0, 1)[None]


def loss_of(model: Model, posterior: Posterior, texts: list[str]) -> torch.Tensor:
    """The denoising loss of one batch."""
    (encoder,) = model.encoders
    mean, spread = posterior
    z = mean + spread * torch.randn_like(mean)
    noise = torch.randn_like(z)
    steps = model.noise_schedule.config.num_train_timesteps
    t = torch.randint(0, steps, (len(z),))
    z_t = model.noise_schedule.add_noise(z, noise, t)
    ids = encoder.tokenizer(
        texts,
        padding="max_length",
        truncation=True,
        max_length=encoder.window,
        return_tensors="pt",
    ).input_ids
    hidden = encoder.module(ids)[0]
    dtype = model.hardware.dtype
    prediction = model.denoiser(z_t.to(dtype), t, encoder_hidden_states=hidden.to(dtype)).sample
    target = noise
    if model.noise_schedule.config.prediction_type == "v_prediction":
        target = model.noise_schedule.get_velocity(z, noise, t)
    return torch.nn.functional.mse_loss(prediction.float(), target.float())


def train(model: Model, table: Table, options: argparse.Namespace) -> list[float]:
    """Run the loop to its last step or its last second; the loss of each step."""
    token = parse_token(options.token).text
    size = model.source.size
    photos = load_photos(find_photos([options.photos]), size).photos
    pictures = [photo.image.resize((size, size), Image.Resampling.BICUBIC) for photo in photos]
    sentences = [fill(text, token) for text in family(options.kind)]
    rate = options.lr * options.batch * options.accumulate
    optimiser = torch.optim.AdamW([table.weight], lr=rate, weight_decay=options.weight_decay)
    losses: list[float] = []
    seconds: list[float] = []
    with model.vae() as vae:

        def encode(number: int, mirrored: bool) -> Posterior:
            return model.encode(vae, pixels_of(pictures[number], mirrored))

        if options.encode_once:
            encode = functools.cache(encode)
        while len(losses) < options.steps:
            began = time.monotonic()
            parts = []
            for _ in range(options.accumulate):
                loss = loss_of(model, *batch_of(encode, len(pictures), sentences, options.batch))
                (loss / options.accumulate).backward()
                parts.append(float(loss.detach()))
            optimiser.step()
            optimiser.zero_grad()
            table.put_back()
            losses.append(sum(parts) / len(parts))
            seconds.append(time.monotonic() - began)
            if options.seconds and time.monotonic() - BEGAN >= options.seconds:
                break
    print(f"median of a step: {statistics.median(seconds) * 1000:.1f} ms", file=sys.stderr)
    return losses


def concept_of(
    model: Model, table: Table, losses: list[float], options: argparse.Namespace
) -> tuple[Concept, Embedding]:
    """The word as the library keeps it; all that the loop was told stands in its recipe."""
    source = model.source
    (key,) = source.widths
    row = table.weight[table.number].detach().numpy()[None].copy()
    embedding = Embedding({key: row})
    base = BaseModel(source.family, source.id, source.revision, fingerprint(source))
    photos = load_photos(find_photos([options.photos]), source.size).photos
    tenth = max(1, len(losses) // 10)
    concept = replace(
        bare_concept(parse_token(options.token), embedding, base),
        kind=options.kind,
        init=options.init,
        recipe=told(options),
        seed=options.seed,
        steps=len(losses),
        losses=Losses(sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth, None),
        photos=tuple(PhotoRecord(photo.file, photo.sha256) for photo in photos),
        device=model.hardware.describe(),
        seconds=round(time.monotonic() - BEGAN, 3),
    )
    return concept, embedding


def told(options: argparse.Namespace) -> dict[str, Any]:
    """What a run was told, as its word's recipe records it, but for what only makes it faster."""
    beside = ("photos", "token", "dtype", "encode_once")
    return {"loop": "script"} | {k: v for k, v in vars(options).items() if k not in beside}


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options; the defaults are those of the script's own page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos")
    parser.add_argument("--token", required=True)
    parser.add_argument("--init", required=True)
    parser.add_argument("--kind", choices=("object", "style", "person"), default="object")
    parser.add_argument("-m", "--model", default="starter")
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--accumulate", type=int, default=4)
    parser.add_argument("--weight-decay", type=float, default=1e-2)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--encode-once", action="store_true", help="keep the photos' latents")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def main() -> None:
    options = read_options()
    torch.manual_seed(options.seed)
    random.seed(options.seed)
    model = load_model(locate(options.model), pick_hardware("cpu", options.dtype))
    table = add_token(model, parse_token(options.token).text, options.init)
    losses = train(model, table, options)
    added = Library.open(write=True).add(*concept_of(model, table, losses, options))
    print(json.dumps(added.as_json()))


if __name__ == "__main__":
    main()
