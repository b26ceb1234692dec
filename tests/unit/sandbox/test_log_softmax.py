from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax as reference

from streams.sandbox.log_softmax import log_softmax


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(4,), (3, 200_000)])
def test_it_equals_the_reference_in_the_type_that_it_was_given(shape: tuple[int, ...], dtype: Any) -> None:
    logits = np.random.default_rng(0).normal(0.0, 5.0, shape).astype(dtype)
    found = log_softmax(logits)
    assert found.dtype == dtype
    # pytest.approx looks at one number after the other.
    np.testing.assert_allclose(found, reference(logits.astype(np.float64), axis=-1), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_log_probability_is_above_zero(dtype: Any) -> None:
    assert log_softmax(np.array([90.0, -90.0], dtype=dtype)).max() <= 0.0
