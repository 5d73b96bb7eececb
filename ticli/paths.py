"""Where `ti` keeps things. Nothing here creates a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class Places(NamedTuple):
    """The folders and files of one library. A tuple: dataclasses load too much for a Tab key."""

    home: Path
    config: Path
    runs: Path
    cache: Path

    @property
    def database(self) -> Path:
        return self.home / "library.db"

    @property
    def blobs(self) -> Path:
        return self.home / "blobs"


def places() -> Places:
    """All under TI_HOME where that is set, else where the platform keeps such things (XDG).

    TI_CONFIG moves the config file alone.
    """
    home = os.environ.get("TI_HOME")
    config = os.environ.get("TI_CONFIG")
    if home:
        root = Path(home).expanduser().absolute()
        return Places(
            root,
            Path(config).expanduser() if config else root / "config.yaml",
            root / "runs",
            root / "cache",
        )
    import platformdirs

    return Places(
        Path(platformdirs.user_data_dir("ti", appauthor=False)),
        Path(config).expanduser()
        if config
        else Path(platformdirs.user_config_dir("ti", appauthor=False)) / "config.yaml",
        Path(platformdirs.user_state_dir("ti", appauthor=False)) / "runs",
        Path(platformdirs.user_cache_dir("ti", appauthor=False)),
    )
