# /// script
# requires-python = ">=3.11"
# dependencies = ["pillow==13.0.0"]  # pinned: another version may compress to other bytes
# ///
"""Draw the pictures of the example projects: one PNG per row of seeds/furniture.csv at the top, and
one for each of the first items in the catalog of examples/captions.

    uv run scripts/draw_pictures.py

A drawing is a list of shapes, `TONE SHAPE NUMBERS`, painted in order on a canvas of 256 x 256.
A shape marked `2` is painted a second time, mirrored left to right.
"""

import csv
from pathlib import Path

from PIL import Image, ImageColor, ImageDraw, ImageOps  # type: ignore[import-not-found,unused-ignore]

ROOT = Path(__file__).resolve().parent.parent
SIZE, SCALE = 256, 4  # drawn four times as large, then reduced: smooth edges
PICTURED = 13  # how many items of examples/captions have a picture; the others show what is missing

Colour = tuple[int, ...]  # red, green, blue
PAPER: Colour = (236, 231, 222)
CLOTH, GLASS, BRASS, GLOW = (250, 248, 242), (196, 219, 228), (201, 162, 74), (255, 236, 160)

# The kind of furniture, as its title says it; of several that fit, the longest counts.
DRAWINGS = {
    "chair": """dark box2 86 140 96 228, main box 84 42 172 124, light box 94 52 162 114,
        dark box2 86 120 94 150, main box 76 142 180 158""",
    "spindle back": """dark poly2 92 160 104 160 86 230 76 230, dark line2 90 60 90 150,
        dark line2 109 52 109 150, dark line 128 50 128 150, main box 74 36 182 58,
        main oval 70 140 186 168""",
    "armchair": """dark box2 68 214 80 232, main box 66 44 190 200, light box 84 58 172 140,
        main box 62 160 194 218, light box 78 142 178 172, dark box2 46 112 84 218""",
    "sofa": """dark box2 34 200 46 216, main box 30 86 226 180, light box2 46 98 127 152,
        main box 30 160 226 204, light box2 46 142 127 170, dark box2 14 116 48 204""",
    "three-seat": """dark box2 34 200 46 216, main box 26 86 230 180, light box2 44 98 98 152,
        light box 100 98 156 152, main box 26 160 230 204, light box2 44 142 98 170,
        light box 100 142 156 170, dark box2 10 116 44 204""",
    "bar stool": """dark poly2 102 70 112 70 92 234 80 234, dark line 92 172 164 172,
        main oval 78 40 178 76, light oval 88 44 168 64""",
    "milking stool": """dark box 122 140 134 226, dark poly2 92 140 106 140 82 230 70 230,
        main oval 62 110 194 158, light oval 72 112 184 146""",
    "bench": """dark box2 36 146 50 214, dark line 44 192 212 192, light box 28 108 228 120,
        light box 24 121 232 134, main box 20 135 236 150""",
    "dining table": """dark poly2 34 112 52 112 46 218 38 218, dark box 30 104 226 124,
        main box 10 86 246 106, light box 10 86 246 94""",
    "coffee table": """glass box 72 106 116 113, brass box 78 99 112 107, cloth box 150 96 172 113,
        dark box2 40 128 52 206, main box 44 174 212 184, main box 20 112 236 132,
        light box 20 112 236 120""",
    "desk": """dark box 28 108 40 222, main box 156 108 232 222, light box 164 118 224 146,
        light box 164 152 224 180, light box 164 186 224 214, brass oval 190 128 198 136,
        brass oval 190 162 198 170, brass oval 190 196 198 204, main box 16 90 240 110,
        dark line 60 92 96 92""",
    "bookcase": """main box 66 18 190 238, dark box 76 28 180 74, dark box 76 80 180 126,
        dark box 76 132 180 178, dark box 76 184 180 230, cloth box 82 38 92 74,
        glass box 94 34 106 74, brass box 108 44 118 74, glass box 138 92 150 126,
        cloth box 152 88 162 126, brass box 164 96 174 126, brass box 84 148 118 160,
        cloth box 80 162 124 178, glass oval 140 196 172 230""",
    "wall shelf": """main box 26 84 170 98, dark box 26 94 170 102, main box 86 168 230 182,
        dark box 86 178 230 186, glass box 44 46 58 84, cloth box 60 40 72 84,
        brass box 74 52 86 84, cloth oval 178 136 206 168, glass box 110 126 122 168,
        brass box 124 134 138 168""",
    "floor lamp": """dark arc 72 24 184 190, dark box 69 104 77 226, dark oval 42 216 104 236,
        glow oval 160 102 204 130, main pie 146 72 218 160""",
    "table lamp": """glow oval 104 116 152 140, main oval 96 146 160 224, dark box 122 126 134 150,
        dark box 98 216 158 228, light poly 92 40 164 40 192 130 64 130""",
    "double bed": """dark box2 26 190 40 222, main box 22 58 234 160, light box 34 70 222 150,
        cloth box2 44 112 122 146, cloth box 26 142 230 168, main box 22 156 234 204""",
    "bunk bed": """main box2 26 34 38 230, dark box 30 90 226 108, cloth box 38 74 218 92,
        light box 38 58 150 68, cloth box 38 170 218 188, dark box 30 186 226 206,
        light box 42 162 82 178, light box 42 68 82 82, main box 158 44 166 228,
        main box 200 44 208 228, main line 162 124 204 124, main line 162 150 204 150,
        main line 162 202 204 202, main line 162 66 204 66""",
    "cabinet": """dark box2 58 190 66 230, main box 44 84 212 196, light box2 54 94 126 186,
        brass oval2 112 134 122 144""",
    "wardrobe": """dark box 56 218 200 236, dark box 54 16 202 30, main box 60 26 196 222,
        light box2 68 36 126 212, brass line2 120 112 120 138""",
    "chest of drawers": """dark box2 62 222 74 234, main box 54 40 202 226, light box 62 48 194 78,
        light box 62 84 194 112, light box 62 118 194 146, light box 62 152 194 182,
        light box 62 188 194 218, brass line 112 63 144 63, brass line 112 98 144 98,
        brass line 112 132 144 132, brass line 112 167 144 167, brass line 112 203 144 203""",
    "mirror": """main oval 64 20 192 236, glass oval 74 30 182 226,
        cloth poly 96 150 150 62 160 72 104 164, cloth poly 112 176 164 92 168 102 118 184""",
    "hand-knotted rug": """dark box 22 58 234 198, main box 30 66 226 190, light box 40 76 216 180,
        dark poly 128 82 200 128 128 174 56 128, main poly 128 94 182 128 128 162 74 128,
        light poly 128 110 156 128 128 146 100 128""",
    "flat-woven rug": """cloth line2 24 72 24 184, cloth line2 16 80 34 80, cloth line2 16 96 34 96,
        cloth line2 16 112 34 112, cloth line2 16 128 34 128, cloth line2 16 144 34 144,
        cloth line2 16 160 34 160, cloth line2 16 176 34 176, main box 30 66 226 190,
        light box2 44 68 58 188, dark box2 72 68 80 188, light box2 94 68 122 188""",
    "coat rack": """dark oval 84 218 172 238, main box 123 24 133 228, main oval 120 16 136 32,
        main line2 128 70 94 48, main line2 128 104 90 82, main line2 128 138 96 118,
        glass poly 92 82 112 98 116 168 68 168 72 98, cloth line 92 90 92 164""",
}


def tones(colour: str) -> dict[str, Colour]:
    """The tones of a drawing in a catalogue colour: `forest green` is CSS's `forestgreen`."""
    main: Colour = ImageColor.getrgb(colour.replace(" ", ""))
    light, dark = (tuple(round(part + (to - part) * 0.27) for part in main) for to in (255, 0))
    own = {"main": main, "light": light, "dark": dark}
    return own | {"cloth": CLOTH, "glass": GLASS, "brass": BRASS, "glow": GLOW}


def paint(shape: str, at: list[int], fill: Colour) -> Image.Image:
    """One shape on a transparent sheet, edged in a darker shade of its own tone."""
    sheet = Image.new("RGBA", (SIZE * SCALE, SIZE * SCALE))
    pen = ImageDraw.Draw(sheet)
    edge = tuple(part * 6 // 10 for part in fill)
    match shape:
        case "box":
            pen.rounded_rectangle(at, 4 * SCALE, fill, edge, SCALE)
        case "oval":
            pen.ellipse(at, fill, edge, SCALE)
        case "pie":  # the upper half of an oval
            pen.pieslice(at, 180, 360, fill, edge, SCALE)
        case "arc":  # the upper half of an oval's outline
            pen.arc(at, 180, 360, fill, 6 * SCALE)
        case "poly":
            pen.polygon(at, fill, edge, SCALE)
        case "line":
            pen.line(at, fill, 5 * SCALE)
        case _:
            raise ValueError(f"no shape is called {shape!r}")
    return sheet


def draw(title: str, colour: str) -> Image.Image:
    """The picture of the kind of furniture that the title names."""
    kind = max((kind for kind in DRAWINGS if kind in title.lower()), key=len)
    image = Image.new("RGB", (SIZE * SCALE, SIZE * SCALE), PAPER)
    fills = tones(colour)
    for part in DRAWINGS[kind].split(","):
        tone, shape, *numbers = part.split()
        sheet = paint(shape.removesuffix("2"), [int(n) * SCALE for n in numbers], fills[tone])
        for layer in (sheet, ImageOps.mirror(sheet)) if shape.endswith("2") else (sheet,):
            image.paste(layer, mask=layer)
    return image.resize((SIZE, SIZE), Image.Resampling.LANCZOS).quantize(64)


def items(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows, delimiter=delimiter))


def save(path: Path, title: str, colour: str) -> None:
    """Draw one picture into a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(title, colour).save(path, optimize=True)


def main() -> None:
    """Draw everything anew."""
    for row in items(ROOT / "seeds/furniture.csv"):
        save(ROOT / row["primary_image"], row["title"], row["color"])
    captions = ROOT / "examples/captions"
    for row in items(captions / "seeds/catalog.csv", delimiter=";")[:PICTURED]:
        save(captions / f"pictures/{row['item_id']}.png", row["title"], row["listed_color"])


if __name__ == "__main__":
    main()
