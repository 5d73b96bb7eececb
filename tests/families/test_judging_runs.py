"""In every family a word is judged while it is learned: by its own encoders, on its own target."""

from __future__ import annotations

import pytest
from learning_runs import begin, make_photos, plan_for
from tiny_families import BUILDERS

from ticli.inversion import drift, evaluate, open_run
from ticli.paths import places


@pytest.mark.parametrize("name", BUILDERS)
def test_drift_is_of_the_scenes_words_in_every_encoder(family_folders, tmp_path, name):
    photos = make_photos(tmp_path / "photos", 4)
    plan = plan_for(photos, family_folders[name], init="mug", hold_out="auto", norm="free", size=64)
    with open_run(places().runs, "mug", plan.identity()) as run:
        training = begin(plan, run)
    model, context, vectors = training.model, training.judge.context, training.state.vectors
    assert set(context.begins) == {encoder.key for encoder in model.encoders}
    for encoder in model.encoders:
        prompt = context.prompts[0][encoder.key]
        words = prompt.ids[context.begins[encoder.key] : prompt.end + 1]
        said = encoder.tokenizer.decode(words, skip_special_tokens=True).strip()
        assert said == "in a quiet garden"
        count = len(encoder.tokenizer(said, add_special_tokens=False).input_ids)
        assert len(context.reference[encoder.key][0]) == count
    at_class_word = drift(model, context, {"mug": vectors.start})
    away = drift(model, context, {"mug": {key: -5 * row for key, row in vectors.start.items()}})
    assert at_class_word == pytest.approx(0, abs=1e-5) and away > 1e-4
    found = evaluate(training.model, [(training.judge, vectors, 0)])[0]
    assert 0 < found.held_out < 100 and found.held_out == training.judge.held_out(vectors)
