"Rebalancing after tax: lots in tables against the ledger, costs that know their lots, conservation, refusals."

import numpy as np
import pandas as pd
import pytest

from portfolio_ml.allocation.baselines import EqualWeight, FixedMix
from portfolio_ml.backtest.walk_forward import walk_forward
from portfolio_ml.core.validation import DataError
from portfolio_ml.tax.after_tax import tax_backtest
from portfolio_ml.tax.lots import TaxLots
from portfolio_ml.tax.matching import METHODS, date_of
from portfolio_ml.tax.rebalancing import LotGrid, TaxedTrades
from portfolio_ml.tax.rules import flat_rules
from portfolio_ml.trade.rebalance import BandRule, WorthRule

RATES = (0.4, 0.2)
FREE = flat_rules(*RATES, wash_window=None)
RNG = np.random.default_rng(11)
PANEL = pd.DataFrame(RNG.normal(6e-4, 0.015, (700, 4)), pd.bdate_range("2015-01-01", periods=700), list("ABCD"))


@pytest.mark.parametrize("method", METHODS)
def test_the_grid_keeps_the_ledgers_books(method):
    "Random trades of three assets, gains and losses, fees; each matched lot, and what is left."
    rng, grid, book, held = np.random.default_rng(3), LotGrid("ABC", method, RATES), TaxLots(method=method, wash_sales=False, rates=RATES), np.zeros(3)
    for day in 18_000 + np.cumsum(rng.integers(10, 120, 150)):
        change, prices, fees = rng.integers(-6, 9, 3) * 1.0, rng.uniform(5, 15, 3).round(2), rng.uniform(0, 1, 3).round(2)
        change = np.where(rng.random(3) < 0.1, -held, np.maximum(change, -held))
        fees = np.where(change == 0, 0.0, fees)
        grid.trade(date_of(day), change, prices, fees)
        for k in np.argsort(change, kind="stable"):  # sales first
            if change[k]:
                (book.buy if change[k] > 0 else book.sell)(date_of(day), "ABC"[k], abs(change[k]), prices[k], fees=fees[k])
        held += change
    columns = ["symbol", "quantity", "acquired", "sold", "proceeds", "basis", "gain", "disallowed", "term"]
    ours, theirs = (b.realized()[columns].sort_values(["symbol", "sold", "acquired", "basis"], ignore_index=True) for b in (grid, book))
    assert len(ours) > 200 and ours["term"].nunique() == 2
    pd.testing.assert_frame_equal(ours, theirs, check_dtype=False, rtol=1e-9, atol=1e-9)
    ours, theirs = (b.open_lots()[columns[:3] + ["basis"]].sort_values(["symbol", "acquired", "basis"], ignore_index=True) for b in (grid, book))
    pd.testing.assert_frame_equal(ours, theirs, check_dtype=False, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rule", ["month", BandRule(0.1, relative=True, to="edge", every="week")], ids=str)
def test_a_backtest_through_the_grid_is_one_through_the_ledger(rule):
    walk = walk_forward({"1/N": EqualWeight()}, PANEL, window=60, rebalance=rule, costs=0.002)
    slow, fast = (tax_backtest(walk, "1/N", PANEL, FREE, method="hifo", book=b) for b in (None, LotGrid(PANEL.columns, "hifo", RATES)))
    np.testing.assert_allclose(fast.wealth, slow.wealth, rtol=1e-11)
    pd.testing.assert_frame_equal(fast.years, slow.years, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose([fast.held, fast.sold], [slow.held, slow.sold], rtol=1e-11)


def test_what_a_trade_would_cost_is_what_it_costs():
    "The tax foretold is that of the lots which the ledger then sells; losses pay."
    prices = pd.DataFrame({"A": [1.0, 2.0, 3.0, 2.5], "B": [1.0, 1.0, 0.5, 0.5]}, pd.to_datetime(["2020-01-02", "2020-06-01", "2021-03-01", "2021-03-02"]))
    panel = prices.pct_change().fillna(0.0)
    taxed = TaxedTrades(panel, RATES, 0.001)
    taxed.enter(np.array([0.4, 0.4]), panel.index[0])
    taxed.enter(np.array([0.1, 0.0]), panel.index[1])
    sale, when = np.array([-0.5, -0.1]), panel.index[2]
    told, wealth = taxed(sale, when), taxed.lots.shares() @ prices.loc[when] + taxed.cash
    assert taxed(sale, when) == told and taxed(-sale, when) == pytest.approx(0.001 * 0.6)
    taxed.lots.trade(when, sale * wealth / prices.loc[when].to_numpy(), prices.loc[when].to_numpy())
    sold = taxed.lots.realized()
    due = sold["gain"].where(sold["term"] == "long", 2 * sold["gain"]).sum() * 0.2 / wealth
    assert sold["term"].nunique() == 2 and (sold["gain"] < 0).any()
    np.testing.assert_allclose(told, due + 0.001 * 0.6, rtol=1e-12)


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_the_listener_follows_the_engine(share):
    "Shares by weights, wealth by wealth; with cash that earns nothing."
    mix = FixedMix(dict(zip("ABCD", share * np.array([0.4, 0.3, 0.2, 0.1]))))
    heard = TaxedTrades(PANEL, RATES, 0.002)
    walk = walk_forward({"mix": mix}, PANEL, window=60, costs=heard.enter)
    plain = walk_forward({"mix": mix}, PANEL, window=60, costs=0.002)
    np.testing.assert_allclose(walk.net_returns, plain.net_returns, atol=1e-14)
    value = heard.lots.shares() * heard.prices.iloc[-1].to_numpy()
    np.testing.assert_allclose(value.sum() + heard.cash, (1 + walk.net_returns["mix"]).prod(), rtol=1e-11)


def test_the_more_the_tax_counts_the_less_is_traded():
    turnover = []
    for counts in (0.0, 0.3, 1.0):
        heard = TaxedTrades(PANEL, RATES, 0.0, counts=counts)
        walk = walk_forward({"1/N": EqualWeight()}, PANEL, window=60, rebalance=WorthRule(heard), costs=heard.enter)
        turnover.append(walk.turnover["1/N"].sum())
    free = walk_forward({"1/N": EqualWeight()}, PANEL, window=60, rebalance="month")
    np.testing.assert_allclose(turnover[0], free.turnover["1/N"].sum())
    assert turnover[0] > turnover[1] > turnover[2] >= 1.0


@pytest.mark.parametrize("attempt, words", [
    (lambda: LotGrid("AB", "best"), "best"),
    (lambda: LotGrid("AB").trade("2024-01-02", [0.0, -2.0], [1.0, 1.0]), "sell of B on 2024-01-02: 2 shares, but 0 are held"),
    (lambda: TaxedTrades(PANEL, RATES)(np.zeros(4), pd.Timestamp("1999-01-01")), "no row for 1999-01-01"),
    (lambda: walk_forward({"a": EqualWeight(), "b": EqualWeight()}, PANEL, window=60, costs=TaxedTrades(PANEL, RATES).enter), "new one for each walk"),
])
def test_refusals_speak(attempt, words):
    with pytest.raises(DataError, match=words):
        attempt()


def test_a_refused_sale_changes_nothing():
    grid = LotGrid("AB")
    grid.trade("2024-01-02", [1.0, 1.0], [1.0, 1.0])
    with pytest.raises(DataError):
        grid.trade("2024-01-03", [-0.5, -2.0], [1.0, 1.0])
    assert grid.shares().tolist() == [1, 1] and not len(grid.realized()) and not len(grid.income())
