"""Sets that grow: answers against Clarabel, gaps, copies, singular and wrong matrices, memory."""

import tracemalloc

import cvxpy as cp
import numpy as np
import pytest

from portfolio_ml.core.validation import SolverError
from portfolio_ml.optimize.active_set import (
    exchange_sets,
    flip_sets,
    grow_set,
    minimise_on_simplex,
    relative_gap,
    simplex_gap,
    simplex_minimum_variance,
)


def market(n, periods, seed=0):
    "Simulate a covariance and a mean with one common factor."
    rng = np.random.default_rng(seed)
    beta = rng.uniform(0.5, 1.5, n)
    X = rng.normal(0, 0.01, (periods, 1)) * beta + rng.normal(0, 1, (periods, n)) * rng.uniform(0.005, 0.03, n)
    return np.cov(X.T), X.mean(axis=0)


def by_cvxpy(P, q, budget=1.0, upper=None):
    "Solve by cvxpy and Clarabel."
    w = cp.Variable(len(q))
    rules = [w >= 0, cp.sum(w) == budget] + ([] if upper is None else [w <= upper])
    problem = cp.Problem(cp.Minimize(1e4 * (0.5 * cp.quad_form(w, cp.psd_wrap(P)) + q @ w)), rules)
    problem.solve(solver="CLARABEL")
    return problem.value / 1e4


@pytest.mark.parametrize("n, periods", [(2, 50), (7, 60), (30, 20), (60, 200), (61, 200), (150, 100), (150, 400)])
@pytest.mark.parametrize("tilt", [0.0, 0.2, 10.0])
def test_agrees_with_cvxpy(n, periods, tilt):
    P, mean = market(n, periods)
    q = -tilt * mean
    weights, gap, _ = minimise_on_simplex(P, q)
    assert weights.min() >= 0 and abs(weights.sum() - 1) < 1e-12 and gap < 1e-9
    value, theirs = 0.5 * weights @ P @ weights + q @ weights, by_cvxpy(P, q)
    assert value <= theirs + 1e-7 * max(abs(theirs), 1e-2 * (weights**2 @ P.diagonal()))


@pytest.mark.parametrize("budget", [0.2, 1.0, 40.0])
def test_budgets(budget):
    P, mean = market(80, 300)
    weights, gap, _ = minimise_on_simplex(P, -mean / 5, budget)
    np.testing.assert_allclose(weights.sum(), budget)
    assert gap < 1e-9
    np.testing.assert_allclose(0.5 * weights @ P @ weights - mean @ weights / 5, by_cvxpy(P, -mean / 5, budget), rtol=1e-5)


def test_start_anywhere():
    P, mean = market(90, 300)
    best = grow_set(P, -mean / 5)[0]
    for start in (np.full(90, 1 / 90), np.eye(90)[7], np.random.default_rng(0).dirichlet(np.ones(90)) * 5):
        np.testing.assert_allclose(grow_set(P, -mean / 5, start=start)[0], best, atol=1e-9)
    assert grow_set(P, -mean / 5, start=best)[1] <= 1


@pytest.mark.parametrize("cap", [0.02, 0.05, 0.3])
def test_caps(cap):
    P, _ = market(80, 300)
    weights = exchange_sets(P, np.zeros(80), 1.0, np.full(80, cap), simplex_minimum_variance(P))
    assert weights is not None and weights.max() <= cap and weights.min() >= 0
    np.testing.assert_allclose(0.5 * weights @ P @ weights, by_cvxpy(P, np.zeros(80), 1.0, cap), rtol=1e-6)


def test_gap_bounds_the_distance():
    P, mean = market(40, 200)
    q, rng = -mean / 5, np.random.default_rng(0)
    best = minimise_on_simplex(P, q)[0]

    def value(w):
        return 0.5 * w @ P @ w + q @ w

    for spread in (1e-6, 1e-3, 1.0):
        w = (1 - spread) * best + spread * rng.dirichlet(np.ones(40))
        assert value(w) - value(best) <= simplex_gap(P, q, w) + 1e-18
        assert relative_gap(P, q, w) > 0


@pytest.mark.parametrize("scale", [1e-20, 1e-8, 1e8, 1e20])
@pytest.mark.parametrize("n", [20, 90])
def test_units_do_not_matter(scale, n):
    P, mean = market(n, 300)
    here, there = minimise_on_simplex(P, -mean)[0], minimise_on_simplex(P * scale, -mean * scale)[0]
    np.testing.assert_allclose(there, here, atol=1e-9)


@pytest.mark.parametrize("n", [10, 100])
def test_volatilities_from_a_millionth_to_one(n):
    P, _ = market(n, 3 * n)
    d = np.logspace(-6, 0, n) / np.sqrt(P.diagonal())
    weights, gap, _ = minimise_on_simplex(P * np.outer(d, d), np.zeros(n))
    assert gap < 1e-9 and weights[0] > 0.3


def test_copies_and_riskless_assets():
    P, _ = market(50, 200)
    once = simplex_minimum_variance(P)
    twice = simplex_minimum_variance(np.kron(np.ones((2, 2)), P))
    np.testing.assert_allclose(twice.reshape(2, -1).sum(axis=0), once, atol=1e-8)
    np.testing.assert_allclose(simplex_minimum_variance(np.ones((9, 9))).sum(), 1)
    P[3], P[:, 3] = 0, 0
    np.testing.assert_allclose(simplex_minimum_variance(P), np.eye(50)[3], atol=1e-12)
    np.testing.assert_allclose(simplex_minimum_variance(np.zeros((4, 4))).sum(), 1)


def test_only_a_linear_term():
    for n in (5, 100):
        q = np.random.default_rng(n).normal(size=n)
        np.testing.assert_allclose(minimise_on_simplex(np.zeros((n, n)), q)[0], np.eye(n)[q.argmin()])


def test_riskless_holding_that_could_earn_more_is_no_optimum():
    assert relative_gap(np.zeros((2, 2)), np.array([0.0, -1.0]), np.array([1.0, 0.0])) > 1
    assert relative_gap(np.zeros((2, 2)), np.zeros(2), np.array([1.0, 0.0])) == 0


def test_one_and_two_assets():
    assert simplex_minimum_variance(np.array([[0.04]])) == 1
    np.testing.assert_allclose(simplex_minimum_variance(np.array([[0.04, 0.01], [0.01, 0.09]])), [8 / 11, 3 / 11])
    np.testing.assert_allclose(simplex_minimum_variance(np.array([[0.04, 0.05], [0.05, 0.09]])), [1, 0])


def test_order_does_not_matter():
    P, mean = market(90, 300)
    order = np.random.default_rng(0).permutation(90)
    here = minimise_on_simplex(P, -mean)[0]
    there = minimise_on_simplex(P[np.ix_(order, order)], -mean[order])[0]
    np.testing.assert_allclose(there, here[order], atol=1e-9)


def test_guess_gives_up_instead_of_guessing_wrong():
    assert flip_sets(np.ones((5, 5)), np.zeros(5)) is None


def test_not_semidefinite_is_an_error():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(100, 100))
    with pytest.raises(SolverError, match="semidefinite"):
        simplex_minimum_variance(A + A.T + 5 * np.eye(100) - 40 * np.outer(A[0], A[0]) / 100)


def test_memory_stays_below_one_more_matrix():
    rng = np.random.default_rng(0)
    n = 1200
    load = rng.uniform(0.5, 1.5, n) * 0.01
    P = np.outer(load, load)
    P.flat[:: n + 1] += rng.uniform(0.005, 0.03, n) ** 2
    tracemalloc.start()
    weights = simplex_minimum_variance(P)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < P.nbytes / 2 and (weights > 0).sum() < n / 2


@pytest.mark.parametrize("n, rows", [(20, 5), (20, 15), (60, 30), (150, 60), (5, 4)])
def test_fewer_days_than_assets_keep_the_budget(n, rows):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = 0.01 * rng.standard_normal((rows, n)) + 0.01 * rng.standard_normal((rows, 1)) + 0.002
        P, mean = np.cov(X, rowvar=False), X.mean(axis=0)
        for q in (np.zeros(n), -mean, -mean / 100):
            weights, gap, _ = minimise_on_simplex(P, q)
            assert abs(weights.sum() - 1) < 1e-13 and weights.min() >= 0 and gap < 1e-8
