"Splits: purging against every pair of labels, paths, witnesses, and what is refused."

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skfolio.model_selection import CombinatorialPurgedCV as SkfolioCombinatorial
from skfolio.model_selection import WalkForward as SkfolioWalkForward
from skfolio.model_selection import cross_val_predict
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, TimeSeriesSplit, cross_val_score

from portfolio_ml.allocation.baselines import InverseVolatility
from portfolio_ml.backtest.splits import (
    CombinatorialPurgedCV,
    PurgedKFold,
    WalkForwardSplit,
    embargo,
    fold_bounds,
    folds_tested,
    label_times,
    path_numbers,
    purge,
    rows_later,
)
from portfolio_ml.backtest.walk_forward import walk_forward
from portfolio_ml.core.testing import factor_returns
from portfolio_ml.core.validation import DataError, InsufficientDataError, MissingDataError, ShapeError


def same(ours, theirs):
    "Assert that two cross-validators make the same splits; a list of test folds counts as one test set."
    for (a, b), (c, d) in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, np.concatenate(d) if isinstance(d, list) else d)


def meets(i, j, ends):
    "Tell whether the labels of two rows share a row."
    return max(i, j) <= min(ends[i], ends[j])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=4, max_size=60), st.integers(0, 9))
def test_purging_and_embargo_do_what_the_equations_say(rows, size):
    "Every pair of labels compared: no training label left meets a test label, none that does not is lost."
    reach, tested = (np.array(x) for x in zip(*rows))
    T = len(rows)
    ends = np.minimum(np.arange(T) + reach, T - 1)
    train, test = np.flatnonzero(~tested), np.flatnonzero(tested)
    kept = [i for i in train if not any(meets(i, j, ends) for j in test)]
    np.testing.assert_array_equal(purge(train, test, ends), kept)
    far = [i for i in train if not any(ends[j] < i <= ends[j] + size for j in test)]
    np.testing.assert_array_equal(embargo(train, test, ends, size), far)


def test_label_times_by_rows_share_time_and_dates():
    "Four ways of saying where labels end."
    days = pd.bdate_range("2024-01-01", periods=10)  # a Monday
    np.testing.assert_array_equal(label_times(10, 0), np.arange(10))
    np.testing.assert_array_equal(label_times(10, 3), np.minimum(np.arange(10) + 3, 9))
    np.testing.assert_array_equal(label_times(10, 0.2), np.minimum(np.arange(10) + 2, 9))
    for week in (pd.Timedelta("7D"), "7D", pd.offsets.Day(7)):
        np.testing.assert_array_equal(label_times(days, week), np.minimum(np.arange(10) + 5, 9))
    np.testing.assert_array_equal(label_times(days, pd.Timedelta("2D"))[3:5], [4, 4])  # over the weekend nothing is added
    between = pd.Series(days + pd.Timedelta("36h"), days)
    np.testing.assert_array_equal(label_times(days, ends=between), [1, 2, 3, 4, 4, 6, 7, 8, 9, 9])


@pytest.mark.parametrize("span", [-1, 1.5, True, "soon", None, np.nan])
def test_spans_that_make_no_sense_are_refused(span):
    "Neither rows, nor a share, nor time."
    with pytest.raises(DataError, match="span"):
        rows_later(np.arange(3), span, pd.bdate_range("2024", periods=3))


def test_time_without_dates_is_refused():
    "A length of time needs dates."
    with pytest.raises(DataError, match="no dates"):
        label_times(5, pd.Timedelta("1D"))


def test_label_ends_that_make_no_sense_are_refused():
    "Missing, before the row, or twice."
    days = pd.bdate_range("2024", periods=5)
    with pytest.raises(MissingDataError, match="2024-01-03"):
        label_times(days, ends=pd.Series(days, days).drop(days[2]))
    with pytest.raises(DataError, match="before its row"):
        label_times(days, ends=pd.Series(days[[0, 0, 2, 3, 4]], days))
    with pytest.raises(DataError, match="more than once"):
        label_times(days, ends=pd.Series(days[[0, 0]], days[[0, 0]]))


@pytest.mark.parametrize(("n", "k", "splits", "paths"), [(6, 2, 15, 5), (10, 2, 45, 9), (5, 1, 5, 1), (8, 4, 70, 35)])
def test_counts_of_splits_and_paths(n, k, splits, paths):
    "C(N, k) splits, k / N times as many paths, each path with every fold once."
    cv = CombinatorialPurgedCV(n, k)
    assert (cv.get_n_splits(), cv.n_paths, len(list(cv.split(np.zeros((4 * n, 1)))))) == (splits, paths, splits)
    folds, numbers = folds_tested(n, k), path_numbers(n, k)
    for path in range(paths):
        assert sorted(folds[numbers == path]) == list(range(n))


@pytest.mark.parametrize(("n", "k", "h", "b"), [(6, 2, 3, 2), (10, 2, 0, 0), (5, 3, 4, 0), (4, 2, 0, 5), (10, 8, 2, 1)])
def test_combinatorial_splits_agree_with_skfolio(n, k, h, b):
    "Rows divisible by the folds: splits and paths are the same."
    X, theirs = np.zeros((20 * n, 1)), SkfolioCombinatorial(n, k, purged_size=h, embargo_size=b)
    same(CombinatorialPurgedCV(n, k, horizon=h, embargo=b).split(X), theirs.split(X))
    np.testing.assert_array_equal(path_numbers(n, k), theirs.get_path_ids())


def test_folds_are_those_of_scikit_learn():
    "Without horizon and embargo, purged k-fold is k-fold."
    for T in (50, 53):
        same(PurgedKFold(5).split(np.zeros((T, 1))), KFold(5).split(np.zeros((T, 1))))
        assert fold_bounds(T, 5)[-1] == T


@pytest.mark.parametrize("kw", [{}, {"gap": 4}, {"gap": 2, "horizon": 2, "partial": True}, {"expanding": True, "horizon": 4}])
def test_walk_agrees_with_skfolio(kw):
    "The same training and test rows, and the same number of splits."
    X, left = np.zeros((207, 1)), kw.get("gap", 0) + kw.get("horizon", 0)
    how = dict(purged_size=left, expand_train=kw.get("expanding", False), reduce_test=kw.get("partial", False))
    ours, theirs = WalkForwardSplit(50, 20, **kw), SkfolioWalkForward(20, 50, **how)
    same(ours.split(X), theirs.split(X))
    assert ours.get_n_splits(X) == theirs.get_n_splits(X)


def test_walk_agrees_with_scikit_learn():
    "`TimeSeriesSplit` with a gap."
    X = np.zeros((120, 1))
    same(WalkForwardSplit(17, 20, gap=3, expanding=True).split(X), TimeSeriesSplit(5, gap=3, test_size=20).split(X))


def test_walk_with_dated_labels_purges():
    "Labels that end at a date leave as many rows out as the horizon does, inside the training window."
    days = pd.bdate_range("2024", periods=100)
    X, ends = pd.DataFrame(np.zeros((100, 1)), days), pd.Series(days[np.minimum(np.arange(100) + 5, 99)], days)
    for train, test in WalkForwardSplit(40, 20, label_ends=ends).split(X):
        assert test[0] - train[-1] == 6 and len(train) == 35


@pytest.mark.parametrize("rule", ["week", "month", "quarter"])
def test_walk_by_calendar_takes_the_decisions_of_the_engine(rule):
    "The training sets end where the engine decides."
    X = factor_returns(400, 4)
    bt = walk_forward(InverseVolatility(), X, window=100, rebalance=rule)
    splits = list(WalkForwardSplit(100, rule).split(X))
    assert [X.index[a[-1]] for a, _ in splits] == list(bt.targets["InverseVolatility"].index)
    assert np.concatenate([b for _, b in splits]).tolist() == list(range(splits[0][1][0], 400))
    with pytest.raises(DataError, match="needs dates"):
        list(WalkForwardSplit(100, rule).split(X.to_numpy()))


def test_scikit_learn_and_skfolio_take_them():
    "In `cross_val_score`, `GridSearchCV`, skfolio's `cross_val_predict`; a clone of a search keeps them."
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((200, 3)), rng.standard_normal(200)
    for cv in (PurgedKFold(4, horizon=3, embargo=0.01), CombinatorialPurgedCV(5, 2, horizon=2), WalkForwardSplit(100, 25)):
        assert len(cross_val_score(Ridge(), x, y, cv=cv)) == cv.get_n_splits(x)
        assert type(cv).__name__ in repr(clone(GridSearchCV(Ridge(), {"alpha": [1, 2]}, cv=cv)).fit(x, y))
    X = factor_returns(300, 5)
    earned = [cross_val_predict(InverseVolatility(), X, cv=cv) for cv in (WalkForwardSplit(100, 25), SkfolioWalkForward(25, 100))]
    np.testing.assert_allclose(*[np.asarray(e.returns) for e in earned])


def test_labels_by_date_survive_a_nested_split():
    "An inner split of a training set with gaps still finds the dates of its labels."
    days = pd.bdate_range("2024", periods=120)
    X, ends = pd.DataFrame({"x": np.arange(120.0)}, days), pd.Series(days[np.minimum(np.arange(120) + 4, 119)], days)
    cv = PurgedKFold(4, label_ends=ends, embargo=2)
    for train, _ in cv.split(X):
        inner = X.iloc[train]
        last = np.array([days.get_loc(d) for d in ends.loc[inner.index]])
        for a, b in cv.split(inner):
            assert not any(meets(i, j, dict(zip(train, last))) for i in train[a][:8] for j in train[b])
            assert len(a) and not set(a) & set(b)


@pytest.mark.parametrize(
    ("cv", "error", "match"),
    [
        (PurgedKFold(1), DataError, "n_splits"),
        (PurgedKFold(2.5), DataError, "n_splits"),
        (PurgedKFold(101), InsufficientDataError, "101 folds"),
        (CombinatorialPurgedCV(5, 5), DataError, "none to train on"),
        (CombinatorialPurgedCV(40, 20), DataError, "fewer folds"),
        (CombinatorialPurgedCV(5, 2, horizon=90), InsufficientDataError, "shorter horizon"),
        (CombinatorialPurgedCV(5, 2, embargo=-1), DataError, "span"),
        (WalkForwardSplit(100), InsufficientDataError, "100 rows"),
        (WalkForwardSplit(0), DataError, "train_size"),
        (WalkForwardSplit(10, 0), DataError, "test_size"),
        (WalkForwardSplit(10, "decade"), DataError, "decade"),
        (WalkForwardSplit(10, 10, gap=-1), DataError, "gap"),
        (WalkForwardSplit(10, 10, horizon=0.5), DataError, "horizon"),
    ],
)
def test_what_cannot_be_split_is_refused(cv, error, match):
    "Each wrong parameter by its name."
    with pytest.raises(error, match=match):
        list(cv.split(np.zeros((100, 1))))


def test_tables_out_of_order_are_refused():
    "Folds of neighbours need rows in order of time; nothing at all has no rows."
    with pytest.raises(DataError, match="sort_index"):
        list(PurgedKFold(3).split(factor_returns(50, 2).iloc[::-1]))
    with pytest.raises(ShapeError, match="no rows"):
        list(PurgedKFold(3).split(None))
