"""`ti`: textual inversion from photos to pictures, with a library of learned concepts between."""

from __future__ import annotations

# As in typing, which would be half of the time that a Tab key takes.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

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


def lazily(package: str, homes: dict[str, str]) -> Callable[[str], Any]:
    """Make a package's `__getattr__`: it imports a public name when it is first used.

    `homes` maps modules of the package to the names that it gives to others, so that files may
    move within it. Public=Own renames one.
    """

    def get(name: str) -> Any:
        for module, names in homes.items():
            for public, _, own in (entry.partition("=") for entry in names.split()):
                if public == name:
                    from importlib import import_module

                    value = getattr(import_module(f"{package}.{module}"), own or name)
                    setattr(import_module(package), name, value)
                    return value
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get


_HOMES = {
    "concept": "Concept",
    "errors": "TiError",
    "interface": "Event Library=ConceptLibrary Recipe=DefaultRecipe draw learn load_vectors score",
}
__all__ = ["Concept", "Event", "Library", "Recipe", "TiError"]
__all__ += ["draw", "learn", "load_vectors", "score"]
__getattr__ = lazily(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
