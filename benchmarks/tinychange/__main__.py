"""How small a change of a model each detector sees: TinyChange (arXiv 2512.03816), on a real language model.

``python -m benchmarks.tinychange [--setting small|full|fine] [--models NAME ...] [--seed N] [--cache DIR] [--families NAME
...] [--probes] [--recorded] [--json FILE] [--report FILE] [--pictures DIR]``. The small setting trains its own stand-in and
takes about a minute. The others need the extras ``llm`` and ``tinychange`` and, on one core, some hours: the full one has
the paper's levels on Gemma 3 270M, served in six bits; the fine one has finer levels on two models, served in half
precision. What has been recorded is kept in the cache, so that a run that was stopped goes on where it was; ``--recorded``
reports on that alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from benchmarks.tinychange.pictures import draw_pictures
from benchmarks.tinychange.recording import Part
from benchmarks.tinychange.report import leads, report
from benchmarks.tinychange.result import Run, examine, noisier, result
from benchmarks.tinychange.run import Subject, facts, recorded
from benchmarks.tinychange.sizes import FINE, FULL, SMALL, Sizes
from benchmarks.tinychange.small.subject import SmallSubject
from benchmarks.tinychange.variants import Family
from streams.errors import SandboxError
from streams.sandbox.cache import cache_root

SETTINGS = {"small": SMALL, "full": FULL, "fine": FINE}
_MODELS = ("gemma", "smollm2")


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run what the command line asks for and return the figures: of one model, or of each and of all together."""
    asked = _parser().parse_args(arguments)
    sizes = SETTINGS[asked.setting]
    found = [_measured(asked, model, sizes) for model in (asked.models if asked.setting == "fine" else ("gemma",))]
    figures = found[0][0]
    if len(found) > 1:
        together = noisier([run for _, run in found], sizes, asked.seed)
        figures = {"models": [one for one, _ in found], "together": together}
    _write([one for one, _ in found], figures, asked)
    return figures


def _measured(asked: argparse.Namespace, model: str, sizes: Sizes) -> tuple[dict[str, Any], Run]:
    """Record one model and return its figures, and its statistics."""
    keep = asked.cache or (None if asked.setting == "small" else cache_root() / "tinychange")
    with TemporaryDirectory() if keep is None else nullcontext(keep) as name:
        root = Path(name)
        subject = _subject(asked.setting, model, asked.seed, sizes, root)
        setting = f"{asked.setting}-{model}" if asked.setting == "fine" else asked.setting
        folder = root / f"{setting}-{sizes.digest}-{asked.seed}"
        wanted = [
            variant
            for variant in subject.variants
            if not asked.recorded and (asked.families is None or variant.family in asked.families)
        ]
        parts = (
            (Part.ALL,) if asked.setting != "fine" else (Part.PROBES,) if asked.probes else (Part.PROBES, Part.TEXTS)
        )
        known = facts(subject, folder)
        original, changed = recorded(subject, wanted, folder, _told, parts)
        if asked.setting == "full" and len(changed) == len(subject.variants):
            subject.close()
    run = examine(subject.name, original, changed, subject.variants, sizes, asked.seed)
    figures = {
        "setting": asked.setting,
        "subject": subject.name,
        "seed": asked.seed,
        "sizes": sizes.as_dict(),
        **known,
        **result(run, original, changed, subject.variants, sizes, known["prompt_tokens"], asked.seed),
    }
    return figures, run


def _subject(setting: str, model: str, seed: int, sizes: Sizes, root: Path) -> Subject:
    if setting == "small":
        return SmallSubject(seed, sizes)
    from benchmarks.tinychange.real.models import MODELS
    from benchmarks.tinychange.real.subject import HalfPrecisionSubject, SixBitSubject

    if setting == "fine":
        return HalfPrecisionSubject(MODELS[model], seed, sizes, root / f"work-{model}", _told)
    return SixBitSubject(MODELS[model], seed, sizes, root / "work", _told)


def _write(models: Sequence[dict[str, Any]], figures: dict[str, Any], asked: argparse.Namespace) -> None:
    parts = [report(one) for one in models]
    if len(models) > 1:
        parts.append(f"### All models together\n\n{leads(figures['together'])}")
    text = "\n".join(parts)
    print(text)
    if asked.report:
        asked.report.write_text(text, encoding="utf-8")
    if asked.json:
        asked.json.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))
    if asked.pictures:
        for one, model in zip(models, asked.models, strict=False):
            draw_pictures(one, asked.pictures, prefix=f"tinychange_{model}" if len(models) > 1 else "tinychange")


def _told(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setting", choices=SETTINGS, default="small")
    parser.add_argument("--models", nargs="+", choices=_MODELS, default=list(_MODELS), help="of the fine setting")
    parser.add_argument("--probes", action="store_true", help="fine setting: leave completions and questions for later")
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
