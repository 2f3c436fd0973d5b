"""Images drawn in another way than those of the training: in CSS colours on paper, upright or nearly so, some with an
outline, in common sizes and file formats."""

import io
import math
from random import Random

from PIL import Image, ImageColor, ImageDraw, ImageFilter

from models.training.drawings import KINDS, Shape, is_held_out
from playwright_tests.accuracy.cases import Case

SIZES = ((640, 480), (480, 640), (800, 600), (512, 512), (1024, 576), (300, 300), (900, 600), (1280, 720))
INKS: dict[str, tuple[str, ...]] = {
    "red": ("red", "crimson"),
    "green": ("green", "forestgreen", "limegreen"),
    "blue": ("blue", "mediumblue", "royalblue"),
    "yellow": ("yellow", "#f5e128"),
    "orange": ("orange", "darkorange"),
    "purple": ("purple", "darkmagenta"),
    "white": ("white", "snow"),
    "black": ("black", "#101010"),
}
#: Papers, and the colour that is invisible on each.
PAPERS = {
    **dict.fromkeys(("white", "ivory", "whitesmoke", "gainsboro"), "white"),
    **dict.fromkeys(("gray", "darkgray"), ""),
    **dict.fromkeys(("black", "#202020"), "black"),
}
FILES = {".png": ("PNG", {}), ".jpg": ("JPEG", {"quality": 88}), ".webp": ("WEBP", {"quality": 90})}
FINER = 3
"""Factor by which drawings are larger than images, for soft edges."""


def drawing(rng: Random, task: str) -> Case:
    """Return a case of "caption_one", "caption_two" (shapes in a relation that training leaves out) or "question"."""
    while True:
        width, height = rng.choice(SIZES)
        paper = rng.choice(list(PAPERS))
        count = {"caption_one": 1, "caption_two": 2}.get(task) or rng.choice((1, 2))
        shapes, relation = _arranged([_shape(rng, width, height, PAPERS[paper]) for _ in range(count)])
        caption = _sentence(f" {relation} ".join(shape.noun for shape in shapes))
        if count == 1 or (relation and is_held_out(caption)):
            break
    if task == "question":
        question, answer = _question(rng, shapes)
    else:
        question, answer = rng.choice(("What is in the picture?", "Describe this image.", "What do you see?")), caption
    suffix = rng.choice(list(FILES))
    format_, options = FILES[suffix]
    file = io.BytesIO()
    _paint(rng, width, height, paper, shapes).save(file, format_, **options)
    return Case("image", suffix, file.getvalue(), question, answer)


def _shape(rng: Random, width: int, height: int, unseen: str) -> Shape:
    radius = rng.uniform(0.14, 0.24) * min(width, height)
    x, y = rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)
    colour = rng.choice([colour for colour in INKS if colour != unseen])
    return Shape(rng.choice(KINDS), colour, x, y, radius, math.radians(rng.choice((0, 0, rng.uniform(-30, 30)))))


def _arranged(shapes: list[Shape]) -> tuple[list[Shape], str]:
    """Return the left or upper shape first, and their relation: empty where it is not clear."""
    if len(shapes) == 1:
        return shapes, ""
    one, other = shapes
    across, down = abs(one.x - other.x), abs(one.y - other.y)
    apart = math.hypot(across, down) > one.radius + other.radius + 8
    if not apart or one.kind == other.kind or max(across, down) < 2 * min(across, down):
        return shapes, ""
    if across > down:
        return sorted(shapes, key=lambda shape: shape.x), "left of"
    return sorted(shapes, key=lambda shape: shape.y), "above"


def _question(rng: Random, shapes: list[Shape]) -> tuple[str, str]:
    shape = rng.choice(shapes)
    asked = rng.choice(KINDS)
    there = any(shape.kind == asked for shape in shapes)
    return rng.choice(
        (
            (f"What colour is the {shape.kind}?", f"The {shape.kind} is {shape.colour}."),
            ("How many shapes are there?", ("One.", "Two.")[len(shapes) - 1]),
            (f"Is there a {asked}?", "Yes." if there else "No."),
        )
    )


def _paint(rng: Random, width: int, height: int, paper: str, shapes: list[Shape]) -> Image.Image:
    canvas = Image.new("RGB", (width * FINER, height * FINER), paper)
    draw = ImageDraw.Draw(canvas)
    outlined = rng.random() < 0.3
    for shape in shapes:
        ink = ImageColor.getrgb(rng.choice(INKS[shape.colour]))
        edge = tuple(value * 4 // 5 for value in ink[:3])
        draw.polygon(_outline(shape), fill=ink, outline=edge if outlined else ink, width=2 * FINER)
    image = canvas.resize((width, height), Image.Resampling.LANCZOS)
    return image.filter(ImageFilter.GaussianBlur(rng.choice((0, 0, 1))))


def _outline(shape: Shape) -> list[tuple[float, float]]:
    """Return the corners, clockwise from the top, on the larger canvas."""
    if shape.kind == "circle":
        reaches = [1.0] * 90
    elif shape.kind == "star":
        reaches = [1.0, 0.4] * 5
    else:
        reaches = [1.0] * {"square": 4, "triangle": 3}[shape.kind]
    # A square stands on a side, everything else on a corner.
    start = shape.turn + math.radians(-45 if shape.kind == "square" else -90)
    angles = [start + 2 * math.pi * index / len(reaches) for index in range(len(reaches))]
    return [
        (
            (shape.x + reach * shape.radius * math.cos(angle)) * FINER,
            (shape.y + reach * shape.radius * math.sin(angle)) * FINER,
        )
        for reach, angle in zip(reaches, angles, strict=True)
    ]


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:] + "."


COUNT = 201


def drawings() -> list[Case]:
    """Return the cases, always the same: captions of one and of two shapes, and questions, in turn."""
    rng = Random("drawings")
    return [drawing(rng, ("caption_one", "caption_two", "question")[index % 3]) for index in range(COUNT)]
