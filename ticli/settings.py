"""Settings: built-in values, then the config file, then the environment; flags override them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ticli.durable import make_folder, write_file
from ticli.errors import BadContent, Usage
from ticli.names import did_you_mean
from ticli.paths import places
from ticli.plain_text import parse_mapping, read_mapping

DEVICES = ("auto", "cpu", "cuda", "mps")
DTYPES = ("auto", "fp32", "fp16", "bf16")
# key → (environment variable or None, built-in value, what it is)
KEYS: Mapping[str, tuple[str | None, str, str]] = {
    "model": ("TI_MODEL", "", "model folder or hub id; empty is the built-in starter"),
    "device": ("TI_DEVICE", "auto", "auto, cuda, cuda:N, mps or cpu"),
    "dtype": ("TI_DTYPE", "auto", "auto, fp32, fp16 or bf16"),
    "recipe": (None, "default", "preset name or recipe file of `ti invert`"),
    "output_dir": (None, "", "folder for pictures; empty is the current one"),
    "offline": ("TI_OFFLINE", "false", "true keeps every command off the network"),
    "color": (None, "auto", "auto, always or never"),
}
TRUE = ("1", "true", "yes", "on")


@dataclass(frozen=True)
class Setting:
    """One effective value and where it came from: "env TI_MODEL", a file, or "built in"."""

    value: str
    origin: str


@dataclass(frozen=True)
class Settings:
    """Every key with its effective value."""

    values: Mapping[str, Setting]

    def __getitem__(self, key: str) -> str:
        return self.values[key].value

    def origin(self, key: str) -> str:
        """Where the value of `key` came from."""
        return self.values[key].origin


def load_settings() -> Settings:
    """Read the config file, if there is one, and the environment. Raises Usage and BadContent."""
    path = places().config
    stored: dict[str, str] = {}
    if path.is_file():
        for key, value in read_mapping(path).items():
            stored[check_key(key, str(path))] = check_value(key, value, f"{path}: {key}")
    values = {}
    for key, (variable, built_in, _) in KEYS.items():
        if variable and os.environ.get(variable):
            value = check_value(key, os.environ[variable], variable)
            values[key] = Setting(value, f"env {variable}")
        elif key == "offline" and os.environ.get("HF_HUB_OFFLINE", "").lower() in TRUE:
            values[key] = Setting("true", "env HF_HUB_OFFLINE")
        elif key in stored:
            values[key] = Setting(stored[key], str(path))
        else:
            values[key] = Setting(built_in, "built in")
    return Settings(values)


def check_key(key: str, origin: str = "config") -> str:
    """Return a known key. Raises Usage naming the known ones."""
    if key not in KEYS:
        raise Usage(f"{origin}: no setting named {key!r}", did_you_mean(key, KEYS))
    return key


def check_value(key: str, value: object, origin: str = "") -> str:
    """Return a value that `key` may have. Raises Usage naming its origin."""
    origin = origin or key
    if not isinstance(value, str) or "\0" in value or "\n" in value:
        raise Usage(f"{origin} must be one line of text", f"ti config set {key} VALUE")
    if key == "device" and value.split(":")[0] not in DEVICES:
        raise Usage(f"{origin} cannot be {value!r}", "choose auto, cuda, cuda:N, mps or cpu")
    if key == "dtype" and value not in DTYPES:
        raise Usage(f"{origin} cannot be {value!r}", did_you_mean(value, DTYPES))
    if key == "color" and value not in ("auto", "always", "never"):
        raise Usage(f"{origin} cannot be {value!r}", "choose auto, always or never")
    if key == "offline":
        return "true" if value.lower() in TRUE else "false"
    return value


def prepare_determinism() -> None:
    """Give cuBLAS the fixed workspace that equal bits need; it is read when CUDA starts."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def debugging() -> bool:
    """Whether TI_DEBUG asks for tracebacks."""
    return os.environ.get("TI_DEBUG", "").lower() in TRUE


def color_wanted(is_terminal: bool, no_color_flag: bool, configured: str = "auto") -> bool:
    """Whether a stream gets colour: the flag, NO_COLOR, FORCE_COLOR, config, TERM, terminal."""
    if no_color_flag or os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR") or configured == "always":
        return True
    return is_terminal and configured != "never" and os.environ.get("TERM") != "dumb"


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
    """Remove a key from the config file; False if it is not there. Raises Usage, BadContent."""
    check_key(key)
    if not path.is_file() or key not in read_mapping(path):
        return False
    change_line(path, key, None, None)
    return True


def change_line(path: Path, key: str, line: str | None, value: str | None) -> None:
    """Put `line` in place of the key's, or at the end, so that comments and order stay.

    None removes the key. Raises BadContent if anything else would change.
    """
    # Follow a link: people keep their config files elsewhere.
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
            f"{path} cannot be changed line by line",
            f"open it in an editor and change {key} there",
        )
    make_folder(path.parent)
    write_file(path, text.encode(), replace=True)
