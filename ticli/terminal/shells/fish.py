"""The completion script of fish."""

from __future__ import annotations

from collections.abc import Sequence

from ticli.terminal.shells.tree import SHELL_COMMAND, Command, Flag, Value

HEAD = """\
# Completion of ti for fish; `ti completion fish` prints this file.

# Whether the command is one of these, so that `ti help list` does not offer list's flags.
function __ti_is
    set -l words (commandline -opc)
    set -e words[1]
    for word in $words
        string match -q -- '-*' $word; and continue
        contains -- $word $argv
        return
    end
    return 1
end

# Whether this many words, flags aside, follow the command.
function __ti_at
    set -l words (commandline -opc)
    set -e words[1]
    set -l count (count (string match -v -- '-*' $words))
    test $count -eq (math $argv[1] + 1)
end

complete -c ti -f
complete -c ti -n 'not __ti_any' -s h -l help -d 'Show the commands'
complete -c ti -n 'not __ti_any' -s V -l version -d 'Show the version'
"""


def fish_script(commands: Sequence[Command]) -> str:
    """Write the script for these commands."""
    names = " ".join(name for command in commands for name in command.names)
    head = HEAD.replace("not __ti_any", f"not __ti_is {names}")
    lines = [
        f"complete -c ti -n 'not __ti_is {names}' -a {name} -d {_quoted(command.help)}"
        for command in commands
        for name in command.names
    ]
    for command in commands:
        test = f"__ti_is {' '.join(command.names)}"
        lines += [_flag(flag, test) for flag in command.flags]
        lines += _places(command, test)
    return head + "\n".join(lines) + "\n"


def _flag(flag: Flag, test: str) -> str:
    names = " ".join(
        f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.names
    )
    value = ""
    if flag.value is not None:
        value = " -r" + _words(flag.value)
    return f"complete -c ti -n '{test}' {names}{value} -d {_quoted(flag.help)}"


def _places(command: Command, test: str) -> list[str]:
    counted = not (command.endless and len(command.places) == 1)
    lines = []
    for index, place in enumerate(command.places):
        words = _words(place)
        if words:
            where = f"{test}; and __ti_at {index}" if counted else test
            lines.append(f"complete -c ti -n '{where}'{words}")
    return lines


def _words(value: Value) -> str:
    """The options of `complete` that offer a value; -F allows files, which -f forbade."""
    files = " -F" if value.kind == "files" else ""
    words = f" -a {_quoted(' '.join(value.choices))}" if value.choices else ""
    if value.kind and value.kind != "files":
        words += f" -a '({SHELL_COMMAND} {value.kind} (commandline -ct) 2>/dev/null)'"
    return files + words


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
