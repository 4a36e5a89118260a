"""Detectors are scikit-learn estimators; the checks that do not apply, with their reasons."""

from __future__ import annotations

import copy
import os
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator

from slidecell.detect import Detector
from tests.detectors import ALL, WINDOWED, make, series

EVERYWHERE = {
    "check_complex_data": "complex numbers are a TypeError, as everywhere in this package",
    "check_dtype_object": "columns of objects are a TypeError, even where they hold numbers",
}
OF_WINDOWS = {
    "check_methods_sample_order_invariance": "rows are a series: their order matters",
    "check_methods_subset_invariance": "a piece shorter than a window is refused",
}


@pytest.mark.parametrize("kind", ALL)
def test_estimator_checks_pass(kind: str) -> None:
    expected = EVERYWHERE | (OF_WINDOWS if kind in WINDOWED else {})
    short = {"window": 2} if kind in WINDOWED else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some checks warn of what they skip
        results = check_estimator(
            make(kind, **short), expected_failed_checks=expected, on_skip=None, on_fail="raise"
        )
    statuses = {result["check_name"]: result["status"] for result in results}
    # A reason for a check that passes would be a false statement.
    assert {name for name, status in statuses.items() if status == "xfail"} == set(expected)
    skipped = {name for name, status in statuses.items() if status == "skipped"}
    assert skipped <= {"check_array_api_input"}, os.environ.get("SCIPY_ARRAY_API")


@pytest.mark.parametrize("kind", ALL)
def test_constructor_stores_and_clone_forgets_the_fit(kind: str) -> None:
    detector = make(kind, contamination=0.1)
    parameters = detector.get_params()
    fitted = detector.fit(series())
    assert {name: repr(value) for name, value in fitted.get_params().items()} == {
        name: repr(value) for name, value in parameters.items()
    }
    fresh = clone(fitted)
    assert fresh.contamination == 0.1
    with pytest.raises(NotFittedError):
        fresh.predict(series())
    assert fresh.set_params(contamination=0.2).contamination == 0.2


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))])
@pytest.mark.parametrize("kind", ALL)
def test_copies_score_the_same(kind: str, copied: Any) -> None:
    X = series()
    detector = make(kind).fit(X)
    assert np.array_equal(copied(detector).score_samples(X), detector.score_samples(X), True)


def test_detectors_do_not_inherit_outlier_mixin() -> None:
    assert not any(base.__name__ == "OutlierMixin" for base in Detector.__mro__)
