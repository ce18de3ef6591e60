"""The classes of the dense patch labels that the vision tower is first trained on."""

from typing import Final

from cot.train.kinds import KINDS

COLOURS: Final = {
    "red": (214, 40, 40),
    "green": (40, 150, 60),
    "blue": (40, 80, 210),
    "yellow": (240, 205, 40),
    "orange": (245, 130, 25),
    "purple": (130, 50, 170),
    "pink": (245, 130, 180),
    "brown": (125, 80, 45),
    "gray": (135, 135, 135),
    "black": (25, 25, 25),
    "cyan": (40, 195, 205),
    "teal": (0, 128, 128),
}
"""Named colours, RGB. teal is what easy-VQA calls so."""

BACKGROUND_COLOURS: Final = {
    "white": (250, 250, 250),
    "gray": (190, 190, 195),
    "blue": (150, 195, 240),
    "green": (165, 215, 150),
    "yellow": (250, 240, 170),
    "pink": (250, 205, 220),
    "purple": (205, 185, 235),
    "brown": (205, 175, 140),
    "black": (35, 35, 40),
}
"""Plain backgrounds that questions may ask about, RGB."""

SHAPE_COLOURS: Final = tuple(name for name in COLOURS if name not in ("teal",))
FORMS: Final = ("circle", "square", "triangle", "star", "cross", "diamond", "rectangle")
SIZES: Final = ("small", "large")
WORDS: Final = tuple(
    "tea milk rice salt corn beans soup fish eggs meat cats dogs cows pigs hens bees rain snow wind sun "
    "gold iron coal oil gas wood wool silk north south east west spring summer autumn winter "
    "Mon Tue Wed Thu Fri Sat Sun Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec "
    "Anna Ben Carl Dora Emma Finn Gina Hugo Ida Jack bikes cars buses trains shoes hats "
    "Rome Paris Oslo Lima Cairo Delhi math art music sport apple pear plum lemon".split()
)
"""Labels that charts use."""
MAX_COUNT: Final = 12
"""Most objects of one image."""
MAX_VALUE: Final = 99
"""Largest value in a chart."""


def _classes() -> dict[str, int]:
    names = ["background"]
    names += [f"kind {kind.singular}" for kind in KINDS]
    names += [f"shape {size} {colour} {form}" for size in SIZES for colour in COLOURS for form in FORMS]
    names += [f"word {word}" for word in WORDS]
    names += [f"value {value}" for value in range(MAX_VALUE + 1)]
    names += ["bar"]
    return {name: index for index, name in enumerate(names)}


CLASSES: Final = _classes()
"""Name of each class -> index."""


FACETS: Final = {
    **dict.fromkeys(("same", "form", "colour", "size_form", "size_colour", "exact", "total"), MAX_COUNT + 1),
    "tens": 10, "units": 10, "rank": 3, "ground": len(BACKGROUND_COLOURS),
}  # fmt: skip
"""What a patch can say of the whole image -> how many values that has.

same, form, colour, size_form, size_colour, exact: how many things agree with the patch's thing in kind (for shapes
in colour and form), form, colour and so on. total: how many objects there are. tens, units: of the value that the
bar of a chart's label has. rank: 2 where no kind is more frequent or no bar is higher, 0 where none is less, else 1.
ground: which of `BACKGROUND_COLOURS` a plain background has.
"""


def _factors() -> dict[str, list[int]]:
    """Parts of classes that many classes share; -100 where a class has no such part."""
    found: dict[str, list[int]] = {name: [] for name in ("size", "colour", "form", "tens", "units")}
    colours = list(COLOURS)
    for name in CLASSES:
        kind, *rest = name.split()
        row = dict.fromkeys(found, -100)
        if kind == "shape":
            size, colour, form = rest
            row |= {"size": SIZES.index(size), "colour": colours.index(colour), "form": FORMS.index(form)}
        elif kind == "value":
            tens, units = divmod(int(rest[0]), 10)
            row |= {"tens": tens, "units": units}
        for factor, value in row.items():
            found[factor].append(value)
    return found


FACTORS: Final = _factors()
"""Name of a factor -> for each class, which value of it the class has: a red circle is red, 57 has seven units."""
