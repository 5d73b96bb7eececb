"""Learn a concept: latents, trainable vectors, the loss, the loop, its checkpoints."""

from ticli import lazily

HOMES = {
    "checkpoint": "restore_checkpoint save_checkpoint",
    "context": "Context build_context context_distance drift",
    "draws": "DrawRule draw fixed_draw keyed_generator",
    "engine": "Engine TrainingEvent fitting most_at_a_time open_engine",
    "evaluation": "evaluate evaluation_draw evaluation_interval held_out_loss",
    "examples": "Examples Latents Stage Twin encode encode_photos mask_weights spared_photo",
    "first_guess": "FINAL_SAMPLES approach candidates choose_init settled_plan",
    "loss": "Learner denoising_losses draw_rule predict snr_weights weighed_loss weights_of",
    "low_memory": "FILE first_stage load_sparingly prediction_by_photos within",
    "plan": "Plan Request check_lineage lineage_notes make_plan",
    "recorded_steps": "Replayer TIMED UNUSED replayer_for",
    "result": "check_vectors conclude",
    "run_folder": "Run check_run discard finish open_run stale_runs unfinished",
    "schedule": (
        "Evaluation has_exploded has_settled is_better last_step learning_rate "
        "should_cool_down thinned"
    ),
    "state": "Finished TrainingState new_state",
    "step": "PATIENCE gradients make_learner regularise take_step",
    "training": "Training begin_training",
    "vectors": "Start Vectors move start_vectors vocabulary_norm",
}
__getattr__ = lazily(__name__, HOMES)
