"""Neutral sentences for training: families for objects, styles and people, or a user's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ticli.errors import BadContent, NotFound, Usage
from ticli.names import did_you_mean

# Bytes. A word keeps its sentences, and its file has room for a megabyte of what is said of it.
LARGEST = 128 << 10
PLACE = "{}"

# As in Gal et al. 2022 (2208.01618) a sentence says that there is a picture, never what is in it:
# what the sentence says, the word need not learn.
_OBJECT = (
    "a photo of a {}",
    "a photo of the {}",
    "a photo of my {}",
    "a photo of one {}",
    "a good photo of a {}",
    "a good photo of the {}",
    "a nice photo of a {}",
    "a nice photo of my {}",
    "a cool photo of a {}",
    "a cool photo of the {}",
    "a picture of a {}",
    "a picture of the {}",
    "a picture of my {}",
    "an image of a {}",
    "an image of the {}",
    "a rendering of a {}",
    "a rendering of the {}",
    "a rendition of a {}",
    "a rendition of the {}",
    "a depiction of a {}",
    "a depiction of the {}",
    "a close-up photo of a {}",
    "a close-up photo of the {}",
    "a cropped photo of a {}",
    "a cropped photo of the {}",
)
_STYLE = (
    "a painting in the style of {}",
    "a picture in the style of {}",
    "an image in the style of {}",
    "a drawing in the style of {}",
    "an illustration in the style of {}",
    "a rendering in the style of {}",
    "a rendition in the style of {}",
    "a depiction in the style of {}",
    "a print in the style of {}",
    "a work of art in the style of {}",
    "a good painting in the style of {}",
    "a good picture in the style of {}",
    "a nice painting in the style of {}",
    "a nice picture in the style of {}",
    "a cool picture in the style of {}",
    "a small painting in the style of {}",
    "a large painting in the style of {}",
    "a cropped painting in the style of {}",
    "a cropped picture in the style of {}",
    "a close-up picture in the style of {}",
    "the picture in the style of {}",
    "one picture in the style of {}",
)
_PERSON = (
    "a photo of {}",
    "a picture of {}",
    "an image of {}",
    "a portrait of {}",
    "a depiction of {}",
    "a rendering of {}",
    "a rendition of {}",
    "a snapshot of {}",
    "a likeness of {}",
    "the photo of {}",
    "the portrait of {}",
    "one photo of {}",
    "a good photo of {}",
    "a good picture of {}",
    "a good portrait of {}",
    "a nice photo of {}",
    "a nice picture of {}",
    "a nice portrait of {}",
    "a cool photo of {}",
    "a candid photo of {}",
    "a close-up photo of {}",
    "a close-up portrait of {}",
    "a cropped photo of {}",
    "a cropped portrait of {}",
)
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "object": _OBJECT,
    "style": _STYLE,
    "person": _PERSON,
}


def family(kind: str) -> tuple[str, ...]:
    """Return the neutral sentences for `object`, `style` or `person`, each with one `{}`."""
    if kind not in FAMILIES:
        raise Usage(f"kind cannot be {kind!r}", did_you_mean(kind, FAMILIES))
    return FAMILIES[kind]


def fill(sentence: str, words: str) -> str:
    """Put words where `{}` stands; every other brace is text, whoever wrote the sentence."""
    return sentence.replace(PLACE, words)


def read_sentences(path: Path) -> tuple[str, ...]:
    """Read a user's own sentences, one a line; blank lines and lines starting with # are skipped.

    Raises NotFound where there is no such file, BadContent where it is not a text, and Usage,
    naming the line, where a sentence lacks `{}` or there is none at all.
    """
    sentences = []
    for number, line in enumerate(_text(path).split("\n"), start=1):
        sentence = " ".join(line.split())
        if not sentence or sentence.startswith("#"):
            continue
        if PLACE not in sentence:
            raise Usage(
                f"{path}, line {number}: {sentence!r} has no {PLACE}",
                f"put {PLACE} where the token goes, such as: a photo of a {PLACE}",
            )
        sentences.append(sentence)
    if not sentences:
        raise Usage(f"{path} holds no sentence", f"write one a line, such as: a photo of a {PLACE}")
    return tuple(sentences)


def _text(path: Path) -> str:
    try:
        # A pipe is welcome here: `--sentences <(shuf many.txt | head)`.
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"no such file: {path}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadContent(f"{path} cannot be read: {reason}") from error
    if len(data) > LARGEST:
        raise BadContent(
            f"{path} is larger than {LARGEST >> 10} KiB", "a file of sentences is small"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadContent(
            f"{path} is not UTF-8 text (byte {error.start})",
            "save it as UTF-8, one sentence a line",
        ) from error


# Sentences that put a subject into many contexts; a word is trained not to disturb the rest.

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


# What photos may show, in plain words: candidates for an init word, likelier ones first.

_OBJECTS = """
object toy mug cup bottle bag backpack cat dog car bird teapot vase bowl plate box clock lamp
chair shoe hat robot doll bear owl statue figurine plant flower tree cactus pot book phone camera
watch ball guitar bike boat train truck bus plane house candle sneaker boot sandal shirt dress
jacket coat glove scarf sock ring necklace crown mask helmet glasses sunglasses umbrella basket
bucket jar can glass pitcher kettle pan spoon fork knife lighter key lock coin pen pencil brush
scissors hammer wrench drill saw rope chain wheel tire engine computer laptop keyboard mouse
screen television radio speaker headphones microphone piano violin drum trumpet flute horse cow
sheep pig goat chicken duck goose turkey rabbit hamster mouse rat squirrel fox wolf lion tiger
elephant giraffe zebra monkey panda koala kangaroo penguin parrot eagle swan turtle frog lizard
snake fish shark whale dolphin octopus crab lobster snail butterfly bee spider dragon dinosaur
unicorn monster ghost angel fairy knight pirate astronaut clown soldier king queen man woman boy
girl baby child person face head hand foot eye heart skull skeleton apple banana orange lemon
grape strawberry cherry pear peach pineapple melon watermelon tomato potato carrot onion pepper
pumpkin mushroom corn bread cake pie cookie donut pizza burger sandwich sushi cheese egg rice soup
salad chocolate candy coffee tea juice beer wine table desk sofa couch bed pillow blanket rug
carpet curtain mirror window door stairs fence bridge tower castle church temple barn tent hut
cabin cottage lighthouse windmill mill fountain bench swing slide kite balloon rocket satellite
planet moon sun star cloud rainbow mountain hill rock stone shell leaf rose tulip daisy sunflower
lily lotus orchid fern palm pine branch trunk seed nut acorn wallet purse suitcase luggage belt
tie button zipper badge medal trophy cup flag sign poster stamp card dice puzzle chess domino lego
block brick tile pipe tank barrel crate chest cabinet shelf drawer fan heater oven stove toaster
blender fridge freezer sink bathtub shower toilet towel soap sponge broom mop vacuum iron sewing
needle thread yarn fabric leather wood metal plastic paper cardboard sculpture bust vehicle
motorcycle scooter skateboard skis sled tractor crane tram ship submarine canoe sail anchor
helicopter drone jet animal insect pet puppy kitten pony chick calf lamb furniture instrument
weapon sword shield axe bow arrow gun cannon tool machine device gadget gear lantern torch
lightbulb bulb battery magnet telescope microscope compass map globe hourglass calendar notebook
envelope letter newspaper magazine dish tray teacup saucer ladle whisk mortar jug flask thermos
tin
"""
_STYLE_NOUNS = """
painting drawing sketch watercolor photograph illustration cartoon comic poster print engraving
etching mosaic collage mural fresco portrait landscape abstract impressionist surreal realistic
medieval baroque gothic modern minimalist retro vintage pixel anime manga graffiti tattoo
embroidery pottery origami sculpture charcoal pastel ink oil acrylic chalk crayon pencil woodcut
stencil neon psychedelic geometric futuristic cyberpunk steampunk fantasy horror children pattern
texture stripes dots lines halftone grain blur monochrome sepia colorful dark bright gold silver
"""
_PEOPLE = """
person man woman boy girl baby child face portrait guy lady teenager kid friend family couple
actor actress singer dancer athlete doctor nurse teacher chef soldier king queen prince princess
grandmother grandfather mother father brother sister bride groom student worker farmer artist
player
"""
_BY_KIND = {"object": _OBJECTS, "style": _STYLE_NOUNS, "person": _PEOPLE}


def nouns(kind: str) -> tuple[str, ...]:
    """Return the words for photos of a kind ("object", "style" or "person"), each once."""
    return tuple(dict.fromkeys(_BY_KIND[kind].split()))
