"Mean-variance portfolios: closed forms, the exact critical line, prices that balance, degenerate input, scikit-learn's checks."

import subprocess
import sys
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.utils.estimator_checks import parametrize_with_checks

from portfolio_ml.allocation.baselines import EqualWeight
from portfolio_ml.allocation.frontier import critical_line
from portfolio_ml.allocation.mean_variance import (
    MaximumSharpe,
    MeanVariance,
    MinimumVariance,
    efficient_frontier,
    maximum_sharpe,
    mean_variance,
    minimum_variance,
    quick_covariance,
    solve_maximum_sharpe,
    solve_mean_variance,
    solve_minimum_variance,
)
from portfolio_ml.backtest.walk_forward import walk_forward
from portfolio_ml.core.testing import check_allocator, factor_returns
from portfolio_ml.core.validation import (
    ConstantAssetError,
    DataError,
    DuplicateAssetError,
    InfeasibleError,
    MissingDataError,
    NonFiniteError,
    PortfolioError,
    ShapeError,
    UnboundedError,
)
from portfolio_ml.optimize.constraints import read_constraints
from portfolio_ml.optimize.ratio import homogeneous_limits, ratio_by_program, ratio_by_sets


def market(rng, n, rows=None):
    "Draw means and a sample covariance with a common factor."
    X = rng.standard_normal((rows or 3 * n + 2, n)) + rng.standard_normal((rows or 3 * n + 2, 1)) * rng.uniform(0, 1.5, n)
    return rng.normal(0.1, 0.5, n), np.atleast_2d(np.cov(X * rng.uniform(0.5, 2, n), rowvar=False))


def by_supports(covariance, mean, aversion):
    "Try every set of assets."
    n, best, top = len(covariance), None, -np.inf
    for size in range(1, n + 1):
        for held in map(list, combinations(range(n), size)):
            one, other = np.linalg.solve(covariance[np.ix_(held, held)], np.c_[np.ones(size), mean[held] / aversion]).T
            w = np.zeros(n)
            w[held] = other + one * (1 - other.sum()) / one.sum()
            score = mean @ w - aversion / 2 * w @ covariance @ w
            if (w >= 0).all() and score > top:
                best, top = w, score
    return best


def test_every_set_of_assets():
    "The long-only answers are those found by trying all sets."
    rng = np.random.default_rng(0)
    for _ in range(40):
        m, S = market(rng, int(rng.integers(2, 7)))
        np.testing.assert_allclose(minimum_variance(S), by_supports(S, 0 * m, 1.0), atol=1e-9)
        for aversion in (0.3, 3.0):
            np.testing.assert_allclose(mean_variance(m, S, risk_aversion=aversion), by_supports(S, m, aversion), atol=1e-9)


@pytest.mark.parametrize("bounds", [{}, {"max_weight": 0.3}, {"min_weight": -0.1, "max_weight": 0.5}])
def test_the_critical_line_agrees(bounds):
    "Every question, against the exact path."
    rng = np.random.default_rng(1)
    for _ in range(25):
        m, S = market(rng, int(rng.integers(5, 30)))
        line = critical_line(m, S, **({"max_weight": 1.0} | bounds))
        np.testing.assert_allclose(minimum_variance(S, **bounds), line.minimum_variance, atol=1e-8)
        np.testing.assert_allclose(mean_variance(m, S, risk_aversion=2, **bounds), line.at_risk_aversion(2), atol=1e-8)
        middle = (line.returns[0] + line.returns[-1]) / 2
        np.testing.assert_allclose(mean_variance(m, S, target_return=middle, **bounds), line.minimum_risk(middle), atol=1e-7)
        risk = line.risks[-1] * 1.1
        np.testing.assert_allclose(mean_variance(m, S, target_risk=risk, **bounds), line.at_risk(risk), atol=1e-6)
        if line.returns[0] > 0.05:
            np.testing.assert_allclose(maximum_sharpe(m, S, **bounds), line.maximum_sharpe(), atol=1e-7)
            np.testing.assert_allclose(maximum_sharpe(m, S, risk_free=0.03, **bounds), line.maximum_sharpe(0.03), atol=1e-7)


def test_closed_forms_with_short_sales():
    "Minimum variance, utility, the tangent portfolio, Merton's frontier and share."
    rng = np.random.default_rng(2)
    for _ in range(20):
        m, S = market(rng, int(rng.integers(2, 40)))
        one = np.ones(len(m))
        x, y = np.linalg.solve(S, np.c_[one, m]).T
        np.testing.assert_allclose(minimum_variance(S, min_weight=None), x / x.sum(), atol=1e-8)
        w = y / 4 + x * (1 - y.sum() / 4) / x.sum()
        np.testing.assert_allclose(mean_variance(m, S, risk_aversion=4, min_weight=None), w, atol=1e-8)
        if y.sum() > 0.05:
            np.testing.assert_allclose(maximum_sharpe(m, S, min_weight=None), y / y.sum(), rtol=1e-5, atol=1e-7)
    cash = read_constraints(["risky"], min_weight=None, budget=None)
    assert abs(solve_mean_variance([0.06], [[0.04]], cash, risk_aversion=3).weights[0] - 0.5) < 1e-12


def test_luenberger_three_assets():
    "Investment Science: weights along the frontier, with and without short sales."
    m, S = np.array([1.0, 2.0, 3.0]), np.eye(3)
    for r in (2.0, 2.4, 2.8, 3.0):
        w = [4 / 3 - r / 2, 1 / 3, r / 2 - 2 / 3]
        np.testing.assert_allclose(mean_variance(m, S, target_return=r, min_weight=None), w, atol=1e-8)
        np.testing.assert_allclose(mean_variance(m, S, target_return=r), w if r < 8 / 3 else [0, 3 - r, r - 2], atol=1e-7)
    np.testing.assert_allclose(mean_variance(m, S, target_return=0.5), 1 / 3, atol=1e-9)  # below least variance: least variance


RULES = [
    {"max_weight": 0.2}, {"min_weight": -0.05, "max_weight": 0.4}, {"min_weight": {0: 0.05, 3: 0.1}},
    {"groups": {k: "ab"[k % 2] for k in range(15)}, "constraints": ["a <= 0.4", "x0 - x1 == 0.01"]},
    {"max_weight": {2: 0.0, 4: 0.05}, "constraints": ["x2 + x4 + x6 >= 0.02", "0.1 <= x7 + x8 <= 0.2"]},
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_forces_balance(rule):
    "What explains a weight sums to zero, for each question; the highest Sharpe ratio beats its neighbours."
    rng = np.random.default_rng(3)
    for _ in range(8):
        m, S = market(rng, 15)
        m = np.abs(m) + 0.05
        limits = read_constraints(pd.RangeIndex(15), **rule)
        best = solve_maximum_sharpe(m, S, limits, risk_free=0.01)
        for found in (best, solve_minimum_variance(S, limits), solve_mean_variance(m, S, limits, risk_aversion=3)):
            forces = found.explain().drop(columns="weight")
            assert np.abs(forces.sum(axis=1)).max() < 1e-8 and found.certificate.holds(1e-7)
            assert limits.violation(found.weights) < 1e-8
            free = (found.weights > limits.lower + 1e-6) & (found.weights < limits.upper - 1e-6)
            assert np.abs(found.bound_prices[free]).max(initial=0) < 1e-6 and len(found.shadow_prices())
        assert abs(-best.objective - (m - 0.01) @ best.weights / np.sqrt(best.weights @ S @ best.weights)) < 1e-12
        for aversion in np.geomspace(0.05, 50, 40):
            w = solve_mean_variance(m, S, limits, risk_aversion=aversion).weights
            assert (m - 0.01) @ w / np.sqrt(w @ S @ w) <= -best.objective + 1e-8


def test_both_ways_to_the_highest_ratio():
    "The walk along risk aversions and the homogenised program agree; limits scale."
    rng = np.random.default_rng(4)
    for _ in range(30):
        m, S = market(rng, int(rng.integers(2, 60)))
        if m.max() > 0.05:
            limits = read_constraints(pd.RangeIndex(len(m)))
            np.testing.assert_allclose(ratio_by_sets(S, m), ratio_by_program(S, m, limits, 0.0)[0], atol=1e-7)
    limits = read_constraints(pd.RangeIndex(4), min_weight=[-0.1, 0, 0.2, 0.1], max_weight=[0.5, 0.3, 0.2, 1], constraints=["x0 == x1"])
    wide, at, side = homogeneous_limits(limits)
    for w in np.random.default_rng(5).dirichlet(np.ones(4), 50):
        w[2], w[1] = 0.2, w[0]
        ok = limits.violation(w) < 1e-12
        assert ok == (wide.violation(np.append(3 * w, 3)) < 1e-11) and len(at) == len(side) == len(wide.labels)


def test_shrinkage_by_constraint():
    "Jagannathan and Ma (2003): long-only is unconstrained, of another covariance; with caps too."
    rng = np.random.default_rng(6)
    for cap in (None, 0.2):
        S = market(rng, 12)[1]
        found = solve_minimum_variance(S, read_constraints(pd.RangeIndex(12), max_weight=cap))
        b = found.bound_prices
        np.testing.assert_allclose(minimum_variance(S - b[:, None] - b, min_weight=None), found.weights, atol=1e-7)


def test_target_risk_at_and_below_the_least():
    "At the least risk the answer is minimum variance; below it the least is named."
    m, S = market(np.random.default_rng(7), 10)
    w = minimum_variance(S)
    least = np.sqrt(w @ S @ w)
    np.testing.assert_allclose(mean_variance(m, S, target_risk=least), w, atol=1e-4)  # a risk 1e-9 above it
    for more in (1e-8, 1e-6, 1e-3):
        x = mean_variance(m, S, target_risk=least * (1 + more))
        assert abs(np.sqrt(x @ S @ x) / least - 1 - more) < 3e-9
    with pytest.raises(InfeasibleError, match="least possible risk"):
        mean_variance(m, S, target_risk=0.9 * least)
    top = mean_variance(m, S, target_risk=100)
    assert m @ top == pytest.approx(m.max(), abs=1e-9)


def test_costs_turnover_leverage_and_names():
    "Each condition holds to the digit, and costs keep small trades from being made."
    m, S = market(np.random.default_rng(8), 10)
    held = np.full(10, 0.1)
    w = mean_variance(m, S, previous=held, max_turnover=0.3)
    assert np.abs(w - held).sum() <= 0.3 + 1e-9
    lazy = mean_variance(m, S, previous=held, costs=10.0)
    np.testing.assert_allclose(lazy, held, atol=1e-9)
    assert (mean_variance(m, S, max_assets=3) > 1e-9).sum() <= 3
    assert np.abs(minimum_variance(S, min_weight=None, max_leverage=1.2)).sum() <= 1.2 + 1e-8
    away = mean_variance(m, S, cap=(S, held, 0.1)) - held
    assert np.sqrt(away @ S @ away) <= 0.1 * (1 + 1e-7)
    np.testing.assert_allclose(minimum_variance(S, l2=1e9), 0.1, atol=1e-6)
    np.testing.assert_allclose(mean_variance(m, S, risk_aversion=2, l2=0.5), mean_variance(m, S + 0.5 * np.eye(10), risk_aversion=2), atol=1e-8)


def test_frontier_under_constraints():
    "Between least variance and highest return, and through given targets."
    m, S = market(np.random.default_rng(9), 12)
    line, table = critical_line(m, S), efficient_frontier(m, S, 11)
    assert list(table.columns[:2]) == ["return", "risk"] and len(table) == 11
    np.testing.assert_allclose(table["return"].iloc[[0, -1]], [line.returns[-1], line.returns[0]], atol=1e-7)
    for _, row in table.iterrows():
        np.testing.assert_allclose(row.iloc[2:], line.minimum_risk(row["return"]), atol=1e-5)
    names = [f"A{k}" for k in range(12)]
    S, groups = pd.DataFrame(S, names, names), dict(zip(names, "aabbccddaabb"))
    table = efficient_frontier(pd.Series(m, names), S, groups=groups, constraints=["a <= 0.3", "b >= 0.2"], previous=np.full(12, 1 / 12), max_turnover=1)
    a = [n for n in names if groups[n] == "a"]
    assert (table[a].sum(axis=1) <= 0.3 + 1e-8).all() and (np.diff(table["risk"]) > -1e-9).all()
    given = efficient_frontier(pd.Series(m, names), S, [0.1, 0.2])
    assert len(given) == 2 and (given["return"] >= [0.1 - 1e-9, 0.2 - 1e-9]).all()
    with pytest.raises(UnboundedError):
        efficient_frontier(m, S.to_numpy(), 5, min_weight=None)
    with pytest.raises(DataError, match="points"):
        efficient_frontier(m, S.to_numpy(), 1)


def test_names():
    "By name in any order, labelled answers, and limits of other assets refused."
    S = pd.DataFrame(np.diag([1.0, 2.0, 4.0]), list("ABC"), list("ABC"))
    w = mean_variance({"C": 0.3, "A": 0.1, "B": 0.2}, S, max_weight={"C": 0.2})
    assert list(w.index) == list("ABC") and w["C"] <= 0.2 + 1e-12 and w.name == "weight"
    np.testing.assert_allclose(minimum_variance(S), np.array([4, 2, 1]) / 7)
    for bad in (read_constraints(list("ABD")), read_constraints(list("AB"))):
        with pytest.raises(DataError, match="limits"):
            solve_minimum_variance(S, bad)
    with pytest.raises(DataError, match="D"):
        mean_variance({"A": 0.1, "B": 0.2, "D": 0.3}, S)


METHODS = [minimum_variance, lambda S: mean_variance(np.ones(len(S)), S), lambda S: maximum_sharpe(np.ones(len(S)), S)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("matrix", "error"),
    [
        ([[1, 2], [2, 1]], DataError), ([[1, 0.5], [0.4, 1]], DataError), ([[1, 0], [0, 0]], ConstantAssetError),
        ([[1, np.nan], [np.nan, 1]], MissingDataError), ([[np.inf, 0], [0, 1]], NonFiniteError), ([1.0, 2.0], ShapeError),
        ([[1, 0, 0], [0, 1, 0]], ShapeError), ([], ShapeError), ([["a"]], DataError),
        (pd.DataFrame(np.eye(2), list("AA"), list("AA")), DuplicateAssetError),
    ],
)  # fmt: skip
def test_bad_matrices_are_refused(method, matrix, error):
    "By a typed error, by each function."
    with pytest.raises(error):
        method(matrix)


TWO = np.array([[0.04, 0.01], [0.01, 0.09]])
REFUSED = {
    "all expected returns negative": (lambda: maximum_sharpe([-0.01, -0.02], TWO), InfeasibleError, "riskless 0"),
    "none above cash": (lambda: maximum_sharpe([0.01, 0.02], TWO, risk_free=0.03), InfeasibleError, "riskless 0.03"),
    "zero": (lambda: maximum_sharpe([0.0, 0.0], TWO), InfeasibleError, "riskless"),
    "free lunch": (lambda: maximum_sharpe([0.1, 0.1], [[1, -1], [-1, 1]]), UnboundedError, "no risk"),
    "free lunch, short": (lambda: maximum_sharpe([0.2, 0.1], [[1, 1], [1, 1]], min_weight=None), UnboundedError, "risk|without end"),
    "endless": (lambda: maximum_sharpe([0.01, -0.05], TWO, min_weight=None), UnboundedError, "without end"),
    "groups": (lambda: maximum_sharpe([0.1, 0.2], TWO, constraints=["x0 >= 0.7", "x1 >= 0.5"]), InfeasibleError, "clash"),
    "clash": (lambda: minimum_variance(TWO, constraints=["x0 >= 0.7", "x1 >= 0.5"]), InfeasibleError, "clash"),
    "target return": (lambda: mean_variance([0.1, 0.2], TWO, target_return=0.3), InfeasibleError, "expected return >= 0.3"),
    "no bounds, no aversion": (lambda: mean_variance([0.1, 0.2], TWO, risk_aversion=0, min_weight=None), UnboundedError, "end"),
    "two aims": (lambda: mean_variance([0.1, 0.2], TWO, target_return=0.1, target_risk=0.2), DataError, "both"),
    "aversion": (lambda: mean_variance([0.1, 0.2], TWO, risk_aversion=-1), DataError, "risk_aversion"),
    "aversion text": (lambda: mean_variance([0.1, 0.2], TWO, risk_aversion="high"), DataError, "risk_aversion"),
    "aversion nan": (lambda: mean_variance([0.1, 0.2], TWO, risk_aversion=np.nan), DataError, "risk_aversion"),
    "target nan": (lambda: mean_variance([0.1, 0.2], TWO, target_return=np.nan), DataError, "target_return"),
    "negative risk": (lambda: mean_variance([0.1, 0.2], TWO, target_risk=-1.0), DataError, "target_risk"),
    "l2": (lambda: minimum_variance(TWO, l2=-1.0), DataError, "l2"),
    "cash": (lambda: maximum_sharpe([0.1, 0.2], TWO, risk_free=np.inf), DataError, "risk_free"),
    "mean nan": (lambda: mean_variance([0.1, np.nan], TWO), MissingDataError, "1"),
    "mean inf": (lambda: maximum_sharpe([0.1, np.inf], TWO), NonFiniteError, "1"),
    "mean short": (lambda: mean_variance([0.1], TWO), ShapeError, "2 numbers"),
    "max_assets": (lambda: minimum_variance(TWO, max_assets=0), DataError, "max_assets"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_answer_is_refused(case):
    "By a typed error that says what is wrong."
    call, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        call()


def test_degenerate_matrices_give_an_answer():
    "One asset, two, twins, fewer rows than assets, tiny units: finite weights that sum to one, or a typed error."
    assert minimum_variance([[4.0]]) == mean_variance([0.1], [[4.0]]) == maximum_sharpe([0.1], [[4.0]]) == [1.0]
    np.testing.assert_allclose(minimum_variance(np.diag([1.0, 4.0])), [0.8, 0.2], atol=1e-12)
    m, S = market(np.random.default_rng(10), 6)
    twice, mm = np.kron(np.ones((2, 2)), S), np.tile(np.abs(m), 2)
    for method in (minimum_variance, lambda C: mean_variance(mm[: len(C)], C), lambda C: maximum_sharpe(mm[: len(C)], C)):
        w = method(twice)
        np.testing.assert_allclose(w[:6] + w[6:], method(S), atol=1e-6)
    for unit in (1e-10, 1e8):
        np.testing.assert_allclose(minimum_variance(unit * S), minimum_variance(S), atol=1e-9)
        np.testing.assert_allclose(maximum_sharpe(unit * mm[:6], unit**2 * S), maximum_sharpe(mm[:6], S), atol=1e-7)
    rng = np.random.default_rng(11)
    for n, rows in ((20, 5), (20, 15), (150, 60), (5, 4)):
        X = 0.01 * rng.standard_normal((rows, n)) + 0.01 * rng.standard_normal((rows, 1)) + 0.002
        m, S = X.mean(axis=0), np.cov(X, rowvar=False)
        for method, given, how in ((minimum_variance, (S,), {}), (mean_variance, (m, S), {}), (maximum_sharpe, (m, S), {}), (minimum_variance, (S,), {"min_weight": None})):
            try:
                w = method(*given, **how)
            except PortfolioError:
                continue
            assert np.isfinite(w).all() and abs(w.sum() - 1) < 1e-7


def test_large_matrices_are_looked_at():
    "Above a hundred assets in single precision: what is wrong is found and named all the same."
    S = np.array(market(np.random.default_rng(12), 150)[1])
    values, names = quick_covariance(S)
    assert values is S and len(names) == 150
    for i, j, error in ((3, 3, ConstantAssetError), (5, 9, DataError)):
        bad = S.copy()
        bad[i, j] = 0.0 if i == j else 3 * S.max()
        with pytest.raises(error):
            quick_covariance(bad)
    bad = S - 1.1 * np.linalg.eigvalsh(S)[0] * np.eye(150) - 0.02 * np.trace(S) / 150 * np.eye(150)
    with pytest.raises(DataError, match="eigenvalue"):
        quick_covariance(bad)
    small = minimum_variance(S)
    np.testing.assert_allclose(small, critical_line(np.arange(150.0), S).minimum_variance, atol=1e-8)


def test_estimators():
    "Any covariance and expected returns inside, costs, what is held, a grid search."
    X = factor_returns(300, 8)
    np.testing.assert_allclose(MinimumVariance().fit(X).weights_, minimum_variance(X.cov().to_numpy()), atol=1e-9)
    mine = MeanVariance(expected_returns=X.mean().to_dict(), covariance=LedoitWolf(), risk_aversion=3).fit(X)
    np.testing.assert_allclose(mine.weights_, mean_variance(X.mean().to_numpy(), LedoitWolf().fit(X.to_numpy()).covariance_, risk_aversion=3), atol=1e-8)
    near = MinimumVariance(max_tracking_error=0.001).fit(X)
    away = near.weights_ - 1 / 8
    assert np.sqrt(away @ near.covariance_ @ away) <= 0.001 * (1 + 1e-6)
    held = {c: 1 / 8 for c in X}
    lazy = MeanVariance(costs=1.0, previous_weights=held).fit(X)
    np.testing.assert_allclose(lazy.weights_, 1 / 8, atol=1e-9)
    assert lazy.needs_previous_weights and not MeanVariance().needs_previous_weights
    assert (MinimumVariance(max_assets=3).fit(X).weights_ > 1e-9).sum() == 3
    grouped = MaximumSharpe(groups={"A0": "low", "A1": "low"}, constraints=["low <= 10%"]).fit(X)
    assert grouped.weights[["A0", "A1"]].sum() <= 0.1 + 1e-9 and "weight" in grouped.solution_.explain()

    def score(model, X, y=None):
        return float(np.mean(np.asarray(model.predict(X))))

    search = GridSearchCV(MeanVariance(), {"risk_aversion": [1, 10]}, scoring=score, cv=TimeSeriesSplit(3)).fit(X)
    assert search.best_params_["risk_aversion"] in (1, 10)


def test_turnover_limit_in_a_walk():
    "The engine says what is held; the limit holds at every decision but the first."
    X = factor_returns(400, 6)
    rules = {"1/N": EqualWeight(), "slow": MeanVariance(risk_aversion=2, max_turnover=0.1), "free": MeanVariance(risk_aversion=2)}
    walk = walk_forward(rules, X, window=120, costs=0.001)
    assert not len(walk.failures)
    trades = walk.turnover["slow"][walk.turnover["slow"] > 0]
    assert (trades.iloc[1:] <= 0.1 + 1e-6).all() and walk.turnover["slow"].sum() < walk.turnover["free"].sum()


@pytest.mark.parametrize("model", [MinimumVariance(), MinimumVariance(min_weight=None, max_leverage=1.5), MaximumSharpe(), MeanVariance(risk_aversion=5)])
def test_conformance(model):
    "A risk aversion is per unit of return, so mean-variance weights depend on the scale of returns."
    table = check_allocator(model, skip=["scaled"] if isinstance(model, MeanVariance) else [])
    assert (table["result"] != "failed").all()


@parametrize_with_checks([MinimumVariance(), MeanVariance(), MaximumSharpe()])
def test_scikit_learn(estimator, check):
    "scikit-learn's own checks of an estimator."
    check(estimator)


SKFOLIO = """
import numpy as np, pandas as pd, skfolio
from skfolio.model_selection import WalkForward, cross_val_predict
from skfolio.moments import LedoitWolf, ShrunkMu
from sklearn.utils.estimator_checks import check_estimator
from portfolio_ml.allocation.mean_variance import MaximumSharpe, MeanVariance, MinimumVariance
from portfolio_ml.core.testing import factor_returns
X = factor_returns(260, 6)
for model in (MinimumVariance(covariance=LedoitWolf()), MeanVariance(ShrunkMu(), risk_aversion=5), MaximumSharpe()):
    portfolio = cross_val_predict(model, X, cv=WalkForward(train_size=120, test_size=40))
    assert len(np.asarray(portfolio)) == 120 and np.isfinite(np.asarray(portfolio)).all()
for model in (MinimumVariance(), MeanVariance(), MaximumSharpe()):
    check_estimator(model)
print("fine")
"""


def test_beside_skfolio():
    "In skfolio's cross-validation, with its moments inside; scikit-learn's checks with it loaded."
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", SKFOLIO], capture_output=True, text=True)
    assert run.stdout.strip().endswith("fine"), run.stderr[-2000:]
