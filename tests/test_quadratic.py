"""Quadratic programs: answers against Clarabel through cvxpy, certificates, degenerate input, errors in words."""

from dataclasses import replace
from itertools import combinations

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest

from portfolio_ml.core.validation import (
    DataError,
    InfeasibleError,
    MissingDataError,
    PortfolioError,
    ShapeError,
    SolverError,
    UnboundedError,
)
from portfolio_ml.optimize import program as room
from portfolio_ml.optimize.constraints import read_constraints
from portfolio_ml.optimize.program import certify, improves_forever, objective_size, polish, solve_program
from portfolio_ml.optimize.quadratic import minimise_quadratic, minimise_with_few, names_that_fit

NAMES = list("ABCDEFGHIJ")


def market(n=10, periods=100, seed=0):
    "Simulate a covariance and a mean with one common factor."
    rng = np.random.default_rng(seed)
    beta = rng.uniform(0.5, 1.5, n)
    X = rng.normal(0, 0.01, (periods, 1)) * beta + rng.normal(0, 1, (periods, n)) * rng.uniform(0.005, 0.03, n)
    return np.cov(X.T), X.mean(axis=0)


def by_cvxpy(P, q, limits, previous=None, costs=0.0, max_turnover=np.inf, l1=0.0, max_leverage=np.inf, cap=None):
    "Solve the same program by cvxpy and Clarabel."
    n, w = len(q), cp.Variable(len(q))
    rows, rules = limits.matrix @ w, []
    for value, low, high in ((w, limits.lower, limits.upper), (rows, limits.low, limits.high)):
        below, above = np.flatnonzero(np.isfinite(low)), np.flatnonzero(np.isfinite(high))
        rules += [value[below] >= low[below]] if len(below) else []
        rules += [value[above] <= high[above]] if len(above) else []
    away = w - (np.zeros(n) if previous is None else previous)
    aim = 0.5 * cp.quad_form(w, cp.psd_wrap(P)) + q @ w + cp.sum(cp.multiply(costs, cp.abs(away))) + l1 * cp.norm1(w)
    rules += [cp.norm1(away) <= max_turnover] if np.isfinite(max_turnover) else []
    rules += [cp.norm1(w) <= max_leverage] if np.isfinite(max_leverage) else []
    if cap is not None:
        rules.append(cp.quad_form(w - cap[1], cp.psd_wrap(cap[0])) * 1e4 <= cap[2] ** 2 * 1e4)
    problem = cp.Problem(cp.Minimize(1e3 * aim), rules)
    problem.solve(solver="CLARABEL")
    return w.value, None if w.value is None else problem.value / 1e3


S, MU = market()
EQUAL = np.full(10, 0.1)
HELD = np.random.default_rng(5).dirichlet(np.ones(10))
GROUPS = {"A": "g", "B": "g", "C": "h", "D": "h", "E": "g"}
KINDS = {
    "long only": ({}, {}),
    "caps": ({"max_weight": 0.25}, {}),
    "floors": ({"min_weight": 0.02}, {}),
    "bounds by name": ({"min_weight": {"A": 0.1, "B": -0.2}, "max_weight": {"C": 0.2}}, {}),
    "no bounds": ({"min_weight": None}, {}),
    "short": ({"min_weight": -0.3, "max_weight": 0.5}, {}),
    "groups": ({"groups": GROUPS, "constraints": ["g <= 0.3", "0.35 <= h <= 0.5"]}, {}),
    "linear": ({"constraints": ["A == 2 * B", "C - D <= 0.05", "E >= 0.1"]}, {}),
    "budget between": ({"budget": (0.5, 0.9)}, {}),
    "no budget": ({"budget": None}, {}),
    "dollar neutral": ({"min_weight": -1, "max_weight": 1, "budget": 0}, {}),
    "negative budget": ({"min_weight": -0.6, "max_weight": 0.1, "budget": -1}, {}),
    "costs": ({}, {"previous": HELD, "costs": 2e-5}),
    "costs by name": ({}, {"previous": HELD, "costs": np.linspace(0, 1e-4, 10)}),
    "turnover": ({}, {"previous": HELD, "max_turnover": 0.3}),
    "turnover and costs": ({"max_weight": 0.4}, {"previous": HELD, "max_turnover": 0.7, "costs": 1e-5}),
    "nothing held before": ({"min_weight": -0.5}, {"max_turnover": 1.2}),
    "leverage": ({"min_weight": -1}, {"max_leverage": 1.4}),
    "l1": ({"min_weight": None}, {"l1": 1e-5}),
    "tracking": ({}, {"cap": (S, EQUAL, 0.002)}),
    "risk": ({}, {"cap": (S, np.zeros(10), 0.009)}),
    "tracking, turnover, groups": (
        {"groups": GROUPS, "constraints": "h <= 0.4"},
        {"cap": (S, EQUAL, 0.004), "previous": HELD, "max_turnover": 0.8},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("linear", [0.0, 0.3, 5.0])
def test_every_constraint_agrees_with_cvxpy(kind, linear):
    bounds, more = KINDS[kind]
    limits, q = read_constraints(NAMES, **bounds), -linear * MU
    if kind in ("no budget", "budget between", "dollar neutral") and not linear:
        q = -0.3 * MU
    ours = minimise_quadratic(S, q, limits, **more)
    weights, value = by_cvxpy(S, q, limits, **more)
    size = objective_size(S, q, ours.weights)
    assert abs(ours.objective - value) < 1e-6 * size, (ours.objective, value)
    np.testing.assert_allclose(ours.weights, weights, atol=2e-4 * max(1, np.abs(weights).max()))
    assert ours.certificate.worst < 1e-8
    assert limits.violation(ours.weights) < 1e-9
    forces = ours.explain().drop(columns="weight")
    assert np.abs(forces.sum(axis=1)).max() < 1e-8 * np.abs(forces).max().max()


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_agree_with_cvxpy(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 25))
    P, mean = market(n, int(rng.integers(max(3, n // 2), 200)), seed)
    names = [f"A{i}" for i in range(n)]
    groups = {x: "abc"[rng.integers(3)] for x in names}
    rules = [f"{g} <= {rng.uniform(0.1, 0.8):.3f}" for g in sorted(set(groups.values())) if rng.random() < 0.4]
    rules += ["A0 == A1"] * (rng.random() < 0.2)
    least = float(rng.choice([0, -0.3, -1]))
    before, q = rng.dirichlet(np.ones(n)), -mean * rng.choice([0, 0.1, 1, 10])
    more = {"previous": before, "costs": 10 ** rng.uniform(-6, -3)} if rng.random() < 0.4 else {}
    more |= {"previous": before, "max_turnover": rng.uniform(0.1, 1.5)} if rng.random() < 0.3 else {}
    more |= {"max_leverage": rng.uniform(1, 3)} if rng.random() < 0.3 else {}
    more |= {"cap": (P, before, rng.uniform(0.003, 0.02))} if rng.random() < 0.3 else {}
    limits = read_constraints(names, min_weight=least, max_weight=0.6, groups=groups, constraints=rules)
    weights, value = by_cvxpy(P, q, limits, **more)
    if weights is None:
        with pytest.raises(InfeasibleError):
            minimise_quadratic(P, q, limits, **more)
        return
    ours = minimise_quadratic(P, q, limits, **more)
    assert ours.objective < value + 1e-6 * objective_size(P, q, ours.weights)
    assert ours.certificate.worst < 1e-8


def test_large_program_with_groups_and_with_costs():
    P, mean = market(150, 400)
    names = pd.RangeIndex(150)
    limits = read_constraints(names, groups=["abc"[i % 3] for i in range(150)], constraints=["a <= 0.2", "b >= 0.4"])
    for more in ({}, {"previous": np.full(150, 1 / 150), "costs": 1e-5}):
        ours = minimise_quadratic(P, -mean / 3, limits, **more)
        value = by_cvxpy(P, -mean / 3, limits, **more)[1]
        assert abs(ours.objective / value - 1) < 1e-6
        assert ours.certificate.worst < 1e-9


# ------------------------------------------------------------------ the certificate


def test_gap_bounds_the_distance_to_the_optimum():
    rng = np.random.default_rng(1)
    limits = read_constraints(NAMES, max_weight=0.4, groups=GROUPS, constraints="g <= 0.3")
    best = minimise_quadratic(S, -MU, limits)
    for _ in range(30):
        w = rng.dirichlet(np.ones(10)) * 0.1 + best.weights * 0.9
        if limits.violation(w) > 0:
            continue
        proof, _ = certify(S, -MU, limits, w, best.prices + rng.normal(0, 1e-5, 2) * (best.prices != 0))
        value = 0.5 * w @ S @ w - MU @ w
        assert proof.gap * objective_size(S, -MU, w) >= value - best.objective - 1e-15


@pytest.mark.parametrize("scale", [1e-20, 1e-12, 1e-4, 1e6, 1e12])
@pytest.mark.parametrize("kind", ["caps", "groups", "costs", "tracking", "leverage"])
def test_units_do_not_matter(scale, kind):
    bounds, more = KINDS[kind]
    limits, more = read_constraints(NAMES, **bounds), dict(more)
    here = minimise_quadratic(S, -MU, limits, **more)
    if "costs" in more:
        more["costs"] *= scale
    if "cap" in more:
        more["cap"] = (S * scale, EQUAL, 0.002 * np.sqrt(scale))
    there = minimise_quadratic(S * scale, -MU * scale, limits, **more)
    np.testing.assert_allclose(there.weights, here.weights, atol=1e-8)
    np.testing.assert_allclose(there.prices / scale, here.prices, atol=1e-4 * np.abs(here.prices).max())


@pytest.mark.parametrize("seed", range(4))
def test_volatilities_from_a_millionth_to_one(seed):
    P, _ = market(10, 100, seed)
    d = np.logspace(-6, 0, 10) / np.sqrt(P.diagonal())
    mixed = P * np.outer(d, d)
    for bounds in ({"groups": {"A": "g", "J": "g"}, "constraints": "g <= 0.3"}, {"max_weight": 0.3}, {"min_weight": None}):
        limits = read_constraints(NAMES, **bounds)
        ours = minimise_quadratic(mixed, None, limits)
        assert ours.certificate.worst < 1e-8
        scaled = read_constraints(NAMES, **bounds)  # solved in units of a millionth by Clarabel
        value = by_cvxpy(mixed * 1e11, np.zeros(10), scaled)[1] / 1e11
        assert ours.objective <= value * (1 + 1e-6)


def test_order_of_assets_does_not_matter():
    order = np.random.default_rng(0).permutation(10)
    shuffled = [NAMES[i] for i in order]
    rules = {"groups": GROUPS, "constraints": ["g <= 0.3"], "max_weight": 0.3}
    here = minimise_quadratic(S, -MU, read_constraints(NAMES, **rules), previous=HELD, costs=1e-5)
    there = minimise_quadratic(S[np.ix_(order, order)], -MU[order], read_constraints(shuffled, **rules), previous=HELD[order], costs=1e-5)
    np.testing.assert_allclose(there.weights, here.weights[order], atol=1e-9)


def test_duplicated_assets_share():
    twice = np.kron(np.ones((2, 2)), S)
    one = minimise_quadratic(S, None, read_constraints(NAMES, max_weight=0.5))
    limits = read_constraints(pd.RangeIndex(20), constraints=[f"x{i} + x{i + 10} <= 0.5" for i in range(10)])
    two = minimise_quadratic(twice, None, limits)
    np.testing.assert_allclose(two.weights.reshape(2, -1).sum(axis=0), one.weights, atol=1e-8)


# ------------------------------------------------------------------ solvers


def broken(P, q, limits, start=None, size=None):
    "Answer with confidence, and wrongly."
    return np.full(len(q), 1 / len(q)), np.zeros(len(limits.labels)), 7


def test_wrong_solver_is_caught_and_replaced(monkeypatch):
    limits = read_constraints(NAMES, max_weight=0.3)
    right = minimise_quadratic(S, -MU, limits)
    monkeypatch.setitem(room.SOLVERS, "PIQP", broken)
    monkeypatch.setattr(room, "polish", lambda P, q, limits, weights, prices: (weights, prices))
    saved = minimise_quadratic(S, -MU, limits, tolerance=1e-6)
    assert saved.solver != "PIQP"
    np.testing.assert_allclose(saved.weights, right.weights, atol=1e-4)
    for name in room.SOLVERS:
        monkeypatch.setitem(room.SOLVERS, name, broken)
    with pytest.raises(SolverError, match="no solver meets.*PIQP.*Clarabel"):
        minimise_quadratic(S, -MU, limits)


@pytest.mark.parametrize("name", ["PIQP", "PIQP, rescaled", "Clarabel"])
@pytest.mark.parametrize("kind", ["caps", "no bounds", "groups", "turnover and costs", "budget between", "dollar neutral"])
def test_every_solver_alone(monkeypatch, name, kind):
    bounds, more = KINDS[kind]
    limits = read_constraints(NAMES, **bounds)
    right = minimise_quadratic(S, -MU / 3, limits, **more)
    monkeypatch.setattr(room, "SOLVERS", {name: room.SOLVERS[name]})
    alone = minimise_quadratic(S, -MU / 3, limits, **more)
    assert alone.solver == name
    np.testing.assert_allclose(alone.weights, right.weights, atol=1e-7 * max(1, np.abs(right.weights).max()))
    np.testing.assert_allclose(alone.objective, right.objective, rtol=1e-8)


@pytest.mark.parametrize("name", ["PIQP", "Clarabel"])
def test_every_solver_says_why_there_is_no_answer(monkeypatch, name):
    monkeypatch.setattr(room, "SOLVERS", {name: room.SOLVERS[name]})
    with pytest.raises(UnboundedError, match="without end"):
        minimise_quadratic(0 * S, -MU, read_constraints(NAMES, min_weight=None))
    with pytest.raises(InfeasibleError, match="g <= 0.3"):
        minimise_quadratic(S, -MU, read_constraints(NAMES, groups=GROUPS, constraints=["g <= 0.3", "A >= 0.5"]))


def test_solver_that_cries_wolf_is_not_believed(monkeypatch):
    def cries(P, q, limits, start=None):
        room._explain_failure(P, q, limits)

    monkeypatch.setitem(room.SOLVERS, "PIQP", cries)
    limits = read_constraints(NAMES, max_weight=0.3)
    assert minimise_quadratic(S, -MU, limits).solver == "PIQP, rescaled"


def test_warm_start_takes_fewer_rounds_to_the_same_answer():
    P, mean = market(120, 300)
    limits = read_constraints(pd.RangeIndex(120))
    cold, near = minimise_quadratic(P, -0.1 * mean, limits), minimise_quadratic(P, -0.11 * mean, limits)
    warm = minimise_quadratic(P, -0.1 * mean, limits, start=near.weights)
    np.testing.assert_allclose(warm.weights, cold.weights, atol=1e-9)
    assert warm.iterations <= cold.iterations


def test_polish_makes_a_rough_answer_exact():
    limits = read_constraints(NAMES, max_weight=0.3, groups=GROUPS, constraints="g <= 0.3")
    exact = minimise_quadratic(S, -MU / 3, limits)
    rough = exact.weights + np.random.default_rng(0).normal(0, 1e-6, 10)
    again, prices = polish(S, -MU / 3, limits, rough, exact.prices * (1 + 1e-6))
    np.testing.assert_allclose(again, exact.weights, atol=1e-12)
    assert certify(S, -MU / 3, limits, again, prices)[0].worst < 1e-11


# ------------------------------------------------------------------ prices


def test_shadow_prices_are_derivatives():
    def solve(g=0.3, h=0.4, turnover=0.9, tracking=0.004):
        limits = read_constraints(NAMES, groups=GROUPS, constraints=[f"g <= {g!r}", f"h >= {h!r}"])
        return minimise_quadratic(S, -MU / 3, limits, previous=HELD, max_turnover=turnover, cap=(S, EQUAL, tracking))

    table, step = solve().shadow_prices(), 1e-5
    assert list(table.index) == ["weights sum to 1", "g <= 0.3", "h >= 0.4", "turnover <= 0.9", "tracking error <= 0.004"]
    for label, name, value, sign in (("h >= 0.4", "h", 0.4, -1), ("turnover <= 0.9", "turnover", 0.9, 1), ("tracking error <= 0.004", "tracking", 0.004, 1)):
        h = step * value
        slope = (solve(**{name: value + h}).objective - solve(**{name: value - h}).objective) / (2 * h)
        np.testing.assert_allclose(-sign * slope, table.loc[label, "price"], rtol=1e-3, atol=1e-9)
    assert (table["price"] >= 0).all() and table.loc["tracking error <= 0.004", "price"] > 0


# ------------------------------------------------------------------ degenerate input


def test_fixed_weights():
    limits = read_constraints(NAMES, min_weight={"A": 0.3, "B": 0.1}, max_weight={"A": 0.3, "B": 0.1})
    ours = minimise_quadratic(S, -MU / 3, limits)
    np.testing.assert_allclose(ours.weights[:2], [0.3, 0.1], rtol=0)
    np.testing.assert_allclose(ours.weights, by_cvxpy(S, -MU / 3, limits)[0], atol=1e-4)
    everything = minimise_quadratic(S, -MU, read_constraints(NAMES, min_weight=0.1, max_weight=0.1))
    np.testing.assert_allclose(everything.weights, EQUAL, atol=1e-15)
    with pytest.raises(InfeasibleError, match="weights sum to 1"):
        minimise_quadratic(S, -MU, read_constraints(NAMES, min_weight=0.2, max_weight=0.2))


def test_empty_rows():
    groups = {"A": "g", "ZZ": "gone"}
    fine = minimise_quadratic(S, -MU / 3, read_constraints(NAMES, groups=groups, constraints="gone <= 0.3"))
    np.testing.assert_allclose(fine.weights, minimise_quadratic(S, -MU / 3).weights, atol=1e-9)
    with pytest.raises(InfeasibleError, match="gone >= 0.3"):
        minimise_quadratic(S, -MU / 3, read_constraints(NAMES, groups=groups, constraints="gone >= 0.3"))


def test_repeated_rows():
    once = minimise_quadratic(S, -MU / 3, read_constraints(NAMES, constraints=["A == B", "C + D >= 0.5"]))
    rows = ["A == B", "2 * A == 2 * B", "C + D >= 0.5", "2 * C + 2 * D >= 1"]
    twice = minimise_quadratic(S, -MU / 3, read_constraints(NAMES, constraints=rows))
    np.testing.assert_allclose(twice.weights, once.weights, atol=1e-8)


def test_one_asset():
    one = read_constraints(["A"])
    for more in ({}, {"previous": [0.2], "costs": 0.1}, {"cap": (S[:1, :1], [1.0], 0.1)}, {"max_turnover": 1.0}):
        np.testing.assert_allclose(minimise_quadratic(S[:1, :1], -MU[:1], one, **more).weights, [1.0])
    few, bound = minimise_with_few(S[:1, :1], None, one, 1)
    assert few.weights[0] == 1 and bound <= few.objective


def test_fewer_days_than_assets():
    few, mean = market(10, 5)
    flat = minimise_quadratic(few, None, read_constraints(NAMES, min_weight=None))
    assert flat.weights @ few @ flat.weights < 1e-12 and abs(flat.weights.sum() - 1) < 1e-12
    assert minimise_quadratic(few, -mean, read_constraints(NAMES, min_weight=-0.2)).certificate.worst < 1e-9
    with pytest.raises(UnboundedError, match="without end"):
        minimise_quadratic(few, -mean, read_constraints(NAMES, min_weight=None))


def test_linear_programs():
    best = minimise_quadratic(0 * S, -MU, read_constraints(NAMES, max_weight=0.3))
    order = np.argsort(-MU)
    np.testing.assert_allclose(best.weights[order[:4]], [0.3, 0.3, 0.3, 0.1], atol=1e-12)
    lever = minimise_quadratic(0 * S, -MU, read_constraints(NAMES, min_weight=None), max_leverage=2.0)
    np.testing.assert_allclose(np.abs(lever.weights).sum(), 2.0)
    nothing = minimise_quadratic(0 * S, None, read_constraints(NAMES, max_weight=0.3), cap=(S, EQUAL, 0.003))
    away = nothing.weights - EQUAL
    assert away @ S @ away <= 0.003**2


def test_all_at_nothing():
    np.testing.assert_allclose(minimise_quadratic(S, -MU, read_constraints(NAMES, budget=0)).weights, 0, atol=1e-12)
    neutral = read_constraints(NAMES, min_weight=-1, max_weight=1, budget=0)
    np.testing.assert_allclose(minimise_quadratic(S, None, neutral).weights, 0, atol=1e-10)


def test_riskless_asset_and_copies():
    flat = S.copy()
    flat[0], flat[:, 0] = 0, 0
    half = minimise_quadratic(flat, None, read_constraints(NAMES, max_weight=0.5))
    np.testing.assert_allclose(half.weights[0], 0.5)
    for bounds in ({}, {"max_weight": 0.3}, {"min_weight": None}):
        same = minimise_quadratic(np.ones((10, 10)), None, read_constraints(NAMES, **bounds))
        np.testing.assert_allclose(same.objective, 0.5)


@pytest.mark.parametrize("factor", [1 - 1e-9, 1, 1 + 1e-12, 1 + 1e-9, 1 + 1e-6, 1 + 1e-3, 1.1, 1e3])
def test_cap_near_the_least_possible_risk(factor):
    flat = minimise_quadratic(S).weights
    least = np.sqrt(flat @ S @ flat)
    ours = minimise_quadratic(0 * S, -MU, read_constraints(NAMES), cap=(S, None, least * factor))
    assert np.sqrt(ours.weights @ S @ ours.weights) <= least * factor * (1 + 3e-9)
    assert ours.certificate.worst < 1e-7
    if factor == 1e3:
        assert ours.cap_price == 0 and ours.shadow_prices().loc[ours.cap[0], "binds"] == ""


def test_capped_risk_bounds_what_would_have_no_end():
    free = read_constraints(NAMES, min_weight=None)
    ours = minimise_quadratic(0 * S, -MU, free, cap=(S, None, 0.02))
    weights, value = by_cvxpy(0 * S, -MU, free, cap=(S, np.zeros(10), 0.02))
    np.testing.assert_allclose(ours.objective, value, rtol=1e-6)


@pytest.mark.parametrize("tracking", [1e-14, 1e-9, 1e-6])
def test_tiny_tracking_error_holds_the_benchmark(tracking):
    np.testing.assert_allclose(minimise_quadratic(S, -MU, cap=(S, EQUAL, tracking)).weights, EQUAL, atol=1e3 * max(tracking, 1e-9))


# ------------------------------------------------------------------ errors in words

BAD = {
    "NaN in the matrix": (lambda: minimise_quadratic(S * np.nan), MissingDataError, "quadratic"),
    "NaN in the vector": (lambda: minimise_quadratic(S, MU * np.nan), MissingDataError, "linear"),
    "indefinite": (lambda: minimise_quadratic(np.array([[1.0, 2.0], [2.0, 1.0]])), DataError, "semidefinite"),
    "asymmetric": (lambda: minimise_quadratic(np.array([[1.0, 0.2], [0.1, 1.0]])), DataError, "symmetric"),
    "shapes": (lambda: minimise_quadratic(S, None, read_constraints(["A", "B"])), PortfolioError, "assets|shape"),
    "vector": (lambda: minimise_quadratic(S, MU[:3]), ShapeError, "linear"),
    "negative costs": (lambda: minimise_quadratic(S, previous=EQUAL, costs=-1.0), DataError, "costs"),
    "negative turnover": (lambda: minimise_quadratic(S, previous=EQUAL, max_turnover=-1.0), DataError, "turnover"),
    "cap of zero": (lambda: minimise_quadratic(S, cap=(S, EQUAL, 0.0)), DataError, "positive"),
    "cap of NaN": (lambda: minimise_quadratic(S, cap=(S, EQUAL, np.nan)), DataError, "positive"),
    "cap without centre": (lambda: minimise_quadratic(S, cap=(S, 0.1)), DataError, "cap"),
    "turnover clash": (
        lambda: minimise_quadratic(S, -MU, read_constraints(NAMES, max_weight=0.2), previous=np.eye(10)[0], max_turnover=0.1),
        InfeasibleError, "turnover <= 0.1 and A <= 0.2",
    ),
    "leverage clash": (lambda: minimise_quadratic(S, -MU, max_leverage=0.5), InfeasibleError, "leverage <= 0.5"),
    "cap and turnover clash": (
        lambda: minimise_quadratic(S, -MU, cap=(S, EQUAL, 1e-4), previous=np.eye(10)[0], max_turnover=0.1),
        InfeasibleError, "tracking error <= 0.0001.*least possible tracking error, 0.019.*turnover <= 0.1",
    ),
    "no names": (lambda: minimise_with_few(S, -MU, read_constraints(NAMES), 0), DataError, "max_assets"),
    "half a name": (lambda: minimise_with_few(S, -MU, read_constraints(NAMES), 2.5), DataError, "max_assets"),
    "too few names": (
        lambda: minimise_with_few(S, -MU, read_constraints(NAMES, max_weight=0.3), 3),
        InfeasibleError, "at most 3 assets.*; 4 are needed",
    ),
    "too few for the cap": (
        lambda: minimise_with_few(S, -MU, read_constraints(NAMES), 1, cap=(S, EQUAL, 0.004)),
        InfeasibleError, "at most 1 assets",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_errors_in_words(case):
    call, kind, words = BAD[case]
    with pytest.raises(kind, match=words):
        call()


def test_refused_cap_says_by_how_much():
    with pytest.raises(InfeasibleError) as e:
        minimise_quadratic(S, -MU, cap=(S, None, 0.005))
    least = minimise_quadratic(S)
    (label, side, value, more), = e.value.relaxation
    assert label == "risk <= 0.005" and side == 1 and value == 0.005
    np.testing.assert_allclose(0.005 + more, np.sqrt(2 * least.objective), rtol=1e-6)


# ------------------------------------------------------------------ few names

FEW = {
    "long only": ({}, {}),
    "short": ({"min_weight": -0.3, "max_weight": 0.6}, {"max_leverage": 1.5}),
    "groups": ({"groups": {"A": "g", "B": "g", "C": "h", "D": "h"}, "constraints": ["g >= 0.2", "h >= 0.1"]}, {}),
    "costs": ({}, {"previous": HELD[:8] / HELD[:8].sum(), "costs": 1e-5}),
    "turnover": ({"max_weight": 0.6}, {"previous": HELD[:8] / HELD[:8].sum(), "max_turnover": 1.2}),
    "tracking": ({}, {"cap": (S[:8, :8], np.full(8, 1 / 8), 0.008)}),
}


@pytest.mark.parametrize("kind", FEW)
def test_few_names_against_enumeration(kind):
    bounds, more = FEW[kind]
    P, q, names, most = S[:8, :8], -MU[:8] / 10, NAMES[:8], 3
    limits, best = read_constraints(names, **bounds), np.inf
    for held in combinations(range(8), most):
        free = np.isin(np.arange(8), held)
        some = replace(limits, lower=np.where(free, limits.lower, 0), upper=np.where(free, limits.upper, 0))
        try:
            best = min(best, minimise_quadratic(P, q, some, **more).objective)
        except InfeasibleError:
            continue
    ours, bound = minimise_with_few(P, q, limits, most, **more)
    assert (ours.weights != 0).sum() <= most
    assert bound <= best + 1e-12 and ours.objective <= best + 0.03 * abs(best)
    forces = ours.explain().drop(columns="weight")
    assert np.abs(forces.sum(axis=1)).max() < 1e-8 * np.abs(forces).max().max()
    assert limits.violation(ours.weights) < 1e-8


def test_names_that_fit_when_dropping_the_smallest_fails():
    rules = {"groups": {"A": "g", "B": "g", "C": "h"}, "constraints": ["g >= 0.2", "h >= 0.1"]}
    limits = read_constraints(NAMES, **rules)
    ours, _ = minimise_with_few(S, -MU, limits, 2)
    assert limits.violation(ours.weights) < 1e-9 and (ours.weights != 0).sum() == 2
    assert len(names_that_fit(limits, 2, np.ones(10))) == 2
    must = read_constraints(NAMES, min_weight={"A": 0.01, "B": 0.05})
    held, _ = minimise_with_few(S, -MU, must, 3)
    assert held.weights[0] >= 0.01 and held.weights[1] >= 0.05


def test_improves_forever():
    assert improves_forever(0 * S, -MU, read_constraints(NAMES, min_weight=None))
    assert not improves_forever(S, -MU, read_constraints(NAMES, min_weight=None))
    assert not improves_forever(0 * S, -MU, read_constraints(NAMES))


def test_solve_program_gives_six_things():
    weights, prices, bounds, proof, solver, rounds = solve_program(S, -MU / 3, read_constraints(NAMES))
    assert solver == "growing set" and proof.holds(1e-9) and rounds >= 0
    np.testing.assert_allclose(S @ weights - MU / 3 - prices[0] - bounds, 0, atol=1e-15)
