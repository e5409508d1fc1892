"""What trading costs: terms, units, errors, and the same numbers in the engine and the optimiser."""

import numpy as np
import pandas as pd
import pytest

from portfolio_ml.backtest.walk_forward import walk_forward
from portfolio_ml.core.validation import DataError, InfeasibleError, MissingDataError, ShapeError
from portfolio_ml.optimize.constraints import read_constraints
from portfolio_ml.trade.costs import (
    Commission,
    HalfSpread,
    SquareRootImpact,
    TradeCost,
    almgren_impact,
    broker_fee,
    capital_limits,
    cost_bill,
    holding_cost,
    numbers_at,
    trade_with_costs,
    usable_spreads,
    year_shares,
)

DATES = pd.bdate_range("2020-01-01", periods=60)
NAMES = list("ABCD")


def panel(seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(0.0005, 0.01, (60, 4)), DATES, NAMES)


def tables(seed=1):
    rng = np.random.default_rng(seed)
    spread = pd.DataFrame(rng.uniform(1e-4, 1e-3, (60, 4)), DATES, NAMES)
    return spread, pd.DataFrame(rng.uniform(1e6, 1e8, (60, 4)), DATES, NAMES)


def all_costs(wealth=1e6):
    spread, volume = tables()
    return HalfSpread(spread) + SquareRootImpact(volume, 0.02, wealth) + Commission(0.005, 40.0, wealth, minimum=1.0)


def test_plain_numpy_witness():
    spread, volume = tables()
    z, day, W = np.array([0.02, 0.0, -0.05, 0.01]), DATES[7], 1e6
    x = np.abs(z) * W
    fee = np.where(x > 0, np.maximum(0.005 * x / 40, 1.0), 0.0)
    want = (spread.loc[day] / 2 * x + 0.02 * x**1.5 / volume.loc[day] ** 0.5 + fee) / W
    np.testing.assert_allclose(all_costs().by_asset(z, day), want, rtol=1e-12)
    assert all_costs()(z, day) == pytest.approx(want.sum(), rel=1e-12)
    assert all_costs()(np.zeros(4), day) == 0.0


def test_sums_are_flat_and_ordered():
    a, b, c = HalfSpread(0.001), HalfSpread(0.002), HalfSpread(0.003)
    total = (a + b) + (c + a)
    assert total.parts() == (a, b, c, a) and isinstance(total, TradeCost)
    assert total([1.0]) == pytest.approx(0.0035)
    with pytest.raises(TypeError):
        a + 1.0


@pytest.mark.parametrize("seed", range(5))
def test_terms_are_convex_and_even(seed):
    rng, cost = np.random.default_rng(seed), HalfSpread(0.001) + SquareRootImpact(1e8, 0.02, 1e7)
    a, b = rng.normal(0, 0.1, (2, 6))
    assert cost((a + b) / 2) <= (cost(a) + cost(b)) / 2 + 1e-15
    assert cost(a) == cost(-a)


def test_a_least_fee_is_not_convex():
    fixed = Commission(0.005, 50.0, 1e4, minimum=1.0)
    assert fixed([0.01]) > (fixed([0.02]) + fixed([0.0])) / 2


@pytest.mark.parametrize("k", [2.0, 0.01])
def test_units(k):
    volume, price, z = np.array([5e8, 2e7]), np.array([150.0, 20.0]), np.array([0.02, -0.03])

    def cost(W=1e6, currency=1.0, split=1.0):
        fee = Commission(0.005 * currency, price * currency / split, W * currency, 1.0 * currency, 0.01)
        return np.array([c(z) for c in (HalfSpread(2e-4), SquareRootImpact(volume * currency, 0.02, W * currency), fee)])

    np.testing.assert_allclose(cost(currency=k), cost(), rtol=1e-12)
    np.testing.assert_allclose(cost(split=k)[:2], cost()[:2], rtol=1e-12)
    np.testing.assert_allclose(cost(1e6 * k)[:2] / cost()[:2], [1.0, k**0.5], rtol=1e-12)


def test_exponent():
    z = np.array([0.1, 0.2])
    cost = SquareRootImpact(1e8, 0.02, 1e8, coefficient=0.5, exponent=0.6)
    np.testing.assert_allclose(cost.by_asset(z), 0.5 * 0.02 * z**1.6)


def test_order_of_assets_by_name():
    by_name = HalfSpread(pd.Series([1e-4, 9e-4], ["A", "B"]))
    assert by_name(pd.Series({"B": 0.5, "A": 0.1})) == pytest.approx(0.5 * 4.5e-4 + 0.1 * 0.5e-4)
    with pytest.raises(MissingDataError, match="C"):
        by_name(pd.Series({"A": 0.1, "C": 0.1}))


def test_missing_numbers_name_asset_and_date():
    spread, volume = tables()
    spread.loc[DATES[3], "C"] = np.nan
    volume.loc[DATES[3], "B"] = 0.0
    with pytest.raises(MissingDataError, match=r"spread is missing at 2020-01-06.* for C"):
        HalfSpread(spread)([0, 0, 0.1, 0], DATES[3])
    assert HalfSpread(spread)([0.1, 0, 0, 0], DATES[3]) > 0  # what is not traded needs no quote
    with pytest.raises(DataError, match=r"volume is zero at 2020-01-06.* for B"):
        SquareRootImpact(volume, 0.02, 1e6)([0, 0.1, 0, 0], DATES[3])
    with pytest.raises(MissingDataError, match="no row at 1999"):
        HalfSpread(spread)([0.1, 0, 0, 0], pd.Timestamp("1999-01-04"))
    with pytest.raises(MissingDataError, match="by date"):
        HalfSpread(spread)([0.1, 0, 0, 0])


def test_wrong_numbers_are_refused():
    for bad in (-0.1, np.inf):
        with pytest.raises(DataError, match="negative or not finite"):
            HalfSpread(bad)([0.1])
    for cost in (HalfSpread(0.1), Commission(0.005, 10.0, 1e6), SquareRootImpact(1e6, 0.02, 1e6)):
        with pytest.raises(DataError, match="trades: not finite for 1"):
            cost([0.1, np.nan])
    with pytest.raises(ShapeError, match="3 numbers for 2 trades"):
        HalfSpread([0.1, 0.1, 0.1])([0.1, 0.1])
    for wrong in ({"wealth": 0.0}, {"wealth": np.nan}, {"coefficient": -1.0}, {"exponent": 0.0}):
        with pytest.raises(DataError, match=next(iter(wrong))):
            SquareRootImpact(**{"volume": 1e6, "volatility": 0.02, "wealth": 1e6} | wrong)
    with pytest.raises(DataError, match="per_share"):
        Commission(-0.1, 10.0, 1e6)
    with pytest.raises(DataError, match="price is zero"):
        Commission(0.1, 0.0, 1e6)([0.1])
    with pytest.raises(NotImplementedError):
        TradeCost()([0.1])


def test_participation_cap():
    cost = SquareRootImpact(pd.Series([1e6, 1e8], ["A", "B"]), 0.02, 1e7, most=0.1)
    assert cost([0.005, 0.5]) > 0
    with pytest.raises(InfeasibleError, match=r"order in A is 20.0% .* at most 50.0%"):
        cost([0.02, 0.5])


def test_usable_spreads_carry_quotes():
    raw = pd.DataFrame({"A": [0.0, 1.0, 0.0, 0.0, 2.0], "B": [1.0, np.nan, 3.0, 3.0, 0.0]})
    assert usable_spreads(raw)["A"].tolist()[1:] == [1, 1, 1, 2] and np.isnan(usable_spreads(raw).iloc[0, 0])
    assert np.isnan(usable_spreads(raw, limit=1)["A"][3])


def test_published_fees_and_impact():
    shares, price = np.array([100, 1000, 1000]), np.array([25, 25, 0.25])
    np.testing.assert_allclose(broker_fee(shares * price, price, 0.005, 1.0, 0.01), [1.0, 5.0, 2.5], rtol=1e-12)
    assert broker_fee(0.0, 25.0, 0.005, 1.0) == 0.0
    found = almgren_impact(0.1, 6.561 / 1728, 157, [0.1, 0.2, 0.5])["paid"]
    assert found.round().tolist() == [32, 25, 18]


def test_engine_charges_what_the_bill_says():
    rules = {"follow": lambda w: pd.Series(np.eye(4)[int(np.argmax(w.iloc[-1]))], NAMES)}
    walk = walk_forward(rules, panel(), window=20, rebalance=5, costs=all_costs())
    bill = cost_bill(walk.trades["follow"], all_costs())
    assert list(bill) == ["HalfSpread", "SquareRootImpact", "Commission"]
    np.testing.assert_allclose(walk.costs["follow"].sum(), bill.sum().sum(), rtol=1e-12)
    np.testing.assert_allclose(walk.net_returns, (1 - walk.costs) * (1 + walk.gross_returns) - 1, rtol=1e-12)


def test_engine_passes_the_error_on():
    spread, _ = tables()
    with pytest.raises(MissingDataError, match="spread is missing"):
        walk_forward({"1/N": lambda w: np.full(4, 0.25)}, panel(), window=20, rebalance=5, costs=HalfSpread(spread * np.nan))


def test_trade_by_hand():
    free = read_constraints(["A"], min_weight=None, budget=None)
    one = trade_with_costs([0.01], [[0.0]], [0.1], SquareRootImpact(1e8, 0.02, 1e8, 2.0), limits=free)
    assert one.weights.iloc[0] == pytest.approx(0.1 + (0.01 / 0.06) ** 2, abs=1e-4)
    risk = trade_with_costs([0.01], [[0.04]], [0.0], HalfSpread(0.004), risk_aversion=2.0, limits=free)
    assert risk.weights.iloc[0] == pytest.approx((0.01 - 0.002) / 0.08, abs=1e-5)
    stay = trade_with_costs([0.001], [[0.04]], [0.0], HalfSpread(0.004), risk_aversion=2.0, limits=free)
    assert abs(stay.weights.iloc[0]) < 1e-6


def test_trade_is_optimal_among_neighbours():
    rng, W = np.random.default_rng(3), 1e8
    A = rng.normal(0, 0.01, (60, 4))
    S, mu, h = np.cov(A.T), rng.normal(0, 1e-3, 4), np.full(4, 0.25)
    cost = HalfSpread(0.002) + SquareRootImpact(np.array([1e7, 1e8, 1e9, 1e8]), 0.01, W)

    def value(w):
        return mu @ w - 2.5 * w @ S @ w - cost(w - h) / 5

    w = np.asarray(trade_with_costs(mu, S, h, cost, periods=5).weights)
    assert w.sum() == pytest.approx(1, abs=1e-7) and w.min() > -1e-8
    for _ in range(200):
        other = np.maximum(w + rng.normal(0, 0.01, 4), 0)
        assert value(other / other.sum()) <= value(w) + 1e-8


def test_trade_shapes():
    with pytest.raises(ShapeError):
        trade_with_costs([0.1, 0.1], np.eye(3), [0, 0, 0], HalfSpread(0.001))


def test_holding_cost():
    when = pd.DatetimeIndex(["2024-01-04", "2024-01-08"])
    w = pd.DataFrame({"A": [1.3, 1.8], "B": [-0.3, -0.3]}, when)
    fee = holding_cost(w, borrow=pd.Series({"B": 0.02, "A": 0.01}), financing=0.01)
    np.testing.assert_allclose(fee, [0.3 * 0.02 / 360, (0.3 * 0.02 + 0.5 * 0.01) * 4 / 360])
    np.testing.assert_allclose(year_shares(when, 365), [1 / 365, 4 / 365])
    assert (holding_cost(w.clip(lower=0) * 0.5, borrow=0.02, financing=0.01) == 0).all()
    with pytest.raises(MissingDataError, match="borrow is missing for A"):
        holding_cost(w, borrow=pd.Series({"B": 0.02}))


def test_capital_limits():
    found = capital_limits(0.03, 0.01, 1e7)
    np.testing.assert_allclose(found, [9e7, 4e7, 4e5])
    linear = capital_limits(0.02, 0.01, 1e6, exponent=1.0)
    np.testing.assert_allclose(linear, [2e6, 1e6, 1e4])
    assert (capital_limits(-0.01, 0.01, 1e7) == 0).all()
    with pytest.raises(DataError, match="impact"):
        capital_limits(0.01, 0.0, 1e7)


def test_numbers_at_shapes():
    assert numbers_at(0.5, [1, 0, 1]).tolist() == [0.5, 0.0, 0.5]
    assert numbers_at([1.0, 2.0], [1, 1]).tolist() == [1.0, 2.0]
