"""What photos may show, in plain words: candidates for an init word, likelier ones first."""

from __future__ import annotations

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
_STYLES = """
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
_BY_KIND = {"object": _OBJECTS, "style": _STYLES, "person": _PEOPLE}


def nouns(kind: str) -> tuple[str, ...]:
    """Return the words for photos of a kind ("object", "style" or "person"), each once."""
    return tuple(dict.fromkeys(_BY_KIND[kind].split()))
