"""The completion script of zsh, by way of its own _arguments."""

from __future__ import annotations

from collections.abc import Sequence

from ticli.terminal.shells.tree import SHELL_COMMAND, Command, Flag, Value

# zsh reads `#compdef` only on the first line.
HEAD = f"""\
#compdef ti
# Completion of ti for zsh; `ti completion zsh` prints this file.

_ti_ask() {{
    local -a found
    found=("${{(@f)$({SHELL_COMMAND} $1 \"$PREFIX\" 2>/dev/null)}}")
    found=(${{found:#}})
    (( $#found )) && compadd -a found
}}

_ti_concepts() {{ _ti_ask concepts }}
_ti_tags() {{ _ti_ask tags }}
_ti_models() {{ _ti_ask models }}
"""
BODY = """
_ti() {
    local curcontext=$curcontext state line
    typeset -A opt_args
    _arguments -C \\
        '(- *)'{-h,--help}'[Show the commands]' \\
        '(- *)'{-V,--version}'[Show the version]' \\
        '1:command:_ti_commands' \\
        '*::argument:->rest'
    [[ $state == rest ]] || return
    case $words[1] in
"""
FOOT = """\
    esac
}

if [[ $funcstack[1] == _ti ]]; then
    _ti "$@"
else
    compdef _ti ti
fi
"""


def zsh_script(commands: Sequence[Command]) -> str:
    """Write the script for these commands."""
    cases = []
    for command in commands:
        specs = [spec for flag in command.flags for spec in _flag(flag)] + _places(command)
        body = " \\\n".join(f"            {spec}" for spec in specs)
        cases.append(
            f"    {'|'.join(command.names)})\n        _arguments -s -S \\\n{body}\n    ;;\n"
        )
    return "".join((HEAD, _commands(commands), BODY, *cases, FOOT))


def _commands(commands: Sequence[Command]) -> str:
    rows = [
        f"        {_quoted(f'{name}:{command.help}')}"
        for command in commands
        for name in command.names
    ]
    lines = ["\n_ti_commands() {", "    local -a found", "    found=(", *rows, "    )"]
    return "\n".join([*lines, "    _describe command found", "}", ""])


def _flag(flag: Flag) -> list[str]:
    others = "" if flag.repeats else f"({' '.join(flag.names)})"
    value = _value(flag.value) if flag.value is not None else ""
    star = "*" if flag.repeats else ""
    return [
        _quoted(f"{others}{star}{name}[{_plain(flag.help, '[]')}]{value}") for name in flag.names
    ]


def _places(command: Command) -> list[str]:
    if command.endless and len(command.places) == 1:
        return [_quoted(f"*{_value(command.places[0])}")]
    return [_quoted(f"{i}{_value(place)}") for i, place in enumerate(command.places, 1)]


def _value(value: Value) -> str:
    label = _plain(value.label, ":")
    if value.kind == "files":
        # A preset's name has no file of that name: both are offered.
        words = f"compadd {' '.join(value.choices)}; " if value.choices else ""
        return f":{label}:{{{words}_files}}" if words else f":{label}:_files"
    if value.kind:
        return f":{label}:_ti_{value.kind}"
    return f":{label}:({' '.join(_plain(c, ':') for c in value.choices)})"


def _plain(text: str, special: str) -> str:
    for character in ("\\", *special):
        text = text.replace(character, f"\\{character}")
    return text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
