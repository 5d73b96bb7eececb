"""`ti invert`: photos in, a word out."""

from __future__ import annotations

from ticli.commands import learning_options as learning
from ticli.commands import method_options as method
from ticli.commands import options as shared
from ticli.commands import several_options as several
from ticli.commands import single_file_options as single_file
from ticli.commands import stopping_options as stopping
from ticli.commands.learning_run import Ask, class_word, knob_flags, learn
from ticli.terminal.output import open_output


def invert(
    photos: learning.PhotosArgument = None,
    token: learning.NewTokenOption = None,
    manifest: several.ManifestOption = None,
    together: several.TogetherOption = None,
    recipe: learning.RecipeOption = None,
    kind: learning.KindOption = None,
    init: learning.InitOption = None,
    noun: learning.NounOption = None,
    no_noun: learning.NoNounOption = False,
    vectors: learning.VectorsOption = None,
    steps: learning.StepsOption = None,
    lr: learning.RateOption = None,
    batch: learning.BatchOption = None,
    accumulate: learning.AccumulateOption = None,
    size: learning.SizeOption = None,
    flip: learning.FlipOption = None,
    schedule: learning.ScheduleOption = None,
    warmup: learning.WarmupOption = None,
    clip: learning.ClipOption = None,
    norm: method.NormOption = None,
    norm_pull: method.NormPullOption = None,
    prior: method.PriorOption = None,
    pull: method.PullOption = None,
    init_from: method.InitFromOption = None,
    warm_start: method.WarmStartOption = None,
    warm_steps: method.WarmStepsOption = None,
    warm_lr: method.WarmRateOption = None,
    context: method.ContextOption = None,
    context_set: method.ContextSetOption = None,
    extend_every: method.ExtendEveryOption = None,
    photo_words: method.PhotoWordsOption = None,
    negative_vectors: method.NegativeVectorsOption = None,
    negative_guidance: method.NegativeGuidanceOption = None,
    timestep_low: learning.TimestepLowOption = None,
    timestep_high: learning.TimestepHighOption = None,
    timestep_weighting: method.TimestepWeightingOption = None,
    min_snr: method.MinSnrOption = None,
    masks: method.MasksOption = None,
    mask_background: method.MaskBackgroundOption = None,
    mask_temperature: method.MaskTemperatureOption = None,
    sentences: learning.SentencesOption = None,
    captions: learning.CaptionsOption = None,
    strict_captions: learning.StrictCaptionsOption = None,
    hold_out: stopping.HoldOutOption = None,
    evaluate_every: stopping.EvaluateEveryOption = None,
    evaluation_timesteps: stopping.EvaluationTimestepsOption = None,
    stop: stopping.StopOption = None,
    stop_window: stopping.StopWindowOption = None,
    stop_ratio: stopping.StopRatioOption = None,
    cooldown: stopping.CooldownOption = None,
    average: stopping.AverageOption = None,
    keep: stopping.KeepOption = None,
    drift_limit: stopping.DriftLimitOption = None,
    restores: stopping.RestoresOption = None,
    restarts: stopping.RestartsOption = None,
    init_candidates: stopping.InitCandidatesOption = None,
    seed: learning.RunSeedOption = 0,
    preview_every: learning.PreviewEveryOption = 0,
    preview: learning.PreviewOption = "a photo of a {}",
    keep_photos: learning.KeepPhotosOption = False,
    replace: shared.ReplaceOption = False,
    fresh: learning.FreshOption = False,
    dry_run: shared.DryRunOption = False,
    model: shared.ModelOption = None,
    components: single_file.ComponentsOption = None,
    prediction: single_file.PredictionOption = None,
    device: shared.DeviceOption = None,
    dtype: shared.DtypeOption = None,
    deterministic: learning.DeterministicOption = False,
    low_memory: learning.LowMemoryOption = False,
    offline: shared.OfflineOption = False,
    progress: shared.ProgressOption = "auto",
    json: shared.JsonOption = False,
    quiet: shared.QuietOption = False,
    verbose: shared.VerboseOption = False,
    no_color: shared.NoColorOption = False,
    debug: shared.DebugOption = False,
) -> None:
    """Learn a word from photos.

    The same command again continues a run that was stopped. Several words learn side by side; a
    manifest has a token, photos and any knob of the recipe for each, as YAML, TSV or JSON lines.
    """
    knobs = knob_flags(locals()) | {"noun": class_word(noun, no_noun)}
    ask = Ask(
        photos=tuple(photos or ()), tokens=tuple(token or ()), manifest=manifest, together=together,
        recipe=recipe, knobs=knobs, sentences=sentences, seed=seed,
        preview_every=preview_every, preview=preview, keep_photos=keep_photos,
        replace=replace, fresh=fresh, dry_run=dry_run, model=model,
        given=single_file.given_of(components, prediction), device=device, dtype=dtype,
        deterministic=deterministic, low_memory=low_memory, offline=offline, progress=progress,
        output=open_output(json, quiet, verbose, no_color, debug),
    )  # fmt: skip
    if ask.several:
        from ticli.commands.learning_together import learn_words

        learn_words(ask)
    else:
        learn(ask)
