"""The file of endpoints to probe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.errors import SettingsError
from streams.models.endpoint import Endpoint
from streams.models.probed_endpoint import ProbedEndpoint, ProbedEndpoints, load_endpoints

ONE: dict[str, Any] = {"name": "mini", "base_url": "https://api.example.com/v1", "model": "gpt-4o-mini"}


def written(folder: Path, document: Any) -> Path:
    path = folder / "endpoints.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def refused(folder: Path, document: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load_endpoints(written(folder, document))
    (line,) = str(caught.value).splitlines()
    return line


def test_the_defaults_are_one_token_of_the_letter_x_every_hour() -> None:
    endpoint = ProbedEndpoint(**ONE)
    assert (endpoint.prompt, endpoint.max_tokens, endpoint.temperature, endpoint.top_logprobs) == ("x", 1, 0.0, 20)
    assert (endpoint.interval_ms, endpoint.jitter_ms) == (3_600_000, 360_000)
    assert endpoint.served_by == "api.example.com"
    assert ProbedEndpoint(**ONE, provider="Example").served_by == "Example"
    assert endpoint.probes_per_year == pytest.approx(8766)


@pytest.mark.parametrize("document", [[ONE], {"endpoints": [ONE]}])
def test_a_list_alone_or_under_its_name(tmp_path: Path, document: Any) -> None:
    assert [each.name for each in load_endpoints(written(tmp_path, document)).endpoints] == ["mini"]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "endpoints"),
        ([ONE, ONE], "several endpoints have the name mini"),
        ([ONE | {"intervall_s": 5}], "unknown key endpoints.0.intervall_s; did you mean interval_s?"),
        ([ONE | {"interval_s": 0}], "endpoints.0.interval_s"),
        ([ONE | {"interval_s": 5, "jitter_s": 5}], "jitter_s must be less than interval_s"),
        ([{name: ONE[name] for name in ("base_url", "model")}], "endpoints.0.name is missing"),
        ({"endpoints": [ONE], "more": 1}, "unknown key more"),
        ("text", "a mapping of keys and values is expected"),
        (None, "a mapping of keys and values is expected"),
    ],
)
def test_what_cannot_be_probed_is_refused_in_one_line(tmp_path: Path, document: Any, said: str) -> None:
    line = refused(tmp_path, document)
    assert said in line
    assert "endpoints.yaml" in line


def test_a_file_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load_endpoints(tmp_path / "endpoints.yaml")


def test_a_tier_is_found_by_url_and_model() -> None:
    probed = ProbedEndpoints.model_validate(
        [ONE, ONE | {"name": "again", "prompt": "y"}, ONE | {"name": "other", "model": "gpt-4o"}]
    )
    tier = Endpoint(base_url="https://api.example.com/v1/", model="gpt-4o-mini")
    assert probed.names_of(tier) == ("mini", "again")
    assert probed.names_of(Endpoint(base_url="https://elsewhere.example/v1", model="gpt-4o-mini")) == ()
