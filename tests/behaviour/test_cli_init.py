"""hedgerow init, and README's five minutes: every line typed in an empty folder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import typer

from streams.sandbox.ports import ReservedPort
from streams.settings import load_settings
from tests.support.commands import Hedgerow

ROOT = Path(__file__).parents[2]
FILES = {"hedgerow.yaml", "contracts.yaml", "endpoints.yaml", ".env.example", "tickets.jsonl"}


def test_a_folder_is_made_and_filled(hedgerow: Hedgerow, tmp_path: Path) -> None:
    said = hedgerow("init", tmp_path / "new" / "one", "--labels", "invoices, outages,,")
    assert said.code == 0
    assert {path.name for path in (tmp_path / "new" / "one").iterdir()} == FILES
    settings = load_settings(tmp_path / "new" / "one" / "hedgerow.yaml")
    assert settings.labels == {"invoices": "A ticket about invoices.", "outages": "A ticket about outages."}
    assert not settings.label_aliases
    assert f"cd {tmp_path / 'new' / 'one'}" in said.out


@pytest.mark.parametrize(
    ("provider", "steps"),
    [
        (
            "openai",
            ["cp .env.example .env", "OPENAI_API_KEY into .env", "set -a; . ./.env; set +a", "sandbox broker &"],
        ),
        ("vllm", ["start the models, as the comments in hedgerow.yaml show", "sandbox broker &", "topics create"]),
        ("sandbox", ["sandbox up &", "topics create", "doctor", "worker &", "produce tickets.jsonl", "consume routed"]),
    ],
)
def test_what_to_type_next_is_said_in_order(
    hedgerow: Hedgerow, tmp_path: Path, provider: str, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = hedgerow("init", tmp_path, "--labels", "a,b", "--provider", provider)
    places = [said.out.index(step) for step in steps]
    assert places == sorted(places)
    assert [line for line in said.out.splitlines() if len(line) > 80 and str(tmp_path) not in line] == []
    assert (".env" in said.out.partition("next:")[2]) is (provider == "openai")


def test_nothing_is_overwritten_unless_forced(hedgerow: Hedgerow, tmp_path: Path) -> None:
    (tmp_path / "contracts.yaml").write_text("mine")
    (tmp_path / "tickets.jsonl").write_text("mine")
    said = hedgerow("init", tmp_path, "--labels", "a,b")
    assert said.code == 2
    assert said.err.endswith("already holds contracts.yaml, tickets.jsonl: --force overwrites them\n")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "contracts.yaml": "mine",
        "tickets.jsonl": "mine",
    }
    assert hedgerow("init", tmp_path, "--labels", "a,b", "--force").code == 0
    assert load_settings(tmp_path / "hedgerow.yaml").contracts is not None


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("refund", "at least two labels"),
        ("", "at least two labels"),
        ("a,b,a", "'a' is given twice"),
        ("a,\x07", "printable"),
        ("!,b", "is empty"),
    ],
)
def test_labels_that_cannot_be_used_write_nothing(hedgerow: Hedgerow, tmp_path: Path, labels: str, words: str) -> None:
    said = hedgerow("init", tmp_path, "--labels", labels)
    assert (said.code, said.out) == (2, "")
    assert words in said.err
    assert list(tmp_path.iterdir()) == []


def test_labels_that_begin_one_another_are_answered_as_letters(hedgerow: Hedgerow, tmp_path: Path) -> None:
    hedgerow("init", tmp_path, "--labels", "order,order status")
    assert load_settings(tmp_path / "hedgerow.yaml").label_set.answers == ("A", "B")


def test_without_labels_and_a_terminal_it_says_how_to_name_them(hedgerow: Hedgerow, tmp_path: Path) -> None:
    said = hedgerow("init", tmp_path, stdin=b"refund,shipping\n")
    assert said.code == 2
    assert "--labels refund,shipping" in said.err


def test_at_a_terminal_labels_and_descriptions_are_asked(
    hedgerow: Hedgerow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["invoices, outages", "Wants a copy of an invoice.", ""])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "prompt", lambda _, default: next(answers) or default)
    assert hedgerow("init", tmp_path).code == 0
    assert load_settings(tmp_path / "hedgerow.yaml").labels == {
        "invoices": "Wants a copy of an invoice.",
        "outages": "A ticket about outages.",
    }


def test_a_folder_that_cannot_be_written_is_one_line(hedgerow: Hedgerow, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = hedgerow("init", tmp_path / "file", "--labels", "a,b")
    assert said.code == 2
    assert "exists" in said.err.lower()


@pytest.mark.parametrize("command", [("doctor",), ("worker",), ("contract", "check"), ("topics", "create")])
def test_without_settings_every_command_names_the_way_out(
    hedgerow: Hedgerow, tmp_path: Path, command: tuple[str, ...]
) -> None:
    said = hedgerow(*command, "--config", tmp_path / "hedgerow.yaml")
    assert said.code != 0
    assert "hedgerow init writes one to start from" in said.out + said.err


def test_a_contract_check_without_contracts_names_the_way_out(hedgerow: Hedgerow, tmp_path: Path) -> None:
    hedgerow("init", tmp_path, "--labels", "a,b")
    path = tmp_path / "hedgerow.yaml"
    path.write_text(path.read_text().replace("contracts: contracts.yaml\n", ""))
    assert "hedgerow init writes one" in hedgerow("contract", "check", "--config", path).err


def test_a_wait_for_a_broker_that_never_comes_ends_with_the_reason(hedgerow: Hedgerow, tmp_path: Path) -> None:
    hedgerow("init", tmp_path, "--labels", "a,b")
    path = tmp_path / "hedgerow.yaml"
    path.write_text(path.read_text().replace("127.0.0.1:9092", "127.0.0.1:1"))
    said = hedgerow("topics", "create", "--wait", "0.5", "--config", path)
    assert said.code == 2
    assert "127.0.0.1:1" in said.err


def test_the_sandbox_ends_with_the_command_that_started_it() -> None:
    command = [sys.executable, "-m", "streams.cli", "sandbox", "up", "--broker-port", "0", "--model-port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    # The models come first: a broker that answers says that everything is up.
    assert [process.stdout.readline().split()[0] for _ in range(2)] == [b"models", b"embedded"]
    process.terminate()
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, b"stopped\n", b"")


class TestFiveMinutes:
    @pytest.fixture
    def environment(self, tmp_path: Path) -> dict[str, str]:
        """Hedgerow on the path, and ports of our own: the default ones may be in use here."""
        program = tmp_path / "bin" / "hedgerow"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m streams.cli "$@"\n')
        program.chmod(0o755)
        with ReservedPort() as first, ReservedPort() as second:
            broker, models = first.number, second.number
        base_url = f"http://127.0.0.1:{models}/v1"
        return os.environ | {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "HEDGEROW_SANDBOX_BROKER_PORT": str(broker),
            "HEDGEROW_SANDBOX_MODEL_PORT": str(models),
            "HEDGEROW_BROKER__BOOTSTRAP": f"127.0.0.1:{broker}",
            "HEDGEROW_TIERS__CHEAP__BASE_URL": base_url,
            "HEDGEROW_TIERS__BIG__BASE_URL": base_url,
        }

    @pytest.fixture
    def lines(self) -> list[str]:
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        [section] = re.findall(r"^## Your own pipeline in five minutes\n(.+?)^## ", readme, re.DOTALL | re.MULTILINE)
        _install, block = re.findall(r"^```sh\n(.+?)^```", section, re.DOTALL | re.MULTILINE)
        return block.splitlines()

    def test_the_lines_of_readme_end_with_routed_labels_of_ones_own(
        self, lines: list[str], environment: dict[str, str], tmp_path: Path
    ) -> None:
        assert len(lines) <= 6  # and one installs
        [labels] = re.findall(r"--labels (\S+)", lines[0])
        folder = tmp_path / "empty"
        folder.mkdir()
        # hedgerow doctor is typed as well, when everything that it looks at is up.
        up = next(number for number, line in enumerate(lines, 1) if "topics create" in line)
        typed = ["set -e", *lines[:up], "hedgerow doctor >doctor.txt", *lines[up:-1]]
        typed += ["exec >routed.txt", lines[-1]]
        shell = subprocess.Popen(
            ["bash", "-c", "\n".join(typed)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=(tmp_path / "said.txt").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = shell.wait(timeout=500)
        finally:
            # What was started with & is in the shell's process group.
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)
        assert code == 0, (tmp_path / "said.txt").read_text()
        assert "FAIL" not in (folder / "doctor.txt").read_text()
        routed = (folder / "routed.txt").read_text().splitlines()
        found = {label for label in labels.split(",") if any(re.search(rf"\b{label}\b", line) for line in routed)}
        assert found == set(labels.split(","))
        expected = [json.loads(line) for line in (folder / "tickets.jsonl").read_text().splitlines()]
        assert len(routed) == sum("label" in row for row in expected)
