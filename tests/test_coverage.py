"Value at risk backtests: published regions and zones, hand examples, peers, exactness in small samples, power, and what is refused."

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from portfolio_ml.core.validation import DataError, InsufficientDataError, MissingDataError, NonFiniteError, ShapeError
from portfolio_ml.measure.coverage import (
    basel_traffic_light,
    conditional_statistic,
    coverage_statistics,
    draw_hits,
    duration_statistic,
    durations,
    exceptions_of,
    independence_statistic,
    kupiec_exact,
    kupiec_statistic,
    monte_carlo_p,
    quantile_statistic,
    transitions,
    var_backtest,
    weibull_shape,
)

KUPIEC = {  # non-rejection regions at 5 %, exclusive bounds, for 255, 510 and 1000 days
    0.01: [(0, 7), (1, 11), (4, 17)], 0.025: [(2, 12), (6, 21), (15, 36)], 0.05: [(6, 21), (16, 36), (37, 65)],
    0.075: [(11, 28), (27, 51), (59, 92)], 0.1: [(16, 36), (38, 65), (81, 120)],
}


@pytest.mark.parametrize("p", KUPIEC)
def test_kupiecs_regions(p):
    for T, (low, high) in zip((255, 510, 1000), KUPIEC[p]):
        kept = np.flatnonzero(kupiec_statistic(np.arange(T + 1), T, 1 - p) <= stats.chi2.ppf(0.95, 1))
        assert (kept.min() - 1, kept.max() + 1) == (low, high)


def test_kupiec_by_hand_and_at_the_edges():
    np.testing.assert_allclose(kupiec_statistic(0, 255), -2 * 255 * np.log(0.99))
    np.testing.assert_allclose(kupiec_statistic(10, 10, 0.9), -2 * 10 * np.log(0.1))
    np.testing.assert_allclose(kupiec_statistic(5, 100, 0.95), 0, atol=1e-12)
    np.testing.assert_allclose(kupiec_statistic(10, 100, 0.95), 2 * (10 * np.log(2) + 90 * np.log(0.9 / 0.95)))


@pytest.mark.parametrize(("T", "level"), [(250, 0.99), (100, 0.95), (37, 0.5)])
def test_kupiec_exact_is_exact(T, level):
    law, ratio = stats.binom.pmf(np.arange(T + 1), T, 1 - level), kupiec_statistic(np.arange(T + 1), T, level)
    slow = [law[ratio >= r * (1 - 1e-10)].sum() for r in ratio]
    exact = kupiec_exact(np.arange(T + 1), T, level)
    np.testing.assert_allclose(exact, np.minimum(slow, 1), rtol=1e-9)
    assert all(law[exact <= a].sum() <= a + 1e-12 for a in (0.01, 0.05, 0.1))  # never rejects too often
    assert kupiec_exact(3, T, level) == exact[3]


def test_traffic_light():
    "The Basel Committee (1996): zones, cumulative probabilities, plus factors."
    lights = [basel_traffic_light(n) for n in range(14)]
    assert [x.zone for x in lights] == ["green"] * 5 + ["yellow"] * 5 + ["red"] * 4
    printed = {0: 8.11, 1: 28.58, 2: 54.32, 3: 75.81, 4: 89.22, 5: 95.88, 6: 98.63, 7: 99.60, 8: 99.89, 9: 99.97, 10: 99.99}
    for n, cumulative in printed.items():
        assert abs(100 * lights[n].cumulative - cumulative) < 5.001e-3
    assert [x.plus_factor for x in lights[4:11]] == [0, 0.4, 0.5, 0.65, 0.75, 0.85, 1.0]
    assert [x.multiplier for x in lights[4:11]] == [3, 3.4, 3.5, 3.65, 3.75, 3.85, 4]
    other = basel_traffic_light(9, 500)
    assert other.zone == "yellow" and np.isnan(other.plus_factor) and np.isnan(other.multiplier)
    assert basel_traffic_light(30, 500).plus_factor == 1.0 and basel_traffic_light(8, 250, 0.95).zone == "green"


def test_christoffersen_by_hand():
    hits = np.array([0, 0, 1, 1, 1, 0, 0, 0, 0, 0])
    assert [int(n) for n in transitions(hits)] == [5, 1, 1, 2]
    ratio = 2 * (5 * np.log(5 / 6) + np.log(1 / 6) + np.log(1 / 3) + 2 * np.log(2 / 3) - 6 * np.log(2 / 3) - 3 * np.log(1 / 3))
    np.testing.assert_allclose(independence_statistic(hits), ratio)
    np.testing.assert_allclose(conditional_statistic(hits, 0.9), ratio + kupiec_statistic(3, 10, 0.9))
    assert independence_statistic(np.zeros(50)) == independence_statistic(np.ones(50)) == 0


def test_transitions_add_up():
    hits = draw_hits(300, 0.9, 20)
    counts = np.array(transitions(hits))
    assert (counts.sum(axis=0) == 299).all() and (counts >= 0).all()
    one = [int(((hits[3, :-1] == a) & (hits[3, 1:] == b)).sum()) for a in (0, 1) for b in (0, 1)]
    assert one == counts[:, 3].tolist()


@pytest.mark.parametrize(("hits", "days", "whole"), [
    ([0, 0, 1, 1, 1, 0, 0], [3, 1, 1, 2], [0, 1, 1, 0]), ([1, 0, 0, 1], [0, 3, 0], [0, 1, 0]), ([0, 1, 0], [2, 1], [0, 0]), ([0, 0, 0], [3], [0]),
])
def test_durations_by_hand(hits, days, whole):
    d, w = durations(np.array(hits))
    assert d[0].tolist() == days and w[0].astype(int).tolist() == whole


@pytest.mark.parametrize("seed", range(4))
def test_duration_test_equals_scipys_fit(seed):
    rng = np.random.default_rng(seed)
    hits = rng.random((1, 900)) < 0.03 * (1 + np.sin(np.arange(900) / 60) * (seed % 2))
    days, whole = durations(hits)
    cut = (days > 0) & ~whole
    sample = stats.CensoredData(uncensored=days[whole], right=days[cut])
    value = {}
    for law in (stats.weibull_min, stats.expon):
        fit = law.fit(sample, floc=0)
        value[law] = law.logpdf(days[whole], *fit).sum() + law.logsf(days[cut], *fit).sum()
    shape = weibull_shape(days, whole)[0]
    np.testing.assert_allclose(shape, stats.weibull_min.fit(sample, floc=0)[0], rtol=1e-4)
    np.testing.assert_allclose(duration_statistic(hits)[0], 2 * (value[stats.weibull_min] - value[stats.expon]), atol=1e-5)


def test_duration_test_needs_two_exceptions_and_rows_do_not_mix():
    hits = draw_hits(250, 0.99, 40)
    together, alone = duration_statistic(hits), [duration_statistic(row) for row in hits]
    np.testing.assert_allclose(together, alone, atol=1e-9)
    assert np.isnan(together[hits.sum(axis=1) < 2]).all() and np.isfinite(together[hits.sum(axis=1) >= 2]).all()
    assert np.isnan(duration_statistic(np.zeros(30)))


@pytest.mark.parametrize(("lags", "with_limits"), [(4, True), (4, False), (1, True), (0, True)])
def test_quantile_test_equals_statsmodels(lags, with_limits):
    rng = np.random.default_rng(0)
    hits, limits = rng.random((3, 600)) < 0.05, 0.01 * (1 + rng.random(600))
    value, df = quantile_statistic(hits, 0.95, limits if with_limits else None, lags)
    for row, found in zip(hits, value):
        y = row - 0.05
        columns = [np.ones(600 - lags)] + [limits[lags:]] * with_limits + [y[lags - k : 600 - k] for k in range(1, lags + 1)]
        fitted = sm.OLS(y[lags:], np.column_stack(columns)).fit().fittedvalues
        np.testing.assert_allclose(found, fitted @ fitted / (0.05 * 0.95), rtol=1e-8)
        assert df == len(columns)


def test_monte_carlo_p():
    null = np.array([1.0, 2.0, 3.0])
    assert monte_carlo_p(2.5, null) == 0.5 and monte_carlo_p(9.0, null) == 0.25 and monte_carlo_p(0.0, null) == 1.0
    p = monte_carlo_p(np.r_[5.0, np.nan], np.r_[null, np.nan])
    assert p[0] == 0.25 and np.isnan(p[1]) and np.isnan(monte_carlo_p(1.0, np.full(3, np.nan)))
    ties = monte_carlo_p(np.ones(4000), np.ones(99))
    np.testing.assert_allclose(ties.mean(), 0.505, atol=4 * 0.29 / 4000**0.5)  # uniform by lot


@pytest.mark.parametrize(("T", "level"), [(250, 0.99), (500, 0.95)])
def test_size(T, level):
    "Monte Carlo p-values reject 5 % of right forecasts, within 3.5 errors of the trials and of the null draws."
    trials, null = coverage_statistics(draw_hits(T, level, 2000), level), coverage_statistics(draw_hits(T, level, 4999, 1), level)
    for name, (value, _) in trials.items():
        known = np.isfinite(value)
        error = np.sqrt(0.05 * 0.95 * (1 / known.sum() + 1 / 4999))
        assert abs((monte_carlo_p(value[known], null[name][0]) <= 0.05).mean() - 0.05) < 3.5 * error, name


def test_chi_squared_is_wrong_in_a_year():
    "What the Monte Carlo p-values are for: sizes by chi-squared at 250 days and 99 %."
    trials = coverage_statistics(draw_hits(250, 0.99, 2000))
    size = {name: (stats.chi2.sf(v[np.isfinite(v)], df) <= 0.05).mean() for name, (v, df) in trials.items()}
    assert size["duration"] > 0.12 and size["conditional coverage"] < 0.02 and size["coverage"] > 0.065


def test_bunches_are_seen_by_duration_and_not_by_the_count():
    "A chain whose exceptions repeat with chance 0.3 and make up 1 % of all days, 2,000 days."
    p, again, found = 0.01, 0.3, []
    for seed in range(60):
        u, hits = np.random.default_rng(seed).random(2000), np.zeros(2000, dtype=bool)
        for t in range(1, 2000):
            hits[t] = u[t] < (again if hits[t - 1] else p * (1 - again) / (1 - p))
        found.append(hits)
    trials, null = coverage_statistics(np.array(found)), coverage_statistics(draw_hits(2000, 0.99, 999, 1))
    power = {name: (monte_carlo_p(v, null[name][0]) <= 0.05).mean() for name, (v, _) in trials.items()}
    assert power["independence"] > 0.85 and power["duration"] > 0.6 and power["coverage"] < 0.4


def test_backtest_record():
    rng = np.random.default_rng(0)
    returns = pd.Series(rng.standard_normal(500) / 100, pd.bdate_range("2020", periods=500))
    limits = pd.Series(0.02 + 0.003 * rng.random(500), returns.index)
    test = var_backtest(returns, limits, 0.99)
    assert test.exceptions == (returns < -limits).sum() == test.hits.sum() and test.hits.index.equals(returns.index)
    assert test.tests.shape == (5, 4) and test.tests["df"].tolist() == [1, 1, 2, 1, 6]
    assert test.tests.loc["coverage", "p"] == pytest.approx(kupiec_exact(test.exceptions, 500))
    assert test.light.cumulative == basel_traffic_light(test.exceptions, 500).cumulative and test.to_frame() is test.tests
    assert test.summary()["expected"] == 5 and "exceptions" in test._repr_html_()
    pd.testing.assert_frame_equal(test.tests, var_backtest(returns, limits, 0.99).tests)
    np.testing.assert_allclose(test.tests, var_backtest(100 * returns, 100 * limits, 0.99).tests, atol=1e-8)
    with pytest.raises(AttributeError):
        test.exceptions = 0
    assert var_backtest(returns, 0.023).tests.loc["dynamic quantile", "df"] == 5
    quiet = var_backtest(returns, 1.0)
    assert quiet.exceptions == 0 and np.isnan(quiet.tests.loc["duration", "p"]) and quiet.light.zone == "green"


def test_exceptions_are_strict():
    assert exceptions_of([-0.02, -0.021, 0.01], 0.02).tolist() == [False, True, False]
    assert exceptions_of(pd.Series([-0.01]), pd.Series([-0.02])).tolist() == [True]  # a negative value at risk promises a gain
    assert exceptions_of([0.01], [-0.02]).tolist() == [True]


@pytest.mark.parametrize(("call", "error"), [
    (lambda r: exceptions_of(r, [0.1]), ShapeError), (lambda r: exceptions_of(pd.concat([r, r], axis=1, keys=["a", "b"]), 0.1), ShapeError),
    (lambda r: exceptions_of(r, r.shift(freq="D").abs()), DataError), (lambda r: exceptions_of(r.where(r > 0), 0.1), MissingDataError),
    (lambda r: exceptions_of(r, np.inf), NonFiniteError), (lambda r: var_backtest(r, r * np.nan), MissingDataError),
    (lambda r: var_backtest(r[:19], 0.02), InsufficientDataError), (lambda r: var_backtest(r, 0.02, 99), DataError),
    (lambda r: kupiec_statistic(5, 4), DataError), (lambda r: kupiec_statistic(-1, 4), DataError), (lambda r: kupiec_exact(5, 4), DataError),
    (lambda r: basel_traffic_light(300), DataError), (lambda r: independence_statistic([0, 2, 1]), DataError),
    (lambda r: independence_statistic([1]), InsufficientDataError), (lambda r: quantile_statistic(r < 0, 0.9, lags=20), DataError),
    (lambda r: draw_hits(10, 1.0), DataError),
])
def test_refusals(call, error):
    returns = pd.Series(np.random.default_rng(0).standard_normal(60) / 100, pd.bdate_range("2020", periods=60))
    with pytest.raises(error):
        call(returns)
