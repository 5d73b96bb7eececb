"""`ti show`: all that is known of one concept, or one field of it."""

from __future__ import annotations

from typing import Annotated, Any

from ticli.commands import options
from ticli.errors import Usage
from ticli.names import did_you_mean
from ticli.terminal.concept_views import show_concept
from ticli.terminal.output import Output, json_text


@options.with_output
def show(
    output: Output,
    name: options.NameArgument,
    field: Annotated[
        str | None,
        options.flag(
            "--field", metavar="FIELD", help="Only this field: token, path, seed, base.id …"
        ),
    ] = None,
) -> None:
    """Show what is known of a concept."""
    from ticli.library.library import Library

    concept = Library.open().get(name)
    if field is None:
        show_concept(output, concept)
        return
    value = _pick(concept.as_json(), field)
    if output.json:
        output.document(value)
        return
    # For `$(…)`: text as it is, a list one item a line, the rest as JSON.
    for item in value if isinstance(value, list) else [value]:
        if item is not None:
            output.exact(item if isinstance(item, str) else json_text(item))


def _pick(document: dict[str, Any], field: str) -> Any:
    """Follow a field such as `base.id`. Raises Usage naming the fields there are."""
    value: Any = document
    for key in field.split("."):
        if not isinstance(value, dict) or key not in value:
            known = list(value) if isinstance(value, dict) else []
            raise Usage(
                f"no field {field!r}",
                did_you_mean(key, known) if known else "there are no fields below this one",
            )
        value = value[key]
    return value
