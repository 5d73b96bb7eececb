"""Completion scripts for bash, zsh and fish, written from the parser's commands.

Typer's own would import all of `ti` at every Tab.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Any

from ticli.recipe import PRESETS
from ticli.settings import KEYS

# What a metavar stands for; `ti __complete KIND` answers concepts, tags and models.
KINDS = {
    "NAME": "concepts",
    "NAME...": "concepts",
    "PART...": "concepts",
    "OLD": "concepts",
    "TAG": "tags",
    "MODEL": "models",
    "NAME|FILE": "files",
    "FILE": "files",
    "FILE...": "files",
    "FILE|DIR|-": "files",
    "PHOTOS...": "files",
    "PATH": "files",
}
SHELL_COMMAND = "command ti __complete"


@dataclass(frozen=True)
class Value:
    """What may be written somewhere: words known in advance, or a kind looked up when asked.

    `kind` is concepts, tags or models (asked of `ti __complete`), files, or "".
    """

    label: str
    kind: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flag:
    """One option under all its names; a switch has no value."""

    names: tuple[str, ...]
    help: str
    value: Value | None = None
    repeats: bool = False


@dataclass(frozen=True)
class Command:
    """One command under its name and aliases, with its flags and its arguments in order.

    An `endless` command takes any number of its one argument.
    """

    names: tuple[str, ...]
    help: str
    flags: tuple[Flag, ...]
    places: tuple[Value, ...]
    endless: bool


def read_tree(group: Any) -> tuple[Command, ...]:
    """Read the parser's command group. An alias follows its command and has the same help."""
    names: dict[str, list[str]] = {}
    for name, command in group.commands.items():
        names.setdefault(command.help, []).append(name)
    known = {
        "COMMAND": tuple(name for name, *_ in names.values()),
        "KEY": tuple(KEYS),
        "NAME|FILE": PRESETS,
    }
    tree = []
    for own_names in names.values():
        parameters = group.commands[own_names[0]].params
        places = [item for item in parameters if item.param_type_name == "argument"]
        flags = [
            Flag(
                names=(*item.opts, *item.secondary_opts),
                help=_first_line(item.help),
                value=None if item.is_flag else _value(item, known),
                repeats=item.multiple,
            )
            for item in parameters
            if item.param_type_name == "option"
        ]
        tree.append(
            Command(
                names=tuple(own_names),
                help=_first_line(group.commands[own_names[0]].help),
                flags=(*flags, Flag(("-h", "--help"), "Show this message and exit")),
                places=tuple(_value(item, known) for item in places),
                endless=any(item.nargs == -1 for item in places),
            )
        )
    return tuple(tree)


def _value(item: Any, known: Mapping[str, tuple[str, ...]]) -> Value:
    label = item.metavar or item.name.upper()
    kind = KINDS.get(label, "")
    # Only an argument called NAME is a concept; an option's may be a sampler.
    if kind == "concepts" and item.param_type_name == "option":
        kind = ""
    return Value(label, kind, known.get(label) or tuple(getattr(item.type, "choices", ())))


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0].rstrip(".")


# Bash is offered bare names: `<` and `>` break words there.
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
    """Write the completion script of bash."""
    valued, values, flags, places = [], [], [], []
    for command in commands:
        names = "|".join(command.names)
        for flag in command.flags:
            if flag.value is not None:
                pattern = "|".join(f"{c}:{name}" for c in command.names for name in flag.names)
                valued.append(f"    {pattern}) return 0 ;;")
                if offer := _bash_offer(flag.value):
                    values.append(f"    {pattern}) {offer} ;;")
        flags.append(f"    {names}) {_bash_words(n for f in command.flags for n in f.names)} ;;")
        offers = [_bash_offer(place) or ":" for place in command.places]
        if command.endless:
            places.append(f"    {names}) {offers[0]} ;;")
        elif offers:
            inner = " ".join(f"{i}) {offer} ;;" for i, offer in enumerate(offers))
            places.append(f"    {names}) case $2 in {inner} esac ;;")
    root_flags = _bash_words(("-h", "--help", "-V", "--version"))
    root = _bash_words(name for command in commands for name in command.names)
    functions = {
        "_ti_takes_value": [*valued, "    *) return 1 ;;"],
        "_ti_value": values,
        "_ti_flags": [f"    '') {root_flags} ;;", *flags],
        "_ti_place": [f"    '') {root} ;;", *places],
    }
    texts = [
        "\n".join((f"\n{name}() {{", "    case $1 in", *cases, "    esac", "}", ""))
        for name, cases in functions.items()
    ]
    return "".join((BASH_HEAD, *texts, BASH_BODY))


def _bash_offer(value: Value) -> str:
    steps = [_bash_words(value.choices)] if value.choices else []
    if value.kind == "files":
        steps.append("_ti_files")
    elif value.kind:
        steps.append(f'_ti_offer "$({SHELL_COMMAND} {value.kind} "$cur" 2>/dev/null)"')
    return "; ".join(steps)


def _bash_words(words: Iterable[str]) -> str:
    """Offer words as $'…'; those of the commands hold no quotes or backslashes."""
    text = quote("\n".join(words))
    return "_ti_offer " + ("$" + text.replace("\n", "\\n") if "\n" in text else text)


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

_ti_commands() {{
    local -a found
    found=(
"""
ZSH_BODY = """\
    )
    _describe command found
}

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
ZSH_FOOT = """\
    esac
}

if [[ $funcstack[1] == _ti ]]; then
    _ti "$@"
else
    compdef _ti ti
fi
"""


def zsh_script(commands: Sequence[Command]) -> str:
    """Write the completion script of zsh, by way of its own _arguments."""
    rows = [_zsh_quoted(f"{name}:{each.help}") for each in commands for name in each.names]
    found = "".join(f"        {row}\n" for row in rows)
    cases = []
    for command in commands:
        specs = [
            f"{'*' if flag.repeats else '(' + ' '.join(flag.names) + ')'}{name}"
            f"[{_zsh_escaped(flag.help, '[]')}]{_zsh_value(flag.value)}"
            for flag in command.flags
            for name in flag.names
        ]
        for number, place in enumerate(command.places, 1):
            specs.append(f"{'*' if command.endless else number}{_zsh_value(place)}")
        body = " \\\n".join(f"            {_zsh_quoted(spec)}" for spec in specs)
        names = "|".join(command.names)
        cases.append(f"    {names})\n        _arguments -s -S \\\n{body}\n    ;;\n")
    return "".join((ZSH_HEAD, found, ZSH_BODY, *cases, ZSH_FOOT))


def _zsh_value(value: Value | None) -> str:
    if value is None:
        return ""
    label = _zsh_escaped(value.label, ":")
    if value.kind == "files":
        # A preset's name has no file of that name: both are offered.
        words = " ".join(value.choices)
        return f":{label}:{{compadd {words}; _files}}" if words else f":{label}:_files"
    if value.kind:
        return f":{label}:_ti_{value.kind}"
    return f":{label}:({' '.join(_zsh_escaped(c, ':') for c in value.choices)})"


def _zsh_escaped(text: str, special: str) -> str:
    for character in ("\\", *special):
        text = text.replace(character, f"\\{character}")
    return text


def _zsh_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


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
complete -c ti -n 'not __ti_is {names}' -s h -l help -d 'Show the commands'
complete -c ti -n 'not __ti_is {names}' -s V -l version -d 'Show the version'
"""


def fish_script(commands: Sequence[Command]) -> str:
    """Write the completion script of fish."""
    all_names = " ".join(name for command in commands for name in command.names)
    lines = [
        f"complete -c ti -n 'not __ti_is {all_names}' -a {name} -d {_fish_quoted(command.help)}"
        for command in commands
        for name in command.names
    ]
    for command in commands:
        test = f"__ti_is {' '.join(command.names)}"
        for flag in command.flags:
            names = " ".join(
                f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
                for name in flag.names
            )
            value = "" if flag.value is None else " -r" + _fish_words(flag.value)
            help = _fish_quoted(flag.help)
            lines.append(f"complete -c ti -n '{test}' {names}{value} -d {help}")
        for number, place in enumerate(command.places):
            if words := _fish_words(place):
                where = test if command.endless else f"{test}; and __ti_at {number}"
                lines.append(f"complete -c ti -n '{where}'{words}")
    return FISH_HEAD.replace("{names}", all_names) + "\n".join(lines) + "\n"


def _fish_words(value: Value) -> str:
    """The options of `complete` that offer a value; -F allows files, which -f forbade."""
    files = " -F" if value.kind == "files" else ""
    words = f" -a {_fish_quoted(' '.join(value.choices))}" if value.choices else ""
    if value.kind and value.kind != "files":
        words += f" -a '({SHELL_COMMAND} {value.kind} (commandline -ct) 2>/dev/null)'"
    return files + words


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
