"""Harvesting: conservation, known truths, replay through the ledger, errors, edges, determinism."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import parallel_config

from portfolio_ml.core.validation import DataError, InfeasibleError, InsufficientDataError, MissingDataError, PortfolioError
from portfolio_ml.optimize.constraints import read_constraints
from portfolio_ml.optimize.quadratic import minimise_quadratic
from portfolio_ml.tax.accounts import Account, buy_assets, sell_assets
from portfolio_ml.tax.after_tax import deferral_value
from portfolio_ml.tax.harvest import (
    choose_histories,
    draw_stocks,
    harvest_simulation,
    money_weighted_return,
    read_cases,
    run_cases,
)
from portfolio_ml.tax.harvester import harvest_path
from portfolio_ml.tax.lots import TaxLots
from portfolio_ml.tax.matching import METHODS, date_of
from portfolio_ml.tax.portfolio import HarvestPlan, Investor
from portfolio_ml.tax.replacement import expected_tracking, fill_up, level_down, replacement_weights, tax_aware_trades, track_with_few
from portfolio_ml.tax.rules import flat_rules, german_rules, us_rules

RICH = Investor(rules=flat_rules(0.35, 0.15, loss_limit=np.inf))
PLANS = {
    "avoid": HarvestPlan(),
    "naive": HarvestPlan(wash_sales="naive"),
    "no rule": HarvestPlan(wash_sales="ignore rule"),
    "fixed": HarvestPlan(index="fixed", band=0.2),
    "in": HarvestPlan(flow=0.2),
    "out": HarvestPlan(flow=-0.08),
    "none": HarvestPlan(threshold=None),
    "program": HarvestPlan(lookback=63, most_tracking=0.05, check_every=5),
    "lots": HarvestPlan(lookback=63, risk_aversion=10.0, index="fixed", check_every=5),
    "lots in": HarvestPlan(lookback=63, risk_aversion=3.0, index="fixed", threshold=None, flow=0.1),
}


def stocks(seed=0, n=10, years=4, **k):
    "Draw returns, and the prices that they make."
    returns = draw_stocks(np.random.default_rng(seed), n_assets=n, years=years, own=0.35, **k)
    growth = 1 + returns.to_numpy()
    growth[0] = 1
    return returns, 50 * growth.cumprod(axis=0)


def replayed(log, rules, rates):
    "Enter every trade of a path into a ledger."
    book = TaxLots(wash_sales=rules, rates=rates)
    for day, asset, shares, price, method in log.trades:
        when, name = pd.Timestamp(date_of(day)), f"S{asset}"
        book.sell(when, name, -shares, price, method=method) if shares < 0 else book.buy(when, name, shares, price)
    return book


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("rules", [flat_rules(0.408, 0.238, loss_limit=3000.0), us_rules(2025), german_rules()], ids=["flat", "us", "german"])
def test_every_cent_is_accounted_for(name, rules):
    returns, prices = stocks(3)
    spread = np.random.default_rng(0).uniform(0, 0.002, prices.shape)
    log = harvest_path(prices, returns.index, np.full(10, 0.1), PLANS[name], Investor(rules=rules, outside_short=20_000.0), costs=spread)
    m = log.marks
    np.testing.assert_allclose(m["recognised"] + m["latent"], m["liquid"] - 1e6 - m["flows"] + m["paid"], rtol=0, atol=1e-4)
    assert log.costs > 0 and (m["kept"] >= m["sold"] - 1e-6).all() == (m["latent"] >= 0).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(sorted(PLANS)))
def test_a_path_agrees_with_the_ledger_to_the_cent(seed, name):
    returns, prices = stocks(seed, n=5, years=2)
    log = harvest_path(prices, returns.index, np.full(5, 0.2), PLANS[name], RICH, record=True)
    rules = PLANS[name].wash_sales != "ignore rule"
    book = replayed(log, rules, RICH.rates)
    sold = book.realized()
    if len(sold):
        table = sold.groupby([pd.DatetimeIndex(sold["sold"]).year, "term"])["gain"].sum().unstack(fill_value=0.0)
        for term in table:
            np.testing.assert_allclose(table[term], log.gains[term].reindex(table.index), atol=0.005)
    assert abs(book.open_lots()["basis"].sum() - log.marks["basis"].iloc[-1]) < 0.005


def test_buying_back_within_the_window_is_worth_nothing():
    returns, prices = stocks(5)
    for investor in (RICH, Investor(rules=us_rules(2025))):
        ends = [
            harvest_path(prices, returns.index, np.full(10, 0.1), HarvestPlan(cost=0.0, **k), investor).marks[["sold", "kept"]]
            for k in ({"threshold": None}, {"wash_sales": "naive"})
        ]
        np.testing.assert_allclose(*ends, rtol=1e-10)


def test_who_stays_out_of_the_window_has_nothing_disallowed():
    for seed, plan in ((1, HarvestPlan()), (2, HarvestPlan(check_every=5, names=1)), (4, HarvestPlan(threshold=0.0))):
        returns, prices = stocks(seed)
        log = harvest_path(prices, returns.index, np.full(10, 0.1), plan, RICH, record=True)
        sold = replayed(log, True, RICH.rates).realized()
        assert sold["disallowed"].abs().sum() < 1e-6 and (sold["gain"] < -1).any()


@pytest.mark.parametrize("short, long", [(0.238, 0.238), (0.408, 0.238), (0.37, 0.2)])
@pytest.mark.parametrize("growth", [0.0, 0.4, 1.5])
def test_one_loss_is_worth_the_closed_form(short, long, growth):
    dates = pd.bdate_range("2010-01-04", "2014-12-31")
    price = np.where((dates >= "2010-11-01") & (dates < "2010-12-01"), 80.0, 100.0)
    price = np.where(dates >= "2011-05-02", 100.0 * (1 + growth), price)[:, None] * np.ones(2)
    who = Investor(rules=flat_rules(short, long), outside_short=1e9)
    ends = [
        harvest_path(price, dates, np.array([1.0, 0.0]), HarvestPlan(threshold=t, cost=0.0), who, groups=["A", "A"]).marks["sold"].iloc[-1]
        for t in (0.1, None)
    ]
    value = deferral_value(200_000, growth, 1, short, long)
    assert abs(ends[0] - ends[1] - value) < 0.005
    if short == long and growth == 0:
        assert abs(ends[0] - ends[1]) < 0.005


def test_one_rate_and_no_growth_is_worth_nothing_on_average():
    both = Investor(rules=flat_rules(0.238, 0.238, loss_limit=np.inf))
    plan = HarvestPlan(check_every=21, cost=0.0)
    found = harvest_simulation(partial(draw_stocks, n_assets=15, years=6, mean=0.0), (plan, both), n_portfolios=20, random_state=11).at()["sold"]
    assert abs(found.mean()) < 4 * found.std() / 20**0.5


def test_filling_up_is_a_quadratic_program():
    rng = np.random.default_rng(0)
    for n in (2, 7, 40):
        b, w = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(n + 1))[:n]
        closed = rng.random(n) < 0.3
        closed[0] = False
        quick = w + fill_up(w, b, 1 - w.sum(), ~closed)
        limits = read_constraints(range(n), min_weight=w, max_weight=np.where(closed, w, 1.0))
        slow = minimise_quadratic(np.diag(1 / b), -np.ones(n), limits).weights
        np.testing.assert_allclose(quick, slow, atol=1e-6)
        np.testing.assert_allclose(replacement_weights(w, b, np.diag(1 / b), closed), slow, atol=1e-6)
        raised = level_down(w, b, 0.4 * w.sum(), np.ones(n, bool))
        level = (w - raised) / b
        assert abs(raised.sum() - 0.4 * w.sum()) < 1e-12 and (raised >= -1e-15).all()
        assert level[raised > 1e-12].max() <= level.max() + 1e-12 and np.ptp(level[raised > 1e-12]) < 1e-9
    assert fill_up(w, b, 0.0, ~closed).sum() == 0 and fill_up(w, b, 1.0, np.zeros(n, bool)).sum() == 0


def test_tax_aware_trades_do_not_buy_what_they_sell_at_a_loss():
    rng = np.random.default_rng(1)
    for _ in range(10):
        n = 8
        a = rng.normal(size=(50, n)) * 0.02
        lots = pd.DataFrame({"asset": rng.integers(0, n, 30), "weight": rng.dirichlet(np.ones(30)), "tax": rng.normal(0, 0.1, 30)})
        target = rng.dirichlet(np.ones(n))
        bought, sold = tax_aware_trades(target, np.cov(a.T) * 252, lots, risk_aversion=3.0, cost=0.001)
        lossy = np.bincount(lots["asset"], sold * (lots["tax"] < 0), n) > 1e-6
        assert not (bought[lossy] > 1e-6).any() and abs(bought.sum() - sold.sum()) < 1e-6
        assert (sold <= lots["weight"] + 1e-9).all()
    with pytest.raises(DataError, match="tax"):
        tax_aware_trades(target, np.eye(n), lots.drop(columns="tax"))
    few = lots.assign(weight=0.9 * lots["weight"])  # a tenth is cash
    bought, sold = tax_aware_trades(target, np.cov(a.T) * 252, few, recent=np.ones(n, bool))
    assert abs(bought.sum() - sold.sum() - 0.1) < 1e-6 and not sold[few["tax"] < 0].any()
    with pytest.raises(InfeasibleError):
        replacement_weights(np.full(4, 0.2), np.full(4, 0.25), np.eye(4), np.ones(4, bool))
    with pytest.raises(PortfolioError):
        replacement_weights(np.full(4, 0.2), np.full(3, 0.25), np.eye(4), np.ones(4, bool))
    assert expected_tracking(np.full(4, 0.25), np.full(4, 0.25), np.eye(4)) == 0


def test_a_bound_on_tracking_error_is_felt():
    rng, apart = np.random.default_rng(5), {}
    dates, beta = pd.bdate_range("2010-01-04", periods=1200), np.linspace(0.2, 1.8, 12)
    growth = 1 + rng.normal(0, 0.012, (1200, 1)) * beta + rng.normal(0, 0.015, (1200, 12))
    prices = 50 * growth.cumprod(axis=0)
    for name, how in (("fill", {}), ("program", {"lookback": 126}), ("bound", {"lookback": 126, "most_tracking": 1e-6})):
        twin, log = (harvest_path(prices, dates, np.full(12, 1 / 12), HarvestPlan(threshold=t, check_every=5, names=12, **how), RICH) for t in (None, 0.05))
        apart[name] = np.std(np.diff(np.log(log.growth)) - np.diff(np.log(twin.growth))), log.harvested
    assert apart["bound"][0] < 0.9 * min(apart["fill"][0], apart["program"][0])
    assert 0 < apart["bound"][1] < apart["program"][1]


def test_rebalancing_lot_by_lot_pays_less_tax_than_bands():
    made = {"bands": 0.0, "lots": 0.0}
    for seed in range(3):
        returns, prices = stocks(seed, n=8, years=4)
        for name, how in (("bands", {"band": 0.1}), ("lots", {"lookback": 126, "risk_aversion": 20.0})):
            plan = HarvestPlan(threshold=None, index="fixed", review_every=63, **how)
            made[name] += harvest_path(prices, returns.index, np.full(8, 1 / 8), plan, RICH).gains.to_numpy().sum()
    assert made["lots"] < 0.5 * made["bands"]


@pytest.mark.parametrize("how", [{"risk_aversion": 5.0, "index": "fixed"}, {"most_tracking": 0.02}, {"flow": -0.1, "risk_aversion": 5.0}], ids=str)
@pytest.mark.parametrize("n", [2, 3])
def test_where_everything_is_blocked_nothing_breaks(n, how):
    "Few assets, falling prices, all of them sold at a loss within the window."
    for seed in range(6):
        returns, prices = stocks(seed, n=n, years=2, mean=-0.1)
        plan = HarvestPlan(lookback=60, threshold=0.05 * (seed % 2), most_out=1.0, **how)
        m = harvest_path(prices, returns.index, np.full(n, 1 / n), plan, RICH).marks
        np.testing.assert_allclose(m["recognised"] + m["latent"], m["liquid"] - 1e6 - m["flows"] + m["paid"], rtol=0, atol=0.005)


def test_few_assets_take_the_money():
    rng = np.random.default_rng(3)
    S = np.cov(rng.normal(size=(60, 9)).T)
    b, w = np.full(9, 1 / 9), np.r_[np.zeros(3), np.full(6, 1 / 9)]
    closed = np.arange(9) < 3
    every = replacement_weights(w, b, S, closed)
    for k in range(1, 7):
        few = track_with_few(w, b, S, closed, k)
        assert abs(few.sum() - 1) < 1e-8 and (few > w + 1e-7).sum() <= k and not few[closed].any()
        assert expected_tracking(few, b, S) >= expected_tracking(every, b, S) - 1e-9


def test_costs_by_asset_and_day():
    returns, prices = stocks(9, n=4, years=2)
    even, plan = np.full(4, 0.25), HarvestPlan(cost=0.001)
    a, b = (harvest_path(prices, returns.index, even, plan, RICH, costs=c) for c in (None, np.full(4, 0.001)))
    pd.testing.assert_frame_equal(a.marks, b.marks)
    for bad in (-0.1, np.full(3, 0.1), np.full(prices.shape, np.nan)):
        with pytest.raises(DataError, match="costs"):
            harvest_path(prices, returns.index, even, plan, RICH, costs=bad)
    table = pd.DataFrame(0.001, returns.index, returns.columns)
    given_, plain = (harvest_simulation(returns, plan, n_portfolios=2, years=1, costs=c) for c in (table, None))
    pd.testing.assert_frame_equal(given_.table, plain.table)
    with pytest.raises(MissingDataError, match=str(returns.columns[1])):
        harvest_simulation(returns, plan, n_portfolios=2, years=1, costs=table.drop(columns=returns.columns[1]))
    with pytest.raises(DataError, match="drawn"):
        harvest_simulation(draw_stocks, plan, n_portfolios=1, costs=table)
    with pytest.raises(DataError, match="groups"):
        harvest_path(prices, returns.index, even, HarvestPlan(lookback=50), RICH, groups=["a", "a", "b", "c"])


def test_accounts_agree_with_the_ledger():
    rng = np.random.default_rng(4)
    for method in METHODS:
        account, book, day, price, total = Account(3), TaxLots(method=method), 14_000, np.full(3, 20.0), 0.0
        for _ in range(60):
            day, price = day + int(rng.integers(1, 15)), price * np.exp(rng.normal(-0.01, 0.15, 3))
            q = np.round(rng.uniform(0, 1, 3) * account.shares() * (rng.random(3) < 0.4), 3)
            if (q > 0).any():
                a = np.flatnonzero(q > 0)
                total += sum(g.sum() for g in sell_assets(account, day, a, q[a], price[a], method))
                for i in a:
                    book.sell(date_of(day), f"S{i}", q[i], price[i])
            for cheaper in (1.0, 0.98):  # twice a day
                q = np.round(rng.uniform(1, 9, 3), 2)
                total += sum(d.short + d.long for d in buy_assets(account, day, np.arange(3), q, cheaper * price))
                for i in range(3):
                    book.buy(date_of(day), f"S{i}", q[i], cheaper * price[i])
        assert abs(book.realized()["gain"].sum() - total) < 1e-6
        np.testing.assert_allclose(book.open_lots()["basis"].sum(), account.basis().sum())
    with pytest.raises(DataError, match="held"):
        sell_assets(account, day, np.array([1]), np.array([1e9]), np.array([5.0]))


def test_money_weighted_return():
    assert money_weighted_return(100.0, 121.0, 2.0) == pytest.approx(0.1)
    assert money_weighted_return(100.0, 231.0, 2.0, [(1.0, 100.0)]) == pytest.approx(0.1)
    assert money_weighted_return(100.0, 10.0, 1.0, [(0.5, -60.0)]) < 0


def test_simulation_is_the_same_in_sequence_and_in_parallel():
    world = partial(draw_stocks, n_assets=6, years=2)
    with parallel_config(backend="threading"):  # processes cost ten seconds to start; the benchmark uses them
        one, two = (harvest_simulation(world, HarvestPlan(check_every=21), n_portfolios=2, n_jobs=k) for k in (1, 2))
    pd.testing.assert_frame_equal(one.table, two.table)
    assert "HarvestSimulation" in repr(one) and "<table" in one._repr_html_() and len(one.summary()) == 1
    assert one.to_frame() is not one.table and one.at(1.0)["years"].sub(1).abs().max() < 0.6
    assert one.plot() is not None


def test_scale_and_order_do_not_matter():
    returns, _ = stocks(6, n=6, years=3)
    small = Investor(rules=flat_rules(0.4, 0.2, loss_limit=3000.0))
    large = replace(small, rules=flat_rules(0.4, 0.2, loss_limit=30_000.0), start=1e7)
    plan = HarvestPlan(check_every=5)
    table = run_cases(returns, {"small": (plan, small), "large": (plan, large)}).set_index("case")
    np.testing.assert_allclose(table.loc["small", "sold"], table.loc["large", "sold"], atol=1e-9)
    turned = run_cases(returns.iloc[:, ::-1], {"small": (plan, small)})
    np.testing.assert_allclose(table.loc["small", "kept"], turned["kept"], atol=1e-9)


@pytest.mark.parametrize("wrong", [
    {"threshold": 1.0}, {"threshold": -0.1}, {"wash_sales": "maybe"}, {"check_every": 0}, {"names": 0}, {"cost": 1.0},
    {"lookback": 1}, {"most_tracking": 0.02}, {"risk_aversion": 0.0, "lookback": 20}, {"index": "moving"}, {"flow": np.nan}, {"window": -1}, {"most_out": 2.0}, {"band": -1.0},
])  # fmt: skip
def test_plans_are_checked(wrong):
    with pytest.raises(DataError, match=next(iter(wrong))):
        HarvestPlan(**wrong)


def test_histories_and_inputs_are_checked():
    returns, prices = stocks(1, n=4, years=1)
    even = np.full(4, 0.25)
    for bad in (np.where(prices == prices[7, 2], np.nan, prices), np.where(prices == prices[7, 2], -1.0, prices)):
        with pytest.raises(DataError, match="2"):
            harvest_path(bad, returns.index, even, HarvestPlan(), RICH)
    with pytest.raises(DataError, match="weights"):
        harvest_path(prices, returns.index, even * 2, HarvestPlan(), RICH)
    with pytest.raises(DataError, match="groups"):
        harvest_path(prices, returns.index, even, HarvestPlan(), RICH, groups=[1, 2])
    with pytest.raises(DataError, match="index"):
        harvest_path(prices, returns.index[::-1], even, HarvestPlan(), RICH)
    with pytest.raises(DataError, match="pay"):
        harvest_path(prices, returns.index, even, HarvestPlan(flow=-30.0), RICH)
    with pytest.raises(InsufficientDataError):
        choose_histories(returns, 2, None, 5, np.random.default_rng(0))
    with pytest.raises(DataError, match="start"):
        Investor(rules=us_rules(2025), start=0.0)
    with pytest.raises(DataError, match="cases"):
        read_cases({"a": 3})
    with pytest.raises(DataError):
        harvest_simulation(returns, n_assets=2, weights=even)
    with pytest.raises(PortfolioError):
        harvest_simulation(returns.replace(returns.iloc[3, 3], np.nan), n_portfolios=1, n_assets=4, years=0.9)
