"""Texts that are no customer's own words, to measure perplexity on: pasted boilerplate, gibberish, added suffixes."""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from pathlib import Path

_LICENSE = Path(__file__).parents[1] / "LICENSE"
_SHORTEST = 120
_LONGEST = 600

#: Ordinary messages all the same, and strange to a model that reads mostly English.
OTHER_LANGUAGES = (
    "Meine Karte ist seit zwei Wochen unterwegs und immer noch nicht angekommen. Können Sie bitte nachsehen, wo sie ist?",
    "Ich habe gestern Geld an meinen Bruder geschickt, aber er sagt, dass auf seinem Konto nichts angekommen ist.",
    "Hola, me han cobrado dos veces la misma compra y quiero que me devuelvan el dinero lo antes posible, gracias.",
    "No puedo entrar en la aplicación porque he olvidado la contraseña y el correo para cambiarla no me llega nunca.",
    "Bonjour, je voudrais savoir combien coûte un retrait à l'étranger et s'il y a une limite par semaine.",
    "On m'a volé mon portefeuille ce matin, il faut bloquer ma carte tout de suite et m'en envoyer une autre.",
    "Buongiorno, ho ricaricato il conto due ore fa ma il saldo è ancora quello di prima, cosa devo fare adesso?",
    "Dzień dobry, wczoraj bankomat wypłacił mi mniej pieniędzy, niż pokazuje aplikacja. Jak mogę to zgłosić?",
    "Goedemiddag, ik wil graag mijn adres wijzigen omdat ik volgende maand naar een andere stad ga verhuizen.",
    "Olá, a minha transferência continua pendente há três dias e preciso do dinheiro para pagar a renda da casa.",
)


def boilerplate() -> list[str]:
    """Return paragraphs of a licence that language models know by heart."""
    paragraphs = [" ".join(part.split()) for part in _LICENSE.read_text(encoding="utf-8").split("\n\n")]
    return [part[:_LONGEST] for part in paragraphs if len(part) >= _SHORTEST]


def repeated(messages: Sequence[str], seed: int) -> list[str]:
    """Return messages that were pasted four times in a row."""
    return [" ".join([text] * 4) for text in _drawn(messages, seed)]


def joined(messages: Sequence[str], each: int = 12) -> list[str]:
    """Return long honest texts: several messages after each other."""
    return [" ".join(messages[place : place + each]) for place in range(0, len(messages) - each, each)]


def shuffled_words(messages: Sequence[str], seed: int) -> list[str]:
    """Return messages with their words in random order."""
    chance = random.Random(seed)
    return [" ".join(chance.sample(words, len(words))) for words in map(str.split, _drawn(messages, seed))]


def keyboard(count: int, seed: int) -> list[str]:
    """Return lines of random letters."""
    chance = random.Random(seed)
    return [
        " ".join("".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 9))) for _ in range(12))
        for _ in range(count)
    ]


def with_suffix(messages: Sequence[str], seed: int) -> list[str]:
    """Return messages with a suffix such as an automatic search for jailbreaks finds: bits of words, code, brackets."""
    chance = random.Random(seed)
    bits = ("]]", "!--", "Two", "similarly", "{(", "inline", "oppos", "=\\", "Sure", "Tutor", "\\n", "unic", "[@", "](",
            "revert", "With", "Now", "ite", "respond", "eme", "polite", "??", "please", "describ", "==", "interface",
            "manuel", "pathetic", "yt", "output", "steps", "seule", "formatted", "\";", "Ident")  # fmt: skip
    return [f"{text} {' '.join(chance.sample(bits, 14))}" for text in _drawn(messages, seed)]


def _drawn(messages: Sequence[str], seed: int, count: int = 60) -> list[str]:
    return random.Random(seed).sample(list(messages), min(count, len(messages)))
