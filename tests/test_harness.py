"""The harness of forecasts: what may teach, when, what is scored, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import t as student
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from portfolio_ml.core.validation import DataError, InsufficientDataError, ShapeError
from portfolio_ml.core.worlds import empty_world, signal_world
from portfolio_ml.forecast.harness import (
    Forecasts,
    compare_forecasts,
    cosine_test,
    rank_correlation,
    read_task,
    refit_plan,
    to_wide,
    walk_forecast,
)


@pytest.fixture(scope="module")
def task():
    "Three assets, four years, a strong signal."
    return signal_world(1000, 3, strength=0.3, random_state=1).task()


class Spy(RegressorMixin, BaseEstimator):
    """A model that writes down what it was shown.

    Parameters
    ----------
    context : int
        Rows that it wants before the first it speaks for.
    warm_start : bool
        Whether it goes on from its last fit.
    """

    seen = []

    def __init__(self, context=0, warm_start=False):
        self.context, self.warm_start = context, warm_start

    def fit(self, X, y):
        "Count fits."
        self.fits_ = getattr(self, "fits_", 0) + 1
        Spy.seen.append(("fit", X.index.get_level_values(0)[[0, -1]], self.fits_))
        return self

    def predict(self, X):
        "Say how often it was fitted."
        Spy.seen.append(("predict", X.index.get_level_values(0)[[0, -1]], self.fits_))
        return np.full(len(X), float(self.fits_))


def test_only_known_labels_teach(task):
    "At row r the labels up to r - h teach, and the forecasts run to the next refit."
    X, y = task
    dates, Spy.seen = X.index.get_level_values(0).unique(), []
    walk = walk_forecast(Spy(), X, y, horizon=5, first=300, refit=100)
    fits = [d for what, d, _ in Spy.seen if what == "fit"]
    asks = [d for what, d, _ in Spy.seen if what == "predict"]
    for (_, last), (first, _) in zip(fits, asks):
        assert dates.get_loc(first) - dates.get_loc(last) == 5
    assert dates.get_loc(asks[0][0]) == 304 and asks[-1][1] == dates[-1]
    assert walk.truth.index[0] == asks[0][0] and (walk.predictions["Spy"] == 1).all(axis=None)


def test_context_and_warm_start(task):
    "A model of sequences is shown the rows before; a warm one goes on."
    X, y = task
    dates, Spy.seen = X.index.get_level_values(0).unique(), []
    walk = walk_forecast(Spy(context=10, warm_start=True), X, y, first=300, refit=300)
    first = next(d for what, d, _ in Spy.seen if what == "predict")[0]
    assert dates.get_loc(walk.truth.index[0]) - dates.get_loc(first) == 10
    assert_array_equal(np.unique(walk.predictions["Spy"]), [1, 2, 3])
    assert walk.predictions["Spy"].shape == walk.truth.shape


def test_forecasts_do_not_know_the_future(task):
    "Scrambling what comes after a date changes no forecast made before."
    X, y = task
    dates = X.index.get_level_values(0).unique()
    cut = dates[700]
    later = X.index.get_level_values(0) > cut
    rng, X2, y2 = np.random.default_rng(0), X.copy(), y.copy()
    X2.loc[later] = rng.standard_normal((later.sum(), X.shape[1]))
    y2[X.index.get_level_values(0) >= cut] = rng.standard_normal((X.index.get_level_values(0) >= cut).sum())
    model = make_pipeline(StandardScaler(), Ridge())
    a, b = (walk_forecast(model, *t, first=300, refit=50).predictions["Ridge"].loc[:cut] for t in ((X, y), (X2, y2)))
    assert_allclose(a, b, atol=1e-15)


def test_as_a_plain_loop(task):
    "Forecasts are those of scikit-learn, refitted by hand."
    X, y = task
    dates = X.index.get_level_values(0).unique()
    walk = walk_forecast({"ols": LinearRegression()}, X, y, first=400, window=250, refit=200)
    for step in refit_plan(dates, 1, 400, 250, 200):
        teach = X.index.get_level_values(0).isin(dates[step.first : step.last + 1])
        assert step.last - step.first == 249
        fitted = LinearRegression().fit(X[teach], y[teach])
        ask = X.index.get_level_values(0).isin(dates[step.row : step.until])
        assert_allclose(walk.predictions["ols"].loc[dates[step.row] : dates[step.until - 1]].to_numpy().ravel(), fitted.predict(X[ask]))


def test_missing_values(task):
    "Rows with gaps neither teach nor are spoken for, unless the model reads gaps; unknown labels do not teach."
    X, y = (x.copy() for x in task)
    X.iloc[1500, 2], y.iloc[30] = np.nan, np.nan
    models = {"ols": LinearRegression(), "trees": HistGradientBoostingRegressor(max_iter=3)}
    walk = walk_forecast(models, X, y, first=300)
    holes = {k: int(p.isna().sum().sum()) for k, p in walk.predictions.items()}
    assert holes == {"ols": 1, "trees": 0}
    taught = walk.fits.groupby("model")["rows that taught"].max()
    assert taught["trees"] == taught["ols"] + 1
    assert walk.scores(n_resamples=50).loc["ols", "forecasts"] == walk.truth.size - 1


def test_scores_are_what_they_say(task):
    "R2, hits and rank correlation against numpy, scipy and a benchmark."
    walk = walk_forecast({"a": LinearRegression(), "b": Ridge(1e6)}, *task, first=300)
    scores = walk.scores("b", n_resamples=200)
    f, b, t = (x.to_numpy() for x in (walk.predictions["a"], walk.predictions["b"], walk.truth))
    assert_allclose(scores.loc["a", "R2"], 1 - ((t - f) ** 2).sum() / ((t - b) ** 2).sum())
    assert scores.loc["b", "R2"] == 0
    ranks = [pd.Series(x).corr(pd.Series(y), method="spearman") for x, y in zip(t, f)]
    assert_allclose(scores.loc["a", "rank correlation"], np.mean(ranks))
    for s in ("R2", "hits", "rank correlation"):
        assert scores.loc["a", f"{s} low"] < scores.loc["a", s] < scores.loc["a", f"{s} high"]
    tests = compare_forecasts(walk, "b")
    assert list(tests.index) == ["a"] and tests.loc["a", "Clark-West p"] < 1e-6
    assert "horizon 1" in repr(walk) and "<table" in walk._repr_html_()
    assert walk.to_frame().shape == (t.size, 3)


def test_sizes_of_the_tests():
    "Clark and West's test rejects about as often as it says where nothing is planted; a mean test too."
    p = []
    for seed in range(60):
        world = empty_world(600, 3, random_state=seed, clustering=(0, 0))
        walk = walk_forecast(LinearRegression(), *world.task(), first=200, refit=200)
        p.append(compare_forecasts(walk).iloc[0, 2:].to_numpy(dtype=float))
    clark = (np.array(p)[:, 1] < 0.1).mean()
    assert clark < 0.1 + 3 * (0.1 * 0.9 / 60) ** 0.5
    drawn = np.random.default_rng(0).standard_normal((2000, 150))
    for h in (1, 5):  # labels that overlap too
        tests = [cosine_test(np.convolve(x, np.ones(h), "valid"), h) for x in drawn]
        p = [2 * student.sf(abs(mean / error), free) for mean, error, free in tests]
        assert abs((np.array(p) < 0.05).mean() - 0.05) < 0.02


def test_one_asset_needs_no_second_level():
    "A table by date alone is one asset."
    world = signal_world(600, 2, strength=0.3, random_state=0)
    X, y = world.task("A0")
    walk = walk_forecast(LinearRegression(), X, y, first=200)
    assert walk.truth.shape[1] == 1 and isinstance(walk, Forecasts)
    assert np.isnan(walk.scores(n_resamples=50)["rank correlation"].iloc[0])


def test_rank_correlation_with_gaps():
    "Ranks are taken among the assets that are there; two are too few."
    truth = np.array([[1.0, 2, 3, np.nan], [1, 2, np.nan, np.nan]])
    rho, counted = rank_correlation(truth, np.where(np.isnan(truth), np.nan, [[3.0, 2, 1, 0]]))
    assert_allclose(rho, [-1, 0])
    assert_array_equal(counted, [1, 0])


def test_bad_tasks_are_refused(task):
    "Order, duplicates, shapes, too few rows and wrong models are named."
    X, y = task
    with pytest.raises(ShapeError):
        read_task(X, y.iloc[1:])
    with pytest.raises(DataError, match="order"):
        read_task(X.iloc[::-1], y.iloc[::-1])
    with pytest.raises(DataError, match="more than once"):
        read_task(pd.concat([X.iloc[:3], X.iloc[:3]]), pd.concat([y.iloc[:3], y.iloc[:3]]))
    with pytest.raises(DataError):
        walk_forecast(LinearRegression(), X.to_numpy(), y)
    with pytest.raises(DataError, match="fit"):
        walk_forecast({"class": LinearRegression}, X, y)
    with pytest.raises(InsufficientDataError, match="999"):
        walk_forecast(LinearRegression(), X, y, first=5000)
    with pytest.raises(DataError):
        walk_forecast(LinearRegression(), X, y, horizon=0)
    with pytest.raises(DataError, match="'z'"):
        walk_forecast(LinearRegression(), X, y, first=300).scores("z")
    with pytest.raises(InsufficientDataError):
        cosine_test(np.ones(5))
    assert to_wide(y).shape == (999, 3)
