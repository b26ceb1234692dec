from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from streams.core.svg import HEIGHT, WIDTH, Chart, Series, document


def chart(*series: Series, title: str = "a title") -> Chart:
    return Chart(title, "x", "y", (0.0, 1.0), (0.0, 0.1), series)


def test_charts_stand_side_by_side() -> None:
    root = ET.fromstring(document([chart(), chart()]))
    assert root.attrib["width"] == str(2 * WIDTH)
    assert root.attrib["height"] == str(HEIGHT)


def test_text_is_escaped() -> None:
    text = document([chart(Series('<&">', [], "#000000"), title="a < b & c")])
    assert ET.fromstring(text).attrib["aria-label"] == "a < b & c"
    assert "&lt;&amp;" in text


def test_lines_and_dots_lie_inside_the_picture_even_where_the_points_do_not() -> None:
    points = [(-5.0, -5.0), (0.5, 0.05), (9.0, 9.0)]
    text = document([chart(Series("line", points, "#123456"), Series("dots", points, "#654321", "dots"))])
    line = re.search(r'd="M([^"]+)" fill="none" stroke="#123456"', text)
    assert line is not None
    places = [tuple(map(float, pair.split())) for pair in line.group(1).split("L")]
    dots = [tuple(map(float, pair)) for pair in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', text)]
    assert places == dots
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)
    assert places[0][0] < places[1][0] < places[2][0]
    assert places[0][1] > places[1][1] > places[2][1]


def test_a_line_without_points_is_no_path() -> None:
    assert 'stroke="#123456"' not in document([chart(Series("none", [], "#123456"))])


def test_a_narrow_axis_shows_tenths_of_a_per_cent() -> None:
    text = document([chart()])
    assert ">2.0<" in text
    assert ">20<" in text
