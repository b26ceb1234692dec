"""The canvas of every picture: one style, SVG or PNG by the file's suffix, the same bytes for the same drawing."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from streams.errors import SettingsError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Okabe and Ito 2008, "Color Universal Design": told apart with any colour vision, on white. Its yellow is too light for
#: lines; grey stands in for it.
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY = COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#8C8C8C",
)

_STYLE: Final[dict[str, Any]] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#5D6570",
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.dpi": 100,
    "font.family": "sans-serif",
    "font.size": 9.5,
    "grid.color": "#E3E6EA",
    "hatch.linewidth": 0.4,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "savefig.dpi": 150,
    "svg.fonttype": "none",
    # Ids in an SVG are random without it.
    "svg.hashsalt": "hedgerow",
    # Names and tokens are data: a dollar sign in one begins no formula.
    "text.parse_math": False,
}


def require_pictures() -> None:
    """Return if pictures can be drawn; raises SettingsError that says what to install."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise SettingsError("pictures need matplotlib: pip install 'hedgerow[pictures]'") from None


def picture_format(path: Path) -> str:
    """Return ``svg`` or ``png``, by the suffix of a file; a file without one is SVG. Raises SettingsError for others."""
    suffix = path.suffix.lower()
    if suffix not in {".svg", ".png", ""}:
        raise SettingsError(f"{path}: pictures are SVG or PNG; give a name that ends in .svg or .png")
    return suffix[1:] or "svg"


@contextmanager
def canvas(path: Path, title: str, *, width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure of this size in inches, and write it to ``path`` in the end; ``title`` is for readers aloud.

    Raises SettingsError without matplotlib, for a suffix that is neither SVG nor PNG, and if the file cannot be written.
    """
    written_as = picture_format(path)
    require_pictures()
    import matplotlib
    from matplotlib.figure import Figure

    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    metadata = {"Title": printable(title)} | ({"Date": None} if written_as == "svg" else {"Software": None})
    with matplotlib.rc_context(), warnings.catch_warnings():
        # A user's own matplotlibrc would change the pictures.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        # A character that the font does not have shows as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, format=written_as, metadata=metadata)
        except OSError as error:
            raise SettingsError(f"{path}: {error.strerror}") from None


def printable(text: str, most: int = 80) -> str:
    """Return the text with what no picture can hold replaced, and cut to ``most`` characters."""
    shown = "".join(char if char.isprintable() else "\ufffd" for char in text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
