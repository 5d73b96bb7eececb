"""The library: rows in SQLite, tensors in content-addressed files."""

from ticli import lazily

HOMES = {
    "completing": "LAST MOST QUERIES completions",
    "database": "APPLICATION_ID MIGRATIONS change open_to_read open_to_write",
    "exporting": "Exported Target export_bytes export_concepts",
    "formats.containers": "LARGEST_FILE in_memory open_file",
    "formats.embedding": "Contents choose_token imported_concept read_embedding read_words",
    "formats.metadata": "Extras",
    "formats.png": "inflate",
    "formats.programs": "CONSUMERS",
    "formats.read_layouts": "Widths",
    "formats.tensor_file": "build_tensor_file parse_tensor_file",
    "formats.torch_read": "DEEPEST_STACK MOST_OPERATIONS UnreadablePickleError read_pickle",
    "formats.write_layouts": "ASPECTS EVERYTHING FOLDER LAYOUTS",
    "importing": "Source Wanted choose_words join_pairs open_sources read_source",
    "library": "Library Query",
    "merging": "merge merge_base merged_concept",
    "query": "MOST_WORDS",
    "record": "bare_concept concept_from_document",
    "store": "Grace Unused encode_blob save_blob",
    "upkeep.backups": "open_backup",
    "upkeep.checking": "check_library",
    "upkeep.pruning": "find_unused remember remove_unused",
}
__getattr__ = lazily(__name__, HOMES)
