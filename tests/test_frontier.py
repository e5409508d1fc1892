"""The exact frontier under stress: families of degenerate problems, each corner and each answer certified, and every refusal typed."""

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from portfolio_ml.allocation.frontier import CriticalLine, FrontierPortfolio, critical_line, frontier_curve
from portfolio_ml.backtest.walk_forward import check_no_lookahead, walk_forward
from portfolio_ml.core.testing import check_allocator, factor_returns
from portfolio_ml.core.validation import (
    DataError,
    InfeasibleError,
    MissingDataError,
    NonFiniteError,
    ShapeError,
    SolverError,
    UnboundedError,
)
from portfolio_ml.optimize.parametric import swap_gain

COST = 15


def ones(n, cap=1.0):
    "Long-only bounds with a cap, and a budget of one."
    return np.zeros(n), np.full(n, cap), 1.0


def market(n, rng):
    "Give generic means and covariance."
    a = rng.normal(size=(n, n + 3))
    return rng.normal(size=n), a @ a.T / n


def plain(rng, n):
    return *market(n, rng), *ones(n)


def capped(rng, n):
    return *market(n, rng), *ones(n, 1 / rng.integers(1, n + 1))


def boxed(rng, n):
    lower = rng.uniform(-1, 0.3, n) / n
    upper = lower + rng.uniform(0.01, 1.5, n) * (rng.random(n) > 0.3)
    return *market(n, rng), lower, upper, lower.sum() + rng.uniform() * (upper - lower).sum()


def tied(rng, n):
    return rng.integers(0, 3, n) * 1.0, market(n, rng)[1], *ones(n, rng.choice([1, 1 / rng.integers(1, n + 1)]))


def equicorrelated(rng, n):
    return rng.integers(0, 4, n) * 1.0, rng.choice([0, 0.5]) + 0.5 * np.eye(n), *ones(n, rng.choice([1, 1 / rng.integers(1, n + 1)]))


def whole(rng, n):
    a = rng.integers(-1, 2, (n, n))
    return rng.integers(0, 3, n) * 1.0, a @ a.T * 1.0, *ones(n, rng.choice([1, 1 / rng.integers(1, n + 1)]))


def copied(rng, n):
    mean, cov = market(n, rng)
    k = rng.integers(0, n, n)
    return mean[k], cov[np.ix_(k, k)], *ones(n, rng.choice([1, 1 / rng.integers(1, n + 1)]))


def mirrored(rng, n):
    mean, cov = market(n, rng)
    k, sign = rng.integers(0, n, n), rng.choice([-1, 1], n)
    return mean, cov[np.ix_(k, k)] * np.outer(sign, sign), *ones(n)


def short_sample(rng, n):
    x = rng.normal(size=(rng.integers(2, n + 1), n))
    low = -0.3 * rng.integers(0, 2)
    return x.mean(axis=0), np.cov(x.T), np.full(n, low), np.ones(n), 1.0


def hedged(rng, n):
    return *market(n, rng), np.full(n, -0.5), np.full(n, 0.5), rng.choice([0.0, 0.5, 1.0])


def riskless(rng, n):
    mean, cov = market(n, rng)
    cov[0] = cov[:, 0] = 0
    return mean, cov, np.full(n, -1.0 * rng.integers(0, 2)), np.ones(n), 1.0


def level(rng, n):
    return np.full(n, 0.3), market(n, rng)[1], *ones(n)


def scaled(rng, n):
    mean, cov = market(n, rng)
    return mean * 10.0 ** rng.integers(-9, 9), cov * 10.0 ** rng.integers(-9, 9), *ones(n)


def free(rng, n):
    return *market(n, rng), np.full(n, -np.inf), np.full(n, np.inf), 1.0


def half_free(rng, n):
    lower, upper = rng.choice([-np.inf, 0], n), rng.choice([np.inf, 1.0], n)
    lower[0], upper[1] = -np.inf, np.inf
    return *market(n, rng), lower, upper, 1.0


FAMILIES = [plain, capped, boxed, tied, equicorrelated, whole, copied, mirrored, short_sample, hedged, riskless, level, scaled, free, half_free]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_every_corner_and_every_answer_is_optimal(family):
    "Corners, midpoints and the questions of the result, on random problems of each family."
    for seed in range(15):
        rng = np.random.default_rng(seed)
        mean, cov, lower, upper, budget = family(rng, int(rng.integers(2, 16)))
        path = critical_line(mean, cov, min_weight=lower, max_weight=upper, budget=budget)
        size, risk_unit = max(np.abs(path.weights).max(), 1e-300), np.sqrt(np.diag(cov).mean())
        assert path.certificate.max() < 1e-9
        assert np.isfinite(path.weights).all() and path.lambdas[-1] == 0
        assert np.abs(path.weights.sum(axis=1) - budget).max() < 1e-9 * max(size, 1)
        assert (np.diff(path.returns) < 1e-9 * np.abs(mean).max()).all() and (np.diff(path.lambdas) < 0).all()
        for k in range(len(path) - 1):
            lam = (path.lambda_low[k] + path.lambda_high[k + 1]) / 2
            w = path.at_risk_aversion(1 / lam)
            assert swap_gain(w[None], np.array([lam]), mean, cov, lower, upper)[0] < 1e-9
            r, risk = w @ mean, np.sqrt(max(w @ cov @ w, 0))
            again = path.minimum_risk(r)
            assert again @ mean == pytest.approx(r, abs=1e-9 * np.abs(mean).max() * size)
            assert np.sqrt(max(again @ cov @ again, 0)) <= risk + 1e-6 * risk_unit * size
            if risk > 1e-4 * risk_unit:
                assert path.at_risk(risk) @ mean == pytest.approx(r, abs=1e-6 * np.abs(mean).max() * size)
        check_sharpe(path, mean, cov, risk_unit)


def check_sharpe(path, mean, cov, risk_unit):
    "The highest Sharpe ratio is that of no drawn point of the curve exceeded, or refused for a reason."
    curve = frontier_curve(path, 300)
    curve = curve[curve["risk"] > 1e-6 * risk_unit]
    for rate in (0.0, float(np.median(mean))):
        try:
            w = path.maximum_sharpe(rate)
        except (InfeasibleError, UnboundedError):
            assert path.returns[0] <= rate or path.risks[-1] < 1e-6 * risk_unit or path.direction.any()
            continue
        best = (w @ mean - rate) / np.sqrt(w @ cov @ w)
        assert best >= ((curve["return"] - rate) / curve["risk"]).max() * (1 - 1e-9) - 1e-12


def test_the_order_of_assets_does_not_matter():
    "Permuted problems, copies among the assets, have permuted answers."
    for seed in range(20):
        rng = np.random.default_rng(seed)
        mean, cov, lower, upper, budget = copied(rng, 9)
        order = rng.permutation(9)
        one = critical_line(mean, cov, min_weight=lower, max_weight=upper)
        two = critical_line(mean[order], cov[np.ix_(order, order)], min_weight=lower, max_weight=upper)
        np.testing.assert_allclose(two.weights, one.weights[:, order], atol=1e-9)


def test_against_a_quadratic_solver():
    "PIQP, along the path, under a cap."
    import piqp

    x = factor_returns(400, 30, random_state=3)
    mean, cov = x.mean().to_numpy(), x.cov().to_numpy()
    path = critical_line(mean, cov, max_weight=0.15)
    scale = np.diag(cov).mean()
    for lam in np.linspace(0, 1.2 * path.lambdas[0], 9):
        solver = piqp.DenseSolver()
        solver.settings.eps_abs = solver.settings.eps_rel = 1e-12
        solver.setup(cov / scale, -lam * mean / scale, np.ones((1, 30)), np.ones(1), None, None, None, np.zeros(30), np.full(30, 0.15))
        solver.solve()
        w = path.at_risk_aversion(1 / lam) if lam else path.minimum_variance
        np.testing.assert_allclose(w, solver.result.x, atol=1e-6)


def test_large_and_singular():
    "300 assets, 100 days: long-only, capped, with shorts."
    x = factor_returns(100, 300, random_state=1)
    for bounds in ({}, {"max_weight": 0.01}, {"min_weight": -0.02, "max_weight": 0.02}):
        assert critical_line(x.mean(), x.cov(), **bounds).certificate.max() < 1e-8


@pytest.mark.parametrize(
    ("error", "words", "mean", "cov", "bounds"),
    [
        (ShapeError, "square", [1, 2], np.ones((2, 3)), {}),
        (ShapeError, "2 numbers", [1, 2, 3], np.eye(2), {}),
        (ShapeError, "square", [], np.empty((0, 0)), {}),
        (MissingDataError, "B", pd.Series({"A": 1.0, "B": np.nan}), np.eye(2), {}),
        (NonFiniteError, "1", [1, np.inf], np.eye(2), {}),
        (MissingDataError, "covariance", [1, 2], [[1, np.nan], [np.nan, 1]], {}),
        (DataError, "symmetric", [1, 2], [[1, 0.5], [0.1, 1]], {}),
        (DataError, "semidefinite", [1, 2], [[1, 2], [2, 1]], {}),
        (DataError, "variance of 1 is not positive", [1, 2], [[1, 0], [0, -1]], {}),
        (InfeasibleError, "sum to 1.2", [1, 2], np.eye(2), {"min_weight": 0.6}),
        (InfeasibleError, "sum to 0.8", [1, 2], np.eye(2), {"max_weight": 0.4}),
        (InfeasibleError, "exceeds the largest", [1, 2], np.eye(2), {"min_weight": [0, 1], "max_weight": [1, 0]}),
        (ShapeError, "max_weight", [1, 2], np.eye(2), {"max_weight": [1, 1, 1]}),
        (MissingDataError, "min_weight", [1, 2], np.eye(2), {"min_weight": np.nan}),
        (DataError, "not a number", "ab", np.eye(2), {}),
        (DataError, "max_weight", [1, 2], np.eye(2), {"max_weight": "x"}),
        (DataError, "budget", [1, 2], np.eye(2), {"budget": np.nan}),
        (DataError, "absent: B", pd.Series({"A": 1.0, "B": 2.0}), np.eye(2), {"max_weight": {"A": 1.0}}),
        (DataError, "absent: C; unknown: B", pd.Series({"A": 1.0, "B": 2.0}), pd.DataFrame(np.eye(2), ["A", "C"], ["A", "C"]), {}),
        (SolverError, "bounds", [2, 1], np.ones((2, 2)), {"min_weight": None, "max_weight": None}),
    ],
)
def test_refusals(error, words, mean, cov, bounds):
    "What cannot be answered is refused by a typed error that says why."
    with pytest.raises(error, match=words):
        critical_line(mean, cov, **bounds)


def test_questions_out_of_reach():
    "Targets beyond the frontier are refused; those below it are met by the least variance."
    path = critical_line([0.1, 0.2], np.diag([0.01, 0.04]))
    for ask in (lambda: path.minimum_risk(0.3), lambda: path.at_risk(0.01), lambda: path.maximum_sharpe(0.2)):
        with pytest.raises(InfeasibleError):
            ask()
    for ask in (lambda: path.minimum_risk(np.nan), lambda: path.at_risk(np.inf), lambda: path.at_risk_aversion(-1), lambda: path.plot(kind="x")):
        with pytest.raises(DataError):
            ask()
    np.testing.assert_allclose(path.minimum_risk(0.0), path.minimum_variance)
    np.testing.assert_allclose(path.at_risk(9.0), [0, 1])
    np.testing.assert_allclose(path.at_risk_aversion(0), [0, 1])
    endless = critical_line([0.1, 0.2], np.eye(2), min_weight=None, max_weight=None)
    np.testing.assert_allclose(endless.minimum_risk(5), [-48, 49])
    with pytest.raises(UnboundedError, match="no maximum"):
        endless.maximum_sharpe(0.2)
    with pytest.raises(InfeasibleError, match="riskless"):
        critical_line([-0.1, -0.2], np.eye(2)).maximum_sharpe()


def test_two_assets_in_closed_form():
    "The least variance of two correlated assets, and the line between."
    cov = np.array([[0.01, 0.006], [0.006, 0.04]])
    path = critical_line([0.05, 0.1], cov)
    share = (cov[1, 1] - cov[0, 1]) / (cov[0, 0] + cov[1, 1] - 2 * cov[0, 1])
    np.testing.assert_allclose(path.weights, [[0, 1], [share, 1 - share]], atol=1e-14)
    np.testing.assert_allclose(path.minimum_risk(0.08), [0.4, 0.6], atol=1e-14)


def test_labels_and_record():
    "Names go in and come out; the record is frozen, prints and draws."
    x = factor_returns()
    path = critical_line(x.mean().iloc[::-1], x.cov(), max_weight={c: 0.5 for c in x})
    assert isinstance(path, CriticalLine) and list(path.minimum_variance.index) == list(x) == list(path.to_frame())
    assert path.minimum_variance.max() <= 0.5 and len(path.summary()) == len(path) == len(path.to_frame())
    assert (path.risk_aversions[:-1] == 1 / path.lambdas[:-1]).all() and path.risk_aversions[-1] == np.inf
    with pytest.raises(ValueError, match="read-only"):
        path.weights[0, 0] = 2
    with pytest.raises(AttributeError):
        path.weights = None
    weights = critical_line([0.1, 0.2], np.eye(2)).minimum_variance
    weights[0] = 9.0  # the reader's own copy
    assert "corners" in repr(path) and "<table" in path._repr_html_()
    assert path.plot() is not path.plot(kind="weights")


@parametrize_with_checks([FrontierPortfolio()])
def test_scikit_learn_checks(estimator, check):
    "scikit-learn's own checks."
    check(estimator)


@pytest.mark.parametrize("target", ["minimum_variance", "maximum_sharpe"])
def test_conformance(target):
    "Ours, and no look ahead."
    check_allocator(FrontierPortfolio(target))
    check_no_lookahead(FrontierPortfolio(target), factor_returns(400), window=60)


def test_estimator_options():
    "Levels, bounds by name, a covariance estimator, and what is refused."
    from sklearn.covariance import LedoitWolf

    x = factor_returns()
    path = critical_line(x.mean(), x.cov())
    r, s = float(path.returns.mean()), float(path.risks.mean())
    np.testing.assert_allclose(FrontierPortfolio("return", level=r).fit(x).weights_ @ x.mean(), r)
    w = FrontierPortfolio("risk", level=s).fit(x).weights_
    np.testing.assert_allclose(np.sqrt(w @ x.cov() @ w), s)
    assert FrontierPortfolio(max_weight={c: 0.2 for c in x}).fit(x).weights_.max() <= 0.2 + 1e-12
    assert not np.allclose(FrontierPortfolio(covariance=LedoitWolf()).fit(x).weights_, path.minimum_variance)
    for wrong in (FrontierPortfolio("return"), FrontierPortfolio("best")):
        with pytest.raises(DataError):
            wrong.fit(x)
    assert walk_forward(FrontierPortfolio(), x, window=60).net_returns.notna().all(axis=None)


def test_in_skfolio():
    "Runs in skfolio's cross-validation."
    from skfolio.model_selection import WalkForward, cross_val_predict

    x = factor_returns(200)
    assert len(cross_val_predict(FrontierPortfolio(), x, cv=WalkForward(train_size=100, test_size=20)).returns) == 100
