"""The config file, changed one line at a time so that comments and order stay."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ticli.durable import make_folder, write_file
from ticli.errors import BadContent
from ticli.plain_yaml import parse_mapping, read_mapping
from ticli.settings import check_key, check_value

# What YAML reads as the same plain text; anything else is written between quotes.
PLAIN = re.compile(r"[A-Za-z0-9_./~][A-Za-z0-9_./~:@+-]*(?<!:)")


def set_value(path: Path, key: str, value: str) -> None:
    """Write `key: value` into the config file, made if missing. Raises Usage and BadContent."""
    value = check_value(check_key(key), value)
    change_line(path, key, written(key, value), value)


def written(key: str, value: str) -> str:
    """The line of a file that gives `key` its value."""
    return f"{key}: {value if PLAIN.fullmatch(value) else json.dumps(value)}"


def unset_value(path: Path, key: str) -> bool:
    """Take a key out of the config file; False where it was not there. Raises Usage, BadContent."""
    check_key(key)
    if not path.is_file() or key not in read_mapping(path):
        return False
    change_line(path, key, None, None)
    return True


def change_line(path: Path, key: str, line: str | None, value: str | None) -> None:
    """Put `line` where the key stood, or at the end, and prove that nothing else changed.

    None takes the key away. Raises BadContent where the file cannot be changed so.
    """
    # A file that is a link is changed where it lies: people keep such files elsewhere.
    path = path.resolve()
    before = read_mapping(path) if path.is_file() else {}
    old = path.read_text("utf-8") if path.is_file() else ""
    lines = old.splitlines()
    begins = re.compile(rf"{re.escape(key)}\s*:(\s|$)")
    stands = next((index for index, text in enumerate(lines) if begins.match(text)), None)
    if stands is None:
        lines += [line] if line is not None else []
    else:
        lines[stands : stands + 1] = [line] if line is not None else []
    expected = {name: text for name, text in before.items() if name != key}
    if value is not None:
        expected[key] = value
    text = "".join(f"{item}\n" for item in lines)
    if parse_mapping(text, str(path)) != expected:
        raise BadContent(
            f"{path} is written in a way that cannot be changed line by line",
            f"open it in an editor and change {key} there",
        )
    make_folder(path.parent)
    write_file(path, text.encode(), replace=True)
