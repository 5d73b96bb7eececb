"""Find, open, check and crop photos; read captions; the sentences that speak of them."""

from ticli import lazily

HOMES = {
    "cropping": "crop_box describe_crop training_mask training_picture",
    "finding": "describe_skipped find_photos natural_key",
    "kinds": "kind_of",
    "loading": "load_photos",
    "opening": "LARGEST_FILE Photo open_photo",
    "sentences": "contexts family fill nouns read_sentences",
    "sidecars": "describe_mask find_masks mask_digest read_captions subject_share",
}
__getattr__ = lazily(__name__, HOMES)
