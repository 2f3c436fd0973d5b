"""The table that backends compute at export equals the reference's."""

import numpy as np
import pytest

from gemtab.backends.reference import sinusoids as reference
from gemtab.backends.sinusoids import sinusoids


@pytest.mark.parametrize(("count", "width"), [(1, 2), (13, 64), (25, 1024), (1001, 6)])
def test_the_table(count: int, width: int) -> None:
    found = sinusoids(count, width)
    assert found.shape == (count, width)
    assert found.dtype == np.float32
    # Both are computed in f64, by libraries that may differ in its last bit.
    np.testing.assert_allclose(found, reference(count=count, width=width).numpy(), rtol=2**-23, atol=1e-12)
