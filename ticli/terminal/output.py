"""One object that every command answers through: JSON, table, tab-separated or names only."""

from __future__ import annotations

import json as json_module
import os
import select
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from ticli.errors import Declined, TiError, Usage
from ticli.plain_text import json_text as json_text
from ticli.settings import color_wanted, load_settings
from ticli.terminal.safe_text import safe_text

if TYPE_CHECKING:
    from ticli.interface import Event

GAP = "  "
NARROWEST = 8
BOLD, DIM, YELLOW, RED = "1", "2", "33", "1;31"
LONGEST_KEY = 40


@dataclass(frozen=True)
class Column:
    """A heading and how its values stand; numbers stand right.

    `whole` values are cut only where all others have been: names, which people copy.
    """

    heading: str
    right: bool = False
    whole: bool = False


def columns(*headings: str) -> tuple[Column, ...]:
    """Columns with these headings; the values of `>HEADING` stand right."""
    return tuple(Column(text.removeprefix(">"), text.startswith(">")) for text in headings)


def display_width(text: str) -> int:
    """Return how many terminal cells a safe text takes: two for wide letters, none for marks."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(
        0 if combining(character) else 2 if east_asian_width(character) in "WF" else 1
        for character in text
    )


def padded(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int | None = None
) -> list[str]:
    """Lay rows out as lines under a heading, no line wider than `room` cells if it is given."""
    texts = [[column.heading for column in columns]]
    # What no line can show is not laid out: a tag may be as long as a book. A cell of the screen
    # holds a letter and at most five signs of marks on it.
    most = sys.maxsize if room is None else 8 * max(room, NARROWEST)
    texts += [[safe_text(cell[:most]) for cell in row] for row in rows]
    widths = [max(display_width(row[i]) for row in texts) for i in range(len(columns))]
    if room is not None:
        room -= len(GAP) * (len(widths) - 1)
        widths = _narrow(widths, room, [not column.whole for column in columns])
        widths = _narrow(widths, room, [True] * len(widths))
    return [
        GAP.join(
            _cell(text, width, column.right)
            for text, width, column in zip(row, widths, columns, strict=True)
        ).rstrip()
        for row in texts
    ]


def tab_separated(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lay rows out as lines of tab-separated fields under a heading, nothing cut.

    A tab or newline inside a field is escaped, so a line always has one field a column.
    """
    yield "\t".join(column.heading for column in columns)
    for row in rows:
        yield "\t".join(map(safe_text, row))


def _narrow(widths: list[int], room: int, may: Sequence[bool]) -> list[int]:
    """Narrow the widest that may be, all to the same width, until the sum fits or none is wide."""
    if sum(widths) <= room:
        return widths

    def cut(limit: int) -> list[int]:
        return [min(w, limit) if m else w for w, m in zip(widths, may, strict=True)]

    limit = NARROWEST
    while limit < max(widths) and sum(cut(limit + 1)) <= room:
        limit += 1
    narrowed = cut(limit)
    # What is left over goes to the first of those that were cut.
    for i, width in enumerate(widths):
        if narrowed[i] < width and sum(narrowed) < room:
            narrowed[i] += 1
    return narrowed


def _cell(text: str, width: int, right: bool) -> str:
    if display_width(text) > width:
        kept = ""
        for character in text:
            if display_width(kept + character) > width - 1:
                break
            kept += character
        text = kept + "…"
    padding = " " * (width - display_width(text))
    return padding + text if right else text + padding


@dataclass(frozen=True)
class Output:
    """How this call speaks. `color` is for stdout, `color_errors` for stderr."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    color: bool = False
    color_errors: bool = False

    def document(self, value: Any) -> None:
        """Write one JSON document to stdout."""
        write_line(json_text(value, indent=is_terminal(sys.stdout)))

    def documents(self, texts: Sequence[str]) -> None:
        """Write JSON texts to stdout as one array, without building it as a whole."""
        indent = is_terminal(sys.stdout)
        start, between, end = ("[\n", ",\n", "\n]") if indent and texts else ("[", ", ", "]")
        write_line(start, end="")
        for number, text in enumerate(texts):
            if indent:
                value = json_module.loads(text)
                text = "\n".join("  " + line for line in json_text(value, True).split("\n"))
            write_line(between + text if number else text, end="")
        write_line(end)

    def line(self, text: str) -> None:
        """Write one line of data to stdout, user text made harmless."""
        write_line(safe_text(text))

    def lines(self, texts: Iterable[str]) -> None:
        """Write lines of data to stdout."""
        for text in texts:
            self.line(text)

    def exact(self, text: str) -> None:
        """Write one value to stdout as it is, such as a path; on a terminal made harmless."""
        if is_terminal(sys.stdout):
            write_line(safe_text(text))
        elif any(0xDC80 <= ord(character) <= 0xDCFF for character in text):
            # A file's name may be no text at all; the next program needs its very bytes.
            self.data(os.fsencode(text) + b"\n")
        else:
            write_line(text)

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Write named values to stdout, one a line: aligned on a terminal, else tab-separated."""
        shown = [(safe_text(key), safe_text(text)) for key, text in pairs]
        width = min(LONGEST_KEY, max((display_width(key) for key, _ in shown), default=0))
        for key, text in shown:
            if is_terminal(sys.stdout):
                padding = " " * (width - display_width(key))
                write_line(f"{painted(key + padding, BOLD, self.color)}  {text}")
            else:
                write_line(f"{key}\t{text}")

    def data(self, content: bytes) -> None:
        """Write bytes to stdout. Raises Usage if stdout is a terminal."""
        refuse_terminal()
        if sys.stdout is None:
            raise BrokenPipeError
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Write rows to stdout: padded on a terminal, tab-separated elsewhere.

        No rows write nothing. With --quiet only the first field of each row is written.
        """
        if self.quiet:
            self.lines([row[0] for row in rows])
        elif rows and is_terminal(sys.stdout):
            from shutil import get_terminal_size

            heading, *rest = padded(columns, rows, get_terminal_size().columns)
            for text in (painted(heading, BOLD, self.color), *rest):
                write_line(text)
        elif rows:
            for text in tab_separated(columns, rows):
                write_line(text)

    def note(self, text: str) -> None:
        """Say something on stderr, unless --quiet."""
        if not self.quiet:
            say(safe_text(text))

    def detail(self, text: str) -> None:
        """Say something on stderr that only --verbose wants."""
        if self.verbose and not self.quiet:
            say(painted(safe_text(text), DIM, self.color_errors))

    def warn(self, text: str) -> None:
        """Warn on stderr, also with --quiet."""
        say(f"{painted('warning:', YELLOW, self.color_errors)} {safe_text(text)}")

    def hear(self, event: Event) -> None:
        """Say what an event of the Python interface has in words: a note, a detail, a warning."""
        say_it = {"note": self.note, "detail": self.detail, "warning": self.warn}.get(event.kind)
        if say_it is not None:
            say_it(event.text)

    def hint(self, text: str) -> None:
        """Name a next step on stderr, to a person at a terminal only."""
        if not self.quiet and not self.json and is_terminal(sys.stderr):
            say(painted(safe_text(text), DIM, self.color_errors))

    def refuse_json(self, flag: str) -> None:
        """Raise Usage if JSON would meet what `flag` sends to stdout."""
        if self.json:
            raise Usage(f"{flag} and --json both want stdout", "leave one of them out")

    def confirm(self, question: str, yes: bool) -> None:
        """Ask on the terminal. Raises Usage if there is none to ask, Declined on a no."""
        if yes:
            return
        if not is_terminal(sys.stdin):
            raise Usage(f"{question} needs an answer, and stdin is no terminal", "add --yes")
        say(f"{safe_text(question)} [y/N] ", end="")
        if _answer().strip().lower() not in ("y", "yes"):
            raise Declined("nothing was changed", "answer y, or add --yes")


def _answer() -> str:
    """Read a line from the terminal; Ctrl-C ends the wait whenever it comes.

    A signal in the instant before a plain read is noted, and then waits for the next key. Here
    it also leaves a byte in a pipe, which wakes the wait.
    """
    try:
        sys.stdin.fileno()
    except OSError:
        # What stands in for a terminal has nothing to wait for.
        return sys.stdin.readline()
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    before = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    try:
        select.select([sys.stdin, woken], [], [])
        return sys.stdin.readline()
    finally:
        signal.set_wakeup_fd(before)
        os.close(woken)
        os.close(waker)


def open_output(json: bool, quiet: bool, verbose: bool, no_color: bool, debug: bool) -> Output:
    """Build the Output of a call from its shared flags, the config file and the environment.

    `debug` concerns only errors, which are shown when the command has ended.
    """
    try:
        configured = load_settings()["color"]
    except TiError:
        # A broken config file is named by the commands that need its values; the list of
        # concepts, and the command that mends the file, still work.
        configured = "auto"
    return Output(
        json=json,
        quiet=quiet,
        verbose=verbose,
        color=color_wanted(is_terminal(sys.stdout), no_color, configured),
        color_errors=color_wanted(is_terminal(sys.stderr), no_color, configured),
    )


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is open on a terminal."""
    return stream is not None and not stream.closed and stream.isatty()


def refuse_terminal() -> None:
    """Raise Usage if bytes would go to a terminal."""
    if is_terminal(sys.stdout):
        raise Usage("binary data is not written to a terminal", "redirect it: … -o - > FILE")


def painted(text: str, style: str, color: bool) -> str:
    """Wrap a safe text in an SGR style if the stream has colour."""
    return f"\x1b[{style}m{text}\x1b[0m" if color else text


def write_line(text: str, end: str = "\n") -> None:
    """Write a safe line to stdout. Raises BrokenPipeError if stdout is closed."""
    if sys.stdout is None:
        raise BrokenPipeError
    sys.stdout.write(text + end)


def say(text: str, end: str = "\n") -> None:
    """Write safe text to stderr at once."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(text + end)
        sys.stderr.flush()
    except OSError:
        # What is said on stderr is no result: a command goes on when nobody can hear it.
        return
