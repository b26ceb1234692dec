"""Checks a commit message, as a commit-msg hook: ``python -m tests.support.commit_message FILE``."""

from __future__ import annotations

import sys
from pathlib import Path

LONGEST_SUBJECT = 72


def fault(message: str) -> str | None:
    """Return what is wrong with a message as Git hands it over, with its comments, or None."""
    lines = [line.rstrip() for line in message.splitlines() if not line.startswith("#")]
    subject = lines[0] if lines else ""
    if not subject:
        return "the first line is the subject, and it is empty"
    if len(subject) > LONGEST_SUBJECT:
        return f"the subject has {len(subject)} characters; at most {LONGEST_SUBJECT} are allowed"
    if len(lines) > 1 and lines[1]:
        return "the second line must be empty: the reason follows after it"
    return None


def main(file: str) -> int:
    found = fault(Path(file).read_text(encoding="utf-8"))
    if found is not None:
        sys.stderr.write(f"commit message: {found}\n")
    return int(found is not None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
