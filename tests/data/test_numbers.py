from __future__ import annotations

import numpy as np
import pytest

from recell.data.numbers import check_finite
from recell.errors import DataError


@pytest.mark.parametrize(("value", "said"), [(np.nan, "no number"), (np.inf, "no number"), (-np.inf, "no number"),
                                             (1e300, "too large; came 1e"), (-1e31, "too large; came -1e")])  # fmt: skip
def test_what_float32_cannot_reckon_with_is_refused(value: float, said: str) -> None:
    values = np.zeros((3, 2))
    check_finite(values, "x")
    check_finite(np.full((2, 2), 2**62), "x")
    values[1, 1] = value
    with pytest.raises(DataError, match=f"^row 7, step 2 has a value that is {said}"):
        check_finite(values, "row 7", step="step")
    with pytest.raises(DataError, match="^row 7 has a value that is too large beside those of training"):
        check_finite(values, "row 7", scaled=True)
