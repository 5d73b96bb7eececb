"""What the terminal sees: results on stdout, everything else on stderr."""

from ticli import lazily

HOMES = {
    "output": "Column Output display_width json_text open_output padded tab_separated",
    "progress": "Progress",
    "run_views": "say_learned",
    "safe_text": "age byte_text clock shorten",
    "shell_completions": "read_tree",
}
__getattr__ = lazily(__name__, HOMES)
