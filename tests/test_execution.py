"""Execution: published numbers, witnesses, units, caps, simulation, reports, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from portfolio_ml.core.validation import DataError, InfeasibleError, ShapeError
from portfolio_ml.forecast.portfolio import trading_rate
from portfolio_ml.trade.execution import (
    almgren_chriss,
    decay_path,
    execution_frontier,
    participate,
    shortfall_moments,
    shortfall_report,
    simulate_shortfall,
    twap,
    urgency,
    volume_curve,
    vwap,
)

MARKET = dict(volatility=0.95, temporary=2.5e-6, permanent=2.5e-7, fixed=0.0625)


def plan(risk_aversion=1e-6, shares=1e6, **changes):
    return almgren_chriss(shares, 5, 5, **MARKET | changes, risk_aversion=risk_aversion)


def test_published_example():
    p = plan()
    assert p.holdings.round().tolist() == [1e6, 541956, 289854, 147897, 62142, 0]
    assert p.expected_cost == pytest.approx(911227, abs=1) and p.cost_std == pytest.approx(603431, abs=1)
    assert p.kappa == pytest.approx(0.60708, abs=5e-6)
    assert p.value_at_risk() == pytest.approx(p.expected_cost + 1.6448536 * p.cost_std)


@pytest.mark.parametrize("seed", range(4))
def test_against_a_blind_optimiser(seed):
    rng = np.random.default_rng(seed)
    market = dict(volatility=rng.uniform(0.2, 2), temporary=rng.uniform(1, 5) * 1e-6, permanent=rng.uniform(0, 5) * 1e-7, fixed=0.05)
    steps, horizon, aversion = int(rng.integers(2, 8)), rng.uniform(1, 6), 10 ** rng.uniform(-7, -5.5)
    p = almgren_chriss(1e6, horizon, steps, **market, risk_aversion=aversion)

    def loss(inner):
        mean, sd = shortfall_moments(np.r_[1, inner, 0] * 1e6, horizon / steps, **market)
        return (mean + aversion * sd**2) / 1e6

    best = minimize(loss, np.linspace(1, 0, steps + 1)[1:-1], tol=1e-14).fun
    assert loss(p.holdings[1:-1] / 1e6) <= best + 1e-9 * abs(best)


def test_no_aversion_gives_equal_pieces():
    np.testing.assert_allclose(plan(0.0).trades, twap(1e6, 5))
    assert plan(0.0).kappa == 0 and np.isinf(plan(0.0).summary()["decay time"])


@pytest.mark.parametrize("k, money", [(2.0, 1.0), (1.0, 1.27), (0.01, 130.0)])
def test_splits_and_currencies(k, money):
    market = dict(volatility=0.95 * money / k, temporary=2.5e-6 * money / k**2, permanent=2.5e-7 * money / k**2, fixed=0.0625 * money / k)
    other, p = almgren_chriss(1e6 * k, 5, 5, **market, risk_aversion=1e-6 / money), plan()
    np.testing.assert_allclose(other.holdings / k, p.holdings, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose([other.expected_cost, other.cost_std], [p.expected_cost * money, p.cost_std * money])


def test_time_units():
    hours = almgren_chriss(1e6, 5 * 6.5, 5, volatility=0.95 / 6.5**0.5, temporary=2.5e-6 * 6.5, permanent=2.5e-7, fixed=0.0625, risk_aversion=1e-6)
    np.testing.assert_allclose(hours.holdings, plan().holdings, atol=1e-6)
    assert hours.kappa * 6.5 == pytest.approx(plan().kappa)


def test_buying_mirrors_selling():
    np.testing.assert_allclose(plan(shares=-1e6).holdings, -plan().holdings)
    assert plan(shares=-1e6).expected_cost == plan().expected_cost


def test_extremes_stay_finite():
    for aversion in (1e-15, 1.0, 1e6):
        p = almgren_chriss(1e6, 5, 2000, **MARKET, risk_aversion=aversion)
        assert np.isfinite(p.holdings).all() and (np.diff(p.holdings) <= 1e-9).all() and p.holdings[-1] == 0
    assert almgren_chriss(10, 1, 1, **MARKET).holdings.tolist() == [10, 0]
    assert urgency(1.0, 0.95, 2.375e-6, 0.0) == 0


def test_a_lover_of_risk():
    p = plan(-2e-7)
    assert p.expected_cost > plan(0.0).expected_cost and p.cost_std > plan(0.0).cost_std
    for aversion in (-1.1e-6, -1e-4):
        with pytest.raises(DataError, match="no schedule is best"):
            plan(aversion)


def test_caps():
    p = plan(most=3e5)
    assert p.trades.max() <= 3e5 * (1 + 1e-9) and p.trades.sum() == pytest.approx(1e6) and np.isnan(p.kappa)
    np.testing.assert_allclose(plan(most=1e6).holdings, plan().holdings, atol=1)
    np.testing.assert_allclose(plan(most=2e5).trades, 2e5, rtol=1e-6)
    uneven = plan(most=[1e5, 5e5, 0, 5e5, 5e5])
    assert uneven.trades[2] == pytest.approx(0, abs=1e-3) and uneven.trades[0] == pytest.approx(1e5, rel=1e-6)
    np.testing.assert_allclose(plan(shares=-1e6, most=3e5).trades, -p.trades, atol=1e-3)


def test_caps_are_optimal():
    p, rng = plan(most=3e5), np.random.default_rng(0)

    def loss(holdings):
        mean, sd = shortfall_moments(holdings, 1.0, **MARKET)
        return mean + 1e-6 * sd**2

    for _ in range(300):
        trades = np.clip(p.trades + rng.normal(0, 2e4, 5), 0, 3e5)
        trades[-1] += 1e6 - trades.sum()
        if 0 <= trades[-1] <= 3e5:
            assert loss(1e6 - np.r_[0, np.cumsum(trades)]) >= loss(p.holdings) - 1


def test_caps_that_cannot_be_kept():
    with pytest.raises(InfeasibleError, match=r"750,000 of 1,000,000 shares; raise them by 33.3%, trade 250,000 fewer"):
        plan(most=1.5e5)
    with pytest.raises(InfeasibleError):
        plan(most=0.0)
    with pytest.raises(ShapeError, match="2 caps for 5 steps"):
        plan(most=[1e6, 1e6])
    for bad in (-1.0, np.nan):
        with pytest.raises(DataError, match="caps must be numbers"):
            plan(most=bad)
    with pytest.raises(DataError, match="risk_aversion must not be negative"):
        plan(-1e-7, most=1e6)


@pytest.mark.parametrize("name", ["volatility", "temporary", "permanent", "fixed"])
def test_markets_are_checked_by_name(name):
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(DataError, match=name):
            plan(**{name: bad})


def test_orders_are_checked():
    for shares, horizon, steps in ((0, 5, 5), (np.nan, 5, 5), (1e6, 0, 5), (1e6, np.inf, 5), (1e6, 5, 0), (1e6, 5, 2.5), (1e6, 5, True)):
        with pytest.raises(DataError):
            almgren_chriss(shares, horizon, steps, **MARKET)
    with pytest.raises(DataError, match="temporary must exceed"):
        plan(temporary=1e-7)
    with pytest.raises(TypeError):
        almgren_chriss(1e6, 5, 5, 0.95, 2.5e-6)


def test_frontier_is_convex():
    front = execution_frontier(1e6, 5, 5, np.geomspace(1e-8, 1e-4, 30), **MARKET)
    cost, risk = front["expected cost"].to_numpy(), front["standard deviation"].to_numpy()
    assert (np.diff(cost) > 0).all() and (np.diff(risk) < 0).all() and (np.diff(np.diff(cost) / np.diff(risk)) < 0).all()


def test_simulation_agrees_with_the_moments():
    rng = np.random.default_rng(5)
    for _ in range(3):
        holdings = np.r_[1e6, np.sort(rng.uniform(0, 1e6, 4))[::-1], 0.0]
        mean, sd = shortfall_moments(holdings, 0.5, **MARKET)
        draws = simulate_shortfall(holdings, 0.5, **MARKET, n_paths=40_000, random_state=1)
        assert abs(draws.mean() - mean) < 4 * sd / 200 and abs(draws.std() / sd - 1) < 4 / 80_000**0.5
    again = simulate_shortfall(holdings, 0.5, **MARKET, n_paths=40_000, random_state=1)
    assert np.array_equal(draws, again)


def test_endless_orders_trade_at_the_rate_of_garleanu_and_pedersen():
    endless = almgren_chriss(1e6, 200, 200, **MARKET, risk_aversion=1e-6)
    rate = trading_rate(2 * 1e-6 * 0.95**2, 2 * (2.5e-6 - 1.25e-7))
    assert endless.trades[0] / 1e6 == pytest.approx(rate, rel=1e-12)
    assert trading_rate(1e-9, 5e-7, 1 - np.exp(-0.02 / 260)) == pytest.approx(0.04369, abs=1e-5)


def test_schedules():
    V = np.array([4e6, 2e6, 6e6, 8e6])
    assert vwap(1e6, V).tolist() == [2e5, 1e5, 3e5, 4e5] and vwap(-1e6, V).sum() == -1e6
    assert participate(1e6, V, 0.1).tolist() == [4e5, 2e5, 4e5, 0]
    assert participate(1e6, V, 0.01, finish=True).tolist() == [4e4, 2e4, 6e4, 8.8e5]
    both = participate(np.array([1e6, -5e5]), np.column_stack([V, V]), 0.1)
    np.testing.assert_allclose(both, np.column_stack([participate(1e6, V, 0.1), participate(-5e5, V, 0.1)]))


def test_schedules_refuse():
    with pytest.raises(InfeasibleError, match=r"800,000 of 1,000,000 shares; 5.0% would do, or 200,000 fewer"):
        participate(1e6, [4e6, 2e6, 6e6, 8e6], 0.04)
    for rate in (0.0, 1.1, np.nan):
        with pytest.raises(DataError, match="rate"):
            participate(1e6, [1e6], rate)
    for volume in ([0.0, 0.0], [-1.0, 2.0], [np.nan, 1.0]):
        with pytest.raises(DataError, match="volume"):
            vwap(1e6, volume)
    with pytest.raises(DataError, match="volume"):
        participate(1e6, [1e6, np.nan], 0.1)


def test_volume_curve_finds_a_weekday():
    index, rng = pd.bdate_range("2020-01-01", periods=600), np.random.default_rng(0)
    truth = np.array([0.8, 1.0, 1.0, 1.0, 1.2])
    data = pd.DataFrame(np.exp(0.1 * rng.standard_normal((600, 3))) * truth[index.day_of_week][:, None], index)
    found = volume_curve(data)
    assert (np.abs(found["relative"] - truth) < 4 * found["error"] + 0.02).all()


def test_report_of_a_textbook():
    post = shortfall_report(1000, [(800, 20.06)], decision=20.0, arrival=20.05, end=20.09, fees=18)
    np.testing.assert_allclose(post.to_frame()["basis points"], [20, 4, 9, 9, 42], atol=1e-9)
    sale = shortfall_report(-50_000, [(50_000, 40.25)], decision=43, arrival=41, end=38, fees=2500)
    assert sale.total / 50_000 == pytest.approx(2.80) and sale.missed == 0 and sale.filled == 1
    nothing = shortfall_report(100, [], decision=10, arrival=10, end=11)
    assert nothing.total == nothing.missed == 100 and nothing.filled == 0


def test_report_refuses():
    prices = dict(decision=10.0, arrival=10.0, end=10.0)
    for fills in ([(200, 10.0)], [(-1, 10.0)]):
        with pytest.raises(DataError, match="fills"):
            shortfall_report(100, fills, **prices)
    for shares, wrong in ((0, {}), (100, {"decision": 0.0}), (100, {"end": np.nan})):
        with pytest.raises(DataError):
            shortfall_report(shares, [(1, 10.0)], **prices | wrong)
    with pytest.raises(DataError, match="finite"):
        shortfall_report(100, [(1, np.nan)], **prices)


def test_results_are_frozen_and_shown():
    p, post = plan(), shortfall_report(10, [(5, 1.0)], decision=1.0, arrival=1.0, end=1.0)
    for result, name in ((p, "kappa"), (post, "total")):
        with pytest.raises(AttributeError):
            setattr(result, name, 1.0)
        assert "<table" in result._repr_html_()
    assert list(p.to_frame()) == ["trade", "left"] and p.summary()["largest trade"] == pytest.approx(0.458044, abs=1e-6)
    assert decay_path(0.6, 5, 5)[0] == 1
