"The conic solver: closed forms, cvxpy as the witness, certificates, refusals, and the open door."

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import portfolio_ml.core.validation as validation
from portfolio_ml.core.validation import DataError, InfeasibleError, MissingExtraError, ShapeError, SolverError, UnboundedError
from portfolio_ml.optimize.conic import (
    ConicProblem,
    certificate,
    entropy_cones,
    log_cones,
    norm_cone,
    outside,
    power_cones,
    read_cone,
    risk_cone,
    solve_conic,
    solve_with_cvxpy,
    square_root,
    standard_form,
)
from portfolio_ml.optimize.constraints import read_constraints


def market(n, seed=0, rows=None):
    "Draw means and a covariance."
    rng = np.random.default_rng(seed)
    rows = rows or 3 * n + 5
    X = 0.01 * (rng.standard_normal((rows, n)) + rng.standard_normal((rows, 1))) * np.linspace(0.5, 2, n) + 0.0005
    return X.mean(axis=0), np.cov(X, rowvar=False), X


def test_import_is_light():
    "Neither cvxpy nor Clarabel comes with the import."
    code = "import sys, portfolio_ml.optimize.conic; print([m for m in ('cvxpy', 'clarabel') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_volatility_cap_has_a_closed_form(n):
    "Highest return for a given risk, nothing else; the price is the Sharpe ratio."
    mean, cov, _ = market(max(n, 2), seed=n)
    mean, cov = mean[:n], cov[:n, :n]
    found = solve_conic(ConicProblem(-mean, (risk_cone(cov, 0.01),)))
    sharpe = np.sqrt(mean @ np.linalg.solve(cov, mean))
    np.testing.assert_allclose(found.weights, 0.01 * np.linalg.solve(cov, mean) / sharpe, atol=1e-5 * np.abs(found.weights).max())
    np.testing.assert_allclose(found.duals["volatility <= 0.01"][0], sharpe, rtol=1e-6)
    assert found.certificate < 1e-7


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_units_do_not_matter(scale):
    "Returns in other units give the same weights."
    mean, cov, _ = market(12, seed=3)
    limits = read_constraints(range(12))
    base = solve_conic(ConicProblem(-mean, (), 4 * cov, limits)).weights
    other = solve_conic(ConicProblem(-scale * mean, (), 4 * scale * cov, limits)).weights
    np.testing.assert_allclose(other, base, atol=1e-6)
    cap = 1.05 * np.sqrt(base @ cov @ base)
    a = solve_conic(ConicProblem(-mean, (risk_cone(cov, cap),), limits=limits)).weights
    b = solve_conic(ConicProblem(-scale * mean, (risk_cone(cov * scale**2, cap * scale),), limits=limits)).weights
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_nothing_is_an_answer_too():
    "No constraint at all, and an optimum at zero."
    np.testing.assert_allclose(solve_conic(ConicProblem(np.array([1.0, -2.0]), (), np.eye(2))).weights, [-1, 2], atol=1e-8)
    cones = (norm_cone(np.eye(2), slope=[0, 0, 1.0]),)
    found = solve_conic(ConicProblem(np.array([-0.1, 0.2, 1.0]), cones, limits=read_constraints(range(2), min_weight=None, budget=None)))
    np.testing.assert_allclose(found.weights, 0, atol=1e-6)


def test_singular_covariance_has_a_root():
    "Fewer rows than assets, a duplicate, a riskless asset."
    _, cov, X = market(20, rows=8)
    F = square_root(cov)
    assert len(F) == 7
    np.testing.assert_allclose(F.T @ F, cov, atol=1e-12 * np.abs(cov).max())
    twin = np.cov(np.column_stack([X[:, :3], X[:, 0], 0 * X[:, 0]]), rowvar=False)
    F = square_root(twin)
    assert len(F) == 3
    np.testing.assert_allclose(F.T @ F, twin, atol=1e-12 * np.abs(twin).max())


def test_against_cvxpy():
    "Tracking error, impact and log-utility, each solved by cvxpy too."
    cp = pytest.importorskip("cvxpy")
    mean, cov, X = market(8, seed=5)
    limits = read_constraints([f"a{k}" for k in range(8)], max_weight=0.4, constraints=["a0 + a1 <= 0.3"])
    base, F = np.full(8, 1 / 8), square_root(cov)
    ours = solve_conic(ConicProblem(-mean, (risk_cone(cov, 0.003, base),), limits=limits))
    door = solve_with_cvxpy(lambda w: -(mean @ w), limits, constraints=lambda w: [cp.norm(F @ (w - base)) <= 0.003])
    np.testing.assert_allclose(ours.weights, door.weights, atol=2e-5)
    problem = ConicProblem(np.r_[-mean, np.full(8, 0.002)], (power_cones(base, 8),), limits=limits)
    door = solve_with_cvxpy(lambda w: -(mean @ w) + 0.002 * cp.sum(cp.power(cp.abs(w - base), 1.5)), limits)
    np.testing.assert_allclose(solve_conic(problem).weights, door.weights, atol=1e-4)
    problem = ConicProblem(np.r_[np.zeros(8), np.full(len(X), -1 / len(X))], (log_cones(X, 8),), limits=limits)
    door = solve_with_cvxpy(lambda w: cp.Maximize(cp.sum(cp.log(1 + X @ w))), limits)
    grown = [np.log1p(X @ np.asarray(s.weights)).mean() for s in (solve_conic(problem), door)]
    assert abs(grown[0] - grown[1]) < 1e-10
    assert isinstance(door.weights, pd.Series) and limits.violation(door.weights.to_numpy()) < 1e-9


def test_semidefinite_constraint_through_the_door():
    "A user may lift the weights into a matrix."
    cp = pytest.importorskip("cvxpy")
    _, cov, _ = market(4, seed=9)
    limits = read_constraints(range(4))
    plain = solve_conic(ConicProblem(np.zeros(4), (), cov, limits)).weights
    W = cp.Variable((5, 5), PSD=True)
    door = solve_with_cvxpy(
        lambda w: 1e4 * cp.trace(cov @ W[:4, :4]), limits, constraints=lambda w: [W[4, 4] == 1, W[:4, 4] == w],
    )
    np.testing.assert_allclose(door.weights, plain, atol=1e-4)


def test_entropy_tilts():
    "Softmax in closed form."
    mean = np.array([0.1, 0.2, 0.0, -0.1])
    found = solve_conic(ConicProblem(np.r_[-mean, -np.full(4, 0.1)], (entropy_cones(4, 4),), limits=read_constraints(range(4))))
    odds = np.exp(mean / 0.1)
    np.testing.assert_allclose(found.weights, odds / odds.sum(), atol=1e-5)


def test_certificate_sees_a_wrong_answer():
    "Wrong weights, wrong prices, and a point outside."
    mean, cov, _ = market(6)
    limits = read_constraints(range(6))
    problem = ConicProblem(-mean, (), 2 * cov, limits)
    form, found = standard_form(problem), solve_conic(problem)
    z = np.concatenate(list(found.duals.values())) * form.scales / form.size
    assert max(certificate(form, found.values, z)) < 1e-8
    equal = np.full(6, 1 / 6)
    assert max(certificate(form, equal, z)[1:]) > 1e-3
    assert certificate(form, found.values + 0.1, z)[0] > 1e-2
    assert max(certificate(form, found.values, 1.1 * z)) > 1e-3


def test_tolerance_is_kept():
    "An impossible tolerance is refused rather than waved through."
    mean, cov, _ = market(6)
    with pytest.raises(SolverError, match="certificate"):
        solve_conic(ConicProblem(-mean, (risk_cone(cov, 0.01),)), tolerance=1e-30)


def test_infeasible_says_why():
    "Clashing limits in the constraints' words; cones by label."
    mean, cov, _ = market(3)
    limits = read_constraints(["A", "B", "C"], constraints=["A + B <= 0.2", "C <= 0.3"])
    with pytest.raises(InfeasibleError, match="C <= 0.3.*smallest change"):
        solve_conic(ConicProblem(-mean, (), cov, limits))
    free = read_constraints(["A", "B", "C"])
    with pytest.raises(InfeasibleError, match="volatility <= 0.001"):
        solve_conic(ConicProblem(-mean, (risk_cone(cov, 0.001),), limits=free))
    with pytest.raises(UnboundedError):
        solve_conic(ConicProblem(-mean, (), limits=read_constraints(["A", "B", "C"], min_weight=None)))
    with pytest.raises(UnboundedError):
        solve_conic(ConicProblem(np.array([1.0, 0.0])))


def test_rows_are_checked():
    "Shapes, kinds, numbers."
    with pytest.raises(DataError, match="none of"):
        read_cone("circle", [[1.0]], [0.0])
    with pytest.raises(ShapeError):
        read_cone("zero", [[1.0]], [0.0, 1.0])
    with pytest.raises(ShapeError, match="threes"):
        read_cone("exponential", np.eye(2), np.zeros(2))
    with pytest.raises(DataError, match="finite"):
        read_cone("zero", [[np.nan]], [0.0])
    with pytest.raises(DataError, match="finite"):
        solve_conic(ConicProblem(np.array([np.nan])))
    with pytest.raises(DataError, match="exponent"):
        read_cone("power", np.eye(3), np.zeros(3), exponent=1.5)
    with pytest.raises(DataError, match="above 1"):
        power_cones([0.0], 1, 1.0)
    with pytest.raises(DataError, match="cap on risk"):
        risk_cone(np.eye(2), -1.0)
    with pytest.raises(ShapeError, match="columns"):
        solve_conic(ConicProblem(np.ones(1), (norm_cone(np.eye(2), constant=1.0),)))


def test_distances():
    "Inside is zero; outside is at least half the true distance for second-order cones, and positive for the others."
    rng = np.random.default_rng(1)
    for _ in range(200):
        y = rng.uniform(0.1, 2)
        x = rng.normal()
        assert outside(np.array([x, y, y * np.exp(x / y) * 1.0000001]), "exponential") < 1e-12
        assert outside(np.array([x, y, y * np.exp(x / y) - 0.1]), "exponential") > 0
        u = -rng.uniform(0.1, 2)
        v = rng.normal()
        assert outside(np.array([u, v, -u * np.exp(v / u - 1) * 1.0000001]), "exponential", dual=True) < 1e-12
    assert outside(np.array([-1.0, 0.0, 1.0]), "exponential") == 0


def test_door_without_cvxpy(monkeypatch):
    "The error names the extra."
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(validation.importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match="peers"):
        solve_with_cvxpy(lambda w: w, read_constraints(range(2)))


def test_door_refuses():
    "Not convex, whole numbers, clashes, no bounds."
    cp = pytest.importorskip("cvxpy")
    limits = read_constraints(range(3))
    with pytest.raises(DataError, match="convex"):
        solve_with_cvxpy(lambda w: -cp.sum_squares(w), limits)
    with pytest.raises(DataError, match="whole numbers"):
        solve_with_cvxpy(lambda w: cp.sum(w), limits, constraints=lambda w: [cp.Variable(integer=True) + w[0] <= 1])
    with pytest.raises(InfeasibleError, match="cvxpy"):
        solve_with_cvxpy(lambda w: cp.sum(w), limits, constraints=lambda w: [w[0] >= 2])
    with pytest.raises(InfeasibleError, match="smallest change"):
        solve_with_cvxpy(lambda w: cp.sum(w), read_constraints(range(3), max_weight=0.2))
    with pytest.raises(UnboundedError):
        solve_with_cvxpy(lambda w: w[0], read_constraints(range(3), min_weight=None))
