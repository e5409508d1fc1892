"Readers of vectors and covariance matrices: by name, in order, refused by asset."

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import LedoitWolf

from portfolio_ml.core.moments import (
    check_covariance,
    label,
    read_square,
    read_vector,
    sample_covariance,
    window_covariance,
    window_mean,
)
from portfolio_ml.core.validation import (
    ConstantAssetError,
    DataError,
    DuplicateAssetError,
    MissingDataError,
    NonFiniteError,
    ShapeError,
)

NAMES = pd.Index(list("ABC"))
NUMBERS = pd.RangeIndex(3)


@pytest.mark.parametrize(
    ("x", "names"),
    [
        ([1, 2, 3], NAMES),
        ({"C": 3, "A": 1, "B": 2}, NAMES),
        (pd.Series([3, 2, 1], list("CBA")), NAMES),
        (pd.Series([1, 2, 3], list("XYZ")), NUMBERS),  # names where the question has none: in order
        (pd.Series([3, 1, 2], [2, 0, 1]), NUMBERS),  # numbers as names: by name
        ({2: 3, 0: 1, 1: 2}, NUMBERS),
    ],
)
def test_vectors_are_read_by_name_or_in_order(x, names):
    np.testing.assert_array_equal(read_vector(x, names, "mean"), [1, 2, 3])


@pytest.mark.parametrize(
    ("error", "words", "x", "options"),
    [
        (ShapeError, "3 numbers", [1, 2], {}),
        (ShapeError, r"shape \(1, 3\)", [[1, 2, 3]], {}),
        (ShapeError, r"shape \(\)", 1.0, {"spread": False}),
        (DataError, "absent: C; unknown: D", {"A": 1, "B": 2, "D": 3}, {}),
        (DataError, "each asset once", pd.Series([1, 2, 3, 4], list("ABCA")), {}),
        (DataError, "not a number", ["x", 1, 2], {}),
        (DataError, "must be given", None, {}),
        (MissingDataError, "B", [1, np.nan, 3], {}),
        (MissingDataError, "B; None means", [1, np.nan, 3], {"finite": False}),
        (NonFiniteError, "C", [1, 2, np.inf], {}),
    ],
)
def test_vectors_are_refused_by_asset(error, words, x, options):
    with pytest.raises(error, match=words):
        read_vector(x, NAMES, "mean", **options)


def test_none_and_infinity_are_allowed_where_asked():
    np.testing.assert_array_equal(read_vector(None, NAMES, "max", none=np.inf, finite=False), np.inf)
    np.testing.assert_array_equal(read_vector(2, NAMES, "max"), 2)


def test_labels_come_back_as_they_went_in():
    assert isinstance(label(np.ones(3), NUMBERS), np.ndarray)
    assert label(np.ones(3), NAMES, "weight").name == "weight"
    assert label(np.eye(3), NAMES).loc["B", "B"] == 1
    assert list(label(np.ones(3), pd.RangeIndex(1, 4)).index) == [1, 2, 3]


@pytest.mark.parametrize(
    ("error", "words", "matrix"),
    [
        (ShapeError, "square", np.ones((2, 3))),
        (ShapeError, "square", pd.DataFrame(np.ones((2, 3)))),
        (ShapeError, "square", []),
        (DataError, "numbers", [["a"]]),
        (DataError, "same order", pd.DataFrame(np.eye(2), list("AB"), list("BA"))),
        (DuplicateAssetError, "A", pd.DataFrame(np.eye(2), list("AA"), list("AA"))),
        (MissingDataError, "B", pd.DataFrame(np.diag([1, np.nan]), list("AB"), list("AB"))),
        (NonFiniteError, "1", np.diag([1, np.inf])),
        (ConstantAssetError, "of 1", np.diag([1.0, 0])),
        (DataError, "of 1", np.diag([1.0, -1])),
        (DataError, "symmetric", [[1, 0.5], [0.4, 1]]),
        (DataError, "semidefinite", [[1, 2], [2, 1]]),
    ],
)
def test_what_is_no_covariance_is_refused(error, words, matrix):
    with pytest.raises(error, match=words):
        check_covariance(matrix)


def test_covariances_are_taken_apart():
    rng = np.random.default_rng(0)
    matrix = np.cov(rng.standard_normal((5, 9)) * np.logspace(-6, 6, 9), rowvar=False)  # singular, of any scale
    values, volatility, correlation, names = check_covariance(matrix)
    np.testing.assert_allclose(values, matrix)
    np.testing.assert_allclose(correlation * np.outer(volatility, volatility), matrix)
    assert isinstance(names, pd.RangeIndex) and values is not matrix
    cash = check_covariance(np.diag([1.0, 0]), riskless=True)
    np.testing.assert_array_equal(cash[2], np.diag([1.0, 0]))
    with pytest.raises(DataError, match="semidefinite"):
        check_covariance([[1, 0.1], [0.1, 0]], riskless=True)
    with pytest.raises(ShapeError, match="2 assets do not fit 3 names"):
        read_square(np.eye(2), names=NAMES)


def test_windows():
    returns = np.random.default_rng(0).standard_normal((50, 3))
    np.testing.assert_allclose(sample_covariance(returns), np.cov(returns, rowvar=False))
    np.testing.assert_allclose(window_covariance(None, returns), np.cov(returns, rowvar=False))
    np.testing.assert_allclose(window_covariance(LedoitWolf(), returns), LedoitWolf().fit(returns).covariance_)
    np.testing.assert_allclose(window_mean(LedoitWolf(), returns, NAMES), returns.mean(axis=0))
    np.testing.assert_array_equal(window_mean({"B": 2, "A": 1, "C": 3}, returns, NAMES), [1, 2, 3])
    from sklearn.preprocessing import StandardScaler

    with pytest.raises(DataError, match="StandardScaler has no `covariance_`"):
        window_covariance(StandardScaler(), returns)
    with pytest.raises(DataError, match="StandardScaler has no `mu_`"):
        window_mean(StandardScaler(), returns, NAMES)
