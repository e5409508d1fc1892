"The lasso, the graphical lasso and the estimators on them: optimality, witnesses, identities, edges, and other people's hands."

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components
from sklearn.base import clone
from sklearn.covariance import graphical_lasso as graphical_lasso_of_sklearn
from sklearn.linear_model import Lasso
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from portfolio_ml.allocation.mean_variance import MinimumVariance
from portfolio_ml.backtest.walk_forward import walk_forward
from portfolio_ml.core.testing import factor_returns
from portfolio_ml.core.validation import (
    ConstantAssetError,
    DataError,
    InsufficientDataError,
    MissingDataError,
    NonFiniteError,
    ShapeError,
    SingularCovarianceError,
    SolverError,
)
from portfolio_ml.covariance.estimator import CovarianceEstimator, draw_returns, factor_covariance, sparse_precision
from portfolio_ml.covariance.lasso import (
    FactorLasso,
    GraphicalLasso,
    GraphicalLassoCV,
    NodewiseLasso,
    edge_stability,
    regress_minimum_variance,
)
from portfolio_ml.covariance.sparse import (
    adaptive_penalty,
    choose_rows,
    combine_rows,
    ebic,
    graphical_lasso,
    nodewise_precision,
    read_alpha,
)
from portfolio_ml.optimize.splitting import (
    graphical_by_guesses,
    graphical_by_splitting,
    graphical_gap,
    graphical_objective,
    graphical_path,
    lasso_by_descent,
    lasso_on_gram,
    lasso_path,
    lasso_rows,
    linked_groups,
    solve_graphical,
)

ESTIMATORS = [
    CovarianceEstimator(), GraphicalLasso(), GraphicalLasso(adaptive=True), GraphicalLasso(0.1, method="splitting"),
    GraphicalLassoCV(alphas=5, cv=2), GraphicalLassoCV(alphas=5, criterion="ebic"), NodewiseLasso(), NodewiseLasso(0.1, combine="smaller"), FactorLasso(),
]


def correlation(rows, assets, seed=0):
    "Draw a sample correlation of a market with factors."
    return np.corrcoef(draw_returns(factor_covariance(assets, random_state=seed), rows, random_state=seed + 1), rowvar=False)


def off(n, alpha=1.0):
    "Penalise every pair alike."
    return alpha * (1 - np.eye(n))


# --- one lasso ---------------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 25), st.integers(4, 60), st.floats(0.001, 0.9))
@example(6, 6, 5, 0.0625)  # a coefficient leaves on one side and comes back on the other within one segment
def test_lasso_is_optimal_by_every_road(seed, n, rows, share):
    "Guessed signs, path and descent meet the same conditions, with fewer rows than columns too."
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, n)) + rng.standard_normal((rows, 1))
    V, s = X.T @ X / rows, X.T @ rng.standard_normal(rows) / rows
    penalty = np.full(n, share * np.abs(s).max())
    B, missed = lasso_rows(V, s[None], penalty[None])
    assert missed <= 1e-8 * np.abs(s).max()

    def value(b):
        return 0.5 * b @ V @ b - s @ b + penalty @ np.abs(b)

    scales, corners = lasso_path(V, s, penalty)
    assert scales[-1] == pytest.approx(1) and (np.diff(scales) <= 1e-12).all()
    assert abs(value(corners[-1]) - value(B[0])) <= 1e-9 * (s @ s)
    slow = lasso_by_descent(V, s[None], penalty[None], tolerance=1e-7)[0]
    assert value(slow) <= value(B[0]) + 1e-5 * (s @ s)


def test_corners_of_the_path_are_optimal():
    "At every corner the conditions hold for the penalty of that corner."
    V = correlation(100, 15)
    s, penalty = V[0], np.full(15, 0.02)
    penalty[0] = np.inf
    scales, corners = lasso_path(V, s, penalty)
    for scale, beta in zip(scales, corners, strict=True):
        left, some = s - V @ beta, beta != 0
        assert (np.abs(left[1:]) <= scale * 0.02 + 1e-10).all() and beta[0] == 0
        np.testing.assert_allclose(left[some], scale * 0.02 * np.sign(beta[some]), atol=1e-10)


def test_lasso_is_sklearns():
    "Coefficients of one regression, with each its own penalty."
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((80, 12)), rng.standard_normal(80)
    theirs = Lasso(alpha=0.05, fit_intercept=False, tol=1e-13, max_iter=10**6).fit(X, y).coef_
    at, beta, _ = lasso_on_gram(X.T @ X / 80, X.T @ y / 80, np.full(12, 0.05))
    np.testing.assert_allclose(np.bincount(at, beta, 12), theirs, atol=1e-10)
    assert not lasso_rows(X.T @ X, (X.T @ y)[None], np.full((1, 12), 1e9))[0].any()


def test_a_lasso_without_answer_within_tolerance_is_refused(monkeypatch):
    "An answer that misses its conditions is not given."
    V = correlation(100, 5)
    monkeypatch.setattr("portfolio_ml.optimize.splitting.lasso_on_gram", lambda *a, **k: (np.array([0]), np.array([5.0]), np.zeros(5)))
    with pytest.raises(SolverError, match="optimality is missed"):
        lasso_rows(V, V, off(5, 0.1) + np.diag(np.full(5, np.inf)))


# --- the graphical lasso -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "n", "alpha"), [(300, 20, 0.1), (300, 20, 0.02), (15, 30, 0.1), (40, 60, 0.3), (1000, 2, 0.1)])
def test_two_solvers_and_sklearn_agree(rows, n, alpha):
    "Columns, splitting and coordinate descent find one optimum, certified."
    S = correlation(rows, n)
    fast = solve_graphical(S, off(n, alpha), tolerance=1e-8)
    slow = graphical_by_splitting(S, off(n, alpha), tolerance=1e-6)
    assert fast.gap <= 1e-8 and slow[2] <= 1e-6
    np.testing.assert_allclose(fast.covariance, slow[1], atol=2e-3)
    value = graphical_objective(fast.precision, S, off(n, alpha))
    assert value <= graphical_objective(slow[0], S, off(n, alpha)) + 1e-8
    try:
        theirs = graphical_lasso_of_sklearn(S, alpha, max_iter=300)[1]
    except FloatingPointError:
        return
    assert value <= graphical_objective(theirs, S, off(n, alpha)) + 1e-8


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(3, 40), st.floats(0.01, 0.8))
def test_graphical_conditions(seed, n, rows, alpha):
    "The dual stays in its box, and touches it where the precision is not zero; the precision is positive definite."
    S = np.atleast_2d(np.corrcoef(np.random.default_rng(seed).standard_normal((rows, n)) + np.random.default_rng(seed + 1).standard_normal((rows, 1)), rowvar=False))
    found = solve_graphical(S, off(n, alpha), tolerance=1e-9)
    apart = found.covariance - S
    assert np.abs(apart).max() <= alpha * (1 + 1e-9) and np.linalg.eigvalsh(found.precision)[0] > 0
    np.testing.assert_allclose(found.precision @ found.covariance, np.eye(n), atol=2e-3)
    assert graphical_gap(found.precision, found.covariance, S, off(n, alpha)) == pytest.approx(found.gap, abs=1e-8)


def test_path_equals_single_solutions():
    "Every penalty of a path, up and down and repeated, is solved as if alone."
    S = correlation(200, 25)
    for alphas in ([0.5, 0.3, 0.2, 0.1, 0.05], [0.05, 0.1, 0.3], [0.2, 0.2, 0.1], [2.0, 1.0, 0.1]):
        for alpha, found in zip(alphas, graphical_path(S, alphas, off(25), tolerance=1e-7), strict=True):
            np.testing.assert_allclose(found.covariance, solve_graphical(S, off(25, alpha), tolerance=1e-7).covariance, atol=1e-3)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-8])
def test_path_is_certified_whatever_the_weights(tolerance):
    "Unequal penalties, some of them zero, small units and twins: each solution of a path is proved anew, whether guesses do or columns must."
    rng = np.random.default_rng(4)
    weights = np.triu(rng.uniform(0, 2, (40, 40)) * (rng.random((40, 40)) > 0.1), 1)
    S = np.outer(unit := rng.uniform(1e-3, 1e-2, 40), unit) * correlation(200, 40)
    S[-1], S[:, -1] = S[-2], S[:, -2]
    penalty = np.outer(unit, unit) * (weights + weights.T)
    for sample, size in ((S[:39, :39], penalty[:39, :39]), (S, np.outer(unit, unit) * off(40))):
        scales = np.geomspace(0.5, 0.02, 8)
        for scale, found in zip(scales, graphical_path(sample, scales, size, tolerance=tolerance), strict=True):
            assert graphical_gap(found.precision, found.covariance, sample, scale * size) <= tolerance
            alone = solve_graphical(sample, scale * size, tolerance=tolerance)
            values = [graphical_objective(x.precision, sample, scale * size) for x in (found, alone)]
            assert abs(values[0] - values[1]) <= tolerance


def test_guesses_give_up():
    "A start that is not positive definite, or too few rounds, is no error: there is no answer, and the start is left alone."
    S = correlation(200, 12)
    start = S - 2 * np.eye(12) * S.diagonal(), np.zeros((12, 12))
    kept = start[0].copy()
    assert graphical_by_guesses(S, off(12, 0.1), start) is None and (start[0] == kept).all()
    assert graphical_by_guesses(S, off(12, 0.1), (np.eye(12), np.zeros((12, 12))), most=1) is None


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.floats(0, 0.3))
def test_groups_are_those_of_scipy(seed, n, share):
    "Assets joined by links, singles left out."
    linked = np.triu(np.random.default_rng(seed).random((n, n)) < share, 1)
    linked |= linked.T
    labels = connected_components(linked, directed=False)[1]
    theirs = [np.flatnonzero(labels == k).tolist() for k in np.flatnonzero(np.bincount(labels) > 1)]
    assert [x.tolist() for x in linked_groups(linked)] == theirs


def test_blocks():
    "Groups that do not touch are solved apart, single assets in closed form."
    S = np.eye(7)
    S[:3, :3], S[3:5, 3:5] = correlation(200, 3), correlation(200, 2, 5)
    found = solve_graphical(S, off(7, 0.01), tolerance=1e-9)
    assert found.blocks == 4 and found.precision[5, 5] == 1 and not found.precision[:3, 3:].any()
    np.testing.assert_allclose(found.precision[:3, :3], solve_graphical(S[:3, :3], off(3, 0.01), tolerance=1e-9).precision, atol=1e-4)


def test_no_precision_exists():
    "A singular sample and no penalty is refused in words; with twins any penalty will do."
    thin = correlation(6, 10)
    with pytest.raises(SingularCovarianceError, match="larger alpha"):
        graphical_lasso(thin, 0.0)
    part = off(10, 0.1)
    part[0, 1] = part[1, 0] = 0.0
    with pytest.raises(SingularCovarianceError):
        graphical_lasso(thin, part)
    twins = correlation(50, 4)[[0, 0, 1, 2, 3]][:, [0, 0, 1, 2, 3]]
    assert graphical_lasso(twins, 0.01).gap <= 1e-4


# --- what stands on them -----------------------------------------------------------------------------------------------------------


def test_rows_are_combined_to_a_definite_matrix():
    "Symmetric, positive definite, mixed with the diagonal only if need be."
    raw, _ = nodewise_precision(correlation(20, 15), 0.05)
    for how in ("average", "smaller"):
        both, part = combine_rows(raw, how)
        assert (both == both.T).all() and np.linalg.eigvalsh(both)[0] > 0 and 0 <= part < 1
    assert combine_rows(np.eye(3))[1] == 0
    lopsided = np.array([[1.0, 2.0], [2.0, 1.0]])
    mixed, part = combine_rows(lopsided)
    assert part > 0.4 and np.linalg.eigvalsh(mixed)[0] == pytest.approx(0.01)


def test_choice_of_penalties():
    "With more days more pairs are worth their price; noise alone has none."
    rng = np.random.default_rng(0)
    noise = np.corrcoef(rng.standard_normal((400, 10)), rowvar=False)
    alphas = np.geomspace(0.5, 0.01, 15)
    values = [ebic(solve_graphical(noise, off(10, a)).precision, noise, 399) for a in alphas]
    assert not np.triu(solve_graphical(noise, off(10, alphas[int(np.argmin(values))])).precision, 1).any()
    assert not nodewise_precision(noise, choose_rows(noise, 399, alphas))[1].any()
    model = GraphicalLassoCV(alphas=[0.3, 0.1, 0.03], cv=4).fit(rng.standard_normal((400, 10)))
    assert model.alpha_ == 0.3 and list(model.scores_.index) == [0.3, 0.1, 0.03]


def test_adaptive_penalty_of_noise_is_unchanged():
    "A pair of the size of noise pays as before, an empty one more, a strong one less."
    P = np.array([[1.0, -0.05, -0.5], [-0.05, 1.0, 0.0], [-0.5, 0.0, 1.0]])
    new = adaptive_penalty(P, off(3, 0.1), 400)
    np.testing.assert_allclose([new[0, 1], new[1, 2]], [0.1, 0.1 * np.sqrt(2)])
    assert new[0, 2] < 0.05


def test_weights_by_regression_meet_their_conditions():
    "Slopes of the others are within the price of the base's; zero price gives the closed form."
    S = correlation(300, 8) * 1e-4
    closed = np.linalg.solve(S, np.ones(8))
    np.testing.assert_allclose(regress_minimum_variance(S), closed / closed.sum(), atol=1e-9)
    w = regress_minimum_variance(S, 1e-5, 2)
    slope = S @ w
    others = np.arange(8) != 2
    assert w.sum() == pytest.approx(1) and (np.abs(slope - slope[2])[others] <= 1e-5 * (1 + 1e-6)).all()


def test_stability_is_a_share():
    "Between zero and one, one on the diagonal, the same for the same seed."
    X = factor_returns(120, 6).to_numpy()
    a, b = edge_stability(X, 0.1, 8), edge_stability(X, 0.1, 8)
    assert (a == b).all() and (a.diagonal() == 1).all() and 0 <= a.min() <= a.max() <= 1


# --- bad input ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alpha", "error", "words"),
    [
        (-0.1, NonFiniteError, "not negative"), (np.inf, NonFiniteError, "finite"), (np.nan, MissingDataError, "NaN"), ("x", DataError, "not a number"),
        ([0.1, 0.2], ShapeError, "4 numbers"), (np.ones((3, 4)), ShapeError, "4 by 4"), (np.triu(np.ones((4, 4))), DataError, "symmetric"), (None, DataError, "NaN"),
    ],
)
def test_bad_penalties(alpha, error, words):
    "Every penalty that is none is refused by name, wherever it is given."
    with pytest.raises(error, match=words):
        read_alpha(alpha, 4)
    if alpha is not None and np.ndim(alpha) < 2:
        for model in (GraphicalLasso(alpha), FactorLasso(1, alpha=alpha), NodewiseLasso(alpha)):
            with pytest.raises((DataError, ValueError)):
                model.fit(factor_returns(60, 4))


@pytest.mark.parametrize("model", ESTIMATORS, ids=lambda m: repr(m)[:40])
def test_bad_windows(model):
    "NaN, infinity, a constant asset and a single day are refused by name; nothing is kept."
    X = factor_returns(60, 4)
    for bad, error in (
        (X.mask(X.iloc[5, 2] == X), MissingDataError), (X.replace(X.iloc[5, 2], np.inf), NonFiniteError),
        (X.assign(A1=0.01), ConstantAssetError), (X.iloc[:1], InsufficientDataError),
    ):
        fresh = clone(model)
        with pytest.raises(error):
            fresh.fit(bad)
        assert not hasattr(fresh, "covariance_")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (GraphicalLasso(method="magic"), "method"), (GraphicalLassoCV(criterion="aic"), "criterion"), (GraphicalLassoCV(cv=1), "cv"),
        (NodewiseLasso(0.1, combine="max"), "combine"), (FactorLasso(7), "n_factors"), (FactorLasso(1.5), "n_factors"), (GraphicalLassoCV(alphas=[-1.0]), "alpha"),
    ],
)
def test_bad_parameters(model, words):
    "A parameter that means nothing is named."
    with pytest.raises((DataError, ValueError), match=words):
        model.fit(factor_returns(60, 4))


# --- in other people's hands -------------------------------------------------------------------------------------------------------


@parametrize_with_checks(ESTIMATORS)
def test_sklearn(estimator, check):
    "scikit-learn's own checks."
    check(estimator)


@pytest.mark.parametrize("model", ESTIMATORS, ids=lambda m: repr(m)[:40])
def test_order_unit_and_shapes(model):
    "Order and unit of assets do not matter; fewer days than assets and duplicated assets give a positive definite answer, but for the plain sample."
    X = factor_returns(90, 6).to_numpy()
    base = clone(model).fit(X).covariance_
    order = np.array([3, 0, 5, 1, 4, 2])
    np.testing.assert_allclose(clone(model).fit(X[:, order]).covariance_, base[np.ix_(order, order)], atol=0.02 * base.max())
    np.testing.assert_allclose(clone(model).fit(X * 7).covariance_, 49 * base, rtol=1e-6, atol=1e-6 * base.max())
    if type(model) is not CovarianceEstimator:
        for block in (factor_returns(12, 25).to_numpy(), X[:, [0, 0, 1, 2, 3]]):
            assert np.linalg.eigvalsh(clone(model).fit(block).covariance_)[0] > 0


def test_allocators_and_searches():
    "In our allocators and engine, in skfolio's optimiser, and in a pipeline that a grid search tunes."
    from skfolio.optimization import MeanRisk
    from skfolio.prior import EmpiricalPrior

    X = factor_returns(200, 5)
    rules = {type(m).__name__ + str(k): MinimumVariance(covariance=m) for k, m in enumerate(ESTIMATORS)}
    bt = walk_forward(rules, X, window=100, rebalance=50)
    assert not len(bt.failures) and np.isfinite(bt.net_returns.to_numpy()).all()
    theirs = MeanRisk(prior_estimator=EmpiricalPrior(covariance_estimator=GraphicalLasso(0.1))).fit(X)
    np.testing.assert_allclose(theirs.weights_, MinimumVariance(covariance=GraphicalLasso(0.1)).fit(X).weights_, atol=1e-4)
    pipe = make_pipeline(FunctionTransformer(), GraphicalLasso())
    search = GridSearchCV(pipe, {"graphicallasso__alpha": [0.01, 0.3]}, cv=KFold(3)).fit(X)
    assert search.best_params_["graphicallasso__alpha"] in (0.01, 0.3) and np.isfinite(search.best_score_)


def test_labels_and_scores():
    "A frame gives labelled answers; the score is the mean log-likelihood; the truth is likelier than a diagonal."
    truth = sparse_precision(8, 0.3, random_state=2)
    X = pd.DataFrame(draw_returns(np.linalg.inv(truth), 2000, random_state=1), columns=list("ABCDEFGH"))
    model = GraphicalLassoCV(criterion="ebic").fit(X.iloc[:1000])
    assert list(model.to_frame().columns) == list("ABCDEFGH") and model.precision_[0].shape == (8,)
    plain = CovarianceEstimator().fit(X.iloc[:1000])
    diagonal = GraphicalLasso(10.0).fit(X.iloc[:1000])
    assert model.score(X.iloc[1000:]) > diagonal.score(X.iloc[1000:]) and plain.score(X.iloc[:1000]) > model.score(X.iloc[:1000])
    labelled = graphical_lasso(X.cov(), 0.1)
    assert list(labelled.precision.index) == list("ABCDEFGH")
