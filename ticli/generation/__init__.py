"""From a prompt to pictures: look up its concepts, choose a model, draw and write."""

from ticli import lazily

HOMES = {
    "draw": (
        "DrawingJob EncodedPrompt Studio draw_pictures draw_preview paint place_rows start_noise"
    ),
    "model_choice": "ModelRequest choose_model relearn",
    "picture_plan": (
        "Drawing DrawingRequest LARGEST_SEED PictureRequest find_place first_seed free_file "
        "parse_size plan_files plan_grid plan_pictures prompt_slug settle"
    ),
    "pictures": "LARGEST_SHEET Sheet describe png_bytes write_picture write_pictures",
    "prompts": "resolve with_nouns",
}
__getattr__ = lazily(__name__, HOMES)
