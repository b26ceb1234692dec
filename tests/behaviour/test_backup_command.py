"""hedgerow review backup and restore: from one settings file to another."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import yaml

from streams.reviews.store import ReviewStore
from tests.support.commands import Hedgerow
from tests.support.desks import desk_settings, doubt, written


def test_a_store_moves_to_another_place(tmp_path: Path, hedgerow: Hedgerow) -> None:
    config, file = written(tmp_path, desk_settings(tmp_path)), tmp_path / "backup.db"
    values = yaml.safe_load(config.read_text())
    with closing(ReviewStore(values["review"]["url"])) as store:
        store.add_all([doubt("a"), doubt("b")])
    said = hedgerow("review", "backup", file, "-c", config)
    assert (said.code, said.out) == (
        0,
        "2 reviews backed up: rows of reviews 2, texts 2, claims 0, marks 0, opinions 0, journal 0, users 0\n",
    )
    refused = hedgerow("review", "restore", file, "-c", config)
    assert refused.code == 2
    assert "holds reviews, texts: a backup is restored into an empty store only" in refused.err

    url = f"sqlite:///{tmp_path}/other.db"
    config.write_text(yaml.safe_dump(values | {"review": values["review"] | {"url": url}}))
    assert hedgerow("review", "restore", file, "-c", config, "--json").json["reviews"] == 2
    with closing(ReviewStore(url)) as store:
        assert {item.review.ticket_id for item in store.waiting(9)} == {"a", "b"}
