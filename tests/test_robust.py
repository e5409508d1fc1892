"Robust allocation: shrunk means, resampling, worst cases and Kelly against closed forms, degenerate input, scikit-learn's checks."

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from portfolio_ml.allocation.frontier import critical_line
from portfolio_ml.allocation.mean_variance import MeanVariance
from portfolio_ml.allocation.robust import (
    BayesStein,
    BodnarOkhrinParolya,
    JamesStein,
    Kelly,
    Resampled,
    WorstCaseMeanVariance,
    bayes_stein,
    bodnar_okhrin_parolya,
    chance_of_falling,
    fraction_of_growth,
    james_stein,
    kelly_bet,
    merton_share,
    resampled_frontier,
    uncertainty_radius,
    worst_case_mean,
    worst_case_mean_variance,
)
from portfolio_ml.backtest.walk_forward import walk_forward
from portfolio_ml.core.testing import check_allocator, factor_returns
from portfolio_ml.core.validation import (
    ConstantAssetError,
    DataError,
    InfeasibleError,
    InsufficientDataError,
    MissingDataError,
    PortfolioError,
    SingularCovarianceError,
    UnboundedError,
)
from portfolio_ml.optimize.constraints import read_constraints
from portfolio_ml.optimize.growth import best_gain, growth_rate, kelly


def market(n=8, rows=120, seed=0):
    "Draw a window."
    return factor_returns(rows, n, random_state=seed, volatility=(0.02, 0.06), mean=0.005)


def moments(X):
    "Give mean, covariance and rows."
    return X.mean().to_numpy(), X.cov().to_numpy(), len(X)


def test_bayes_stein_as_printed():
    "Jorion's equations, written down again with the inverse."
    X = market()
    m, S, T = moments(X)
    V = np.linalg.inv(S * (T - 1) / (T - 8 - 2))
    target = V.sum(axis=0) @ m / V.sum()
    phi = 10 / (10 + T * (m - target) @ V @ (m - target))
    found = bayes_stein(m, S, T)
    np.testing.assert_allclose([found.intensity, found.target], [phi, target])
    np.testing.assert_allclose(found.mean, (1 - phi) * m + phi * target)
    prior, ones = T * phi / (1 - phi), np.ones((8, 8))
    wider = np.linalg.inv(V) * (1 + 1 / (T + prior)) + prior / (T * (T + 1 + prior)) * ones / V.sum()
    np.testing.assert_allclose(found.covariance, wider)
    fit = BayesStein().fit(X)
    np.testing.assert_allclose(fit.mu_, found.mean)
    np.testing.assert_allclose(fit.covariance_, found.covariance)


def test_bodnar_okhrin_parolya_as_printed():
    "The paper's alpha and beta for a target proportional to ones."
    X = market(rows=400) + np.linspace(0, 0.02, 8)
    m, S, T = moments(X)
    V, ones = np.linalg.inv(S), np.ones(8)
    u, v, w = m @ V @ m, m @ V @ ones, ones @ V @ ones
    alpha = ((u - 8 / (T - 8)) * w - v**2) / (u * w - v**2)
    assert 0 < alpha < 1
    np.testing.assert_allclose(bodnar_okhrin_parolya(m, S, T).mean, alpha * m + (1 - alpha) * v / w * ones)


def test_james_stein_with_equal_variances_is_efron_and_morris():
    "The numerator is N - 3 when the target is the average, N - 2 when it is chosen in advance."
    m = np.random.default_rng(0).normal(size=10)
    np.testing.assert_allclose(james_stein(m, 2 * np.eye(10), 40).intensity, min(1, 7 * 2 / 40 / ((m - m.mean()) ** 2).sum()))
    np.testing.assert_allclose(james_stein(m, 2 * np.eye(10), 40, target=0.1).intensity, min(1, 8 * 2 / 40 / ((m - 0.1) ** 2).sum()))


def test_shrunk_means_at_the_edges():
    "Equal means, one to three assets, fewer rows than assets, duplicates."
    flat = np.full(5, 0.01)
    for rule in (bayes_stein, james_stein, bodnar_okhrin_parolya):
        np.testing.assert_allclose(rule(flat, np.eye(5) + 0.2, 50).mean, flat, atol=1e-15)
        np.testing.assert_allclose(rule([0.02], [[0.1]], 50).mean, [0.02])
    m = np.array([0.1, 0.2, 0.4])
    np.testing.assert_array_equal(james_stein(m, np.eye(3), 50).mean, m)  # nothing to gain with three
    short = market(rows=6)
    for estimator, error in ((BayesStein(), InsufficientDataError), (BodnarOkhrinParolya(), InsufficientDataError), (BayesStein(correct=False), SingularCovarianceError)):
        with pytest.raises(error):
            estimator.fit(short)
    assert np.isfinite(JamesStein().fit(short).mu_).all()
    twins = market().assign(twin=market()["A0"])
    with pytest.raises(SingularCovarianceError):
        BayesStein().fit(twins)
    with pytest.raises(MissingDataError):
        JamesStein().fit(market().mask(market() > 0.1))


@parametrize_with_checks([
    JamesStein(), BayesStein(correct=False), BodnarOkhrinParolya(), Resampled(n_resamples=3), WorstCaseMeanVariance(),
    WorstCaseMeanVariance(shape="diagonal"), Kelly(), Kelly(0.5, budget=(0, 1)),
])
def test_scikit_learn(estimator, check):
    "scikit-learn's own checks of an estimator."
    check(estimator)


def test_estimators_conform():
    "Our own suite, and weights that obey groups."
    for allocator, skip in (
        (Resampled(n_resamples=5), ()), (Resampled(5.0, match="risk_aversion", n_resamples=5), ("scaled",)),
        (WorstCaseMeanVariance(0.0, expected_returns=JamesStein()), ()), (WorstCaseMeanVariance(2.0, shape="diagonal"), ("scaled",)),
        (Kelly(), ("scaled",)),
    ):
        check_allocator(allocator, skip=skip)
    X = market()
    groups = {"A0": "left", "A1": "left", "A2": "left"}
    for allocator in (WorstCaseMeanVariance(1.0, groups=groups, constraints=["left >= 0.5"]), Kelly(groups=groups, constraints=["left >= 0.5"], max_weight=0.4)):
        w = allocator.fit(X).weights
        assert w[["A0", "A1", "A2"]].sum() > 0.5 - 1e-9 and abs(w.sum() - 1) < 1e-9 and w.min() >= 0


@pytest.mark.parametrize("n", [1, 2, 6, 15])
@pytest.mark.parametrize("aversion", [0.0, 2.0])
def test_both_routes_agree(n, aversion):
    "The search along the frontier and the cone."
    m, S, T = moments(market(max(n, 2), seed=n))
    m, S = m[:n], S[:n, :n]
    for radius in (0.0, 0.3, 2.0, 6.0):
        for bounds in ({}, {"max_weight": max(0.3, 1 / n)}, {"min_weight": -0.5, "max_weight": 1.5}):
            given = dict(radius=radius, uncertainty=1 / T, risk_aversion=aversion, **bounds)
            a, b = (worst_case_mean_variance(m, S, method=k, **given) for k in ("frontier", "cone"))
            np.testing.assert_allclose(a, b, atol=2e-5)


def test_worst_case_closed_forms():
    "One asset and cash; radius zero; a huge radius; the worst mean."
    for mean, sigma, k, d in ((0.01, 0.05, 0.1, 2.0), (0.02, 0.1, 0.15, 1.0), (0.01, 0.05, 0.3, 2.0)):
        w = worst_case_mean_variance([mean], [[sigma**2]], radius=k, risk_aversion=d, budget=None)
        np.testing.assert_allclose(w, max(mean - k * sigma, 0) / (d * sigma**2), atol=1e-6)
    m, S, T = moments(market())
    path = critical_line(m, S)
    np.testing.assert_allclose(worst_case_mean_variance(m, S, radius=0, risk_aversion=4), path.at_risk_aversion(4), atol=1e-12)
    np.testing.assert_allclose(worst_case_mean_variance(m, S, radius=0), path.weights[0], atol=1e-12)
    np.testing.assert_allclose(worst_case_mean_variance(m, S, radius=1e6), path.minimum_variance, atol=1e-6)
    w = np.full(8, 1 / 8)
    worst = worst_case_mean(w, m, S / T, 2.0)
    np.testing.assert_allclose((worst - m) @ np.linalg.solve(S / T, worst - m), 4)
    directions = np.random.default_rng(0).normal(size=(500, 8)) @ np.linalg.cholesky(S / T).T
    length = np.sqrt(np.einsum("kn,nk->k", directions, np.linalg.solve(S / T, directions.T)))
    assert ((m + 2 * directions / length[:, None]) @ w >= worst @ w - 1e-12).all()


def test_worst_case_degenerate():
    "Losses only, riskless asset, singular covariance, infeasible groups, nonsense."
    m, S, T = moments(market())
    w = worst_case_mean_variance(-np.abs(m) - 0.1, S, radius=2, uncertainty=1 / T)
    assert abs(w.sum() - 1) < 1e-9 and w.min() >= 0
    riskless = np.zeros((3, 3))
    riskless[:2, :2] = S[:2, :2]
    w = worst_case_mean_variance([0.01, 0.01, 0.02], riskless, radius=2, risk_aversion=1)
    np.testing.assert_allclose(w, [0, 0, 1], atol=1e-9)
    few = market(20, rows=8)
    assert abs(WorstCaseMeanVariance().fit(few).weights_.sum() - 1) < 1e-9
    with pytest.raises(PortfolioError):
        WorstCaseMeanVariance(min_weight=None, max_weight=None).fit(few)
    with pytest.raises(ConstantAssetError):
        WorstCaseMeanVariance().fit(market().assign(A0=0.0))
    for bad in ({"max_weight": 0.1}, {"groups": {0: "g", 1: "g"}, "constraints": ["g >= 2"]}):
        with pytest.raises(InfeasibleError):
            worst_case_mean_variance(m, S, radius=1, **bad)
    with pytest.raises(UnboundedError):
        worst_case_mean_variance(m, S, radius=0.01, uncertainty=1 / T, min_weight=None, max_weight=None)
    for bad in ({"radius": -1}, {"radius": np.nan}, {"radius": 1, "uncertainty": -1.0}, {"radius": 1, "risk_aversion": -1}, {"radius": 1, "method": "cube"},
                {"radius": 1, "uncertainty": np.eye(3)}):
        with pytest.raises(DataError):
            worst_case_mean_variance(m, S, **bad)
    with pytest.raises(DataError):
        uncertainty_radius(5, 1.0)
    assert abs(uncertainty_radius(5, 0.95, n_obs=10**7) / uncertainty_radius(5, 0.95) - 1) < 1e-5


def test_worst_case_may_be_all_cash_or_riskless():
    "Where the worst case has a kink: nothing held, or a portfolio without uncertainty."
    m, S, T = moments(market(5))
    for budget in (None, (0, 1)):
        np.testing.assert_array_equal(worst_case_mean_variance(m, S, radius=20, uncertainty=1 / T, risk_aversion=1, budget=budget, min_weight=-0.3), 0)
    flat = np.zeros((5, 5))
    flat[:4, :4] = S[:4, :4]
    w = worst_case_mean_variance(m, S + np.eye(5) * 1e-4, radius=1e4, uncertainty=flat)
    np.testing.assert_allclose(w, [0, 0, 0, 0, 1], atol=1e-6)


def test_resampling():
    "Feasible, reproducible, certain when history is endless, and refused without bounds."
    m, S, _ = moments(market(5))
    a, b = (resampled_frontier(m, S, 60, n_resamples=10, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(a.weights, b.weights)
    assert (a.weights >= 0).all() and np.allclose(a.weights.sum(axis=1), 1)
    sure = resampled_frontier(m, S, 200_000, n_resamples=3, levels=[0.0, 0.5], random_state=0)
    np.testing.assert_allclose(sure.weights[0], sure.exact.minimum_variance, atol=0.02)
    steady = resampled_frontier(m, S, 60, match="risk_aversion", levels=[1e9], n_resamples=50, random_state=0)
    assert np.abs(steady.weights[0] - steady.exact.minimum_variance).max() < 0.15
    assert list(a.to_frame().columns) == list(range(5)) and "spread of weights" in a.summary()
    for bad in ({"levels": [2.0]}, {"match": "mind"}, {"min_weight": None, "max_weight": None}, {"n_resamples": 0}, {"levels": [-1.0], "match": "risk_aversion"}):
        with pytest.raises(DataError):
            resampled_frontier(m, S, 60, **bad)
    one = Resampled(n_resamples=3).fit(market(2).iloc[:, :1])
    np.testing.assert_allclose(one.weights_, [1.0])


def test_kelly_closed_forms():
    "Coins, several bets at once, Merton."
    for p, odds in ((0.6, 1.0), (0.5, 2.0), (0.3, 5.0), (0.2, 1.0)):
        stake = kelly(np.array([[odds], [-1.0]]), probabilities=[p, 1 - p], budget=None)
        np.testing.assert_allclose(stake, [kelly_bet(p, odds)], atol=1e-8)
    race, chance = 3 * np.eye(3) - 1, np.array([0.5, 0.3, 0.2])  # fair odds: bet the chances
    np.testing.assert_allclose(kelly(race, probabilities=chance), chance, atol=1e-8)
    assert merton_share(0.08, 0.04, 0.02, 3) == pytest.approx(0.5, rel=1e-14)
    np.testing.assert_allclose(chance_of_falling(0.5, [1.0, 0.5, 2.0]), [0.5, 0.125, 1.0])
    np.testing.assert_allclose(fraction_of_growth([0.5, 1, 2]), [0.75, 1, 0])
    small = np.random.default_rng(0).normal(2e-5, 1e-3, (4000, 3))  # short periods: Kelly tends to Merton
    np.testing.assert_allclose(
        kelly(small, min_weight=None, budget=None), merton_share(small.mean(axis=0), np.cov(small, rowvar=False, ddof=0)), rtol=0.02, atol=0.5,
    )


def test_kelly_beats_every_other_portfolio():
    "And its conditions hold."
    X = market(6, rows=200, seed=4)
    w = kelly(X)
    best = growth_rate(w, X)
    for other in np.random.default_rng(1).dirichlet(np.ones(6) / 2, 300):
        assert growth_rate(other, X) <= best + 1e-12
    slope = X.div(1 + X @ w, axis=0).mean()
    assert slope.max() - slope @ w < 1e-9
    assert best_gain(slope.to_numpy(), w.to_numpy(), read_constraints(range(6))) < 1e-9


def test_kelly_degenerate():
    "Losses only, duplicates, few scenarios, ruin, free lunches, one asset, infeasible limits."
    X = market(5, rows=60)
    w = kelly(-X.abs() - 0.001, budget=(0, 1))
    np.testing.assert_allclose(w, 0, atol=1e-7)
    both = X.assign(twin=X["A0"])
    assert abs(growth_rate(kelly(both), both) - growth_rate(kelly(X), X)) < 1e-11
    assert abs(Kelly().fit(market(20, rows=5)).weights_.sum() - 1) < 1e-9
    np.testing.assert_allclose(kelly(X[["A0"]]), [1.0])
    with pytest.raises(UnboundedError, match="never loses"):
        kelly(market(20, rows=5), min_weight=None, budget=None)
    with pytest.raises(InfeasibleError, match="ruined"):
        kelly(np.array([[-1.0, 0.3], [0.3, -1.0], [-0.6, -0.6]]), budget=2)
    with pytest.raises(InfeasibleError):
        kelly(X, max_weight=0.1)
    with pytest.raises(DataError, match="ruin"):
        growth_rate([1.0], [[-1.0], [0.1]])
    with pytest.raises(DataError, match="ruin"):
        Kelly(50.0).fit(X)
    crash = X.copy()
    crash.iloc[10, 0] = -1.0
    assert kelly(crash)["A0"] < 1 and kelly(crash, min_weight={"A0": 0.5})["A0"] < 1
    for bad in ({"probabilities": -np.ones(60)}, {"risk_free": -2.0}):
        with pytest.raises(DataError):
            kelly(X, **bad)
    for bad in ((1.5, 1.0), (0.5, 0.0)):
        with pytest.raises(DataError):
            kelly_bet(*bad)


def test_walk_forward_and_skfolio():
    "In the engine, and in skfolio's cross-validation."
    model_selection = pytest.importorskip("skfolio.model_selection")
    X = market(5, rows=120)
    rules = {"resampled": Resampled(n_resamples=3), "worst": WorstCaseMeanVariance(), "kelly": Kelly(0.5)}
    bt = walk_forward(rules, X, window=60, costs=0.001)
    assert not len(bt.failures) and np.isfinite(bt.net_returns.to_numpy()).all()
    for rule in rules.values():
        found = model_selection.cross_val_predict(rule, X, cv=model_selection.WalkForward(test_size=20, train_size=60))
        assert np.isfinite(np.asarray(found)).all()


def test_names_and_plugs():
    "Labelled in, labelled out; shrunk means inside other allocators."
    X = market(4)
    w = worst_case_mean_variance(X.mean(), X.cov(), radius=1, uncertainty=0.01)
    assert list(w.index) == list(X.columns) and isinstance(kelly(X), pd.Series)
    fitted = WorstCaseMeanVariance(expected_returns=BayesStein(), covariance=BayesStein()).fit(X)
    np.testing.assert_allclose(fitted.expected_returns_, BayesStein().fit(X).mu_)
    np.testing.assert_allclose(fitted.covariance_, BayesStein().fit(X).covariance_)
    plugs = dict(expected_returns=BayesStein(), covariance=BayesStein())
    ours, other = WorstCaseMeanVariance(3, confidence=0, **plugs), MeanVariance(risk_aversion=3, **plugs)
    np.testing.assert_allclose(ours.fit(X).weights_, other.fit(X).weights_, atol=1e-8)
