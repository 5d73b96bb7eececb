"""Settings: built-in values, the config file, the environment; flags come last, from commands."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ticli.errors import Usage
from ticli.paths import places

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
        from ticli.plain_yaml import read_mapping

        for key, value in read_mapping(path).items():
            stored[check_key(key, str(path))] = check_value(key, value)
    values = {}
    for key, (variable, built_in, _) in KEYS.items():
        if variable and os.environ.get(variable):
            values[key] = Setting(check_value(key, os.environ[variable]), f"env {variable}")
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
        raise Usage(f"{origin}: no setting named {key!r}", f"settings: {', '.join(KEYS)}")
    return key


def check_value(key: str, value: object) -> str:
    """Return a value that `key` may have. Raises Usage."""
    if not isinstance(value, str) or "\0" in value or "\n" in value:
        raise Usage(f"{key} must be one line of text", f"ti config set {key} VALUE")
    if key == "device" and value.split(":")[0] not in DEVICES:
        raise Usage(f"device cannot be {value!r}", "choose auto, cuda, cuda:N, mps or cpu")
    if key == "dtype" and value not in DTYPES:
        raise Usage(f"dtype cannot be {value!r}", f"choose {', '.join(DTYPES)}")
    if key == "color" and value not in ("auto", "always", "never"):
        raise Usage(f"color cannot be {value!r}", "choose auto, always or never")
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
