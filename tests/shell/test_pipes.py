"""Pipes, closed streams, full disks, signals and colours, with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

NAMES = [f"concept{number:03}" for number in range(300)]


@pytest.fixture
def many(library_with):
    """A library whose list is longer than a pipe's buffer."""
    library_with(*NAMES, tags=("a-tag-that-is-rather-long-" * 12,))


def test_head_ends_a_list_quietly(shell, many) -> None:
    done = shell("ti list | head -1")
    assert done.lines == ["NAME\tTOKEN\tBASE\tVECTORS\tSTEPS\tTAGS\tCREATED"]
    assert done.err == ""
    assert done.code == 141, "pipefail shows how ti itself ended"


def test_a_reader_that_is_gone_already(shell, library_with) -> None:
    library_with("mug")
    for command in ("ti list", "ti --help", "ti show mug --json", "ti export mug -o -"):
        done = shell(f"{{ sleep 0.1; {command}; echo $? >code; }} | true; cat code")
        assert (done.out, done.err) == ("141\n", ""), command


def test_stdout_that_was_never_open(shell, library_with) -> None:
    library_with("mug")
    done = shell("ti list >&-")
    assert (done.code, done.out, done.err) == (141, "", "")


def test_streams_that_are_closed_are_not_taken_by_files(shell, library_with) -> None:
    library_with("mug")
    assert shell("ti tag mug --add a <&- 2>&-").lines == ["a"]
    assert shell("ti show nothing 2>&-").code == 3
    assert shell("ti rm mug <&-").code == 2
    assert shell("ti list -q").lines == ["mug"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_said_in_two_lines(shell, library_with) -> None:
    library_with("mug")
    for command in ("ti list", "ti list --json", "ti export mug -o -", "ti --help"):
        done = shell(f"{command} >/dev/full")
        assert done.code == 1, command
        assert done.err.startswith("error: "), command
        assert "No space left" in done.err
        assert "Traceback" not in done.err


def test_json_through_another_program(shell, library_with) -> None:
    library_with("mug", "cat")
    reader = "import json, sys; print(*[c['name'] for c in json.load(sys.stdin)])"
    assert shell(f'ti list --json | python3 -c "{reader}"').out == "cat mug\n"


def test_names_from_a_list_into_rm(shell, library_with) -> None:
    library_with("mug", "cat", tags=("draft",))
    library_with("dog")
    done = shell("ti list -q --tag draft | ti rm --yes -")
    assert (done.code, done.lines) == (0, ["cat", "mug"])
    assert shell("ti list -q").lines == ["dog"]


def test_columns_for_awk(shell, library_with) -> None:
    library_with("mug", tags=("two words", "b"))
    assert shell("ti list | awk -F'\\t' 'NR>1 {print $1 \":\" $6}'").out == "mug:two words,b\n"


def test_export_into_import(shell, library_with) -> None:
    library_with("mug")
    assert shell("ti export mug -o - | ti import - --token '<copy>'").lines == ["copy"]
    assert shell("ti export mug -o - > mug.safetensors && ti import mug.safetensors -t b").code == 0
    assert shell("ti list -q").lines == ["b", "copy", "mug"]


def test_the_token_and_the_path_for_other_commands(shell, library_with) -> None:
    library_with("mug")
    assert shell('echo "a photo of $(ti show mug --field token)"').out == "a photo of <mug>\n"
    assert shell('test -s "$(ti show mug --field path)"').code == 0


def test_an_unquoted_token_never_reaches_ti(shell, library_with) -> None:
    library_with("mug")
    assert shell("ti show <mug>").code != 0
    assert shell("ti show mug -q").out == "mug\n"


def test_words_outside_ascii_where_the_locale_has_none(ti, library_with) -> None:
    library_with("mug", notes="café 杯子")
    plain = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = ti("show", "mug", environment=plain)
    assert done.code == 0
    assert "notes\tcaf\\xe9 \\u676f\\u5b50" in done.lines


def test_an_argument_that_is_no_text(ti) -> None:
    done = subprocess.run([b"ti", b"show", b"m\xffg"], capture_output=True)
    assert done.returncode == 3
    assert done.stdout == b""
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_that_waits(number: int) -> None:
    """`import -` waits for its stdin; what ends it is said, without a traceback."""
    process = subprocess.Popen(
        ["ti", "import", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_for_read(process.pid)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert out == b""
    assert err.startswith(b"error: ")
    assert b"Traceback" not in err


def wait_for_read(pid: int) -> None:
    """Wait until a process sleeps in a system call with all its modules loaded."""
    stat = Path(f"/proc/{pid}/wchan")
    if not stat.exists():
        time.sleep(5)
        return
    calm = 0
    for _ in range(600):
        calm = calm + 1 if "pipe" in stat.read_text() else 0
        if calm > 5:
            return
        time.sleep(0.05)
    pytest.fail("the process never waited for its input")


def test_colour_is_only_for_those_who_ask(ti, library_with) -> None:
    library_with("mug")
    assert "\x1b" not in ti("show", "mgu").err
    assert "\x1b[" in ti("show", "mgu", environment={"FORCE_COLOR": "1"}).err
    both = {"FORCE_COLOR": "1", "NO_COLOR": "1"}
    assert "\x1b" not in ti("show", "mgu", environment=both).err
    assert "\x1b" not in ti("show", "mgu", "--no-color", environment={"FORCE_COLOR": "1"}).err
    assert "\x1b" not in ti("list", environment={"FORCE_COLOR": "1"}).out


def on_a_terminal(*command: str, answer: bytes = b"") -> tuple[int, str]:
    """Run a command on a pseudo-terminal; return its code and all it drew."""
    pid, terminal = os.forkpty()
    if pid == 0:
        os.execvp(command[0], command)
    os.write(terminal, answer)
    drawn = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        drawn += piece
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), drawn.decode()


def test_a_real_terminal_gets_columns_colour_and_questions(library_with) -> None:
    library_with("mug")
    code, drawn = on_a_terminal("ti", "list")
    assert code == 0
    assert "\x1b[1mNAME" in drawn
    assert "\t" not in drawn
    code, drawn = on_a_terminal("ti", "rm", "mug", answer=b"n\n")
    assert code == 1
    assert "Remove mug? [y/N]" in drawn
    code, drawn = on_a_terminal("ti", "rm", "mug", answer=b"y\n")
    assert code == 0
    code, drawn = on_a_terminal("ti", "export", "mug", "-o", "-")
    assert code == 3


def test_json_is_spread_out_for_people_only(ti, library_with) -> None:
    library_with("mug")
    assert len(ti("show", "mug", "--json").lines) == 1
    _, drawn = on_a_terminal("ti", "show", "mug", "--json")
    assert len(drawn.splitlines()) > 20
    assert json.loads(drawn)["name"] == "mug"
