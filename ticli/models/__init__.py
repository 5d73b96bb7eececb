"""Base models: where they lie, what they are, and how they are run."""

from ticli import lazily

HOMES = {
    "folder": "encoder_parts find_tower identify",
    "hardware": "Hardware make_deterministic pick_hardware",
    "image_encoders": "Preprocessing load_image_encoder locate_image_encoder",
    "locate": "STARTER usable",
    "memory": "free_memory free_on_this_machine memory_explained with_less",
    "memory_blocks": "EightBitLinear compute_twice keep_in_eight_bits units_of",
    "memory_estimate": "Demand WORKSPACE measure_demand",
    "memory_ladder": "LOW NONE RUNGS Savings below ladder said",
    "model": (
        "Model encoder_dtype load_clip_pair load_denoiser load_encoder load_model "
        "load_scheduler load_tokenizer load_vae quiet_libraries"
    ),
    "samplers": "make_sampler samplers_for",
    "selftest": "disagreement fault_of training_step",
    "sentencepiece": "read_vocabulary",
    "single_files.assembly": "remember",
    "single_files.probing": "settle_prediction",
    "single_files.recognising": (
        "EARLIER EPSILON FLAG Given NOTHING_GIVEN TRIED VELOCITY read_contents told_prediction"
    ),
    "text_encoder": "TextEncoder tokenise",
}
__getattr__ = lazily(__name__, HOMES)
