"""`ti score`: how much a learned word looks like its photos, and how well it obeys."""

from __future__ import annotations

from ticli.commands import drawing_options as drawing
from ticli.commands import options as shared
from ticli.commands import scoring_options as scoring
from ticli.commands import single_file_options as single_file
from ticli.commands.dreambench_run import score_subjects
from ticli.commands.scoring_run import Ask, score_words
from ticli.commands.single_file_options import prediction_finder
from ticli.terminal.output import open_output


def score(
    words: scoring.WordsArgument = None,
    photos: scoring.PhotosOption = None,
    encoder: scoring.EncoderOption = None,
    class_word: scoring.ClassWordOption = "",
    prompts: scoring.PromptsOption = None,
    samples: scoring.SamplesOption = None,
    scene_samples: scoring.SceneSamplesOption = None,
    plot: scoring.PlotOption = None,
    sheet: scoring.SheetOption = None,
    dreambench: scoring.DreamBenchOption = None,
    no_save: scoring.NoSaveOption = False,
    steps: drawing.StepsOption = None,
    guidance: drawing.GuidanceOption = None,
    size: drawing.SizeOption = "",
    sampler: drawing.SamplerOption = "",
    no_noun: drawing.NoNounOption = False,
    strict_base: drawing.StrictBaseOption = False,
    force: shared.ForceOption = False,
    dry_run: shared.DryRunOption = False,
    model: shared.ModelOption = None,
    components: single_file.ComponentsOption = None,
    prediction: single_file.PredictionOption = None,
    device: shared.DeviceOption = None,
    dtype: shared.DtypeOption = None,
    offline: shared.OfflineOption = False,
    json: shared.JsonOption = False,
    quiet: shared.QuietOption = False,
    verbose: shared.VerboseOption = False,
    no_color: shared.NoColorOption = False,
    debug: shared.DebugOption = False,
) -> None:
    """Measure likeness and obedience of concepts.

    The same pictures, seeds and sentences for every word, so that two scores can be compared.
    """
    from ticli.generation.choosing import Wish
    from ticli.generation.drawing import Wanted

    output = open_output(json, quiet, verbose, no_color, debug)
    ask = Ask(
        words=tuple(words or ()),
        photos=tuple(photos or ()),
        encoders=tuple(encoder or ()),
        class_word=class_word.strip(),
        prompts=prompts,
        samples=samples,
        scene_samples=scene_samples,
        plot=plot,
        sheet=sheet,
        dreambench=dreambench,
        save=not no_save,
        wanted=Wanted(steps, guidance, size, sampler),
        nouns=not no_noun,
        wish=Wish(
            model or "", offline, strict_base, device or "", dtype or "",
            given=single_file.given_of(components, prediction),
            find_prediction=None if dry_run else prediction_finder(device, dtype, output),
        ),
        force=force,
        dry_run=dry_run,
        output=output,
    )  # fmt: skip
    if dreambench is None:
        score_words(ask)
    else:
        score_subjects(ask)
