"Linear forecasts: sums against refits, sizes, ceilings, scikit-learn's conventions, and what is refused."

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from portfolio_ml.backtest.leaks import check_forecasts
from portfolio_ml.backtest.splits import WalkForwardSplit
from portfolio_ml.core.validation import DataError, InsufficientDataError, LookAheadError, PortfolioError, SolverError
from portfolio_ml.core.worlds import empty_world, signal_world
from portfolio_ml.forecast.harness import compare_forecasts, refit_plan, walk_forecast
from portfolio_ml.forecast.linear import (
    HistoricalMean,
    MovingAverageForecaster,
    RestrictedRegression,
    ZeroForecast,
    expected_r2,
    rows_needed,
    trailing_means,
)
from portfolio_ml.forecast.paths import (
    PerAsset,
    inner_folds,
    partial_coefficients,
    path_coefficients,
    running_moments,
    sparse_coefficients,
    walk_linear,
    window_moments,
)

TIGHT = dict(tol=1e-13, max_iter=200_000)


def scaled(*steps):
    "Scale, then fit."
    return make_pipeline(StandardScaler(), *steps)


@pytest.fixture(scope="module")
def task():
    "A world of three assets with a signal."
    return signal_world(900, 3, strength=0.2, noise_features=4, random_state=0).task(window=2)


@parametrize_with_checks(
    [ZeroForecast(), HistoricalMean(), HistoricalMean(5), RestrictedRegression(), RestrictedRegression(1, low=0.0), PerAsset(LinearRegression()),
     PerAsset(Ridge()), PerAsset(Lasso(0.01)), MovingAverageForecaster(3, learn=True)],
    expected_failed_checks=lambda e: dict.fromkeys(
        ("check_methods_sample_order_invariance", "check_methods_subset_invariance"), "a row is forecast from the rows before it"
    ) if isinstance(e, MovingAverageForecaster) else {},
)
def test_scikit_learns_conventions(estimator, check):
    "All that scikit-learn asks of a regressor."
    check(estimator)


@pytest.mark.parametrize("how", [dict(first=300), dict(first=300, window=300, refit="month", horizon=5), dict(first=250, refit=97)])
def test_sums_are_refits(task, how):
    "Every kind, penalty and window as scikit-learn refits it, with missing values and units far apart."
    X, y = task
    X = (X * np.logspace(-4, 4, X.shape[1]) + 3.0).mask(np.random.default_rng(1).random(X.shape) < 0.01)
    peers = {"least squares": scaled(LinearRegression()), "ridge 5": scaled(Ridge(5)), "ridge 500": scaled(Ridge(500))}
    peers |= {"pcr 2": scaled(PCA(2), LinearRegression()), "pls 1": PLSRegression(1), "pls 3": PLSRegression(3)}
    peers |= {"lasso 0.0003": scaled(Lasso(3e-4, **TIGHT)), "elastic net 0.0005": scaled(ElasticNet(5e-4, **TIGHT))}
    grids = {"least squares": [0], "ridge": [5, 500], "pcr": [2, 5], "pls": [1, 3], "lasso": [3e-4, 1e-3], "elastic net": [5e-4, 1e-3]}
    ours, theirs = walk_linear(X, y, grids, each=True, **how), walk_forecast(peers, X, y, **how)
    for name in peers:
        np.testing.assert_allclose(ours.predictions[name], theirs.predictions[name], atol=1e-8 * float(y.std()), err_msg=name)
    pd.testing.assert_frame_equal(ours.truth, theirs.truth)
    fits = theirs.fits.query("model == 'ridge 5'").reset_index(drop=True)
    mine = ours.fits.query("model == 'ridge'").reset_index(drop=True)
    pd.testing.assert_frame_equal(mine.drop(columns=["model", "chosen"]), fits.drop(columns="model"), check_dtype=False)


@pytest.mark.parametrize("horizon", [1, 5])
def test_the_penalty_is_that_of_a_grid_search(horizon):
    "Scikit-learn's search over the house's walk-forward splits chooses the same."
    X, y = signal_world(1000, 1, strength=0.15, random_state=3).task("A0")
    y = y.rolling(horizon).sum().shift(1 - horizon)
    alphas, walk = [1, 30, 300, 3000, 30_000], None
    walk = walk_linear(X, y, {"ridge": alphas}, first=400, refit=150, horizon=horizon, n_folds=4)
    for teach, best in walk.fits[["rows that taught", "chosen"]].to_numpy().astype(int):
        half = teach // 2
        split = WalkForwardSplit(half, (teach - half - horizon) // 4, expanding=True, horizon=horizon)
        search = GridSearchCV(scaled(Ridge()), {"ridge__alpha": alphas}, cv=split, scoring="neg_mean_squared_error")
        assert search.fit(X.iloc[:teach], y.iloc[:teach]).best_params_["ridge__alpha"] == best


def test_folds_leave_a_horizon_out():
    "Training stops a horizon before its test, tests follow one another, and none leaves its window."
    plan = refit_plan(pd.bdate_range("2000-01-03", periods=900), horizon=7, first=300, window=350)
    folds = inner_folds(plan, 7, 5)
    assert (folds[:, :, 2] - folds[:, :, 1] == 7).all() and (folds[:, 1:, 2] == folds[:, :-1, 3]).all()
    assert (folds[:, -1, 3] <= np.array([p.last + 1 for p in plan])).all()
    assert (folds[:, :, 0] == np.array([[p.first] for p in plan])).all()


def sums_of(X, y):
    "Moments of one window."
    return window_moments(running_moments(X, y, np.array([0, len(X)]), np.array([0, 1]), len(X)).between([0], [1]))


def test_degenerate_features(task):
    "Copies, constants and more features than rows give the smallest coefficients; nothing is NaN."
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 3)), rng.standard_normal(30)
    twin = np.column_stack([X, X[:, 0], np.ones(30)])
    coef = path_coefficients(sums_of(twin, y), "least squares", [0])[0, 0, 1:]
    np.testing.assert_allclose(coef[0], coef[3])
    assert coef[4] == 0
    wide = rng.standard_normal((8, 20))
    for kind, value in (("least squares", 0), ("ridge", 1.0), ("pcr", 20), ("pls", 20), ("lasso", 0.1)):
        assert np.isfinite(path_coefficients(sums_of(wide, y[:8]), kind, [value])).all(), kind
    z = (wide - wide.mean(axis=0)) / wide.std(axis=0)
    ours = path_coefficients(sums_of(wide, y[:8]), "least squares", [0])[0, 0, 1:]
    np.testing.assert_allclose(ours.shape, (20,))
    least = np.linalg.lstsq(z, y[:8] - y[:8].mean(), rcond=None)[0]
    found = partial_coefficients(sums_of(wide, y[:8]), np.array([20]))[0, 0]
    np.testing.assert_allclose(z @ found, z @ least, atol=1e-6)


def test_lasso_on_correlated_features():
    "Strongly correlated features, as moving averages are: the conditions of an optimum hold, and scikit-learn agrees."
    rng = np.random.default_rng(2)
    steps = rng.standard_normal((2000, 1))
    X = np.column_stack([pd.DataFrame(steps).ewm(k).mean() for k in (3, 4, 5, 20, 21)])
    y = X[:, 1] - X[:, 3] + rng.standard_normal(2000)
    for alpha in (1e-4, 1e-2, 0.1):
        ours = sparse_coefficients(sums_of(X, y), np.array([alpha]))[0, 0]
        theirs = scaled(Lasso(alpha, tol=1e-14, max_iter=1_000_000)).fit(X, y)[-1].coef_
        np.testing.assert_allclose(ours, theirs, atol=1e-7)


def test_lasso_says_when_it_fails():
    "No answer without its certificate."
    X = np.random.default_rng(0).standard_normal((50, 4))
    with pytest.raises(SolverError, match="no optimum"):
        sparse_coefficients(sums_of(X, X[:, 0]), np.array([0.01]), max_rounds=0)


@pytest.mark.parametrize("model", [LinearRegression(), Ridge(20.0), HistoricalMean(), HistoricalMean(50), Lasso(1e-3), scaled(Ridge(1.0)), MovingAverageForecaster(4, "lag0")])
def test_per_asset_is_a_loop(task, model):
    "Batched or cloned, as one fit an asset; unmet assets have no forecast; the order of assets does not matter."
    X, y = task
    ours = pd.Series(PerAsset(model).fit(X, y).predict(X), X.index)
    for name in ("A0", "A2"):
        own = X.xs(name, level=1)
        np.testing.assert_allclose(ours.xs(name, level=1), clone(model).fit(own, y.xs(name, level=1)).predict(own), atol=1e-12)
    some = X.drop("A1", level=1)
    partly = PerAsset(model).fit(some, y.loc[some.index]).predict(X).reshape(-1, 3)
    assert np.isnan(partly[:, 1]).all() and np.isfinite(partly[:, [0, 2]]).all()


def test_per_asset_in_the_walk(task):
    "Runs in the harness, with context where its estimator needs it."
    X, y = task
    model = MovingAverageForecaster(10, "lag0")
    both = walk_forecast({"apart": PerAsset(model), "pooled": model}, X, y, first=300)
    np.testing.assert_allclose(both.predictions["apart"], both.predictions["pooled"], atol=1e-15)
    whole = X["lag0"].unstack().rolling(10).mean().loc[both.truth.index]
    np.testing.assert_allclose(both.predictions["apart"], whole, atol=1e-15)


def test_trailing_means_are_pandas():
    "Sums that run, against groupby and rolling."
    rng = np.random.default_rng(0)
    values, codes = rng.standard_normal(500), rng.integers(0, 4, 500)
    slow = pd.Series(values).groupby(codes).rolling(7, min_periods=1).mean().droplevel(0).sort_index()
    np.testing.assert_allclose(trailing_means(values, codes, 7), slow, atol=1e-14)


def test_means_over_dates(task):
    "A window counts dates, not rows."
    X, y = task
    last = y.index.get_level_values(0).unique()[-20:]
    assert HistoricalMean(20).fit(X, y).mean_ == pytest.approx(y.loc[last].mean())
    assert (ZeroForecast().fit(X, y).predict(X) == 0).all()


def test_signs_and_bounds():
    "Within the signs it is the best fit; free it is least squares; bounds cut."
    from scipy.optimize import nnls

    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 4)) * [1, 10, 0.1, 1]
    y = X @ [1, -0.1, 3, -1] + rng.standard_normal(80)
    free, ours = LinearRegression().fit(X, y), RestrictedRegression().fit(X, y)
    np.testing.assert_allclose(np.r_[ours.coef_, ours.intercept_], np.r_[free.coef_, free.intercept_])
    up = RestrictedRegression(1).fit(X, y)
    np.testing.assert_allclose(up.coef_, nnls(X - X.mean(axis=0), y - y.mean())[0], atol=1e-10)
    np.testing.assert_allclose(RestrictedRegression(1).fit(-X, y).coef_, -RestrictedRegression(-1).fit(X, y).coef_, atol=1e-12)
    cut = RestrictedRegression(low=-0.5, high=0.5).fit(X, y).predict(X)
    assert cut.min() == -0.5 and cut.max() == 0.5


@pytest.mark.parametrize("seed", range(2))
def test_the_price_of_learning(seed):
    "Least squares loses what the formula says, on average over histories."
    rng, found = np.random.default_rng(seed), []
    k, n, r2 = 5, 60, 0.1
    beta = np.full(k, (r2 / k) ** 0.5)
    for _ in range(300):
        X = rng.standard_normal((n, k))
        fit = LinearRegression().fit(X, X @ beta + (1 - r2) ** 0.5 * rng.standard_normal(n))
        found.append(r2 - ((fit.coef_ - beta) ** 2).sum() - fit.intercept_**2)
    assert abs(np.mean(found) - expected_r2(n, k, r2)) < 3.5 * np.std(found) / 300**0.5


def test_break_even():
    "The closed forms, and what they refuse."
    assert rows_needed(11, 0.002) == pytest.approx(5489)
    assert abs(expected_r2(5489 + 12, 10, 0.002)) < 1e-5
    for bad in (dict(n_features=0, r2=0.1), dict(n_features=1, r2=0.0), dict(n_features=1, r2=1.5)):
        with pytest.raises(DataError):
            rows_needed(**bad)
    with pytest.raises(InsufficientDataError):
        expected_r2(10, 9, 0.1)


def test_the_size_of_clark_west_through_the_walk():
    "Where nothing is planted it rejects about as often as it says."
    p = [
        compare_forecasts(walk_linear(*empty_world(450, 1, random_state=s).task(), {"least squares": [0]}, first=200, refit=50))["Clark-West p"].iloc[0]
        for s in range(60)
    ]
    assert np.mean(np.array(p) < 0.05) < 0.05 + 3 * (0.05 * 0.95 / 60) ** 0.5


def test_nothing_looks_ahead():
    "Forecasts do not move when what comes later does; a horizon that is told too short is caught."
    X, y = signal_world(500, 1, strength=0.1, random_state=0).task("A0")
    y = y.rolling(5).sum().shift(-4).iloc[:-4]
    X = X.loc[y.index]

    def forecast(horizon):
        return lambda X, y: walk_linear(X, y, {"ridge": [1, 100], "lasso": [1e-4, 1e-3]}, first=200, horizon=horizon, refit=2).predictions["ridge"].iloc[:, 0].reindex(X.index)

    check_forecasts(forecast(5), X, y, horizon=5)
    with pytest.raises(LookAheadError):
        check_forecasts(forecast(1), X, y, horizon=5)


def test_what_is_refused(task):
    "Each mistake has its error, which names it."
    X, y = task
    for paths, match in (
        ({"tree": [1]}, "'tree'"), ({"ridge": [-1]}, "penalties"), ({"pcr": [0]}, "from 1 on"), ({"pls": [99]}, "at most"),
        ({"lasso": []}, "penalties"), ({"ridge": [np.nan]}, "penalties"), ({"pcr": [1.5]}, "whole numbers"), ({"least squares": [1]}, "no penalty"),
    ):
        with pytest.raises(DataError, match=match):
            walk_linear(X, y, paths, first=300)
    with pytest.raises(InsufficientDataError, match="n_folds"):
        walk_linear(X, y, {"ridge": [1, 2]}, first=20, n_folds=50)
    with pytest.raises(InsufficientDataError, match="teach nothing"):
        walk_linear(X * np.nan, y, {"ridge": [1]}, first=300)
    for make in (
        lambda: HistoricalMean(0).fit(X, y), lambda: HistoricalMean(1.5).fit(X, y), lambda: MovingAverageForecaster(0).fit(X, y),
        lambda: MovingAverageForecaster(column="close").fit(X, y), lambda: MovingAverageForecaster(column=99).fit(X, y),
        lambda: RestrictedRegression((1, 2)).fit(X, y), lambda: RestrictedRegression(2).fit(X, y), lambda: PerAsset(Ridge(), min_rows=10**6).fit(X, y),
    ):
        with pytest.raises(PortfolioError):
            make()
