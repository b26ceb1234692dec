"""How small a change of a model each detector sees: TinyChange (arXiv 2512.03816), on a real language model.

``python -m benchmarks.tinychange [--setting small|full] [--seed N] [--cache DIR] [--families NAME ...] [--recorded]
[--json FILE] [--report FILE] [--pictures DIR]``. The small setting trains its own stand-in and takes about a minute;
the full one needs the extras ``llm`` and ``tinychange`` and, on one core, some hours. What has been recorded is kept
in the cache, so that a run that was stopped goes on where it was; ``--recorded`` reports on that alone.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from benchmarks.tinychange.pictures import draw_pictures
from benchmarks.tinychange.report import report
from benchmarks.tinychange.result import result
from benchmarks.tinychange.run import Subject, facts, recorded
from benchmarks.tinychange.sizes import FULL, SMALL, Sizes
from benchmarks.tinychange.small.subject import SmallSubject
from benchmarks.tinychange.variants import Family
from streams.errors import SandboxError
from streams.sandbox.cache import cache_root

SETTINGS = {"small": SMALL, "full": FULL}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run what the command line asks for and return the figures."""
    asked = _parser().parse_args(arguments)
    sizes = SETTINGS[asked.setting]
    keep = asked.cache or (cache_root() / "tinychange" if asked.setting == "full" else None)
    with TemporaryDirectory() if keep is None else nullcontext(keep) as name:
        root = Path(name)
        subject = _subject(asked.setting, asked.seed, sizes, root)
        folder = root / f"{asked.setting}-{sizes.digest}-{asked.seed}"
        wanted = [
            variant
            for variant in subject.variants
            if not asked.recorded and (asked.families is None or variant.family in asked.families)
        ]
        known = facts(subject, folder)
        original, changed = recorded(subject, wanted, folder, _told)
        if len(changed) == len(subject.variants):
            subject.close()
    figures = {
        "setting": asked.setting,
        "subject": subject.name,
        "seed": asked.seed,
        "sizes": sizes.as_dict(),
        **known,
        **result(original, changed, subject.variants, sizes, known["prompt_tokens"], asked.seed),
    }
    _write(figures, asked)
    return figures


def _subject(setting: str, seed: int, sizes: Sizes, root: Path) -> Subject:
    if setting == "small":
        return SmallSubject(seed, sizes)
    from benchmarks.tinychange.gemma.subject import GemmaSubject

    return GemmaSubject(seed, sizes, root / "work", _told)


def _write(figures: dict[str, Any], asked: argparse.Namespace) -> None:
    text = report(figures)
    print(text)
    if asked.report:
        asked.report.write_text(text, encoding="utf-8")
    if asked.json:
        asked.json.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))
    if asked.pictures:
        draw_pictures(figures, asked.pictures)


def _told(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setting", choices=SETTINGS, default="small")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="folder for what is recorded (full: the user's cache; small: none)")
    parser.add_argument("--families", nargs="+", type=Family, choices=list(Family), help="record these alone")
    parser.add_argument("--recorded", action="store_true", help="record nothing but the original; report on the cache")
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--report", type=Path, help="write the tables here")
    parser.add_argument("--pictures", type=Path, help="folder for the pictures")
    return parser


if __name__ == "__main__":
    try:
        main()
    except SandboxError as error:
        sys.exit(str(error))
