"""How good a concept is: draw it under one protocol and measure the pictures."""

from ticli import lazily

HOMES = {
    "chart": "Chart Dot Label Point chart_of layout write_chart",
    "judge": (
        "PromptJob draw_prompts draw_protocol measure picture_features sentence_features to_pixels"
    ),
    "measures": (
        "PictureFeatures SentenceFeatures image_figures obedience photos_among_themselves "
        "places_of text_figures"
    ),
    "protocol": (
        "Counts OBJECTS Prompts Protocol STYLES counts_of prompts_for prompts_of sentences "
        "without_subject"
    ),
    "score_plan": "class_word_of",
}
__getattr__ = lazily(__name__, HOMES)
