"""The object kinds that scenes are made of: singular, plural, and the name of their artwork.

Data only. Artwork names are those of the Iconify emoji sets; all kinds exist in
every style of `STYLES`, so that each style can be measured on all kinds.
"""

from typing import Final, NamedTuple


class Kind(NamedTuple):
    """One kind of object: what it is called, and what its artwork is called."""

    singular: str
    plural: str
    artwork: str


TRAIN_STYLES: Final = ("noto", "noto-v1", "fluent-emoji", "fluent-emoji-flat", "emojione")
"""Art styles that training draws from."""

HELD_OUT_STYLE: Final = "twemoji"
"""The art style that no training sample ever uses; it measures generalisation."""

STYLES: Final = (*TRAIN_STYLES, HELD_OUT_STYLE)

_TABLE = """
apple=red-apple banana=banana orange=tangerine lemon=lemon pear=pear peach/peaches=peach grape/grapes=grapes
strawberry/strawberries=strawberry cherry/cherries=cherries watermelon=watermelon pineapple=pineapple
tomato/tomatoes=tomato eggplant=eggplant mushroom=mushroom pizza=pizza hamburger=hamburger
cookie=cookie cake=shortcake donut=doughnut lollipop=lollipop cup=hot-beverage mug=beer-mug
dog=dog-face cat=cat-face mouse/mice=mouse-face rabbit=rabbit-face bear=bear panda=panda
tiger=tiger-face lion=lion cow=cow-face pig=pig-face frog=frog monkey=monkey-face penguin=penguin
fish/fish=tropical-fish whale=spouting-whale octopus/octopuses=octopus turtle=turtle snake=snake
snail=snail bee=honeybee butterfly/butterflies=butterfly ladybug=lady-beetle elephant=elephant
horse=horse-face crab=crab spider=spider duck=duck owl=owl
car=automobile bus/buses=bus truck=delivery-truck tractor=tractor train=locomotive bicycle=bicycle
airplane=airplane rocket=rocket helicopter=helicopter boat=sailboat anchor=anchor
house=house tree=deciduous-tree cactus/cacti=cactus flower=sunflower rose=rose tulip=tulip
sun=sun moon=crescent-moon star=star cloud=cloud umbrella=umbrella snowman/snowmen=snowman
book=closed-book pencil=pencil scissors/scissors=scissors key=key lock=locked clock=alarm-clock
watch/watches=watch phone=mobile-phone camera=camera television=television lamp=light-bulb
candle=candle bell=bell guitar=guitar trumpet=trumpet violin=violin drum=drum
balloon=balloon gift=wrapped-gift hat=top-hat crown=crown shirt=t-shirt dress/dresses=dress
shoe=running-shoe bag=handbag backpack=backpack hammer=hammer diamond=gem-stone heart=red-heart
bed=bed chair=seat door=door envelope=envelope trophy/trophies=trophy dice/dice=game-die tent=tent
"""


def _parse(entry: str) -> Kind:
    names, artwork = entry.split("=")
    singular, _, plural = names.partition("/")
    return Kind(singular, plural or singular + "s", artwork)


KINDS: Final = tuple(_parse(entry) for entry in _TABLE.split())
"""All kinds, in the order of the artwork sheets."""
