"""One picture of a whole drive: numbered frames in rows, what was imagined above what was true."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SMALLEST, LARGEST = 96, 160
"""Pixels of a tile's longer side: smaller frames are enlarged, larger ones shrunk."""
TEXT, MARGIN = 18, 6
"""Pixels of a line of words, and between tiles."""
WHITE, INK, FAINT = (255, 255, 255), (20, 20, 20), (120, 120, 120)


def contact_sheet(
    title: str,
    captions: Sequence[str],
    rows: Sequence[tuple[str, Sequence[np.ndarray]]],
    columns: int = 10,
) -> Image.Image:
    """Tiles under their captions, `columns` in a line; each line has a strip for every row.

    rows: a name and uint8 pictures [H,W,3] of one size, one for each caption.
    """
    height, width = rows[0][1][0].shape[:2]
    scale = min(LARGEST / max(height, width), max(1.0, SMALLEST / max(height, width)))
    tile = (max(1, round(width * scale)), max(1, round(height * scale)))
    columns = min(columns, len(captions))
    lines = -(-len(captions) // columns)
    font = ImageFont.load_default(13)
    names = [name for name, _ in rows]
    left = MARGIN + (int(max(font.getlength(n) for n in names)) + MARGIN if len(rows) > 1 else 0)
    strip = TEXT + len(rows) * (tile[1] + 2) + MARGIN
    across = max(left + columns * (tile[0] + MARGIN), int(font.getlength(title)) + 2 * MARGIN)
    sheet = Image.new("RGB", (across, TEXT + 2 * MARGIN + lines * strip), WHITE)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN), title, INK, font)
    for i, caption in enumerate(captions):
        x = left + i % columns * (tile[0] + MARGIN)
        y = TEXT + 2 * MARGIN + i // columns * strip
        pen.text((x, y), caption, INK, font)
        for k, (name, frames) in enumerate(rows):
            at = y + TEXT + k * (tile[1] + 2)
            if i % columns == 0 and len(rows) > 1:
                pen.text((MARGIN, at + tile[1] // 2 - 8), name, FAINT, font)
            small = Image.fromarray(frames[i])
            kind = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
            sheet.paste(small if small.size == tile else small.resize(tile, kind), (x, at))
    return sheet
