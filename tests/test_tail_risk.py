"Tail risk: certificates on random scenarios, full programs, published numbers, degenerate input, scikit-learn's checks."

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog
from sklearn.utils.estimator_checks import parametrize_with_checks

from portfolio_ml.allocation.tail_risk import (
    MinimumCDaR,
    MinimumCVaR,
    MinimumEVaR,
    MinimumSemivariance,
    minimum_cdar,
    minimum_cvar,
    minimum_evar,
    minimum_semivariance,
    normal_cvar,
    solve_tail_risk,
)
from portfolio_ml.backtest.walk_forward import walk_forward
from portfolio_ml.core.testing import check_allocator, factor_returns
from portfolio_ml.core.validation import (
    DataError,
    DuplicateAssetError,
    InfeasibleError,
    InsufficientDataError,
    MissingDataError,
    NonFiniteError,
    PortfolioError,
    ShapeError,
    UnboundedError,
)
from portfolio_ml.measure.performance import cvar, downside_deviation, drawdowns, max_drawdown
from portfolio_ml.optimize.constraints import read_constraints
from portfolio_ml.optimize.scenarios import (
    all_days,
    all_peaks,
    certify_mixture,
    cone_evar,
    each_day,
    each_peak,
    entropic_risk,
    entropy,
    generate_scenarios,
    least_value,
    pair_peaks,
    solve_cdar,
    solve_cvar,
    solve_evar,
    solve_semivariance,
    tail_mean,
    within_entropy,
)

SOLVERS = (solve_cvar, solve_cdar, solve_semivariance, solve_evar)
FUNCTIONS = (minimum_cvar, minimum_cdar, minimum_semivariance, minimum_evar)
ESTIMATORS = (MinimumCVaR, MinimumCDaR, MinimumSemivariance, MinimumEVaR)


def market(T, N, seed=0):
    "Draw fat-tailed returns with a common factor."
    rng = np.random.default_rng(seed)
    return (0.8 * rng.standard_t(4, (T, N)) + 0.6 * rng.standard_t(4, (T, 1))) * np.linspace(0.005, 0.02, N) + 0.0004


def full_cvar(returns, count, limits, reward=0.0):
    "Solve the program of Rockafellar and Uryasev with every scenario: the least objective."
    T, N = returns.shape
    cost = np.r_[-reward * returns.mean(axis=0), 1, np.full(T, 1 / max(count, 1))]
    pad = np.zeros((2 * len(limits.low), T + 1))
    above = np.r_[limits.high, -limits.low]
    rows = np.hstack([np.vstack([limits.matrix, -limits.matrix]), pad])[np.isfinite(above)]
    table = np.vstack([np.hstack([-returns, -np.ones((T, 1)), -np.eye(T)]), rows])
    ends = [*zip(limits.lower, limits.upper), (None, None), *[(0, None)] * T]
    exact = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    return linprog(100 * cost, table, np.r_[np.zeros(T), above[np.isfinite(above)]], bounds=ends, options=exact).fun / 100


def some_limits(N, returns, seed):
    "Draw bounds, a group, a difference and a return target that equal weights or so satisfy."
    rng = np.random.default_rng(seed)
    texts = ["0.2 <= first <= 0.7", "x0 - x1 <= 0.1"]
    limits = read_constraints(
        range(N), min_weight=rng.choice([0.0, -0.1, 0.02]), max_weight=rng.choice([0.5, 1.0]),
        groups={"first": list(range(N // 2))}, constraints=texts,
    )
    return limits.with_row(returns.mean(axis=0), returns.mean(axis=0).mean(), np.inf, "mean")


@pytest.mark.parametrize("seed", range(8))
def test_cvar_is_the_optimum_of_the_full_program(seed):
    "Random sizes and confidences, with and without constraints and a reward: the same objective to 1e-9."
    rng = np.random.default_rng(seed)
    T, N, beta = int(rng.integers(30, 400)), int(rng.integers(4, 15)), float(rng.choice([0.5, 0.9, 0.95, 0.973, 0.99, 0.999]))
    R = market(T, N, seed)
    count, reward = round((1 - beta) * T, 9), float(rng.choice([0.0, 0.3]))
    for limits in (read_constraints(range(N)), some_limits(N, R, seed)):
        found = solve_cvar(R, limits, beta, reward)
        best = full_cvar(R, count, limits, reward)
        assert abs(found.objective - best) < 1e-9 * np.abs(R).max()
        assert abs(found.objective - cvar(R @ found.weights, confidence=beta) + reward * R.mean(axis=0) @ found.weights) < 1e-14
        p = found.probabilities
        assert found.gap < 1e-9 and limits.violation(found.weights) < 1e-9
        assert p.min() >= 0 and abs(p.sum() - 1) < 1e-12 and p.max() * max(count, 1) < 1 + 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_cdar_is_the_optimum_of_the_full_program(seed):
    "Scenario generation against the program with a peak for every day."
    rng = np.random.default_rng(seed)
    T, N, beta = int(rng.integers(30, 200)), int(rng.integers(3, 9)), float(rng.choice([0.8, 0.95, 0.99]))
    R = market(T, N, seed)
    count = round((1 - beta) * T, 9)
    for limits in (read_constraints(range(N)), some_limits(N, R, seed)):
        found = solve_cdar(R, limits, beta)
        whole = all_peaks(R, count, np.zeros(N), limits)
        worst = each_peak(R)[0]
        assert abs(tail_mean(worst(whole[1])[0], count)[0] - found.objective) < 1e-8 * np.abs(R).max()
        np.testing.assert_allclose(found.objective, cvar(drawdowns(R @ found.weights, compounded=False), confidence=beta), rtol=1e-10)
        _, value, bound, _ = certify_mixture(whole[1], whole[2], whole[5], whole[4] % T, worst(whole[1])[0], count, np.zeros(N), limits)
        assert value - bound < 1e-7 * np.abs(R).max()


@pytest.mark.parametrize("seed", range(5))
def test_no_portfolio_is_better(seed):
    "Random portfolios and random steps from the answer, for all four risks."
    rng = np.random.default_rng(seed)
    T, N = int(rng.integers(40, 300)), int(rng.integers(2, 12))
    R, limits = market(T, N, seed), read_constraints(range(N))
    measures = (
        lambda x: cvar(x), lambda x: cvar(drawdowns(x, compounded=False)),
        lambda x: downside_deviation(x, annualise=False) ** 2, lambda x: entropic_risk(-x)[0],
    )
    for solve, measure in zip(SOLVERS, measures):
        found = solve(R, limits)
        np.testing.assert_allclose(found.objective, measure(R @ found.weights), rtol=1e-9)
        others = rng.dirichlet(np.ones(N), 30)
        near = 0.99 * found.weights + 0.01 * others
        assert min(measure(R @ w) for w in [*others, *near]) >= found.objective - 1e-12
        assert found.bound <= found.objective + 1e-12


@pytest.mark.parametrize(("target", "ddof"), [(0.0, 0), (0.001, 0), ("mean", 1)])
def test_semivariance(target, ddof):
    "In the conventions of the measure, and with constraints against random feasible portfolios."
    R = market(300, 8)
    found = solve_semivariance(R, read_constraints(range(8)), target, ddof=ddof)
    np.testing.assert_allclose(found.objective, downside_deviation(R @ found.weights, target=target, ddof=ddof, annualise=False) ** 2, rtol=1e-10)
    assert found.gap < 1e-10
    limits = some_limits(8, R, 1)
    found = solve_semivariance(R, limits, target, reward=0.01)
    assert found.gap < 1e-7 and limits.violation(found.weights) < 1e-9


def test_evar_against_clarabel():
    "Newton's method is at least as good as the cone, with and without constraints, and where the worst loss takes all."
    for T, N, limits in ((300, 6, None), (300, 6, "some"), (25, 12, None), (60, 20, None)):
        R = market(T, N)
        limits = some_limits(N, R, 0) if limits else read_constraints(range(N))
        found = solve_evar(R, limits)
        from_cone, p = cone_evar(R / R.std(), 0.95, np.zeros(N), limits)
        assert found.gap < 1e-6 and -1e-9 < entropic_risk(-R @ from_cone)[0] - found.objective < 1e-6
        assert entropy(found.probabilities) <= -np.log(0.05) + 1e-9


def test_entropic_risk():
    "Between CVaR and the worst loss, coherent, and the allowance is used up."
    losses = np.random.default_rng(0).standard_t(4, 500)
    risk, tau, p = entropic_risk(losses)
    assert cvar(-losses) < risk < losses.max() and tau > 0 and abs(entropy(p) + np.log(0.05)) < 1e-10
    np.testing.assert_allclose(entropic_risk(3 * losses + 2)[0], 3 * risk + 2, rtol=1e-10)
    assert entropic_risk(np.array([1.0, 2, 2, 0]))[0] == 2 and entropic_risk(np.full(5, -1.0))[0] == -1
    mixed = within_entropy(np.array([1.0, 0, 0]), 0.3)
    assert abs(entropy(mixed) - 0.3) < 1e-12


def test_certificate():
    "Any multipliers give a lower bound; a wrong answer has a gap; pairs of peaks and days keep their sums."
    rng = np.random.default_rng(0)
    limits = some_limits(6, market(50, 6), 0)
    best = least_value(g := rng.standard_normal(6), limits, np.full(6, 1 / 6))
    assert all(least_value(g, limits, np.full(6, 1 / 6), rng.standard_normal(len(limits.low))) <= best + 1e-12 for _ in range(50))
    R = market(200, 6)
    status, w, q, rows, known, table, _ = generate_scenarios(each_day(R), 200, 10.0, np.zeros(6), read_constraints(range(6)), np.full(6, 1 / 6))
    wrong = np.roll(w, 1)
    _, value, bound, _ = certify_mixture(wrong, q, table, known, -R @ wrong, 10.0, np.zeros(6), read_constraints(range(6)))
    assert status == 0 and value - bound > 1e-4
    demand = rng.dirichlet(np.ones(7))
    supply = np.r_[demand[0], np.zeros(7)] + np.r_[0, demand[1:], 0]
    parts, keys = pair_peaks(supply, demand)
    np.testing.assert_allclose(np.bincount(keys % 7, parts, 7), demand, atol=1e-14)
    np.testing.assert_allclose(np.bincount(keys // 7, parts, 8), supply, atol=1e-14)
    assert (keys // 7 <= keys % 7 + 1).all()


def test_rockafellar_and_uryasev():
    "The published weights, VaR and CVaR; their scenario program on Sobol points within 0.05 %."
    from scipy.stats import qmc

    mean = np.array([0.0101110, 0.0043532, 0.0137058])
    covariance = np.array([[0.00324625, 0.00022983, 0.00420395], [0.00022983, 0.00049937, 0.00019247], [0.00420395, 0.00019247, 0.00764097]])
    weights = [0.452013, 0.115573, 0.432414]
    printed = {0.9: (0.067847, 0.096975), 0.95: (0.090200, 0.115908), 0.99: (0.132128, 0.152977)}
    draws = qmc.MultivariateNormalQMC(mean, covariance, engine=qmc.Sobol(3, seed=1)).random(2**14)
    for beta, (var, tail) in printed.items():
        np.testing.assert_allclose(normal_cvar(weights, mean, covariance, beta), (var, tail), atol=2e-6)
        found = solve_tail_risk(draws, confidence=beta, min_return=0.011)
        assert abs(found.risk / tail - 1) < 5e-4
        np.testing.assert_allclose(found.weights, weights, atol=0.025)


def test_independent_libraries():
    "skfolio, PyPortfolioOpt and Riskfolio-Lib find the same CVaR and CDaR portfolios."
    from pypfopt import EfficientCDaR, EfficientCVaR
    from skfolio import RiskMeasure
    from skfolio.optimization import MeanRisk

    X = factor_returns(300, 8)
    for ours, kind, method, name in ((minimum_cvar, EfficientCVaR, "min_cvar", "CVAR"), (minimum_cdar, EfficientCDaR, "min_cdar", "CDAR")):
        theirs = list(getattr(kind(X.mean(), X, solver="CLARABEL"), method)().values())
        np.testing.assert_allclose(theirs, ours(X), atol=1e-5)
        np.testing.assert_allclose(MeanRisk(risk_measure=getattr(RiskMeasure, name)).fit(X).weights_, ours(X), atol=1e-4)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_bad_input_is_refused(function):
    "By typed errors that name the asset."
    X = factor_returns(60, 4)
    for value, error in ((np.nan, MissingDataError), (np.inf, NonFiniteError)):
        bad = X.copy()
        bad.iloc[3, 1] = value
        with pytest.raises(error, match="A1"):
            function(bad)
    with pytest.raises(DuplicateAssetError):
        function(X.set_axis(list("AABC"), axis=1))
    with pytest.raises(InsufficientDataError):
        function(X.iloc[:1])
    with pytest.raises((ShapeError, DataError)):
        function(X.iloc[:, :0])
    with pytest.raises(InfeasibleError, match="sum to"):
        function(X, max_weight=0.2)
    with pytest.raises(InfeasibleError, match="mean return"):
        function(X, min_return=0.1)
    with pytest.raises(DataError):
        function(X, constraints="oil <= 0.1")
    for bad in ({"reward": -1.0}, {"reward": np.nan}):
        with pytest.raises(DataError, match="reward"):
            function(X, **bad)
    if function is not minimum_semivariance:
        for beta in (0, 1, 95, -0.5):
            with pytest.raises(DataError, match="confidence"):
                function(X, confidence=beta)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_degenerate_input(function):
    "One asset, two assets, twins, a constant asset, fewer rows than assets, all means negative, all returns equal."
    X = factor_returns(120, 5)
    assert function(X.iloc[:, :1]).tolist() == [1.0]
    assert abs(function(X.iloc[:, :2]).sum() - 1) < 1e-9
    whole, split = function(X), function(X.assign(twin=X["A0"]))
    np.testing.assert_allclose(split["A0"] + split["twin"], whole["A0"], atol=1e-5)
    assert function(X.assign(cash=0.0001))["cash"] > 0.99
    for case in (X.iloc[:3], X - 0.01, X * 0 + 0.001, X * 0, pd.concat([X] * 2, axis=1).set_axis(range(10), axis=1)):
        w = function(case)
        assert np.isfinite(w).all() and (w >= -1e-9).all() and abs(w.sum() - 1) < 1e-9
    for unit in (1e-6, 1e4):
        np.testing.assert_allclose(function(unit * X), whole, atol=1e-6)


def test_without_bounds():
    "A window that is long has an answer with free short sales; in a short one some portfolio never loses."
    X = factor_returns(500, 5)
    for function in FUNCTIONS:
        w = function(X, min_weight=None)
        assert abs(w.sum() - 1) < 1e-9 and np.abs(w).max() < 10
    for function in (minimum_cvar, minimum_evar):
        with pytest.raises(UnboundedError, match="never loses"):
            function(X.iloc[:4], min_weight=None)
    assert abs(solve_tail_risk(X.iloc[:4], "cdar", min_weight=None).risk) < 1e-9
    assert solve_tail_risk(X.iloc[:4], "semivariance", min_weight=None).risk < 1e-12


def test_special_confidences():
    "The whole sample, the worst day, the deepest drawdown."
    X = factor_returns(100, 4)
    assert minimum_cvar(X, confidence=1e-9).idxmax() == X.mean().idxmax()
    worst = solve_tail_risk(X, confidence=0.999)
    np.testing.assert_allclose(worst.risk, -(X @ worst.weights).min())
    deep = solve_tail_risk(X, "cdar", confidence=0.999)
    np.testing.assert_allclose(deep.risk, -max_drawdown(X @ deep.weights, compounded=False))


def test_return_targets_and_rewards():
    "The target is met; the reward traces the same frontier."
    X = factor_returns(250, 5)
    low, high = solve_tail_risk(X), solve_tail_risk(X, reward=5.0)
    assert high.expected_return > low.expected_return and high.risk > low.risk
    again = solve_tail_risk(X, min_return=high.expected_return)
    np.testing.assert_allclose(again.risk, high.risk, rtol=1e-9)


def test_result():
    "Labels, deciding days, plot and table."
    X = factor_returns(250, 5)
    for risk in ("cvar", "cdar", "semivariance", "evar"):
        found = solve_tail_risk(X, risk)
        assert list(found.weights.index) == list(X.columns) and found.probabilities.index.equals(X.index)
        assert found.to_frame()["probability"].sum() > 0.98 and found.summary()["risk"] == found.risk
        assert "<table" in found._repr_html_()
        assert found.plot().get_title()
    assert isinstance(minimum_cvar(X.to_numpy()), np.ndarray)
    with pytest.raises(DataError, match="none of"):
        solve_tail_risk(X, "variance")


def test_estimators():
    "Conformance, limits by name, walk-forward, skfolio's cross-validation."
    X = factor_returns(300, 4)
    for kind in ESTIMATORS:
        check_allocator(kind())
        fitted = kind(max_weight=0.4, groups={"A0": "g", "A1": "g"}, constraints=["g >= 0.3"]).fit(X)
        assert fitted.weights.max() <= 0.4 + 1e-9 and fitted.weights[["A0", "A1"]].sum() >= 0.3 - 1e-9
        assert fitted.solution_.gap < 1e-6
    bt = walk_forward({k.__name__: k() for k in ESTIMATORS}, X, window=120)
    assert not len(bt.failures) and np.isfinite(bt.net_returns).all(axis=None)


def test_in_skfolio():
    "Ours run in skfolio's cross-validation."
    from skfolio.model_selection import WalkForward, cross_val_predict

    assert "skfolio" in sys.modules
    X = factor_returns(300, 4)
    predicted = cross_val_predict(MinimumCVaR(), X, cv=WalkForward(train_size=150, test_size=50))
    assert len(np.asarray(predicted.returns)) == 150


def test_full_program_is_the_fallback():
    "The door that the solvers go through when scenario generation fails."
    R = market(100, 5)
    whole = all_days(R, 5.0, np.zeros(5), read_constraints(range(5)))
    assert whole[0] == 0
    np.testing.assert_allclose(cvar(R @ whole[1]), solve_cvar(R, read_constraints(range(5))).objective, rtol=1e-12)
    assert issubclass(UnboundedError, PortfolioError)


@parametrize_with_checks([kind() for kind in ESTIMATORS])
def test_scikit_learn(estimator, check):
    "scikit-learn's own checks of an estimator."
    check(estimator)
