"""Which training messages the language model is shown: a few of each label, unlike each other, always the same ones."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from streams.sandbox.language_model.prompting import LabelledText
from streams.sandbox.model_server.features import words
from streams.sandbox.model_server.training import TrainingSet

#: Examples over all labels. On messages of Banking77's training part 8 a label did no better than 4.
EXAMPLES = 32
#: Longer messages would push the others out of the model's attention, 512 tokens in most of its layers.
_LONGEST = 240
_FEATURES = 20_000
_STARTS = 10


def choose_examples(rows: TrainingSet, count: int = EXAMPLES) -> tuple[LabelledText, ...]:
    """Return about ``count`` examples, as many of each label, one of each label in turn.

    The messages of a label fall into as many groups as it gets examples (k-means on TF-IDF); the message nearest to
    each group's centre is shown, that of the largest group last. In turn, because a base model repeats what it has
    just seen: with each label's examples in a row it was right on half as many messages.
    """
    texts: defaultdict[str, list[str]] = defaultdict(list)
    for text, label in zip(rows.texts, rows.labels, strict=True):
        texts[label].append(text)
    each = max(1, count // len(texts))
    chosen = {label: _unlike(_short(texts[label], each), each) for label in sorted(texts)}
    return tuple(
        LabelledText(chosen[label][place], label)
        for place in range(each)
        for label in chosen
        if place < len(chosen[label])
    )


def _short(texts: list[str], least: int) -> list[str]:
    short = [text for text in texts if len(text) <= _LONGEST and words(text)]
    return short if len(short) >= least else sorted(texts, key=len)[:least]


def _unlike(texts: list[str], count: int) -> list[str]:
    """Return the message nearest to the centre of each of ``count`` groups, by growing size of the group."""
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import TfidfVectorizer

    distinct = sorted(set(texts))  # the groups depend a little on the order, which the file's should not decide
    if len(distinct) <= count or not any(map(words, distinct)):
        return distinct[:count]
    vectors = TfidfVectorizer(analyzer=words, sublinear_tf=True, max_features=_FEATURES).fit_transform(distinct)
    groups = KMeans(count, n_init=_STARTS, random_state=0).fit(vectors)
    nearest = groups.transform(vectors).argmin(axis=0)
    by_size = np.argsort(np.bincount(groups.labels_, minlength=count), kind="stable")
    return [distinct[int(nearest[group])] for group in by_size]
