"""`ti`: textual inversion from photos to pictures, with a library of learned concepts between."""

from __future__ import annotations

# As in typing, which would be half of the time that a Tab key takes.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from ticli.concept import Concept as Concept
    from ticli.errors import TiError as TiError
    from ticli.interface import ConceptLibrary as Library
    from ticli.interface import DefaultRecipe as Recipe
    from ticli.interface import Event as Event
    from ticli.interface import draw as draw
    from ticli.interface import learn as learn
    from ticli.interface import load_vectors as load_vectors
    from ticli.interface import score as score

__version__ = "0.1.0"
__all__ = [
    "Concept",
    "Event",
    "Library",
    "Recipe",
    "TiError",
    "draw",
    "learn",
    "load_vectors",
    "score",
]
# Where each name comes from: nothing is imported until it is used.
_HOMES = {
    "Concept": "ticli.concept.Concept",
    "Event": "ticli.interface.Event",
    "Library": "ticli.interface.ConceptLibrary",
    "Recipe": "ticli.interface.DefaultRecipe",
    "TiError": "ticli.errors.TiError",
    "draw": "ticli.interface.draw",
    "learn": "ticli.interface.learn",
    "load_vectors": "ticli.interface.load_vectors",
    "score": "ticli.interface.score",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ticli' has no attribute {name!r}")
    from importlib import import_module

    module, _, attribute = _HOMES[name].rpartition(".")
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
