"""Text on the desk: hidden characters show, reasons are sentences, users files that cannot be used are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas import Reason
from streams.core.policy.reasons import DecisionReason
from streams.core.signal.perplexity import PerplexityReason
from streams.desk.facts import Sight, snippet
from streams.desk.roles import Role
from streams.desk.users import Passwords, User, UsersFile, load_users, set_user
from streams.desk.visible import hidden, visible
from streams.desk.words import in_words
from streams.errors import SettingsError
from tests.support.desks import CHEAP_HASH, PASSWORD


@pytest.mark.parametrize(
    "char", [*"\x00\x07\x1b\x7f\x85\u202a\u202e\u2066\u2069\u200b\u200e\ufeff\u2028\ue000", "\U000e0041"]
)
def test_what_cannot_be_seen_is_shown_by_its_number(char: str) -> None:
    assert hidden(char)
    shown = visible(f"a{char}b")
    assert char not in shown
    assert f">U+{ord(char):04X}</span>" in shown


@pytest.mark.parametrize(
    "text", ["line\nline\ttab", "नमस्ते क्\u200dष", "👩\u200d🚀", "שלום عربى", "e\u0301 ﬁ 工单", "a\r\nb"]
)
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert visible(text) == text.replace("\r\n", "\n")


def test_no_half_of_an_address_is_shown_at_the_beginning_of_a_text() -> None:
    sight = Sight({}, ["email"], None, {})
    for before in range(780, 800):
        assert "ann" not in snippet(f"{' ' * before}ann.smith@example.org and more", sight)
    assert snippet(f"Hello\n\n you {'x' * 1_000}", sight) == f"Hello you {'x' * 190}…"


def test_markup_is_text() -> None:
    assert visible("<b>&\"'") == "&lt;b&gt;&amp;&#34;&#39;"


@pytest.mark.parametrize("reason", [*DecisionReason, *PerplexityReason])
def test_every_reason_is_a_sentence(reason: str) -> None:
    for said in (in_words(reason), in_words(f"cheap:{reason}"), in_words(f"big:{reason}:x")):
        assert said[0].isupper()
        assert said.endswith(".")
    assert "The reason is" not in in_words(reason)


def test_reasons_say_which_model_and_what_about() -> None:
    assert in_words(f"big:no_signal:{Reason.REFUSED}") == (
        "The big model could not say how sure it was (it refused to answer)."
    )
    assert in_words("cheap:contract:usage_missing").endswith("(usage missing).")
    assert in_words("of:later:release") == "The reason is of:later:release."


def test_a_users_file_is_read_again_when_it_changes_and_kept_while_it_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "users.yaml"
    set_user(path, "ann", User(role=Role.LEAD, password=CHEAP_HASH))
    users = UsersFile(path)
    assert set(users.current().users) == {"ann"}
    set_user(path, "bob", User(role=Role.REVIEWER))
    assert set(users.current().users) == {"ann", "bob"}
    path.write_text("users: [")
    assert set(users.current().users) == {"ann", "bob"}
    path.unlink()
    assert set(users.current().users) == {"ann", "bob"}


def test_a_password_fits_its_user_alone() -> None:
    passwords = Passwords()
    ann = User(role=Role.LEAD, password=CHEAP_HASH)
    assert passwords.fits(ann, PASSWORD)
    for user, password in ((ann, "wrong"), (None, PASSWORD), (User(role=Role.LEAD), PASSWORD), (ann, "")):
        assert not passwords.fits(user, password)
    assert not passwords.fits(User(role=Role.LEAD, password="no hash"), PASSWORD)
    assert "argon2" not in repr(ann)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("users: {ann: {role: boss}}", "users.ann.role"),
        ("users: {ann: {role: lead, pasword: x}}", "pasword"),
        ("tokens: {bot: {role: lead, sha256: secret}}", "tokens.bot.sha256"),
        ("[]", "a mapping is expected"),
    ],
)
def test_a_users_file_that_cannot_be_used_is_named_without_its_secrets(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "u.yaml").write_text(text)
    with pytest.raises(SettingsError) as refused:
        load_users(tmp_path / "u.yaml")
    assert words in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)
