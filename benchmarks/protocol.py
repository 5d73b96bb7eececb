"""The scoring protocol: what is drawn for a word, and what is measured on it.

Pictures come from the starter with 20 DDIM steps at guidance 4. All cosines are between features
of the starter's own scorer, which no training sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image

from ticli.models.loading import quiet_libraries
from ticli.models.model import Model
from ticli.models.samplers import make_sampler

PLAIN = "a photo of a {}"
SCENES = (
    "a photo of a {} on the moon",
    "a photo of a {} on the beach",
    "an oil painting of a {}",
    "a pencil sketch of a {}",
    "a photo of a {} in the forest",
    "a {} next to a cat",
    "a photo of two {}s",
)
# For choosing recipes: no scene of the list above is among them.
TUNING_SCENES = (
    "a photo of a {} in the snow",
    "a photo of a {} underwater",
    "a watercolor of a {}",
    "pixel art of a {}",
    "a photo of a {} in a library",
    "a {} next to a book",
    "a photo of three {}s",
)
STEPS, GUIDANCE = 20, 4.0
PLAIN_SEED, SCENE_SEED = 5, 6


@dataclass(frozen=True)
class Drawn:
    """Pictures of one word: plain ones, and for each scene a list."""

    plain: list[Image.Image]
    scenes: list[list[Image.Image]]


@dataclass(frozen=True)
class Scores:
    """Figures of one word; `None` where a reference is needed and missing."""

    image: float
    image_in_scenes: float
    copied: float
    text: float
    obedience: float | None
    scene_accuracy: float

    def as_json(self) -> dict[str, Any]:
        return {k: None if v is None else round(v, 3) for k, v in asdict(self).items()}


def draw_word(
    model: Model, word: str, rows: Mapping[str, Any], counts: tuple[int, int], scenes: Sequence[str]
) -> Drawn:
    """Draw `counts` pictures: of the plain prompt, and of each scene, `word` in place of {}."""
    vectors = {name: len(next(iter(keys.values()))) for name, keys in rows.items()}
    empty = model.tokenise("", {})
    drawn: list[list[Image.Image]] = []
    sampler = make_sampler("ddim", model.noise_schedule)
    with torch.no_grad(), quiet_libraries(), model.pipeline(sampler) as pipeline:
        for number, prompt in enumerate((PLAIN, *scenes)):
            count = counts[1] if number else counts[0]
            tokens = model.tokenise(prompt.replace("{}", word), vectors)
            seed = SCENE_SEED + number - 1 if number else PLAIN_SEED
            drawn.append(
                pipeline(
                    prompt_embeds=model.condition([tokens] * count, rows).hidden,
                    negative_prompt_embeds=model.condition([empty] * count, {}).hidden,
                    num_inference_steps=STEPS,
                    guidance_scale=GUIDANCE,
                    generator=torch.Generator().manual_seed(seed),
                ).images
            )
    return Drawn(drawn[0], drawn[1:])


class Scorer:
    """The starter's own contrastive scorer: unit features of pictures and sentences."""

    def __init__(self, folder: Any) -> None:
        from transformers import CLIPModel, CLIPTokenizer

        with quiet_libraries():
            self.model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
            self.tokenizer = CLIPTokenizer.from_pretrained(folder)

    @torch.no_grad()
    def pictures(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """Unit features, (pictures, width)."""
        mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
        std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
        pixels = [
            torch.from_numpy(np.asarray(p.resize((128, 128), Image.Resampling.BICUBIC)).copy())
            for p in pictures
        ]
        stacked = torch.stack([(p.permute(2, 0, 1) / 255 - mean) / std for p in pixels])
        return _unit(self.model.get_image_features(pixel_values=stacked))

    @torch.no_grad()
    def sentences(self, sentences: Sequence[str]) -> torch.Tensor:
        """Unit features, (sentences, width)."""
        ids = self.tokenizer(
            list(sentences), padding="max_length", max_length=48, return_tensors="pt"
        )
        return _unit(self.model.get_text_features(**ids))


def _unit(output: Any) -> torch.Tensor:
    return functional.normalize(getattr(output, "pooler_output", output), dim=-1)


def score(
    scorer: Scorer,
    drawn: Drawn,
    photos: Sequence[Image.Image],
    noun: str,
    scenes: Sequence[str],
    reference_text: float | None,
) -> Scores:
    """Measure one word's pictures; `reference_text` is the class word's own text similarity."""
    real = scorer.pictures(photos)
    plain = scorer.pictures(drawn.plain)
    features = scorer.pictures([picture for scene in drawn.scenes for picture in scene])
    own = torch.tensor([i for i, scene in enumerate(drawn.scenes) for _ in scene])
    texts = scorer.sentences([scene.replace("{}", noun) for scene in scenes])
    cosines = features @ texts.T
    text = float(cosines.gather(1, own[:, None]).mean())
    without = float((plain @ texts.T).mean())
    among = real @ real.T - 2 * torch.eye(len(real))
    nearest = float(among.max(1).values.mean())
    return Scores(
        image=float((plain @ real.T).mean()),
        image_in_scenes=float((features @ real.T).mean()),
        copied=float(((plain @ real.T).max(1).values > nearest).float().mean()),
        text=text,
        obedience=None if reference_text is None else (text - without) / (reference_text - without),
        scene_accuracy=float((cosines.argmax(1) == own).float().mean()),
    )


def photos_among_themselves(scorer: Scorer, photos: Sequence[Image.Image]) -> float:
    """Mean cosine of photos against each other, no photo against itself."""
    real = scorer.pictures(photos)
    count = len(real)
    return float(((real @ real.T).sum() - count) / (count * (count - 1)))
