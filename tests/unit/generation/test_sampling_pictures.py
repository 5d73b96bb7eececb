"""Pictures drawn on the starter: noise from the seed alone, every vector felt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from everyday import everyday

from ticli.concept import Embedding
from ticli.errors import DeviceFailed, Usage
from ticli.families.family import Conditioning
from ticli.generation import Drawing, DrawingJob, EncodedPrompt, Studio, place_rows, resolve
from ticli.models import STARTER, load_model, memory_explained, pick_hardware, samplers_for
from ticli.models.locate import starter as built_in

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # diffusers makes numpy arrays of tensors in a way that numpy 2 will not take for ever.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
QUICK = Drawing("ddim", 2, 4.0, 64, 64)


@pytest.fixture
def encoded(library_with, starter_model):
    """Encode a prompt with the test library: encoded("<mug>", rows={…}) → EncodedPrompt."""

    def call(prompt, negative="", rows=None):
        library = library_with()
        (resolved,) = resolve([prompt], library, negative=negative)
        found = {concept.name: library.embedding(concept) for concept in resolved.concepts}
        studio = Studio(starter_model, place_rows(found | (rows or {})))
        return studio.encode(resolved.used, resolved.negative_used)

    return call


def draw(model, prompts, drawing):
    """One picture of each (encoded prompt, seed)."""
    jobs = [DrawingJob(prompt, seed) for prompt, seed in prompts]
    return [image for (image,) in Studio(model, {}).draw(jobs, drawing)]


def bits(images):
    return [np.asarray(image).tobytes() for image in images]


def test_every_vector_of_a_concept_is_felt(library_with, encoded):
    library = library_with("mug", vectors=4)
    rows = library.embedding(library.get("mug")).rows["clip_l"]
    whole = encoded("a <mug> here").conditioning.hidden
    for number in range(4):
        changed = rows.copy()
        changed[number] += 0.05
        other = encoded(
            "a <mug> here", rows={"mug": Embedding({"clip_l": changed})}
        ).conditioning.hidden
        assert not torch.equal(other[1], whole[1])
        assert torch.equal(other[0], whole[0])
    turned = Embedding({"clip_l": np.ascontiguousarray(rows[::-1])})
    assert not torch.equal(encoded("a <mug> here", rows={"mug": turned}).conditioning.hidden, whole)


def test_several_concepts_are_each_felt_in_both_prompts(library_with, encoded):
    library = library_with("mug", "cat")
    prompt, negative = "a <mug> beside a <cat>", "no <cat>"
    whole = encoded(prompt, negative).conditioning.hidden
    for name, prompts in (("mug", [1]), ("cat", [0, 1])):
        rows = library.embedding(library.get(name)).rows["clip_l"] + np.float32(0.05)
        other = encoded(
            prompt, negative, rows={name: Embedding({"clip_l": rows})}
        ).conditioning.hidden
        changed = [side for side in (0, 1) if not torch.equal(other[side], whole[side])]
        assert changed == prompts


def test_upper_and_lower_case_tokens_are_the_same_concept(library_with, encoded):
    library_with("Mug", token="<Mug>")
    library_with("cat")
    lower = encoded("a <mug> here").conditioning.hidden
    assert torch.equal(encoded("a <Mug> here").conditioning.hidden, lower)
    assert torch.equal(encoded("a <MUG> here").conditioning.hidden, lower)
    assert not torch.equal(encoded("a <cat> here").conditioning.hidden, lower)


def test_a_plain_prompt_is_encoded_as_diffusers_does_and_drawn_alike(encoded, starter_model):
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(STARTER, local_files_only=True)
    pipeline = pipeline.to(torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn((1, 8, 8, 8), generator=torch.Generator().manual_seed(3))
    theirs = pipeline(
        "a red mug on the moon",
        negative_prompt="blue",
        latents=noise,
        num_inference_steps=2,
        guidance_scale=4.0,
        width=64,
        height=64,
        output_type="np",
    ).images[0]
    ours = encoded("a red mug on the moon", "blue")
    (picture,) = draw(starter_model, [(ours, 3)], QUICK)
    assert np.abs(np.asarray(picture) - theirs * 255).max() <= 1


def test_a_seed_is_a_picture_and_each_is_the_same_drawn_alone(encoded, starter_model, library_with):
    library_with("mug")
    prompt, other = encoded("a <mug>"), encoded("a tree")
    together = draw(starter_model, [(prompt, 5), (other, 6), (prompt, 7)], QUICK)
    alone = [*draw(starter_model, [(other, 6)], QUICK), *draw(starter_model, [(prompt, 7)], QUICK)]
    assert bits(alone) == bits(together)[1:]
    assert len(set(bits(together))) == 3


def test_several_pictures_of_a_prompt_come_from_one_draw_of_noise(encoded, starter_model):
    """However many are drawn at once, and with the sampler's noise from the seed again."""
    studio, job = Studio(starter_model, {}), DrawingJob(encoded("a tree"), 5, 3)
    drawing = replace(QUICK, sampler="euler-a")
    (one,) = studio.draw([job], drawing)
    (again,) = studio.draw([job], drawing, reseed=True)
    assert len(set(bits(one))) == 3
    assert bits(again) != bits(one)
    (three,) = studio.draw([job], QUICK, at_once=3)
    (each,) = studio.draw([job], QUICK)
    apart = [
        np.abs(np.asarray(a, int) - np.asarray(b, int)).max()
        for a, b in zip(three, each, strict=True)
    ]
    assert max(apart) <= 1


def test_the_global_generator_has_no_say(encoded, starter_model):
    prompt = encoded("a tree")
    drawing = replace(QUICK, sampler="euler-a")
    torch.manual_seed(1)
    first = bits(draw(starter_model, [(prompt, 5)], drawing))
    torch.manual_seed(2)
    assert bits(draw(starter_model, [(prompt, 5)], drawing)) == first


@pytest.mark.parametrize("sampler", samplers_for("sd1"))
def test_every_sampler_draws_and_repeats_itself(sampler, encoded, starter_model):
    prompt = encoded("a tree")
    drawing = replace(QUICK, sampler=sampler, steps=3)
    first, second = draw(starter_model, [(prompt, 5), (prompt, 5)], drawing)
    assert bits([first]) == bits([second])
    assert np.asarray(first).std() > 1


def test_a_picture_has_the_size_asked_for(encoded, starter_model):
    drawing = Drawing("ddim", 1, 1.0, 128, 72)
    (picture,) = draw(starter_model, [(encoded("a tree"), 1)], drawing)
    assert picture.size == (128, 72)
    assert picture.mode == "RGB"


def test_a_concept_outside_the_window_is_refused_with_the_limit(library_with, encoded):
    library_with("mug", vectors=4)
    with pytest.raises(Usage, match="<mug> falls outside the 46 tokens"):
        encoded("a " * 44 + "<mug>")
    with pytest.raises(Usage, match="<mug> falls outside"):
        encoded("a tree", "a " * 50 + "<mug>")
    assert encoded("a " * 42 + "<mug>").cut == ()


def test_words_outside_the_window_are_named(encoded):
    result = encoded("a tree " * 23 + "sunset", "a " * 46 + "moon")
    assert result.cut == ("moon", "sunset")


def test_numbers_that_are_not_finite_make_no_picture(starter_model):
    broken = EncodedPrompt(Conditioning(torch.full((2, 48, 256), torch.nan)))
    with pytest.raises(DeviceFailed, match="not finite") as caught:
        draw(starter_model, [(broken, 1)], QUICK)
    assert "cpu (fp32)" in caught.value.message
    assert "ti show" in caught.value.hint


@pytest.mark.parametrize("sampler", everyday(["ddim", "euler-a"], "euler-a"))
def test_where_memory_runs_out_the_same_picture_is_drawn_with_less(encoded, sampler):
    # One of its own: what it gives up stays given up.
    starter = load_model(built_in(), pick_hardware("cpu"))
    prompt, drawing = encoded("a tree"), replace(QUICK, sampler=sampler)
    (expected,) = draw(starter, [(prompt, 1)], drawing)
    calls, said = [], []

    def full(*_given):
        calls.append(1)
        # The second step of the first try, then at once until attention is in slices.
        if len(calls) > 1 and not starter.savings.slices:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    starter.tell = said.append
    handle = starter.denoiser.register_forward_hook(full)
    try:
        (drawn,) = draw(starter, [(prompt, 1)], drawing)
    finally:
        handle.remove()
    apart = np.asarray(drawn, dtype=int) - np.asarray(expected, dtype=int)
    assert np.abs(apart).max() <= 1
    assert said[-1] == "cpu is out of memory: attention in slices"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory"
        ),
    ],
)
def test_short_memory_is_explained(error):
    with pytest.raises(DeviceFailed) as caught, memory_explained("short of memory", "use less"):
        raise error
    assert caught.value.exit_code == 6
    assert (caught.value.message, caught.value.hint) == ("short of memory", "use less")


def test_other_errors_stay_what_they_are():
    with (
        pytest.raises(RuntimeError, match="shapes differ"),
        memory_explained("short of memory", "use less"),
    ):
        raise RuntimeError("shapes differ")
