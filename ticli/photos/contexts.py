"""Sentences that put a subject into many contexts; a word is trained not to disturb the rest."""

from __future__ import annotations

from collections.abc import Mapping

SETS = ("auto", "living", "things", "styles")

# The word stands early, since an encoder that reads from left to right lets it touch only what
# follows. None of these is a sentence that words are scored with.
_THINGS = (
    "a {} on a wooden shelf",
    "a {} in a shop window",
    "a {} beside an open book",
    "a {} on a marble floor",
    "a {} under a street lamp at night",
    "a {} in a bathtub full of soap",
    "a {} on a picnic blanket with apples",
    "a {} between two candles",
    "a {} at the bottom of a swimming pool",
    "a {} in front of a waterfall",
    "a {} on a train seat",
    "a {} covered with snow",
    "a {} wrapped in newspaper",
    "a {} hanging from a branch",
    "a {} on top of a piano",
    "a {} in the hands of a child",
    "a {} lying in tall grass",
    "a {} in a museum behind glass",
    "a {} on a red carpet",
    "a {} next to a bowl of oranges",
    "a {} in the rain on a city street",
    "a {} on a rooftop at sunset",
    "a {} floating on a lake",
    "a {} carved from wood",
    "a {} knitted from blue wool",
    "a {} made of green glass",
    "a {} printed on a poster",
    "a {} as a stained glass window",
    "a {} drawn with chalk on a wall",
    "a {} as a paper collage",
    "a {} in the style of a comic book",
    "a watercolour of a {} with yellow flowers",
    "a woodcut of a {} and a rising sun",
    "a {} seen from above on a desk",
    "a {} far away in a desert",
    "a tiny {} on the tip of a finger",
    "a huge {} in a town square",
    "a {} with a striped ribbon around it",
    "a {} and a dog in a kitchen",
    "three birds sitting on a {}",
)
_LIVING = (
    "a {} reading a newspaper in a cafe",
    "a {} sitting on a park bench",
    "a {} wearing a red scarf",
    "a {} in a raincoat and rubber boots",
    "a {} with sunglasses on a boat",
    "a {} asleep on a sofa",
    "a {} running across a field",
    "a {} looking out of a train window",
    "a {} in a space suit",
    "a {} riding a bicycle through a city",
    "a {} eating cake at a birthday party",
    "a {} in front of a waterfall",
    "a {} standing in deep snow",
    "a {} swimming in a blue pool",
    "a {} playing chess with a robot",
    "a {} in a library full of books",
    "a {} under an umbrella at night",
    "a {} on a stage with a microphone",
    "a {} dressed as a king",
    "a {} in a suit and tie",
    "a {} with a wreath of flowers",
    "a {} painting a fence white",
    "a {} driving an old car",
    "a {} among sunflowers",
    "a {} in a kitchen cooking soup",
    "a {} climbing a mountain",
    "a {} at a desk with a lamp",
    "a {} holding a balloon",
    "a {} behind a frosted window",
    "a {} as a marble statue",
    "a {} as a stained glass window",
    "a {} drawn with chalk on a wall",
    "a {} in the style of a comic book",
    "a watercolour of a {} with yellow flowers",
    "a woodcut of a {} and a rising sun",
    "a {} seen from behind on a bridge",
    "a {} far away in a desert",
    "a close view of a {} laughing",
    "a {} and a horse in a stable",
    "a {} surrounded by children",
)
_STYLES = (
    "in the style of {}, a village at night",
    "in the style of {}, a bowl of fruit on a table",
    "in the style of {}, a ship in a storm",
    "in the style of {}, a portrait of an old man",
    "in the style of {}, a fox running in a field",
    "in the style of {}, a red barn by a lake",
    "in the style of {}, a bridge in the fog",
    "in the style of {}, a vase with a feather",
    "in the style of {}, a train leaving a station",
    "in the style of {}, two children playing chess",
    "in the style of {}, a mountain at sunrise",
    "in the style of {}, a garden with a fountain",
    "in the style of {}, a bird on a wire",
    "in the style of {}, a crowded market",
    "in the style of {}, a bicycle against a wall",
    "in the style of {}, a lighthouse on a cliff",
    "in the style of {}, an empty room with a window",
    "in the style of {}, a horse in the snow",
    "in the style of {}, a city seen from above",
    "in the style of {}, a raft on a quiet river",
    "in the style of {}, a kitchen with copper pans",
    "in the style of {}, a vineyard in autumn",
    "in the style of {}, a street after the rain",
    "in the style of {}, a woman reading a letter",
)
_SENTENCES: Mapping[str, tuple[str, ...]] = {
    "things": _THINGS,
    "living": _LIVING,
    "styles": _STYLES,
}

# Class words of which a photo shows somebody: who wears and does things, where things only lie.
_BEINGS = """
actor actress animal baby bear bird boy cat child cow dog doctor duck elephant face fish fox frog
giraffe girl goat hamster hen horse kitten lady lion man monkey mouse nurse owl panda parrot
penguin person pig pony poodle puppy rabbit sheep singer squirrel teacher tiger turtle wolf woman
"""


def contexts(kind: str, chosen: str, class_word: str) -> tuple[str, ...]:
    """The sentences of a set, each with `{}`; "auto" goes by the recipe's kind and class word."""
    if chosen != "auto":
        return _SENTENCES[chosen]
    if kind == "style":
        return _STYLES
    words = class_word.lower().split()
    being = kind == "person" or (bool(words) and words[-1] in _BEINGS.split())
    return _LIVING if being else _THINGS
