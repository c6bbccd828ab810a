"""Builds `atlas.webp` from an unpacked copy of the npm package @lobehub/fluent-emoji-3d.

npm pack @lobehub/fluent-emoji-3d@1.1.0 && tar xzf lobehub-fluent-emoji-3d-1.1.0.tgz
python -m metacompress_compressor.scenes.build_atlas package/assets
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from .atlas import COLUMNS, TILE_SIZE, tile_box
from .catalogue import OBJECTS


def find_picture(folder: Path, code_point: str) -> Path:
    """The picture of a code point, with or without the emoji variation selector.

    Raises:
        FileNotFoundError: The folder holds neither spelling.
    """
    for name in (f"{code_point}.webp", f"{code_point}-fe0f.webp"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"no picture of code point {code_point} in {folder}")


def build_atlas(folder: Path) -> Image.Image:
    """Scales every object's picture to one tile of a transparent sheet."""
    rows = -(-len(OBJECTS) // COLUMNS)
    sheet = Image.new("RGBA", (COLUMNS * TILE_SIZE, rows * TILE_SIZE))
    for item in OBJECTS.values():
        with Image.open(find_picture(folder, item.code_point)) as picture:
            tile = picture.convert("RGBA").resize((TILE_SIZE, TILE_SIZE), Image.Resampling.LANCZOS)
        sheet.paste(tile, tile_box(item.name)[:2])
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("assets", type=Path, help="folder with one <code point>.webp per emoji")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("atlas.webp"))
    arguments = parser.parse_args()
    build_atlas(arguments.assets).save(arguments.out, quality=90, method=6)
    print(f"{len(OBJECTS)} pictures -> {arguments.out} ({arguments.out.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
