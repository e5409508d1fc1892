"""From forecasts to weights: what was known, what is believed, how fast it is traded."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm, rankdata
from sklearn.base import clone
from sklearn.covariance import LedoitWolf
from sklearn.utils.estimator_checks import parametrize_with_checks

from portfolio_ml.allocation.mean_variance import mean_variance
from portfolio_ml.backtest.walk_forward import check_no_lookahead, walk_forward
from portfolio_ml.core.testing import check_allocator, factor_returns
from portfolio_ml.core.validation import DataError, InsufficientDataError, LookAheadError, MissingDataError
from portfolio_ml.forecast.portfolio import (
    RULES,
    ForecastAllocator,
    believed_return,
    forecast_at,
    normal_scores_of,
    rank_tilt,
    top_weights,
    trade_towards,
)

RETURNS = factor_returns(300, 6, random_state=2)
TABLE = pd.DataFrame(np.random.default_rng(0).standard_normal(RETURNS.shape), RETURNS.index, RETURNS.columns)


@parametrize_with_checks([ForecastAllocator()])
def test_scikit_learn(estimator, check):
    "It is an estimator as scikit-learn understands it."
    check(estimator)


@pytest.mark.parametrize("rule", RULES)
def test_conformance(rule):
    "The book's own checks pass for each rule, with a function as forecaster."
    check_allocator(ForecastAllocator(lambda f: f.tail(60).mean(), rule=rule), skip=("scaled",))


def test_only_forecasts_made_by_then_count():
    "Each decision uses the row of its own date; later rows do not matter, and holes are refused."
    bt = walk_forward(ForecastAllocator(TABLE), RETURNS, window=50, rebalance=10)
    for date, row in bt.targets["ForecastAllocator"].iterrows():
        assert_allclose(row, rank_tilt(TABLE.loc[date].to_numpy()))
    assert bt.failures.empty
    monthly = TABLE.iloc[::21]
    late = forecast_at(monthly, RETURNS.index[30], RETURNS.columns)
    assert_array_equal(late, TABLE.iloc[21])
    assert_array_equal(forecast_at(monthly, RETURNS.index[30], RETURNS.columns[::-1]), TABLE.iloc[21, ::-1])
    with pytest.raises(InsufficientDataError, match="older than 3D"):
        forecast_at(monthly, RETURNS.index[30], RETURNS.columns, "3D")
    with pytest.raises(DataError, match="Z"):
        forecast_at(monthly, RETURNS.index[30], pd.Index(["A0", "Z"]))
    holed = TABLE.copy()
    holed.iloc[5, 2] = np.nan
    with pytest.raises(MissingDataError, match="A2"):
        forecast_at(holed, RETURNS.index[5], RETURNS.columns)


def test_look_ahead_is_caught():
    "A table passes; a function that reads tomorrow's row of a table does not."
    check_no_lookahead({"honest": ForecastAllocator(TABLE)}, RETURNS, window=50, rebalance="month")

    def make(panel):
        return {"leaky": ForecastAllocator(lambda f: panel.shift(-1).loc[f.index[-1]])}

    with pytest.raises(LookAheadError, match="leaky"):
        check_no_lookahead(make, RETURNS, window=50, rebalance=20)


def test_scores_and_beliefs():
    "Grinold's rule, and shrinkage towards the mean of all."
    f = np.array([3.0, 1.0, 2.0, 2.0])
    z = norm.ppf((rankdata(f) - 0.5) / 4)
    assert_allclose(normal_scores_of(f), z - z.mean())
    assert_allclose(believed_return(f, np.full(4, 0.02), skill=0.1), 0.002 * normal_scores_of(f))
    assert_allclose(believed_return(f, share=0.0), f.mean())
    assert_allclose(believed_return(f), f)


def test_tilts_and_tops():
    "Weights sum to one, are long-only, and share ties."
    for f in (TABLE.iloc[0].to_numpy(), np.zeros(6), np.array([1.0, 1, 1, 0, 0, 2])):
        for w in (rank_tilt(f), rank_tilt(f, 0.3), top_weights(f), top_weights(f, 0.5), top_weights(f, 1.0)):
            assert w.min() >= 0 and w.sum() == pytest.approx(1)
    assert_allclose(rank_tilt(np.zeros(6)), 1 / 6)
    assert_allclose(top_weights(np.array([1.0, 1, 0, 0]), 0.25), [0.5, 0.5, 0, 0])
    assert_allclose(rank_tilt(np.array([5.0])), [1.0])


def test_mean_variance_rule_is_mean_variance():
    "With a covariance estimator inside; a labelled frame and an array agree where a function forecasts."
    def said(frame):
        return np.arange(6) / 1000

    a = ForecastAllocator(said, rule="mean-variance", risk_aversion=8.0, covariance=LedoitWolf(), believed=0.5)
    S = LedoitWolf().fit(RETURNS).covariance_
    want = mean_variance(believed_return(np.arange(6) / 1000, share=0.5), S, risk_aversion=8.0)
    assert_allclose(a.fit(RETURNS).weights_, want, atol=1e-7)
    assert_allclose(clone(a).fit(RETURNS.to_numpy()).weights_, want, atol=1e-7)


def test_trading_speed_and_band():
    "Partial trades follow the recursion; a band keeps what is held; turnover falls."
    fast, slow = (walk_forward(ForecastAllocator(TABLE, speed=s), RETURNS, window=50, rebalance=5) for s in (1.0, 0.2))
    assert slow.turnover.sum().iloc[0] < 0.4 * fast.turnover.sum().iloc[0]
    still = walk_forward(ForecastAllocator(TABLE, band=2.1), RETURNS, window=50, rebalance=5)
    assert (still.turnover.iloc[:, 0] > 0).sum() == 1
    held, goal = np.array([0.2, 0.8]), np.array([0.6, 0.4])
    assert_allclose(trade_towards(goal, held, 0.5), [0.4, 0.6])


def test_clones_share_the_table():
    "A decision does not copy the forecasts."
    a = ForecastAllocator(TABLE, speed=0.5)
    assert clone(a).forecasts is TABLE and clone(a).speed == 0.5


@pytest.mark.parametrize("wrong", [
    dict(rule="best"), dict(strength=1.5), dict(rule="top", strength=0.0), dict(rule="mean-variance", believed=2.0),
    dict(rule="mean-variance", skill=3.0), dict(speed=0.0, previous_weights=np.full(6, 1 / 6)),
    dict(band=-1.0, previous_weights=np.full(6, 1 / 6)), dict(forecasts=3), dict(forecasts=lambda f: np.ones(2)),
])
def test_wrong_parameters_are_named(wrong):
    "Each wrong parameter is refused by name."
    with pytest.raises(DataError):
        ForecastAllocator(**({"forecasts": TABLE} | wrong)).fit(RETURNS)


def test_a_table_needs_dates():
    "An array has no dates to look forecasts up by."
    with pytest.raises(DataError, match="dates"):
        ForecastAllocator(TABLE).fit(RETURNS.to_numpy())
