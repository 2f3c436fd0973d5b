"""Images of one or two coloured shapes, what is in them, and questions about them."""

import math
import zlib
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .conversation import Example

KINDS = ("circle", "square", "triangle", "star")
Tint = tuple[int, int, int]
#: Each colour is between two tints.
COLOURS: dict[str, tuple[Tint, Tint]] = {
    "red": ((195, 25, 35), (250, 15, 15)),
    "green": ((15, 125, 35), (40, 190, 60)),
    "blue": ((35, 60, 210), (10, 10, 245)),
    "yellow": ((240, 220, 40), (250, 250, 10)),
    "orange": ((245, 130, 20), (250, 160, 10)),
    "purple": ((130, 40, 160), (125, 10, 130)),
    "white": ((242, 242, 242), (250, 250, 250)),
    "black": ((15, 15, 15), (5, 5, 5)),
}
CLASSES = tuple(f"{colour} {kind}" for colour in COLOURS for kind in KINDS)

#: Sizes in cells of 48 pixels that a budget of 70 soft tokens leaves of common aspect ratios, as (columns, rows).
GRIDS: tuple[tuple[int, int], ...] = (
    *((8, 8), (9, 7), (7, 9), (10, 6), (6, 10), (10, 7), (7, 10)),
    *((11, 6), (6, 11), (11, 5), (5, 11)),
)
CELL = 48


@dataclass(frozen=True)
class Shape:
    """A shape: centre, radius and turn, all in pixels and radians."""

    kind: str
    colour: str
    x: float
    y: float
    radius: float
    turn: float

    @property
    def label(self) -> str:
        return f"{self.colour} {self.kind}"

    @property
    def noun(self) -> str:
        return f"{'an' if self.colour[0] in 'aeiou' else 'a'} {self.label}"

    def outline(self) -> list[tuple[float, float]]:
        """Corners of the polygon; a circle has many."""
        corners = {"circle": 40, "square": 4, "triangle": 3, "star": 10}[self.kind]
        points = []
        for index in range(corners):
            reach = self.radius * (0.42 if self.kind == "star" and index % 2 else 1.0)
            angle = self.turn + 2 * math.pi * index / corners
            points.append((self.x + reach * math.cos(angle), self.y + reach * math.sin(angle)))
        return points


def is_held_out(caption: str) -> bool:
    """Whether training leaves out images of two shapes with this caption."""
    return zlib.crc32(caption.encode()) % 10 == 0


@dataclass(frozen=True)
class Drawing:
    """One or two shapes on `columns` × `rows` cells. Of two, the left or the upper one comes first."""

    columns: int
    rows: int
    shapes: tuple[Shape, ...]
    relation: str
    seed: int

    @property
    def caption(self) -> str:
        """The model's answer when it is asked what it sees."""
        text = f" {self.relation} ".join(shape.noun for shape in self.shapes)
        return text[0].upper() + text[1:] + "."

    @property
    def held_out(self) -> bool:
        """A tenth of all pairs of shapes with their relation never occurs in training."""
        return len(self.shapes) == 2 and is_held_out(self.caption)

    def paint(self) -> Image.Image:
        """The image on a ground with a gradient, with a little noise, colours that vary and edges hard or soft."""
        noise = np.random.default_rng(self.seed)
        width, height = self.columns * CELL, self.rows * CELL
        image = Image.fromarray(_ground(width, height, {shape.colour for shape in self.shapes}, noise))
        finer = int(noise.choice((1, 1, 2, 3)))
        for shape in self.shapes:
            one, other = np.array(COLOURS[shape.colour])
            tint = np.clip(one + noise.random() * (other - one) + noise.integers(-15, 16, 3), 0, 255)
            mask = Image.new("L", (width * finer, height * finer))
            ImageDraw.Draw(mask).polygon([(x * finer, y * finer) for x, y in shape.outline()], fill=255)
            image.paste(
                (int(tint[0]), int(tint[1]), int(tint[2])), mask=mask.resize((width, height), Image.Resampling.BOX)
            )
        grain = noise.normal(0, noise.uniform(0, 9), (height, width, 1))
        return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))

    def cells(self) -> NDArray[np.int64]:
        """For each cell, row by row, the class of the shape over its middle plus one, or 0: [rows × columns]."""
        labels = np.zeros(self.rows * self.columns, np.int64)
        for shape in self.shapes:
            mask = Image.new("1", (self.columns * CELL, self.rows * CELL))
            ImageDraw.Draw(mask).polygon(shape.outline(), fill=1)
            middles = np.asarray(mask)[CELL // 2 :: CELL, CELL // 2 :: CELL].reshape(-1)
            labels[middles] = CLASSES.index(shape.label) + 1
        return labels


#: Grounds by their brightness, as ranges of grey, and the colour that is not seen on each.
_GROUNDS = {"grey": (95, 175, ""), "light": (215, 256, "white"), "dark": (0, 45, "black")}


def _ground(width: int, height: int, colours: set[str], noise: np.random.Generator) -> NDArray[np.uint8]:
    """A smooth ground of little colour on which shapes of `colours` are seen: [height, width, 3]."""
    lowest, highest, _ = _GROUNDS["grey"]
    other = _GROUNDS[str(noise.choice(("light", "light", "dark")))]
    if noise.random() < 0.5 and other[2] not in colours:
        lowest, highest, _ = other
    even = noise.random() < 0.3
    corners = noise.integers(lowest, highest, (1, 1, 1) if even else (2, 2, 1)) + noise.integers(-12, 13, (2, 2, 3)) * (
        not even
    )
    small = Image.fromarray(np.clip(np.broadcast_to(corners, (2, 2, 3)), 0, 255).astype(np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR))


def _shape(rng: Random, columns: int, rows: int, avoid: Shape | None) -> Shape:
    """A random shape inside the image, of another kind than `avoid` and clearly beside, above or below it."""
    width, height = columns * CELL, rows * CELL
    while True:
        radius = rng.uniform(0.13, 0.27) * min(width, height)
        x, y = rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)
        shape = Shape(rng.choice(KINDS), rng.choice(list(COLOURS)), x, y, radius, rng.uniform(0, 2 * math.pi))
        if avoid is None:
            return shape
        apart = math.hypot(x - avoid.x, y - avoid.y) > radius + avoid.radius + 6
        across, down = abs(x - avoid.x), abs(y - avoid.y)
        if apart and shape.kind != avoid.kind and (across > 1.6 * down or down > 1.6 * across):
            return shape


def drawing(rng: Random, shapes: int) -> Drawing:
    """A random image of one or two shapes."""
    columns, rows = rng.choice(GRIDS)
    first = _shape(rng, columns, rows, None)
    if shapes == 1:
        return Drawing(columns, rows, (first,), "", rng.randrange(2**31))
    second = _shape(rng, columns, rows, first)
    sideways = abs(first.x - second.x) > abs(first.y - second.y)
    ordered = sorted((first, second), key=lambda shape: shape.x if sideways else shape.y)
    return Drawing(columns, rows, tuple(ordered), "left of" if sideways else "above", rng.randrange(2**31))


_CAPTION = (
    "what is in the picture|what do you see|describe the picture|describe this image|what is this|what does the image "
    "show|what is shown here|caption this picture|what can you see|tell me what you see"
)
_OTHER_END = {"left of": ("left", "right"), "above": ("top", "bottom")}


def _question(rng: Random, seen: Drawing) -> tuple[str, str]:
    """A question about details, and its answer."""
    shape = rng.choice(seen.shapes)
    kinds = {one.kind for one in seen.shapes}
    choice = rng.randrange(4 if len(seen.shapes) == 2 else 3)
    if choice == 0:
        return f"what colour is the {shape.kind}", f"The {shape.kind} is {shape.colour}."
    if choice == 1:
        return rng.choice(("how many shapes are there", "count the shapes")), ("One.", "Two.")[len(seen.shapes) - 1]
    if choice == 2:
        kind = rng.choice(KINDS)
        return f"is there a {kind}", "Yes." if kind in kinds else "No."
    side = rng.randrange(2)
    answer = seen.shapes[side].noun
    where = _OTHER_END[seen.relation][side]
    return f"what is {'at the' if where in ('top', 'bottom') else 'on the'} {where}", answer[0].upper() + answer[
        1:
    ] + "."


def example(rng: Random, task: str) -> tuple[Example, Drawing]:
    """An example with one image. `task`: "caption_one", "caption_two" or "question"."""
    seen = drawing(rng, {"caption_one": 1, "caption_two": 2}.get(task) or rng.choice((1, 2, 2)))
    asked, answer = (
        (rng.choice(_CAPTION.split("|")), seen.caption) if task.startswith("caption") else _question(rng, seen)
    )
    if rng.random() < 0.7:
        asked = asked[0].upper() + asked[1:] + rng.choice(("?", "?", ".", ""))
    parts = [{"type": "image"}, {"type": "text", "text": asked}]
    if rng.random() < 0.3:
        parts.reverse()
    thought = "I look at the picture."
    return Example(task, [{"role": "user", "content": parts}], answer, thought, thinking=rng.random() < 0.1), seen
