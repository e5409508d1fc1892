"Boosted trees: purged stopping, both libraries, threads, importance that holds later, scikit-learn's conventions, and what is refused."

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from portfolio_ml.backtest.leaks import check_forecasts
from portfolio_ml.backtest.splits import label_times, purge
from portfolio_ml.core.validation import DataError, InsufficientDataError, LookAheadError, MissingExtraError
from portfolio_ml.core.worlds import empty_world, signal_world
from portfolio_ml.forecast.boosting import BoostedTrees, boosting_rows, walk_importance, walk_rises
from portfolio_ml.forecast.harness import walk_forecast

SAME = dict(n_assets=3, volatility=(0.015, 0.015), correlation=0.0)
LIBRARIES = ["sklearn", "lightgbm"]


@pytest.fixture(scope="module")
def task():
    "A world where a product of features matters."
    return signal_world(1500, kind="interaction", strength=0.4, random_state=0, **SAME).task()


@parametrize_with_checks([BoostedTrees(10), BoostedTrees(10, validation=0, min_leaf=1, n_seeds=2), BoostedTrees(10, library="lightgbm")])
def test_scikit_learns_conventions(estimator, check):
    "All that scikit-learn asks of a regressor."
    check(estimator)


@pytest.mark.parametrize("horizon", [1, 5, 21])
def test_no_label_that_teaches_reaches_into_those_that_judge(horizon):
    "Purging by label times would take no further row, and dates stay whole."
    index = pd.MultiIndex.from_product([pd.bdate_range("2020-01-01", periods=200), list("abc")])
    teach, judge = boosting_rows(pd.Series(0.0, index), 600, 0.25, horizon)
    dates = [np.unique(rows // 3) for rows in (teach, judge)]
    assert all(len(rows) == 3 * len(d) for rows, d in zip((teach, judge), dates))
    np.testing.assert_array_equal(purge(*dates, label_times(200, horizon)), dates[0])
    assert dates[1][0] - dates[0][-1] == horizon + 1 and dates[1][-1] == 199 and len(dates[1]) == 50


def test_too_few_dates_judge_nothing():
    "Then all rows teach."
    teach, judge = boosting_rows(np.zeros((12, 2)), 12, 0.25, 1)
    assert len(teach) == 12 and not len(judge)
    assert BoostedTrees(5).fit(np.random.default_rng(0).random((12, 2)), np.arange(12.0)).trees_ == 5


@pytest.mark.parametrize("library", LIBRARIES)
def test_finds_a_product_and_a_line_does_not(task, library):
    "More than half of the ceiling, out of sample."
    X, y = task
    old, new = slice(0, 3600), slice(3603, None)
    r2 = [1 - ((y.iloc[new] - m.fit(X.iloc[old], y.iloc[old]).predict(X.iloc[new])) ** 2).sum() / (y.iloc[new] ** 2).sum()
          for m in (BoostedTrees(150, 0.1, feature_share=1.0, library=library), LinearRegression())]  # fmt: skip
    assert r2[0] > 0.08 and r2[1] < 0.01


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_same_on_one_and_two_threads(task, library):
    "The same seeds give the same forecasts."
    X, y = (t.iloc[:150] for t in task)
    found = []
    for threads in (1, 2, 1):
        with threadpool_limits(threads):
            found.append(BoostedTrees(2, min_leaf=10, library=library, random_state=7).fit(X, y).predict(X))
    np.testing.assert_allclose(found[1], found[0], atol=1e-12)
    np.testing.assert_array_equal(found[2], found[0])


def test_no_tree_may_be_the_best():
    "Where later dates see no gain, the mean is forecast."
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((400, 2)), rng.standard_normal(400)
    y[300:] = -5 * X[300:, 0]
    y[:300] = 5 * X[:300, 0]  # what was learned turns round
    model = BoostedTrees(50, min_leaf=5, validation=0.25).fit(X, y)
    assert model.trees_ == 0 and model.members_ == [] and (model.predict(X) == y.mean()).all()


def test_is_the_library_that_it_wraps(task):
    "Without stopping it is scikit-learn's booster on standardised labels."
    X, y = task
    ours = BoostedTrees(20, 0.1, 8, 30, 2.0, 1.0, validation=0).fit(X, y).predict(X)
    peer = HistGradientBoostingRegressor(max_iter=20, learning_rate=0.1, max_leaf_nodes=8, min_samples_leaf=30, l2_regularization=2.0, early_stopping=False)
    z = (y - y.mean()) / y.std(ddof=0)
    np.testing.assert_allclose(ours, y.mean() + y.std(ddof=0) * peer.fit(X.to_numpy(), z).predict(X.to_numpy()), atol=1e-12)


def test_stops_where_the_curve_is_lowest(task):
    "The number of trees is that of the lowest point, and grown again from all rows or kept."
    X, y = task
    model = BoostedTrees(30, 0.1, feature_share=1.0, n_seeds=3).fit(X, y)
    assert model.trees_ == model.curve_.argmin() and len(model.members_) == 3 and model.curve_[0] == 1
    kept = clone(model).set_params(refit=False).fit(X, y)
    assert kept.trees_ == model.trees_ and not np.allclose(kept.predict(X), model.predict(X))


@pytest.mark.parametrize("library", LIBRARIES)
def test_monotone(library):
    "Forecasts move only in the direction that is allowed."
    X, y = signal_world(600, strength=0.3, random_state=0, **SAME).task()
    grid = pd.DataFrame(np.zeros((40, 5)), columns=X.columns).assign(x1=np.linspace(-3, 3, 40))
    for sign, given in ((1, {"x1": 1}), (-1, (-1, 0, 0, 0, 0))):
        told = BoostedTrees(40, monotone=given, validation=0, library=library, feature_share=1.0).fit(X, y).predict(grid)
        assert (sign * np.diff(told) >= -1e-12).all()
    assert np.ptp(told) < np.ptp(BoostedTrees(40, validation=0, library=library, feature_share=1.0).fit(X, y).predict(grid))


@pytest.mark.parametrize("library", LIBRARIES)
def test_missing_features_are_read(task, library):
    "The harness hands them over, and there is a forecast for each row."
    X, y = task
    holes = X.mask(np.random.default_rng(0).random(X.shape) < 0.1)
    walk = walk_forecast(BoostedTrees(10, library=library), holes, y, first=900, refit=300)
    assert walk.predictions["BoostedTrees"].notna().all(axis=None)


def test_importance_finds_the_signal_and_not_the_noise():
    "One-sided p: the signal always, noise about as often as the level says."
    found = []
    for seed in range(12):
        X, y = signal_world(700, strength=0.2, random_state=seed, **SAME).task()
        found.append(walk_importance(BoostedTrees(15, 0.1, validation=0, min_leaf=30), X, y, first=350, refit=350, n_repeats=1))
    p = pd.DataFrame([f["p"] for f in found])
    assert (p["x1"] < 0.05).mean() > 0.8
    assert (p.drop(columns="x1") < 0.05).to_numpy().mean() < 0.05 + 3 * (0.05 * 0.95 / 48) ** 0.5


@pytest.mark.parametrize("how", [dict(max_leaves=8, l2=3.0), dict(max_leaves=4, min_leaf=5, monotone={"x1": 1}), dict(max_leaves=2, learning_rate=0.3)])
def test_two_libraries_grow_the_same_trees(task, how):
    "Where features have fewer values than bins there is nothing to differ about."
    X, y = task
    coarse = X.iloc[:1800].clip(-2, 2).round(1)
    ours, peers = (BoostedTrees(**({"n_trees": 40, "validation": 0, "feature_share": 1.0} | how), library=n).fit(coarse, y.iloc[:1800]).predict(coarse) for n in LIBRARIES)
    assert ours.std() > 0
    np.testing.assert_allclose(ours, peers, atol=1e-6 * ours.std())


def test_importance_is_the_mean_of_what_the_fits_say():
    "By fit and date, and steady is the share of fits after which it is positive."
    X, y = signal_world(600, strength=0.3, random_state=1, **SAME).task()
    how = dict(first=300, refit=100, n_repeats=1)
    rises = walk_rises(LinearRegression(), X, y, **how)
    found = walk_importance(LinearRegression(), X, y, **how)
    np.testing.assert_allclose(found["importance"], rises.mean())
    by_fit = rises.groupby(level="fit").mean()
    assert len(by_fit) == 3 and found.loc["x1", "steady"] == 1
    np.testing.assert_allclose(found["steady"], (by_fit > 0).mean())


def test_a_feature_that_is_never_used_is_worth_exactly_nothing():
    "No rise, no error, and a p-value of one half."
    X, y = signal_world(400, strength=0.3, random_state=1, **SAME).task()
    found = walk_importance(BoostedTrees(3, validation=0, max_leaves=2), X.assign(flat=1.0), y, first=200, refit=200)
    assert found.loc["flat"].tolist() == [0, 0, 0.5, 0]


def test_importance_of_a_line_is_known():
    "Shuffling one feature of a regression costs twice its coefficient squared times its variance."
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.standard_normal((6000, 3)), pd.bdate_range("2000-01-03", periods=6000), list("abc"))
    y = (X @ [0.5, 0.2, 0.0] + rng.standard_normal(6000)).rename("y")
    found = walk_importance(LinearRegression(), X, y, first=1000, refit=2500, n_repeats=2)
    share = 2 * np.array([0.25, 0.04, 0.0]) / (1 + 0.29)
    assert (abs(found["importance"] - share) < 4 * found["error"] + 1e-3).all()
    same = walk_importance(LinearRegression(), X, y, first=1000, refit=2500, n_repeats=2)
    pd.testing.assert_frame_equal(found, same)


def test_nothing_looks_ahead():
    "Forecasts do not move when what comes later does; a horizon that is told too short is caught."
    X, y = empty_world(230, 1, random_state=0).task("A0")
    y = y.rolling(5).sum().shift(-4).iloc[:-4]

    def forecast(horizon):
        def made(X, y):
            walk = walk_forecast(BoostedTrees(3, min_leaf=10, horizon=horizon), X, y, first=180, horizon=horizon, refit=6)
            return walk.predictions["BoostedTrees"].iloc[:, 0].reindex(X.index)

        return made

    check_forecasts(forecast(5), X.loc[y.index], y, horizon=5, n_cuts=2)
    with pytest.raises(LookAheadError):
        check_forecasts(forecast(1), X.loc[y.index], y, horizon=5)


@pytest.mark.parametrize(("wrong", "match"), [
    (dict(n_trees=0), "n_trees"), (dict(max_leaves=1), "max_leaves"), (dict(min_leaf=0.5), "min_leaf"), (dict(learning_rate=0), "learning_rate"),
    (dict(learning_rate=2), "learning_rate"), (dict(feature_share=1.5), "feature_share"), (dict(validation=-0.1), "validation"), (dict(validation=1), "validation"),
    (dict(l2=-1), "l2"), (dict(horizon=-1), "horizon"), (dict(patience=0), "patience"), (dict(n_seeds=0), "n_seeds"), (dict(library="x"), "library"),
    (dict(monotone={"x9": 1}), "x9"), (dict(monotone=(1, 2)), "signs"), (dict(learning_rate=np.nan), "learning_rate"),
])  # fmt: skip
def test_what_is_refused(task, wrong, match):
    "Each mistake is named."
    with pytest.raises(DataError, match=match):
        BoostedTrees(**wrong).fit(*task)


def test_importance_without_a_block_to_judge():
    "Too little history says so."
    X, y = empty_world(120, 1, random_state=0).task("A0")
    with pytest.raises(InsufficientDataError):
        walk_importance(LinearRegression(), X, y, first=500)
    with pytest.raises(InsufficientDataError):
        walk_importance(LinearRegression(), X, y, first=117)


def test_says_which_extra_is_missing(task, monkeypatch):
    "LightGBM is asked for where it is used."
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(MissingExtraError, match="ml"):
        BoostedTrees(5, library="lightgbm").fit(*task)
    BoostedTrees(5).fit(*task)
