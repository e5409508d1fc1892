"The Black-Litterman room: the papers' tables, identities that hold for any market, records of views, refusals."

import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.covariance import LedoitWolf
from sklearn.utils.estimator_checks import check_estimator

from portfolio_ml.allocation import black_litterman as bl
from portfolio_ml.allocation.black_litterman import BlackLitterman, View, Views
from portfolio_ml.backtest.walk_forward import walk_forward
from portfolio_ml.core.testing import check_allocator, factor_returns
from portfolio_ml.core.validation import (
    ConstantAssetError,
    DataError,
    DuplicateAssetError,
    InfeasibleError,
    MissingDataError,
    NonFiniteError,
    ShapeError,
    UnboundedError,
)

NAMES = ["Australia", "Canada", "France", "Germany", "Japan", "UK", "USA"]
UPPER = ".488 .478 .515 .439 .512 .491 .664 .655 .310 .608 .779 .861 .355 .783 .668 .354 .777 .653 .405 .306 .652"
CAPS = np.array([0.016, 0.022, 0.052, 0.055, 0.116, 0.124, 0.615])
quick = settings(max_examples=30, deadline=None)


def seven_countries() -> pd.DataFrame:
    "He and Litterman's covariance."
    rho, vol = np.eye(7), np.array([16.0, 20.3, 24.8, 27.1, 21.0, 20.0, 18.7]) / 100
    rho[np.triu_indices(7, 1)] = np.array(UPPER.split(), float)
    return pd.DataFrame(np.maximum(rho, rho.T) * np.outer(vol, vol), NAMES, NAMES)


WORLD = seven_countries()
PRIOR = bl.equilibrium_returns(WORLD, CAPS, 2.5)
GERMANY, CANADA = np.array([0, 0, -0.295, 1, 0, -0.705, 0]), np.array([0, 1.0, 0, 0, 0, 0, -1])


def problem(seed, n=6, k=3, rank=None):
    "Draw a market, its prior and K views."
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, rank or n + 2)) * rng.uniform(0.5, 2, (n, 1))
    sigma = root @ root.T / 100
    market = rng.dirichlet(np.ones(n))
    return sigma, market, bl.equilibrium_returns(sigma, market, 2.5), rng.normal(size=(k, n)), rng.normal(size=k) / 20


def test_he_litterman_table_4():
    "One view on Germany: returns, weights and the deviation from the market as printed."
    mean, cov = bl.black_litterman(WORLD, PRIOR, GERMANY, 0.05)
    weights = bl.black_litterman_weights(WORLD, CAPS, GERMANY, 0.05)
    np.testing.assert_allclose(100 * mean, [4.3, 7.6, 9.3, 11.0, 4.5, 7.0, 8.1], atol=0.06)
    np.testing.assert_allclose(100 * weights, [1.5, 2.1, -4.0, 35.4, 11.0, -9.5, 58.6], atol=0.06)
    np.testing.assert_allclose(100 * (weights - CAPS / 1.05), [0, 0, -8.9, 30.2, 0, -21.3, 0], atol=0.06)
    assert list(mean.index) == NAMES and list(cov.columns) == NAMES == list(weights.index)


def test_idzorek_weights_use_sigma():
    "The switch takes M out of the weights."
    weights = bl.black_litterman_weights(WORLD, CAPS, CANADA, 0.03, uncertainty=False)
    mean, _ = bl.black_litterman(WORLD, PRIOR, CANADA, 0.03)
    np.testing.assert_allclose(weights, np.linalg.solve(2.5 * WORLD, mean), rtol=1e-9)
    np.testing.assert_allclose(bl.black_litterman_weights(WORLD, CAPS, np.empty((0, 7)), [], uncertainty=False), CAPS)


@quick
@given(st.integers(0, 10_000), st.floats(0.001, 1), st.floats(0.01, 0.99))
def test_the_textbook_form_and_the_weights(seed, tau, confidence):
    "The stable form equals the one with inverses, and the loadings solve the first-order condition."
    sigma, market, prior, P, q = problem(seed)
    omega = bl.idzorek_omega(confidence, sigma, P, tau=tau)
    mean, cov = bl.black_litterman(sigma, prior, P, q, tau=tau, omega=omega)
    precision = np.linalg.inv(tau * sigma) + P.T / omega @ P
    M = np.linalg.inv(precision)
    np.testing.assert_allclose(mean, M @ (np.linalg.solve(tau * sigma, prior) + P.T @ (q / omega)), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(cov, sigma + M, rtol=1e-6, atol=1e-10)
    weights = bl.black_litterman_weights(sigma, market, P, q, tau=tau, omega=omega)
    np.testing.assert_allclose(2.5 * cov @ weights, mean, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(bl.implied_confidence(omega, sigma, P, tau=tau), confidence)


@quick
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_confidence_is_the_share_of_the_full_move(seed, confidence):
    "One view at confidence c moves the mean, and the weights with Sigma, c of the way."
    sigma, market, prior, P, q = problem(seed, k=1)

    def at(c, f, base, **how):
        return f(sigma, base, P, q, omega=bl.idzorek_omega(c, sigma, P), **how)

    full, part = (at(c, bl.black_litterman, prior)[0] - prior for c in (1, confidence))
    np.testing.assert_allclose(part, confidence * full, atol=1e-12)
    full, part = (at(c, bl.black_litterman_weights, market, uncertainty=False) - market for c in (1, confidence))
    np.testing.assert_allclose(part, confidence * full, rtol=1e-6, atol=1e-9)


@quick
@given(st.integers(0, 10_000), st.booleans())
def test_certain_views_are_met_and_singular_markets_are_fine(seed, singular):
    "Omega 0 meets the views exactly, also with fewer factors than assets; the covariance stays semidefinite."
    sigma, market, prior, P, q = problem(seed, rank=4 if singular else None)
    mean, cov = bl.black_litterman(sigma, prior, P, q, omega=0)
    np.testing.assert_allclose(P @ mean, q, atol=1e-8)
    assert np.linalg.eigvalsh(cov)[0] > -1e-12 and np.isfinite(bl.black_litterman_weights(sigma, market, P, q, omega=0)).all()


@quick
@given(st.integers(0, 10_000))
def test_views_held_at_nothing_are_no_views(seed):
    "Confidence 0, an infinite variance, no rows at all: the equilibrium."
    sigma, market, prior, P, q = problem(seed)
    for views, numbers, omega in ((P, q, np.inf), (P, q, bl.idzorek_omega(0, sigma, P)), (np.empty((0, 6)), [], None)):
        mean, cov = bl.black_litterman(sigma, prior, views, numbers, omega=omega)
        np.testing.assert_allclose(mean, prior)
        np.testing.assert_allclose(cov, 1.05 * sigma)
    np.testing.assert_allclose(bl.black_litterman_weights(sigma, market, P, q, omega=np.inf), market / 1.05)
    some = bl.black_litterman(sigma, prior, P, q, omega=bl.idzorek_omega([0.4, 0, 0.7], sigma, P))[0]
    np.testing.assert_allclose(some, bl.black_litterman(sigma, prior, P[::2], q[::2], omega=bl.idzorek_omega([0.4, 0.7], sigma, P[::2]))[0])


@quick
@given(st.integers(0, 10_000))
def test_long_only_is_the_optimum(seed):
    "The first-order conditions hold, and no feasible mix does better."
    sigma, _, mean, P, q = problem(seed)
    mean = bl.black_litterman(sigma, mean, P, q, omega=bl.idzorek_omega(0.9, sigma, P))[0]
    w = bl.long_only_weights(mean, sigma, 2.5)
    slope = mean - 2.5 * sigma @ w
    assert (w >= 0).all() and (slope < 1e-8).all() and np.abs(slope[w > 0]).max(initial=0) < 1e-8

    def utility(x):
        return mean @ x - 1.25 * x @ sigma @ x

    rng = np.random.default_rng(seed)
    assert all(utility(w) >= utility(x) - 1e-12 for x in np.abs(w + rng.normal(size=(50, 6)) * 0.1))


def test_units_and_order():
    "Percent in, percent out; the order of views and of assets does not matter; nor does a factor on a view."
    sigma, market, prior, P, q = problem(1)
    mean, cov = bl.black_litterman(sigma, prior, P, q)
    order = [3, 0, 5, 1, 4, 2]
    np.testing.assert_allclose(bl.black_litterman(1e4 * sigma, 100 * prior, P, 100 * q)[0], 100 * mean)
    np.testing.assert_allclose(bl.black_litterman(sigma, prior, P[::-1], q[::-1])[1], cov)
    np.testing.assert_allclose(bl.black_litterman(sigma, prior, -3 * P, -3 * q)[0], mean)
    np.testing.assert_allclose(bl.black_litterman(sigma[np.ix_(order, order)], prior[order], P[:, order], q)[0], mean[order])
    named = bl.black_litterman(WORLD, PRIOR[::-1], pd.DataFrame([{"USA": -1, "Canada": 1}]), 0.03)[0]
    np.testing.assert_allclose(named, bl.black_litterman(WORLD, PRIOR, CANADA, 0.03)[0])


def test_correlated_errors():
    "A full omega is used, and its diagonal equals the vector."
    sigma, _, prior, P, q = problem(2)
    omega = bl.idzorek_omega(0.3, sigma, P)
    np.testing.assert_allclose(
        bl.black_litterman(sigma, prior, P, q, omega=np.diag(omega))[0], bl.black_litterman(sigma, prior, P, q, omega=omega)[0]
    )
    with pytest.raises(DataError, match="semidefinite"):
        bl.black_litterman(sigma, prior, P, q, omega=np.ones((3, 3)) - 2 * np.eye(3))
    with pytest.raises(ShapeError):
        bl.black_litterman(sigma, prior, P, q, omega=np.eye(2))


def test_contradictions():
    "The same certain view twice is fine, two that clash are refused; so is a certain view against a certain prior."
    twice = np.vstack([CANADA, 2 * CANADA])
    mean = bl.black_litterman(WORLD, PRIOR, twice, [0.03, 0.06], omega=0)[0]
    np.testing.assert_allclose(CANADA @ mean, 0.03)
    for call in (bl.black_litterman, lambda s, _, *a, **k: bl.view_loadings(s, CAPS, *a, **k)):
        with pytest.raises(InfeasibleError, match="0 and 1"):
            call(WORLD, PRIOR, twice, [0.03, 0.05], omega=0)
    twin = np.array([[0.04, 0.04], [0.04, 0.04]])
    with pytest.raises(InfeasibleError):
        bl.black_litterman(twin, [0.05, 0.05], [1, -1], 0.02)
    np.testing.assert_allclose(bl.black_litterman(twin, [0.05, 0.05], [1, -1], 0.02, omega=0.001)[0], 0.05)
    with pytest.raises(UnboundedError, match="without risk"):
        bl.long_only_weights([0.05, 0.08], twin)


@pytest.mark.parametrize(
    "change, error",
    [
        (lambda s: s.iloc[:, :3], ShapeError),
        (lambda s: s.mask(s == s.iloc[1, 2]), MissingDataError),
        (lambda s: s.replace(s.iloc[1, 2], np.inf), NonFiniteError),
        (lambda s: s * np.where(np.arange(7) == 3, 0, 1) * np.where(np.arange(7) == 3, 0, 1)[:, None], ConstantAssetError),
        (lambda s: s + np.triu(np.ones((7, 7)), 1), DataError),
        (lambda s: 2 * pd.DataFrame(np.diag(np.diag(s)), NAMES, NAMES) - 2 * s, DataError),
        (lambda s: s.set_axis(["A"] * 7, axis=0).set_axis(["A"] * 7, axis=1), DuplicateAssetError),
        (lambda s: s.iloc[::-1], DataError),
    ],
)
def test_bad_covariances_are_refused(change, error):
    "By type, before anything is computed."
    with pytest.raises(error):
        bl.equilibrium_returns(change(WORLD), CAPS, 2.5)


def test_bad_inputs_are_refused():
    "Views, weights, tau and confidences."
    cases = [
        lambda: bl.black_litterman(WORLD, PRIOR, GERMANY, [0.05, 0.02]),
        lambda: bl.black_litterman(WORLD, PRIOR, GERMANY[:5], 0.05),
        lambda: bl.black_litterman(WORLD, PRIOR, 0 * GERMANY, 0.05),
        lambda: bl.black_litterman(WORLD, PRIOR, GERMANY, np.nan),
        lambda: bl.black_litterman(WORLD, PRIOR, pd.DataFrame([{"Spain": 1}]), 0.05),
        lambda: bl.black_litterman(WORLD, PRIOR[:5], GERMANY, 0.05),
        lambda: bl.black_litterman(WORLD, PRIOR, GERMANY, 0.05, tau=0),
        lambda: bl.black_litterman(WORLD, PRIOR, GERMANY, 0.05, omega=-1),
        lambda: bl.black_litterman(WORLD, PRIOR, GERMANY, 0.05, omega=np.nan),
        lambda: bl.idzorek_omega(50, WORLD, GERMANY),
        lambda: bl.implied_confidence(-1, WORLD, GERMANY),
        lambda: bl.implied_risk_aversion(WORLD, CAPS, -0.01),
        lambda: bl.implied_risk_aversion(WORLD, 0 * CAPS, 0.03),
        lambda: BlackLitterman(portfolio="best").fit(factor_returns(50)),
        lambda: BlackLitterman(market_weights=-np.ones(8)).fit(factor_returns(50)),
        lambda: BlackLitterman(market_weights={"A0": 1}).fit(factor_returns(50)),
    ]
    for case in cases:
        with pytest.raises(DataError):
            case()


@pytest.mark.parametrize(
    "text, row, number",
    [
        ("A - BRK-B == 2%", [1, -1, 0, 0], 0.02),
        ("A = 0.08", [1, 0, 0, 0], 0.08),
        ("(A + S&P 500) / 2 == BRK-B - 5e-3", [0.5, -1, 0.5, 0], -0.005),
        ("0.5 A + 0.5*BRK-B - 600519 == -1.5 %", [0.5, 0.5, 0, -1], -0.015),
        ("-2 * (A - 0.01) == 0", [-2, 0, 0, 0], -0.02),
    ],
)
def test_views_are_read(text, row, number):
    "Names with spaces, signs and digits; coefficients, brackets, percent; either side of the sign."
    p, q = bl.read_view(text, ["A", "BRK-B", "S&P 500", "600519"])
    np.testing.assert_allclose([*p, q], [*row, number])


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "A > B",
        "A == B == 1",
        "A * B == 1",
        "A / B == 1",
        "A == C",
        "1 == 2",
        "A - A == 0",
        "A == __import__('os')",
        "",
        "A == 1e999",
        "A == (",
        "A ** 2 == 1",
    ],
)
def test_what_is_no_view_is_refused(text):
    "With the reason, and never by evaluating it."
    with pytest.raises(DataError, match="view"):
        bl.read_view(text, ["A", "B"])


def test_the_record():
    "Views are immutable, need who, when and why, and are known from their day on."
    empty = Views()
    views = empty.add("A == 1%", author="x", date="2020-01-31", reason="y").add(
        "B == 1%", author="x", date="2020-02-28", reason="z", confidence=0.8
    )
    assert len(empty) == 0 and len(views) == 2 and len(views.known_by("2020-02-27")) == 1
    assert list(views.to_frame()["confidence"]) == [0.5, 0.8] and "80% sure" in str(views.items[1])
    with pytest.raises(AttributeError):
        views.items[0].text = "A == 2%"
    for missing in ("author", "date", "reason"):
        with pytest.raises(DataError, match=missing):
            empty.add("A == 1%", **({"author": "x", "date": "2020-01-31", "reason": "y"} | {missing: None}))
    for bad in ({"confidence": 1.2}, {"confidence": np.nan}, {"date": "someday"}):
        with pytest.raises(DataError):
            View("A == 1%", **bad)


def test_scikit_learn_checks():
    "All of them, with skfolio loaded too."
    import skfolio  # noqa: F401

    assert "skfolio" in sys.modules
    results = check_estimator(BlackLitterman(), on_fail=None)
    assert len(results) == 41
    assert [r["check_name"] for r in results if r["status"] != "passed"] in ([], ["check_array_api_input"])  # needs SCIPY_ARRAY_API


def test_conformance():
    "The suite of the handbook; a view has a scale and names, an unconstrained portfolio holds cash."
    for allocator, skip in (
        (BlackLitterman(), ()),
        (BlackLitterman("A1 - A2 == 0.0005"), ("scaled", "labelled")),
        (BlackLitterman(portfolio="unconstrained", covariance=LedoitWolf()), ("finite",)),
    ):
        assert (check_allocator(allocator, skip=skip)["result"] != "failed").all()


def test_the_estimator():
    "No views hold the market; views by date, mapping, text, record and function; any optimiser; arrays by x0."
    X = factor_returns(300, 4)
    caps = {"A3": 4, "A0": 1, "A1": 2, "A2": 3}
    np.testing.assert_allclose(BlackLitterman(market_weights=caps).fit(X).weights_, [0.1, 0.2, 0.3, 0.4])
    texts = ("A1 == 0.001", ["A1 == 0.001"], {"A1": 0.001}, View("A1 == 0.001"), Views((View("A1 == 0.001"),)), lambda frame: "A1 == 0.001")
    fits = [BlackLitterman(t).fit(X) for t in texts]
    for other in fits[1:]:
        np.testing.assert_allclose(other.weights_, fits[0].weights_)
    np.testing.assert_allclose(BlackLitterman("x1 == 0.001").fit(X.to_numpy()).weights_, fits[0].weights_)
    assert fits[0].weights["A1"] > 0.25 and fits[0].mean_[1] > fits[0].equilibrium_[1] and fits[0].covariance_.shape == (4, 4)
    np.testing.assert_allclose(BlackLitterman("A1 == 0.252", view_periods=252).fit(X).weights_, fits[0].weights_)
    mine = BlackLitterman("A1 == 0.001", portfolio=lambda mean, cov: (mean == mean.max()).astype(float)).fit(X)
    assert mine.weights["A3"] == 1
    bad = BlackLitterman([f"A{k} == -1" for k in range(4)])
    with pytest.raises(InfeasibleError, match="cash"):
        bad.fit(X)
    assert (clone(bad).set_params(portfolio="unconstrained").fit(X).weights_ < 0).any()


def test_a_backtest_does_not_know_a_view_before_its_date():
    "Changing what is said later changes nothing earlier."
    X = factor_returns(400, 4)
    day = X.index[300]
    late = BlackLitterman(View("A1 - A2 == 1%", 0.9, "x", day, "y"))
    run = walk_forward({"late": late, "none": BlackLitterman()}, X, window=100)
    gap = (run.targets["late"] - run.targets["none"]).abs().max(axis=1)
    assert (gap[gap.index < day] == 0).all() and (gap[gap.index >= day] > 0.01).all() and (gap.index >= day).any()
