"""Signals outside of training end a command with the shell's code and leave no temporary file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "mug"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_while_libraries_are_imported_ends_the_command(number, code):
    process = subprocess.Popen(
        [sys.executable, "-m", "ticli", "invert", str(EXAMPLES), "-t", "mug", "--steps", "500"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if line.startswith("loading"):
            break
    time.sleep(0.5)
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == code and out == ""
    assert "Traceback" not in err


def test_what_nohup_ignores_stays_ignored():
    script = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
        "sys.argv = ['ti', 'list', '--json'];"
        "from ticli.__main__ import main; code = main();"
        "os.kill(os.getpid(), signal.SIGHUP); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=os.environ)
    assert done.returncode == 0, done.stderr
