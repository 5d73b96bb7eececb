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
    """All under TI_HOME if that is set, or else where the platform keeps such things (XDG).

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

    own = platformdirs.PlatformDirs("ti", appauthor=False)
    return Places(
        own.user_data_path,
        Path(config).expanduser() if config else own.user_config_path / "config.yaml",
        own.user_state_path / "runs",
        own.user_cache_path,
    )
