"""What is said before a model is downloaded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ticli.terminal.output import Output, is_terminal
from ticli.terminal.quantities import byte_text

if TYPE_CHECKING:
    from ticli.models.downloading import Parcel


def announcer(output: Output) -> Callable[[Parcel], None]:
    """Say what is downloaded and where it goes, --quiet or not; bars follow on a terminal only."""

    def announce(parcel: Parcel) -> None:
        from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

        shown = not output.quiet and not output.json and is_terminal(sys.stderr)
        (enable_progress_bars if shown else disable_progress_bars)()
        files = f"{len(parcel.files)} file{'' if len(parcel.files) == 1 else 's'}"
        output.announce(
            f"downloading {parcel.id}: {files}, {byte_text(parcel.bytes)}, into {parcel.cache}"
        )

    return announce
