"""The command tree as the completion scripts need it: commands, their flags, their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any

from ticli.recipe import PRESETS
from ticli.settings import KEYS

# What a metavar stands for; `ti __complete KIND` answers concepts, tags, recipes and models.
KINDS = {
    "NAME": "concepts",
    "NAME...": "concepts",
    "PART...": "concepts",
    "OLD": "concepts",
    "TAG": "tags",
    "MODEL": "models",
    "NAME|FILE": "recipes",
    "FILE": "files",
    "FILE...": "files",
    "FILE|DIR|-": "files",
    "PHOTOS...": "files",
    "PATH": "files",
    "FOLDER": "files",
    "COMMAND": "commands",
    "KEY": "settings",
}
SHELL_COMMAND = "command ti __complete"


@dataclass(frozen=True)
class Value:
    """What may be written somewhere: words known in advance, or a kind looked up when asked.

    `kind` is one of concepts, tags, recipes, models (asked of `ti __complete`), files, or "".
    """

    label: str
    kind: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flag:
    """One option under all its names; a switch has no value."""

    names: tuple[str, ...]
    help: str
    value: Value | None
    repeats: bool


@dataclass(frozen=True)
class Command:
    """One command under its name and aliases, with its flags and its arguments in order."""

    names: tuple[str, ...]
    help: str
    flags: tuple[Flag, ...]
    places: tuple[Value, ...]
    endless: bool

    @property
    def name(self) -> str:
        return self.names[0]


def read_tree(group: Any) -> tuple[Command, ...]:
    """Read the parser's command group. Hidden commands count as aliases of the same function."""
    shown = {name: found for name, found in group.commands.items() if not found.hidden}
    aliases: dict[str, list[str]] = {}
    for name, found in group.commands.items():
        if found.hidden:
            aliases.setdefault(found.help, []).append(name)
    return tuple(
        _read(name, found, aliases.get(found.help, []), tuple(shown))
        for name, found in shown.items()
    )


def _read(name: str, found: Any, aliases: list[str], commands: tuple[str, ...]) -> Command:
    parameters = [item for item in found.params if not getattr(item, "hidden", False)]
    places = [item for item in parameters if item.param_type_name == "argument"]
    flags = [item for item in parameters if item.param_type_name == "option"]
    return Command(
        names=(name, *aliases),
        help=_first_line(found.help),
        flags=(*(_flag(item, commands) for item in flags), HELP),
        places=tuple(_value(item, commands) for item in places),
        endless=any(item.nargs == -1 for item in places),
    )


def _flag(item: Any, commands: tuple[str, ...]) -> Flag:
    return Flag(
        names=(*item.opts, *item.secondary_opts),
        help=_first_line(item.help),
        value=None if item.is_flag else _value(item, commands),
        repeats=bool(item.multiple),
    )


def _value(item: Any, commands: tuple[str, ...]) -> Value:
    label = item.metavar or item.name.upper()
    choices = tuple(getattr(item.type, "choices", None) or ())
    kind = KINDS.get(label, "")
    # Only an argument called NAME is a concept; an option's may be a sampler.
    if kind == "concepts" and item.param_type_name == "option":
        kind = ""
    if kind == "commands":
        choices, kind = commands, ""
    elif kind == "settings":
        choices, kind = tuple(KEYS), ""
    elif kind == "recipes":
        choices, kind = PRESETS, "files"
    return Value(label, "" if choices and kind != "files" else kind, choices)


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0].rstrip(".")


HELP = Flag(("-h", "--help"), "Show this message and exit", None, False)


# The completion script of bash. Bare names are offered: `<` and `>` break words there.

BASH_HEAD = r"""# Completion of ti for bash; `ti completion bash` prints this file.

# Offer the lines of $1 that start with the word typed. compgen -W is not used: it would run
# command substitutions that stand in a tag.
_ti_offer() {
    local word quoted
    while IFS= read -r word; do
        if [[ -n $word && $word == "$cur"* ]]; then
            printf -v quoted '%q' "$word"
            COMPREPLY+=("$quoted")
        fi
    done <<<"$1"
}

_ti_files() {
    local word
    compopt -o filenames 2>/dev/null
    while IFS= read -r word; do
        [[ -n $word ]] && COMPREPLY+=("$word")
    done <<<"$(compgen -f -- "$cur")"
}
"""
BASH_BODY = r"""
_ti() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local command= place=0 i
    COMPREPLY=()
    # --flag=value arrives as three words.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        if _ti_takes_value "$command:${COMP_WORDS[i]}"; then
            [[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))
            ((i++))
        elif [[ ${COMP_WORDS[i]} == -?* ]]; then
            continue
        elif [[ -z $command ]]; then
            command=${COMP_WORDS[i]}
        else
            ((place++))
        fi
    done
    if [[ -n $command ]] && _ti_takes_value "$command:$prev"; then
        _ti_value "$command:$prev"
    elif [[ $cur == -* ]]; then
        _ti_flags "$command"
    else
        _ti_place "$command" "$place"
    fi
}

complete -F _ti ti
"""


def bash_script(commands: Sequence[Command]) -> str:
    """Write the script for these commands."""
    root = "\n".join(name for command in commands for name in command.names)
    return "".join(
        (
            BASH_HEAD,
            _function("_ti_takes_value", [*_takes_value(commands), "    *) return 1 ;;"]),
            _function("_ti_value", _values(commands)),
            _function("_ti_flags", _flags(commands)),
            _function("_ti_place", [f"    '') _ti_offer {_lines(root)} ;;", *_places(commands)]),
            BASH_BODY,
        )
    )


def _function(name: str, cases: Sequence[str]) -> str:
    return "\n".join((f"\n{name}() {{", "    case $1 in", *cases, "    esac", "}", ""))


def _takes_value(commands: Sequence[Command]) -> list[str]:
    return [
        f"    {_pattern(command, flag)}) return 0 ;;"
        for command in commands
        for flag in command.flags
        if flag.value is not None
    ]


def _values(commands: Sequence[Command]) -> list[str]:
    return [
        f"    {_pattern(command, flag)}) {_offer(flag.value)} ;;"
        for command in commands
        for flag in command.flags
        if flag.value is not None and _offer(flag.value) != ":"
    ]


def _flags(commands: Sequence[Command]) -> list[str]:
    root = _lines("-h\n--help\n-V\n--version")
    cases = [f"    '') _ti_offer {root} ;;"]
    for command in commands:
        names = "\n".join(name for flag in command.flags for name in flag.names)
        cases.append(f"    {'|'.join(command.names)}) _ti_offer {_lines(names)} ;;")
    return cases


def _places(commands: Sequence[Command]) -> list[str]:
    cases = []
    for command in commands:
        names = "|".join(command.names)
        if command.endless and len(command.places) == 1:
            cases.append(f"    {names}) {_offer(command.places[0])} ;;")
        elif command.places:
            inner = " ".join(f"{i}) {_offer(p)} ;;" for i, p in enumerate(command.places))
            cases.append(f"    {names}) case $2 in {inner} esac ;;")
    return cases


def _pattern(command: Command, flag: Flag) -> str:
    return "|".join(f"{name}:{option}" for name in command.names for option in flag.names)


def _offer(value: Value) -> str:
    steps = []
    if value.choices:
        steps.append(f"_ti_offer {_lines(chr(10).join(value.choices))}")
    if value.kind == "files":
        steps.append("_ti_files")
    elif value.kind:
        steps.append(f'_ti_offer "$({SHELL_COMMAND} {value.kind} "$cur" 2>/dev/null)"')
    return "; ".join(steps) or ":"


def _lines(text: str) -> str:
    """Quote lines for bash as $'…'; the words of the tree hold no quotes or backslashes."""
    return "$" + quote(text).replace("\n", "\\n") if "\n" in text else quote(text)


# The completion script of zsh, by way of its own _arguments.

# zsh reads `#compdef` only on the first line.
ZSH_HEAD = f"""\
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
ZSH_BODY = """
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
        specs = [spec for flag in command.flags for spec in _zsh_flag(flag)] + _zsh_places(command)
        body = " \\\n".join(f"            {spec}" for spec in specs)
        cases.append(
            f"    {'|'.join(command.names)})\n        _arguments -s -S \\\n{body}\n    ;;\n"
        )
    return "".join((ZSH_HEAD, _commands(commands), ZSH_BODY, *cases, FOOT))


def _commands(commands: Sequence[Command]) -> str:
    rows = [
        f"        {_quoted(f'{name}:{command.help}')}"
        for command in commands
        for name in command.names
    ]
    lines = ["\n_ti_commands() {", "    local -a found", "    found=(", *rows, "    )"]
    return "\n".join([*lines, "    _describe command found", "}", ""])


def _zsh_flag(flag: Flag) -> list[str]:
    others = "" if flag.repeats else f"({' '.join(flag.names)})"
    value = _zsh_value(flag.value) if flag.value is not None else ""
    star = "*" if flag.repeats else ""
    return [
        _quoted(f"{others}{star}{name}[{_plain(flag.help, '[]')}]{value}") for name in flag.names
    ]


def _zsh_places(command: Command) -> list[str]:
    if command.endless and len(command.places) == 1:
        return [_quoted(f"*{_zsh_value(command.places[0])}")]
    return [_quoted(f"{i}{_zsh_value(place)}") for i, place in enumerate(command.places, 1)]


def _zsh_value(value: Value) -> str:
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


# The completion script of fish.

FISH_HEAD = """\
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
    head = FISH_HEAD.replace("not __ti_any", f"not __ti_is {names}")
    lines = [
        f"complete -c ti -n 'not __ti_is {names}' -a {name} -d {_fish_quoted(command.help)}"
        for command in commands
        for name in command.names
    ]
    for command in commands:
        test = f"__ti_is {' '.join(command.names)}"
        lines += [_fish_flag(flag, test) for flag in command.flags]
        lines += _fish_places(command, test)
    return head + "\n".join(lines) + "\n"


def _fish_flag(flag: Flag, test: str) -> str:
    names = " ".join(
        f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.names
    )
    value = ""
    if flag.value is not None:
        value = " -r" + _words(flag.value)
    return f"complete -c ti -n '{test}' {names}{value} -d {_fish_quoted(flag.help)}"


def _fish_places(command: Command, test: str) -> list[str]:
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
    words = f" -a {_fish_quoted(' '.join(value.choices))}" if value.choices else ""
    if value.kind and value.kind != "files":
        words += f" -a '({SHELL_COMMAND} {value.kind} (commandline -ct) 2>/dev/null)'"
    return files + words


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
