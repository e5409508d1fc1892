"Changing covariances: witnesses, exact derivatives, limits, invariants, degenerate input, scikit-learn's checks, skfolio."

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from portfolio_ml.allocation.mean_variance import MinimumVariance
from portfolio_ml.backtest.walk_forward import walk_forward
from portfolio_ml.core.validation import ConstantAssetError, DataError, InsufficientDataError, MissingDataError, NonFiniteError, ShapeError
from portfolio_ml.covariance.dynamic import (
    ConstantCorrelation,
    DynamicCorrelation,
    EWMACovariance,
    choose_half_life,
    decay_of,
    effective_observations,
    ewma_covariance,
    exponential_weights,
    half_life_scores,
    weighted_shrinkage,
)
from portfolio_ml.covariance.estimator import factor_covariance, stein_loss
from portfolio_ml.covariance.garch import dcc_correlations, draw_dcc_returns, fit_dcc, fit_garch, garch_filter
from portfolio_ml.covariance.ranges import garman_klass, parkinson, range_covariance, rogers_satchell, yang_zhang

ESTIMATORS = [
    EWMACovariance(), EWMACovariance(half_life=21, correlation_half_life=63, target="diagonal"), ConstantCorrelation(),
    DynamicCorrelation(), DynamicCorrelation(consistent=True, pooled=True, reach=None),
]
WORLD = factor_covariance(5, 1)
RETURNS, TRUTH = draw_dcc_returns(600, WORLD, random_state=1)
FRAME = pd.DataFrame(RETURNS, pd.bdate_range("2020-01-01", periods=600), list("ABCDE"))


@parametrize_with_checks([ESTIMATORS[i] for i in (0, 2, 4)])
def test_scikit_learn(estimator, check):
    "scikit-learn's own checks."
    check(estimator)


@pytest.mark.parametrize("half_life", [5, 40, 1e4])
def test_ewma_is_that_of_pandas_and_of_the_recursion(half_life):
    "Weighted means, corrected; and in the limit the recursion."
    theirs = FRAME.ewm(halflife=half_life).cov().loc[FRAME.index[-1]]
    pd.testing.assert_frame_equal(ewma_covariance(FRAME, half_life), theirs, check_names=False, rtol=1e-9)
    S, decay = np.zeros((5, 5)), decay_of(half_life)
    for x in RETURNS:
        S = decay * S + (1 - decay) * np.outer(x, x)
    np.testing.assert_allclose(ewma_covariance(RETURNS, half_life, assume_centered=True), S / (1 - decay**600), rtol=1e-8)


def test_weights():
    "Sum, half-life, effective number, and equal weights in the limit."
    w = exponential_weights(200, 10)
    np.testing.assert_allclose([w.sum(), w[-11] / w[-1]], [1, 0.5])
    np.testing.assert_allclose(effective_observations(exponential_weights(50, np.inf)), 50)
    np.testing.assert_allclose(ewma_covariance(RETURNS, np.inf), np.cov(RETURNS.T))


@pytest.mark.parametrize("rows", [4, 40, 600])
def test_shrinkage_with_equal_weights_is_that_of_ledoit_and_wolf(rows):
    "Covariance and intensity, also with fewer rows than assets."
    x = RETURNS[:rows]
    theirs = LedoitWolf(assume_centered=True).fit(x)
    ours, intensity = weighted_shrinkage(x, np.full(rows, 1 / rows), "variance")
    np.testing.assert_allclose(ours, theirs.covariance_, rtol=1e-9)
    np.testing.assert_allclose(intensity, theirs.shrinkage_, rtol=1e-9)


def test_shrinkage_to_the_diagonal_keeps_variances_and_counts_days():
    "Element by element, the intensity of the formula; more of it for shorter half-lives."
    w = exponential_weights(100, 20)
    S, x = (RETURNS[:100] * w[:, None]).T @ RETURNS[:100], RETURNS[:100]
    off = ~np.eye(5, dtype=bool)
    error = sum(wt**2 * ((np.outer(y, y) - S)[off] ** 2).sum() for wt, y in zip(w, x))
    found, intensity = weighted_shrinkage(x, w)
    np.testing.assert_allclose(intensity, min(1, error / (S[off] ** 2).sum()))
    np.testing.assert_allclose(found.diagonal(), S.diagonal())
    assert weighted_shrinkage(x, exponential_weights(100, 5))[1] > intensity


def test_separate_half_lives():
    "Volatilities of the one, correlations of the other."
    both = ewma_covariance(RETURNS, 10, correlation_half_life=100)
    np.testing.assert_allclose(both.diagonal(), ewma_covariance(RETURNS, 10).diagonal())
    slow, scale = ewma_covariance(RETURNS, 100), np.sqrt(both.diagonal())
    np.testing.assert_allclose(both / np.outer(scale, scale), slow / np.sqrt(np.outer(slow.diagonal(), slow.diagonal())))


def test_half_life_is_chosen_from_the_past_and_for_the_world():
    "A still world wants the longest, a restless one a short one; the scores of early blocks ignore later days."
    still = np.random.default_rng(0).standard_normal((800, 4))
    restless, _ = draw_dcc_returns(800, WORLD, alpha=0.2, beta=0.75)
    assert choose_half_life(still) == 504 and choose_half_life(restless) < 60
    changed = RETURNS.copy()
    changed[-5:] *= 10
    early = half_life_scores(RETURNS[:-5], [20, 60])
    pd.testing.assert_frame_equal(early, half_life_scores(changed[:-5], [20, 60]))
    assert half_life_scores(RETURNS, [20], [20, 60]).shape == (1, 2)


@pytest.mark.parametrize("how", [{}, {"variance_targeting": True}, {"pooled": True}])
def test_garch_is_at_an_optimum(how):
    "Slope zero, no better neighbour, units follow, on moving, still and tiny samples."
    for x in (RETURNS, np.random.default_rng(0).standard_normal((300, 5)), RETURNS[:12]):
        fit = fit_garch(x, **how)
        assert fit.gradient.max() < 1e-5 and (fit.variances > 0).all()
        np.testing.assert_allclose(fit_garch(100 * x, **how).variances, 1e4 * fit.variances, rtol=1e-3)
    fit, h = fit_garch(RETURNS), None
    for da, db in ((0.005, -0.005), (-0.005, 0.005), (0.004, 0.0)):
        h = garch_filter(RETURNS, fit.omega, np.maximum(fit.alpha + da, 0), fit.beta + db)[:-1]
        other = -(np.log(2 * np.pi * h) + RETURNS**2 / h).sum(axis=0) / 2
        assert (other <= fit.log_likelihood + 1e-6).all()


def test_garch_agrees_with_arch():
    "Parameters to the digits of its optimiser; a likelihood never lower."
    arch = pytest.importorskip("arch")
    fit = fit_garch(RETURNS)
    for i in range(3):
        scale = RETURNS[:, i].std()
        peer = arch.arch_model(RETURNS[:, i] / scale, mean="Zero", rescale=False).fit(disp="off")
        assert fit.log_likelihood[i] > peer.loglikelihood - 600 * np.log(scale) - 1e-5
        np.testing.assert_allclose([fit.alpha[i], fit.beta[i]], peer.params[1:], atol=2e-3)


def test_forecast_sums_the_recursion():
    "The mean of the days' forecasts, one after the other."
    fit = fit_garch(RETURNS)
    days = [fit.variances[-1]]
    for _ in range(9):
        days.append(fit.omega + (fit.alpha + fit.beta) * days[-1])
    np.testing.assert_allclose(fit.forecast(10), np.mean(days, axis=0))


@pytest.mark.parametrize("consistent", [False, True])
def test_dcc_by_hand(consistent):
    "The recursion day by day."
    z, a, b = RETURNS[:60] / RETURNS[:60].std(axis=0), 0.05, 0.9
    R = np.corrcoef(z.T)
    Q, path = R, dcc_correlations(z, a, b, target=R, consistent=consistent)
    for t, row in enumerate(z):
        np.testing.assert_allclose(path[t], Q / np.sqrt(np.outer(Q.diagonal(), Q.diagonal())))
        news = row * np.sqrt(Q.diagonal()) if consistent else row
        Q = (1 - a - b) * R + a * np.outer(news, news) + b * Q
    np.testing.assert_allclose(dcc_correlations(z, a, b, target=R, consistent=consistent, last=True), path[-1])
    np.testing.assert_allclose(dcc_correlations(z, 0, 0.5, target=R)[-1], R)


def test_known_truth():
    "DCC is nearer to tomorrow's true covariance than a sample covariance, on average over worlds."
    losses = []
    for seed in range(6):
        x, truth = draw_dcc_returns(800, WORLD, random_state=seed)
        pair = (DynamicCorrelation().fit(x).covariance_, np.cov(x.T))
        losses.append([stein_loss(S, truth[-1]) for S in pair])
    dynamic, plain = np.mean(losses, axis=0)
    assert dynamic < plain / 3


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_invariants(estimator):
    "Permutation, scale, PSD with fewer rows than assets, a duplicated asset, one asset, determinism."
    S, order = estimator.fit(FRAME).covariance_, [3, 1, 4, 0, 2]
    np.testing.assert_array_equal(S, estimator.fit(FRAME).covariance_)
    np.testing.assert_allclose(estimator.fit(FRAME.iloc[:, order]).covariance_, S[np.ix_(order, order)], rtol=1e-3)
    np.testing.assert_allclose(estimator.fit(FRAME * 7).covariance_, 49 * S, rtol=1e-3)
    wide = np.random.default_rng(0).standard_normal((12, 30))
    assert np.linalg.eigvalsh(estimator.fit(wide).covariance_)[0] > -1e-12
    twin = estimator.fit(FRAME.assign(F=FRAME["A"])).covariance_
    np.testing.assert_allclose(twin[0, 0], twin[5, 5])
    assert np.isfinite(estimator.fit(FRAME[["A"]]).covariance_).all()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_bad_input_is_refused_by_name(estimator):
    "Missing, infinite, constant, too short."
    for bad, error, name in ((np.nan, MissingDataError, "B"), (np.inf, NonFiniteError, "B")):
        with pytest.raises(error, match=name):
            estimator.fit(FRAME.assign(B=FRAME["B"].where(FRAME.index != FRAME.index[5], bad)))
    with pytest.raises(ConstantAssetError, match="C"):
        estimator.fit(FRAME.assign(C=0.01))
    with pytest.raises(InsufficientDataError):
        estimator.fit(FRAME.iloc[:1])


@pytest.mark.parametrize("bad", [
    lambda: ewma_covariance(RETURNS, 0), lambda: ewma_covariance(RETURNS, "long"), lambda: ewma_covariance(RETURNS, np.nan),
    lambda: ewma_covariance(RETURNS, 10, target="market"), lambda: ewma_covariance(RETURNS, 10, correlation_half_life=-1),
    lambda: EWMACovariance(half_life=None).fit(RETURNS[:12]), lambda: ConstantCorrelation(horizon=0).fit(RETURNS),
    lambda: ConstantCorrelation(horizon=1.5).fit(RETURNS), lambda: DynamicCorrelation(reach=0).fit(RETURNS),
    lambda: dcc_correlations(RETURNS, -0.1, 0.5), lambda: dcc_correlations(RETURNS, 0.5, 0.5),
    lambda: garch_filter(RETURNS, 1e-6, 0.1, 0.8, backcast=-1.0), lambda: draw_dcc_returns(10, WORLD, alpha=0.5, beta=0.6),
    lambda: parkinson(1.0, 2.0), lambda: garman_klass(1.0, 1.1, 0.9, 2.0), lambda: fit_dcc(RETURNS[:5]),
])
def test_bad_parameters_are_refused(bad):
    "Each with a typed error."
    with pytest.raises(DataError):
        bad()


def test_shapes_that_do_not_fit():
    "A target of the wrong size, bars of different shapes."
    with pytest.raises(ShapeError):
        dcc_correlations(RETURNS, 0.1, 0.8, target=np.eye(3))
    with pytest.raises(ShapeError):
        rogers_satchell(np.ones(3), np.ones(3), np.ones(2), np.ones(3))


def test_ranges():
    "Parkinson's constant; Yang and Zhang by hand; the covariance's parts; labels."
    np.testing.assert_allclose(parkinson(np.e, 1.0), 1 / (4 * np.log(2)))
    rng = np.random.default_rng(0)
    walk = 0.01 * rng.standard_normal((300, 78, 2)).cumsum(axis=1) / np.sqrt(78)
    base = np.concatenate([np.zeros((1, 2)), walk[:-1, -1].cumsum(axis=0)])
    bars = [base, base + walk.max(axis=1).clip(0), base + walk.min(axis=1).clip(None, 0), base + walk[:, -1]]
    bars = [pd.DataFrame(np.exp(b), columns=["A", "B"]) for b in bars]
    first, _, _, last = (np.log(b.to_numpy()) for b in bars)
    k = 0.34 / (1.34 + 300 / 298)
    night, day = first[1:] - last[:-1], (last - first)[1:]
    within = rogers_satchell(*bars).iloc[1:].mean().to_numpy()
    by_hand = night.var(axis=0, ddof=1) + k * day.var(axis=0, ddof=1) + (1 - k) * within
    np.testing.assert_allclose(yang_zhang(*bars), by_hand)
    S = range_covariance(*bars)
    assert list(S.columns) == ["A", "B"]
    np.testing.assert_allclose(np.sqrt(np.diag(S)), 0.01, rtol=0.15)


def test_they_drop_into_allocators_pipelines_and_searches():
    "Our walk-forward, a pipeline with a grid search by likelihood."
    rules = {str(i): MinimumVariance(covariance=e) for i, e in enumerate(ESTIMATORS[1:4])}
    bt = walk_forward(rules, FRAME, window=252, rebalance="quarter", costs=0.001)
    assert not len(bt.failures) and np.isfinite(bt.net_returns).all(axis=None)
    search = GridSearchCV(Pipeline([("risk", EWMACovariance())]), {"risk__half_life": [5.0, 60.0]}, cv=3).fit(FRAME)
    assert search.best_params_["risk__half_life"] == 60.0
    assert np.isfinite(search.best_estimator_.score(FRAME))


def test_skfolio_takes_them():
    "As the covariance of its optimiser."
    optimization, prior = pytest.importorskip("skfolio.optimization"), pytest.importorskip("skfolio.prior")
    for estimator in ESTIMATORS[1:4]:
        model = optimization.MeanRisk(prior_estimator=prior.EmpiricalPrior(covariance_estimator=estimator)).fit(FRAME)
        ours = MinimumVariance(covariance=estimator).fit(FRAME)
        np.testing.assert_allclose(model.weights_, ours.weights_, atol=2e-3)
