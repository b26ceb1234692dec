"""The canvas of every picture: formats, and the same bytes for the same drawing."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from matplotlib import rcParams

from streams.errors import SettingsError
from streams.pictures.canvas import canvas, picture_format, printable, require_pictures


def draw(path: Path, title: str = "a title") -> bytes:
    with canvas(path, title, width=3, height=2) as figure:
        figure.subplots().plot([0, 1], [1, 2], label="costs $5 and $6")
    return path.read_bytes()


def test_the_suffix_says_the_format(tmp_path: Path) -> None:
    assert draw(tmp_path / "p.png").startswith(b"\x89PNG")
    for name in ("p.svg", "P.SVG", "p"):
        assert ET.fromstring(draw(tmp_path / name)).tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize("name", ["p.pdf", "p.svg.gz", "p.jpeg"])
def test_other_suffixes_are_refused(name: str) -> None:
    with pytest.raises(
        SettingsError, match=rf"{name}: pictures are SVG or PNG; give a name that ends in \.svg or \.png"
    ):
        picture_format(Path(name))


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_same_drawing_is_the_same_file_whatever_the_users_own_style(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    once = draw(tmp_path / f"a.{suffix}")
    monkeypatch.setitem(rcParams, "lines.linewidth", 9.0)
    assert draw(tmp_path / f"b.{suffix}") == once
    assert rcParams["lines.linewidth"] == 9.0


def test_a_title_may_hold_any_characters(tmp_path: Path) -> None:
    assert "<title>a &lt;b&gt; �</title>" in draw(tmp_path / "p.svg", "a <b> \x00").decode()


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"p\.svg: "):
        draw(tmp_path / "file" / "p.svg")


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SettingsError, match=r"pictures need matplotlib: pip install 'hedgerow\[pictures\]'"):
        require_pictures()


def test_long_names_are_cut_and_others_stay() -> None:
    assert printable("gpt\n" + "x" * 100) == "gpt\ufffd" + "x" * 75 + "…"
    assert printable("größe") == "größe"
