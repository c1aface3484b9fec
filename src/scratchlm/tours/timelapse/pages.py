"""The pages of a time-lapse: one HTML file that replays it, and a picture of five of its moments.

    python -m scratchlm.tours.timelapse.pages timelapse.json page.html picture.svg

draws both again from stored data.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from scratchlm.base.errors import UserError
from scratchlm.base.files import write_text
from scratchlm.reports.page import render
from scratchlm.tours.timelapse.frames import Lapse, packed, read_lapse
from scratchlm.tours.timelapse.picture import picture


def page(lapse: Lapse) -> str:
    """Return the HTML page: styles, script and data inside, no reference to anything else."""
    texts = [text if len(text) == 1 else "\N{WHITE SQUARE}" for text in lapse.symbols]
    texts = [" " if text == "\N{OPEN BOX}" else text for text in texts]
    data = {
        "symbols": lapse.symbols,
        "texts": texts,
        "passage": lapse.passage,
        "steps": lapse.steps,
        "bytes": lapse.tokens_a_step,
        "frames": [packed(frame) for frame in lapse.frames],
    }
    shown = "".join(texts[id] for id in lapse.passage)
    curve = ([frame.step for frame in lapse.frames], [frame.loss for frame in lapse.frames])
    return render(
        "timelapse.jinja", name="time-lapse", lapse=lapse, data=data, passage=shown, curve=curve, records=[],
        guessing=math.log(len(lapse.symbols)),
    )  # fmt: skip


def write_pages(lapse: Lapse, html: Path, svg: Path) -> None:
    """Write the page and the picture of a lapse."""
    write_text(html, page(lapse))
    write_text(svg, picture(lapse))


def main() -> None:
    """Draw page and picture of the data, page and picture that the command line names."""
    if len(sys.argv) != 4:
        raise UserError("name three files: the data, the page and the picture to write")
    data, html, svg = map(Path, sys.argv[1:])
    write_pages(read_lapse(data), html, svg)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(f"pages: {error}") from None
