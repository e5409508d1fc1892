"""From forecasts to weights: what was known, what is believed, how fast it is traded."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm, rankdata
from sklearn.base import clone
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks

from portfolio_ml.allocation.baselines import EqualWeight
from portfolio_ml.allocation.mean_variance import MeanVariance, mean_variance
from portfolio_ml.backtest.walk_forward import check_no_lookahead, walk_forward
from portfolio_ml.core.testing import check_allocator, factor_returns
from portfolio_ml.core.validation import DataError, InfeasibleError, InsufficientDataError, LookAheadError, MissingDataError, ShapeError
from portfolio_ml.forecast.portfolio import (
    RULES,
    ForecastAllocator,
    believed_return,
    best_speed,
    forecast_at,
    forecast_window,
    normal_scores_of,
    rank_tilt,
    speed_effects,
    top_weights,
    trade_towards,
    trading_rate,
    transfer_coefficient,
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
    "A decision does not copy the forecasts; what is an estimator is cloned."
    a = ForecastAllocator(TABLE, speed=0.5, rule=MeanVariance(), covariance=LedoitWolf())
    assert clone(a).forecasts is TABLE and clone(a).speed == 0.5
    assert clone(a).rule is not a.rule and clone(a).covariance is not a.covariance
    assert clone(a).set_params(rule__risk_aversion=9).rule.risk_aversion == 9 and a.rule.risk_aversion == 1


def test_many_rows_at_once():
    "Tilts and tops of a table are those of its rows."
    rows = np.round(TABLE.to_numpy()[:40])
    for rule in (rank_tilt, top_weights):
        assert_allclose(rule(rows), [rule(r) for r in rows])


def test_an_allocator_as_rule():
    "Its limits count, its costs see what is held, and what is infeasible says so."
    a = ForecastAllocator(TABLE, rule=MeanVariance(risk_aversion=5, max_weight=0.3), believed=0.01)
    w = a.fit(RETURNS).weights_
    mean = believed_return(TABLE.iloc[-1].to_numpy(), share=0.01)
    assert_allclose(w, mean_variance(mean, RETURNS.cov(), risk_aversion=5, max_weight=0.3), atol=1e-8)
    assert w.max() <= 0.3 + 1e-9 and not a.needs_previous_weights
    dear = ForecastAllocator(TABLE, rule=MeanVariance(costs=9.0))
    assert dear.needs_previous_weights
    held = np.array([0.5, 0.5, 0, 0, 0, 0])
    assert_allclose(dear.set_params(previous_weights=held).fit(RETURNS).weights_, held, atol=1e-8)
    with pytest.raises(InfeasibleError):
        ForecastAllocator(TABLE, rule=MeanVariance(max_weight=0.1)).fit(RETURNS)
    with pytest.raises(DataError, match="expected_returns"):
        ForecastAllocator(TABLE, rule=EqualWeight()).fit(RETURNS)


def test_measured_skill_and_share():
    "A perfect record is believed, an empty one leaves least variance; horizons divide the forecast."
    coming = RETURNS.shift(-1).fillna(0.0)
    sure, bold = (ForecastAllocator(coming, rule="mean-variance", **how).fit(RETURNS.iloc[:200]) for how in (dict(believed="measured"), dict(skill="measured", risk_aversion=0.01)))
    assert_allclose(sure.weights_, mean_variance(coming.iloc[199], RETURNS.iloc[:200].cov(), risk_aversion=5.0), atol=1e-7)
    assert bold.weights_.max() > 0.99
    wrong = ForecastAllocator(-coming, rule="mean-variance", skill="measured").fit(RETURNS.iloc[:200])
    assert_allclose(wrong.weights_, mean_variance(np.zeros(6), RETURNS.iloc[:200].cov()), atol=1e-8)
    day, week = (ForecastAllocator(h * TABLE / 1000, rule="mean-variance", horizon=h).fit(RETURNS) for h in (1, 5))
    assert_allclose(day.weights_, week.weights_)
    with pytest.raises(DataError, match="record"):
        ForecastAllocator(lambda f: f.mean(), rule="mean-variance", skill="measured").fit(RETURNS)


def test_a_regressor_in_the_window():
    "It learns from labels that are known, speaks for the last date, and says what it lacks."
    def features(frame):
        return frame.stack().to_frame("r").rename_axis([None, "asset"])

    logs = np.log1p(RETURNS)
    y = np.expm1(logs.shift(-1) + logs.shift(-2)).iloc[:-2].to_numpy().ravel()
    want = Ridge().fit(RETURNS.iloc[:-2].to_numpy().reshape(-1, 1), y).predict(RETURNS.iloc[-1:].T.to_numpy())
    assert_allclose(forecast_window(Ridge(), RETURNS, features, 2), want)
    model = Ridge()
    a = ForecastAllocator(model, features=features, horizon=2).fit(RETURNS)
    assert_allclose(a.weights_, rank_tilt(want))
    assert not hasattr(model, "coef_")
    with pytest.raises(InsufficientDataError, match="longer window"):
        ForecastAllocator(Ridge()).fit(RETURNS.iloc[:100])
    with pytest.raises(MissingDataError, match="A4"):
        forecast_window(Ridge(), RETURNS, lambda f: features(f.where(~((f.index == f.index[-1])[:, None] & (f.columns == "A4")))).reindex(features(f).index))
    with pytest.raises(ShapeError):
        forecast_window(Ridge(), RETURNS, lambda f: features(f.iloc[1:]))
    with pytest.raises(DataError, match="dates"):
        forecast_window(Ridge(), RETURNS.to_numpy(), features)


def test_transfer_coefficient():
    "One for the best active weights whatever the covariance, scale-free, nan without opinion."
    S, m = RETURNS.cov().to_numpy(), np.arange(6) / 1000
    inverse = np.linalg.inv(S)
    best = inverse @ (m - inverse.sum(axis=0) @ m / inverse.sum())
    assert transfer_coefficient(best, m, S) == pytest.approx(1)
    tilt = rank_tilt(m) - 1 / 6
    assert transfer_coefficient(3 * tilt, m + 5, 7 * S) == pytest.approx(transfer_coefficient(tilt, m, S)) != 1
    assert np.isnan(transfer_coefficient(0 * tilt, m, S)) and np.isnan(transfer_coefficient(tilt, np.full(6, 0.1), S))


def test_speeds():
    "Full speed keeps all; the formulas agree with simulation; the best speed falls with costs to zero."
    assert_allclose(speed_effects(1.0, 0.7), 1)
    rng, held, x, rows = np.random.default_rng(0), 0.0, 0.0, []
    for e in rng.standard_normal(60_000):
        x = 0.8 * x + 0.6 * e
        held, before = held + 0.3 * (x - held), held
        rows.append((held * x, held**2, abs(held - before)))
    gain, square, moved = np.mean(rows, axis=0)
    full = (2 * 0.2) ** 0.5 * (2 / np.pi) ** 0.5
    assert_allclose([gain, square**0.5, moved / full], speed_effects(0.3, 0.8).iloc[0], rtol=0.03)
    chosen = [best_speed(0.8, 1.0, 1.0, c) for c in (0.0, 0.5, 1.0, 2.0, 3.0, 4.0)]
    assert chosen[0] == 1 and chosen[-1] == 0 and (np.diff(chosen) <= 0).all()
    assert 0 < trading_rate(1.0, 5.0) < trading_rate(1.0, 1.0) < 1
    for wrong in (lambda: speed_effects(0.0, 0.5), lambda: speed_effects(0.5, 1.0), lambda: trading_rate(0.0, 1.0)):
        with pytest.raises(DataError):
            wrong()


def test_to_the_edge():
    "Outside the band the trade ends at its edge; inside nothing is traded."
    held, goal = np.array([0.2, 0.8]), np.array([0.6, 0.4])
    new = trade_towards(goal, held, band=0.2, edge=True)
    assert np.abs(goal - new).sum() == pytest.approx(0.2)
    assert trade_towards(goal, held, band=0.81, edge=True) is held


@pytest.mark.parametrize("wrong", [
    dict(rule="best"), dict(strength=1.5), dict(rule="top", strength=0.0), dict(rule="mean-variance", believed=2.0),
    dict(rule="mean-variance", skill=3.0), dict(speed=0.0, previous_weights=np.full(6, 1 / 6)),
    dict(band=-1.0, previous_weights=np.full(6, 1 / 6)), dict(band=np.nan, previous_weights=np.full(6, 1 / 6)),
    dict(forecasts=3), dict(forecasts=lambda f: np.ones(2)), dict(forecasts=lambda f: np.full(6, np.nan)), dict(missing="drop"),
    dict(rule="mean-variance", skill="guessed"), dict(rule="mean-variance", believed="all"), dict(rule="mean-variance", horizon=0),
])
def test_wrong_parameters_are_named(wrong):
    "Each wrong parameter is refused by name."
    with pytest.raises(DataError):
        ForecastAllocator(**({"forecasts": TABLE} | wrong)).fit(RETURNS)


def test_a_table_needs_dates():
    "An array has no dates to look forecasts up by."
    with pytest.raises(DataError, match="dates"):
        ForecastAllocator(TABLE).fit(RETURNS.to_numpy())
