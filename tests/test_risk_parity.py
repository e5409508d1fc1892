"Risk parity: published weights, the optimality conditions on random matrices, degenerate input, scikit-learn's checks."

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from portfolio_ml.allocation.risk_parity import (
    MaximumDiversification,
    RiskBudgeting,
    bet_shares,
    diversification_ratio,
    effective_number_of_bets,
    maximum_diversification,
    minimum_torsion,
    risk_budgeting,
    risk_contributions,
    risk_table,
    solve_risk_budgets,
)
from portfolio_ml.core.testing import factor_returns
from portfolio_ml.core.validation import (
    ConstantAssetError,
    DataError,
    DuplicateAssetError,
    InfeasibleError,
    MissingDataError,
    NonFiniteError,
    PortfolioError,
    ShapeError,
    SolverError,
)
from portfolio_ml.optimize.active_set import simplex_minimum_variance


def covariance_of(volatility, correlation):
    "Put a covariance together."
    return np.outer(volatility, volatility) * np.asarray(correlation, dtype=float)


def random_covariance(rng, n, rows=None, spread=0.5):
    "Draw a sample covariance with a common factor and unequal volatilities."
    rows = rows or 3 * n + 2
    X = rng.standard_normal((rows, n)) + rng.standard_normal((rows, 1)) * rng.uniform(-0.5, 2, n)
    return np.atleast_2d(np.cov(X * 10 ** rng.uniform(-spread, spread, n), rowvar=False))


B = np.eye(4)
B[0, 1] = B[1, 0] = 0.8
B[2, 3] = B[3, 2] = -0.5
CASE_B = covariance_of([0.1, 0.2, 0.3, 0.4], B)
EIGHT = [  # Richard and Roncalli (2019)
    [100, 80, 60, -20, -10, -20, -20, -20], [80, 100, 40, -20, -20, -10, -20, -20], [60, 40, 100, 50, 30, 20, 20, 30],
    [-20, -20, 50, 100, 60, 60, 50, 60], [-10, -20, 30, 60, 100, 90, 70, 70], [-20, -10, 20, 60, 90, 100, 60, 70],
    [-20, -20, 20, 50, 70, 60, 100, 70], [-20, -20, 30, 60, 70, 70, 70, 100],
]
FIVE = [[1, 0.1, 0.4, 0.5, 0.5], [0.1, 1, 0.7, 0.4, 0.4], [0.4, 0.7, 1, 0.8, 0.05], [0.5, 0.4, 0.8, 1, 0.1], [0.5, 0.4, 0.05, 0.1, 1]]
PUBLISHED = {
    "Maillard et al., case b": (CASE_B, None, [0.38361251, 0.19180625, 0.24261785, 0.18196339], 1e-8),
    "Roncalli, budgets": (covariance_of([0.3, 0.2, 0.15], [[1, 0.8, 0.5], [0.8, 1, 0.3], [0.5, 0.3, 1]]), [50, 20, 30], [0.3115, 0.2190, 0.4696], 6e-5),
    "Richard and Roncalli": (
        covariance_of([0.05, 0.05, 0.07, 0.1, 0.15, 0.15, 0.15, 0.18], np.array(EIGHT) / 100), None,
        [0.268306, 0.286769, 0.114095, 0.097985, 0.056135, 0.059029, 0.06656, 0.051121], 1e-6,
    ),
    "MathWorks, budgets": (
        covariance_of([0.1, 0.15, 0.2, 0.3], [[1, 0.5, 0.5, 0.5], [0.5, 1, 0.5, 0.5], [0.5, 0.5, 1, 0.75], [0.5, 0.5, 0.75, 1]]),
        [0.3, 0.3, 0.195, 0.205], [0.45053, 0.30035, 0.14668, 0.10244], 1e-5,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights(name):
    "The weights that papers and manuals print."
    covariance, budgets, weights, tolerance = PUBLISHED[name]
    np.testing.assert_allclose(risk_budgeting(covariance, budgets), weights, atol=tolerance)


@pytest.mark.parametrize("rho", [-0.3, 0.0, 0.5, 0.99])
def test_equal_correlations_give_inverse_volatility(rho):
    "Whatever the correlation, as long as it is the same for all; maximum diversification likewise."
    covariance = covariance_of([0.1, 0.2, 0.3, 0.4], rho + (1 - rho) * np.eye(4))
    np.testing.assert_allclose(risk_budgeting(covariance), [0.48, 0.24, 0.16, 0.12], atol=1e-12)
    np.testing.assert_allclose(maximum_diversification(covariance), [0.48, 0.24, 0.16, 0.12], atol=1e-9)


def test_zero_budgets_have_the_two_published_solutions():
    "Bruder and Roncalli (2012): the hedge is held unless it is left out by wish."
    covariance = covariance_of([0.2, 0.1, 0.05], [[1, 0.5, -0.25], [0.5, 1, -0.25], [-0.25, -0.25, 1]])
    np.testing.assert_allclose(risk_budgeting(covariance, [1, 1, 0]), [0.2, 0.4, 0.4], atol=1e-9)
    np.testing.assert_allclose(risk_budgeting(covariance, [1, 1, 0], hedges=False), [1 / 3, 2 / 3, 0], atol=1e-12)
    np.testing.assert_allclose(risk_budgeting(np.eye(3), [1, 1, 0]), [0.5, 0.5, 0], atol=1e-12)


def test_zero_budgets_are_the_limit_of_small_ones():
    "Random matrices: contributions, signs of the marginal risks, and the limit."
    rng = np.random.default_rng(0)
    for _ in range(60):
        n = int(rng.integers(2, 9))
        S, b = random_covariance(rng, n), rng.dirichlet(np.ones(n)) * (rng.random(n) < 0.6)
        if b.sum() == 0:
            continue
        found = solve_risk_budgets(S, b)
        w, b = found.weights.to_numpy(), found.budgets.to_numpy()
        marginal = S @ w / (w @ S @ w)
        assert np.abs(w * marginal - b).max() < 1e-9 and (marginal[b == 0] > -1e-8).all() and (w >= 0).all()
        np.testing.assert_allclose(risk_budgeting(S, np.maximum(b, 1e-13)), w, atol=1e-6)


def test_random_budgets_are_kept():
    "Random matrices, very uneven budgets, volatilities that differ by orders of magnitude."
    rng = np.random.default_rng(1)
    for _ in range(100):
        n = int(rng.integers(1, 30))
        S, b = random_covariance(rng, n, spread=3), rng.dirichlet(np.full(n, 0.3)) + 1e-9
        found = solve_risk_budgets(S, b)
        assert found.residual < 1e-10 and found.steps < 20
        np.testing.assert_allclose(risk_contributions(found.weights, S, relative=True), b / b.sum(), atol=1e-9)


@pytest.mark.parametrize("rule", ["barrier", "ratios"])
def test_bounds(rule):
    "Bounds hold to the digit; what is unbound obeys the rule's own law."
    rng, solved = np.random.default_rng(2), 0
    for _ in range(60):
        n = int(rng.integers(2, 12))
        S, b = random_covariance(rng, n, spread=0.3), rng.dirichlet(np.ones(n))
        low, high = rng.uniform(0, 0.8 / n, n) * (rng.random(n) < 0.4), np.minimum(1, rng.uniform(1.1 / n, 3 / n, n))
        try:
            found = solve_risk_budgets(S, b, min_weight=low, max_weight=high, when_bound=rule)
        except InfeasibleError:
            assert rule == "ratios"
            continue
        solved += 1
        w, free = found.weights.to_numpy(), (found.binding == 0).to_numpy()
        assert abs(w.sum() - 1) < 1e-12 and (w >= low).all() and (w <= high).all() and found.residual < 1e-9
        share = found.shares.to_numpy()
        law = (share - b) / w if rule == "barrier" else share / b
        if free.sum() > 1 and not free.all():
            np.testing.assert_allclose(law[free], law[free].mean(), atol=1e-6 * np.abs(share / w).max())
    assert solved > 50


def test_ratios_are_those_of_richard_and_roncalli():
    "Their package prints a share of 0.2455 for the second asset of this example, held at its lower bound."
    bounds = np.array([[0.2, 0.3], [0.2, 0.3], [0.05, 0.15], [0.05, 0.15], [0.25, 0.35]])
    S = covariance_of([0.15, 0.2, 0.25, 0.3, 0.1], FIVE)
    found = solve_risk_budgets(S, min_weight=bounds[:, 0], max_weight=bounds[:, 1], when_bound="ratios")
    assert abs(found.shares[1] - 0.2455) < 1.5e-5 and found.weights[1] == 0.2


def test_fixed_weights_and_bounds_that_leave_one_portfolio():
    "An asset whose bounds are equal; bounds that sum to one; bounds that clash."
    found = solve_risk_budgets(CASE_B, min_weight=[0, 0.3, 0, 0], max_weight=[1, 0.3, 1, 1])
    assert found.weights[1] == 0.3 and found.residual < 1e-10
    np.testing.assert_allclose(risk_budgeting(CASE_B, max_weight=0.25), 0.25)
    np.testing.assert_allclose(risk_budgeting(CASE_B, min_weight=[0.4, 0.3, 0.2, 0.1]), [0.4, 0.3, 0.2, 0.1])
    for bad in ({"max_weight": 0.2}, {"min_weight": 0.3}, {"min_weight": 0.2, "max_weight": 0.1}, {"max_weight": [0, 1, 1, 1]}):
        with pytest.raises(InfeasibleError, match="weight"):
            risk_budgeting(CASE_B, **bad)


def test_names():
    "A labelled covariance takes budgets and bounds by name, and gives labelled weights."
    S = pd.DataFrame(CASE_B, list("ABCD"), list("ABCD"))
    w = risk_budgeting(S, {"D": 0.4, "A": 0.1, "B": 0.1, "C": 0.4}, max_weight={"B": 0.1})
    assert list(w.index) == list("ABCD") and w["B"] == 0.1
    np.testing.assert_allclose(risk_budgeting(S, pd.Series({"B": 1, "A": 1, "C": 2, "D": 2})), risk_budgeting(CASE_B, [1, 1, 2, 2]))
    assert list(risk_table(w, S, {"A": 1}).columns)[-1] == "budget"
    with pytest.raises(DataError, match="E"):
        risk_budgeting(S, {"A": 0.5, "E": 0.5})
    with pytest.raises(DuplicateAssetError, match="A"):
        risk_budgeting(S.set_axis(list("AACD"), axis=1).set_axis(list("AACD"), axis=0))
    with pytest.raises(DataError, match="order"):
        risk_budgeting(S.iloc[::-1])


@pytest.mark.parametrize(
    ("matrix", "error"),
    [
        ([[1, 2], [2, 1]], DataError), ([[1, 0.5], [0.4, 1]], DataError), ([[1, 0], [0, 0]], ConstantAssetError),
        ([[1, 0], [0, -1]], DataError), ([[1, np.nan], [np.nan, 1]], MissingDataError), ([[np.inf, 0], [0, 1]], NonFiniteError),
        ([1.0, 2.0], ShapeError), ([[1, 0, 0], [0, 1, 0]], ShapeError), ([], ShapeError), ([["a"]], DataError), ([[1, -1], [-1, 1]], InfeasibleError),
    ],
)
def test_bad_matrices_are_refused(matrix, error):
    "By a typed error, by both methods."
    for method in (risk_budgeting, maximum_diversification):
        with pytest.raises(error):
            method(matrix)


@pytest.mark.parametrize("budgets", [[0.5, -0.1, 0.3, 0.3], [0, 0, 0, 0], [1, 1], [1, np.nan, 1, 1], "text", [np.inf, 1, 1, 1]])
def test_bad_budgets_are_refused(budgets):
    "By a typed error."
    with pytest.raises(DataError):
        risk_budgeting(CASE_B, budgets)


def test_the_certificate_refuses():
    "Next to a portfolio without risk the contributions are lost to rounding, and that is said."
    with pytest.raises(SolverError, match="missed"):
        risk_budgeting([[1, 1e-9 - 1], [1e-9 - 1, 1]], [0.3, 0.7])


def test_singular_and_degenerate_matrices():
    "Duplicates, one asset, fewer rows than assets, tiny and huge units: finite weights or a typed error."
    np.testing.assert_allclose(risk_budgeting([[4.0]]), [1])
    np.testing.assert_allclose(maximum_diversification([[4.0]]), [1])
    twice = np.kron(np.ones((2, 2)), CASE_B)
    np.testing.assert_allclose(risk_budgeting(twice), np.tile(risk_budgeting(CASE_B), 2) / 2, atol=1e-12)
    w = maximum_diversification(twice)
    np.testing.assert_allclose(w[:4] + w[4:], maximum_diversification(CASE_B), atol=1e-8)
    for unit in (1e-12, 1e-3, 1e12):
        np.testing.assert_allclose(risk_budgeting(unit * CASE_B), risk_budgeting(CASE_B), atol=1e-13)
    rng = np.random.default_rng(3)
    for n, rows in ((20, 5), (20, 15), (60, 30), (5, 4)):
        for factor in (0, 1):
            S = np.cov(rng.standard_normal((rows, n)) + factor * rng.standard_normal((rows, 1)), rowvar=False)
            for method in (risk_budgeting, maximum_diversification):
                try:
                    w = method(S)
                except PortfolioError:
                    continue
                assert np.isfinite(w).all() and (w >= 0).all() and abs(w.sum() - 1) < 1e-9


def test_minimum_variance_against_all_supports():
    "The growing active set finds what trying every set of assets finds."
    rng = np.random.default_rng(4)
    for _ in range(60):
        n = int(rng.integers(2, 7))
        S, best = random_covariance(rng, n), (np.inf, None)
        for size in range(1, n + 1):
            for held in map(list, combinations(range(n), size)):
                x = np.linalg.solve(S[np.ix_(held, held)], np.ones(size))
                x = x / x.sum()
                if (x >= 0).all() and x @ S[np.ix_(held, held)] @ x < best[0]:
                    best = x @ S[np.ix_(held, held)] @ x, np.zeros(n)
                    best[1][held] = x
        np.testing.assert_allclose(simplex_minimum_variance(S), best[1], atol=1e-9)


def test_maximum_diversification():
    "The exact answer of case (b), and no random portfolio has a higher ratio."
    w = maximum_diversification(CASE_B)
    np.testing.assert_allclose(w, [5 / 18, 5 / 36, 1 / 3, 1 / 4], atol=1e-12)
    for other in np.random.default_rng(5).dirichlet(np.ones(4), 200):
        assert diversification_ratio(other, CASE_B) <= diversification_ratio(w, CASE_B) + 1e-12


def test_contributions():
    "They sum to the volatility; shares sum to one; a portfolio without risk is refused."
    w = np.array([0.5, -0.2, 0.3, 0.4])
    np.testing.assert_allclose(risk_contributions(w, CASE_B).sum(), np.sqrt(w @ CASE_B @ w))
    np.testing.assert_allclose(risk_contributions(w, CASE_B, relative=True).sum(), 1)
    for bad in ([0, 0, 0, 0], [1, 2], [1, np.nan, 0, 0]):
        with pytest.raises(DataError):
            risk_contributions(bad, CASE_B)


def test_bets():
    "Closed forms, uncorrelated factors, the best of nearby maps, and what is refused."
    assert abs(effective_number_of_bets(np.full(6, 1 / 6), 0.7 + 0.3 * np.eye(6)) - 6) < 1e-9
    assert abs(effective_number_of_bets(np.full(6, 1 / 6), 0.7 + 0.3 * np.eye(6), "pca") - 1) < 1e-9
    t = minimum_torsion(CASE_B)
    factors = t @ CASE_B @ t.T
    np.testing.assert_allclose(factors, np.diag(np.diag(factors)), atol=1e-13)
    shares = bet_shares([0.4, 0.3, 0.2, 0.1], CASE_B)
    assert (shares >= 0).all() and abs(shares.sum() - 1) < 1e-12

    def distance(t):
        away = t - np.eye(4)
        return np.sum(np.diag(away @ CASE_B @ away.T) / np.diag(CASE_B))

    rng, root = np.random.default_rng(6), np.linalg.cholesky(CASE_B)
    for size in (0.01, 0.1, 1):
        for _ in range(20):
            q = np.linalg.qr(np.eye(4) + size * rng.standard_normal((4, 4)))[0]
            other = q @ np.diag(1 / np.sqrt(np.diag(factors))) @ t
            scale = np.diag(other @ CASE_B) / np.diag(other @ CASE_B @ other.T)
            assert distance(scale[:, None] * other) >= distance(t) - 1e-10
    assert root.shape == (4, 4)
    with pytest.raises(DataError, match="singular"):
        minimum_torsion(np.ones((2, 2)))
    with pytest.raises(DataError, match="method"):
        bet_shares(np.full(4, 0.25), CASE_B, "ica")


def test_estimators():
    "By name, with another covariance inside, and with a missing asset's budget shared out."
    X = factor_returns(120, 4)
    fitted = RiskBudgeting({"A0": 0.4, "A1": 0.2, "A2": 0.2, "A3": 0.2}).fit(X)
    np.testing.assert_allclose(risk_contributions(fitted.weights_, X.cov(), relative=True), [0.4, 0.2, 0.2, 0.2], atol=1e-12)
    assert fitted.solution_.residual < 1e-12 and "share" in fitted.solution_.to_frame()
    shared = RiskBudgeting({"A0": 0.5, "A1": 0.25, "B": 0.25}, missing="rescale", hedges=False).fit(X)
    np.testing.assert_allclose(shared.solution_.shares, [2 / 3, 1 / 3, 0, 0], atol=1e-9)
    with pytest.raises(DataError, match="B"):
        RiskBudgeting({"A0": 0.5, "B": 0.5}).fit(X)


@parametrize_with_checks([RiskBudgeting(), RiskBudgeting(min_weight=0.01), MaximumDiversification()])
def test_scikit_learn(estimator, check):
    "scikit-learn's own checks of an estimator."
    check(estimator)
