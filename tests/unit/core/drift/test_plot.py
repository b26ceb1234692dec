"""The picture of probes over time."""

from __future__ import annotations

from xml.etree import ElementTree

from streams.core.drift import read_row
from streams.core.drift.plot import plot
from streams.sandbox.simulated_probes import Endpoint, probe_rows

SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter(f"{SVG}text")]


def drawn(rows: list[dict[str, object]], **options: object) -> str:
    picture = plot(map(read_row, rows), "lt-ref", **options)  # type: ignore[arg-type]
    assert picture is not None
    return picture


def test_a_chart_for_each_endpoint_with_its_tokens_and_alarms() -> None:
    rows = probe_rows(Endpoint(change_at=150, change_rms=2.0), 200, 1, "one") + probe_rows(Endpoint(), 50, 2, "two")
    shown = texts(drawn(rows, tokens=3))
    assert "one: 200 probes, 1 alarms of lt-ref" in shown
    assert "two: 50 probes, 0 alarms of lt-ref" in shown
    assert shown.count("change") == 1
    assert len([text for text in shown if text.startswith("'token")]) == 2 * 3
    root = ElementTree.fromstring(drawn(rows))
    assert int(root.attrib["height"]) == 2 * int(ElementTree.fromstring(drawn(rows, endpoint="one")).attrib["height"])


def test_one_endpoint_alone_and_one_that_is_not_there() -> None:
    rows = probe_rows(Endpoint(), 30, 1, "one") + probe_rows(Endpoint(), 30, 2, "two")
    assert not any("one:" in text for text in texts(drawn(rows, endpoint="two")))
    assert plot(map(read_row, rows), "lt-ref", endpoint="three") is None
    assert plot([], "lt-ref") is None


def test_an_endpoint_without_a_single_sample_is_an_empty_chart() -> None:
    row = {"endpoint": "<one>\x00\ud800", "at": 0, "logprobs": None, "error": None}
    assert any("<one>" in text for text in texts(drawn([row])))


def test_tokens_of_any_characters() -> None:
    row = {"endpoint": "one", "at": 0, "logprobs": {"\x07": -0.5, "<&\ud800": -1.0, "": -3.0}, "error": None}
    assert len(texts(drawn([row, row]))) > 3
