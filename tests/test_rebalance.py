"""Rules of rebalancing and the no-trade region: errors, edges, witnesses, engine."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from portfolio_ml.allocation.baselines import EqualWeight, FixedMix
from portfolio_ml.backtest.simulation import DriftBand
from portfolio_ml.backtest.walk_forward import check_no_lookahead, walk_forward
from portfolio_ml.core.validation import DataError, InfeasibleError, LookAheadError, MissingDataError, PortfolioError, SolverError
from portfolio_ml.trade.no_trade import (
    best_trade,
    calendar_growth,
    exact_band,
    iterate_value,
    merton_band,
    relative_covariance,
    rule_growth,
    solve_no_trade,
    stays,
    trade_thresholds,
    weight_grid,
)
from portfolio_ml.trade.rebalance import (
    BandRule,
    NoTradeRule,
    OnlyWhen,
    SpeedRule,
    WorthRule,
    below_median,
    calm_market,
    clip_deviations,
    gains_tax,
    invest_flow,
    whole_shares,
    whole_shares_exactly,
)

RNG = np.random.default_rng(7)
DAYS = pd.bdate_range("2010-01-01", periods=400)
MARKET = pd.DataFrame(RNG.normal(4e-4, 0.015, (400, 5)), DAYS, list("ABCDE"))
QUICK = {"window": 60, "costs": 0.001}
RULES = [BandRule(0.02), BandRule(0.1, relative=True, to="edge"), BandRule(0.01, to=0.5), SpeedRule(0.3), NoTradeRule(0.001), WorthRule(0.001)]


def test_first_order_and_exact_band_agree_as_costs_vanish():
    for gamma in (0.5, 1.0, 2.0, 8.0):
        low, high, lost = exact_band(0.3, 0.2, 1e-6, gamma)
        np.testing.assert_allclose((high - low) / 2, merton_band(0.3, 1e-6, gamma), rtol=3e-4)
        np.testing.assert_allclose(lost, gamma * 0.02 * merton_band(0.3, 1e-6, gamma) ** 2, rtol=1e-3)


def test_merton_band_is_homogeneous_and_symmetric():
    np.testing.assert_allclose(merton_band(0.4, 8e-4, 2.0), 2 * merton_band(0.4, 1e-4, 2.0))
    np.testing.assert_allclose(merton_band(0.4, 1e-3, 2.0), merton_band(0.6, 1e-3, 2.0))
    assert merton_band(np.array([0.0, 1.0]), 1e-3, 2.0).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("gamma", [1.0, 4.0])
def test_dynamic_programming_meets_the_exact_equation(gamma):
    low, high, lost = exact_band(0.5, 0.2, 0.002, gamma)
    early = 0.5826 * 0.25 * 0.2 / 252**0.5
    found = solve_no_trade(weight_grid([0.5], [[0.04 / 252]], 0.002, gamma, reach=0.16, points=121), tolerance=1e-10)
    np.testing.assert_allclose(found.edges(), [low + early, high - early], atol=6e-4)
    np.testing.assert_allclose(found.loss * 252, lost, rtol=0.01)
    assert found.inside.sum() == pytest.approx((high - low - 2 * early) / (0.32 / 120), abs=4)  # flat at its edges


def test_no_rule_beats_dynamic_programming():
    world = weight_grid([0.4, 0.3], np.array([[4e-4, 1e-4], [1e-4, 3e-4]]), 0.002, 3.0, reach=0.12, points=33, nodes=3)
    best = solve_no_trade(world, tolerance=1e-9)
    tries = [calendar_growth(world, k) for k in (1, 4, 12)]
    tries += [rule_growth(world, lambda w, b=b: np.clip(w, world.target - b, world.target + b), tolerance=1e-9) for b in (0.01, 0.05)]
    assert max(tries) < best.growth + 0.02 * best.loss
    np.testing.assert_allclose(tries[0], rule_growth(world, lambda w: np.broadcast_to(world.target, w.shape), tolerance=1e-10), atol=1e-9)
    with pytest.raises(SolverError, match="after 2 periods"):
        iterate_value(world, lambda q: q, most=2)


def test_simulation_agrees_with_the_value_of_a_rule():
    world = weight_grid([0.6], [[0.0016]], 0.01, 1.0, reach=0.25, points=121)
    rng, weight, wealth = np.random.default_rng(0), np.full(4000, 0.6), np.zeros(4000)
    growth = np.exp(0.6 * 0.0016 - 0.0008 + 0.04 * rng.standard_normal((300, 4000)))
    for g in growth:
        aim = np.clip(weight, 0.57, 0.63)
        total = 1 + aim * (g - 1)
        wealth += np.log(total) - 0.01 * np.abs(aim - weight)
        weight = aim * g / total
    value = rule_growth(world, lambda w: np.clip(w, 0.57, 0.63))
    assert abs(wealth.mean() / 300 - value) < 3.5 * wealth.std() / 300 / 4000**0.5


def test_thresholds_for_one_asset_a_pair_and_a_scale():
    np.testing.assert_allclose(trade_thresholds([0.3], [[0.04]], 0.002, 2.0), 2 * 0.04 * merton_band(0.3, 0.002, 2.0))
    S = np.array([[0.04, 0.01], [0.01, 0.02]])
    np.testing.assert_allclose(trade_thresholds([0.5, 0.5], S, 0.001, 2.0).sum() / (2 * 0.04), merton_band(0.5, 0.002, 2.0))
    np.testing.assert_allclose(trade_thresholds([0.3, 0.2], 5 * S, 0.001, 2.0), 5 * trade_thresholds([0.3, 0.2], S, 0.001, 2.0))
    assert not trade_thresholds([0.3, 0.2], S, 0.001, 2.0, every=1e9).any()
    away = np.array([0.1, -0.1])
    np.testing.assert_allclose(away @ relative_covariance(S, np.array([0.7, 0.3])) @ away, away @ S @ away)


@pytest.mark.parametrize("invested", [True, False])
def test_best_trade_ends_on_the_edge(invested):
    rng = np.random.default_rng(3)
    A = rng.normal(size=(40, 6))
    S, goal = A.T @ A / 40 * 1e-4, rng.dirichlet(np.ones(6)) * (1 if invested else 0.8)
    k = trade_thresholds(goal, S, 0.001, 3.0)
    assert stays(goal, goal, S, k, 3.0)
    for _ in range(10):
        held = rng.dirichlet(np.ones(6)) * (1 if invested else 0.9)
        new = best_trade(held, goal, S, k, 3.0)
        assert stays(new, goal, S, k * (1 + 1e-4), 3.0) and abs(new.sum() - 1) < 1e-9 * (1 if invested else 1e12)
        np.testing.assert_allclose(best_trade(new, goal, S, k, 3.0), new, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 9), st.integers(0, 10_000), st.sampled_from([0.05, 0.3, 0.8]))
def test_clipped_deviations_need_the_smallest_largest_share(n, seed, share):
    rng = np.random.default_rng(seed)
    goal = rng.dirichlet(np.ones(n)) + 1e-3
    goal /= goal.sum()
    held = goal * np.exp(rng.normal(0, 0.5, n))
    held /= held.sum()
    new = clip_deviations(held, goal, share * goal)
    assert abs(new.sum() - 1) < 1e-12 and (np.abs(new - goal) <= share * goal + 1e-12).all()
    # no cheaper trade goes back into the bands: a linear program
    least = linprog(
        np.ones(2 * n), A_eq=np.r_[np.ones(n), -np.ones(n)][None], b_eq=[0.0],
        A_ub=np.vstack([np.hstack([np.eye(n), -np.eye(n)]), np.hstack([-np.eye(n), np.eye(n)])]),
        b_ub=np.r_[goal * (1 + share) - held, held - goal * (1 - share)],
    )
    np.testing.assert_allclose(np.abs(new - held).sum(), least.fun, atol=1e-9)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_rules_in_the_engine(rule):
    month = walk_forward({"1/N": EqualWeight()}, MARKET, **QUICK)
    run = walk_forward({"1/N": EqualWeight()}, MARKET, rebalance=rule, **QUICK)
    assert run.turnover["1/N"].iloc[0] == 1.0 and np.allclose(run.weights["1/N"].sum(axis=1), 1)
    if rule.every == "month":
        assert run.costs["1/N"].sum() < month.costs["1/N"].sum()
    again = walk_forward({"1/N": EqualWeight()}, MARKET, rebalance=rule, **QUICK)
    assert again.net_returns.equals(run.net_returns)
    assert check_no_lookahead({"1/N": EqualWeight()}, MARKET.iloc[:200], rebalance=rule, n_cuts=1, **QUICK)["largest difference"].max() < 1e-9


def test_the_engine_treats_rules_as_its_own():
    mix = {"mix": FixedMix(dict(zip("ABCDE", [0.3, 0.2, 0.2, 0.1, 0.1])))}
    for rule, own in ((BandRule(0.02), DriftBand(0.02)), (BandRule(0.3, relative=True), DriftBand(0.3, relative=True)), (SpeedRule(), "month")):
        a, b = (walk_forward(mix, MARKET, rebalance=r, **QUICK).net_returns for r in (rule, own))
        start = max(a.index[0], b.index[0])
        np.testing.assert_allclose(a.loc[start:], b.loc[start:], atol=1e-13)
    late = walk_forward(mix, MARKET, rebalance=BandRule(0.02), lag=3, **QUICK)
    assert np.isfinite(late.net_returns.to_numpy()).all() and (late.turnover["mix"] > 0).sum() > 2


def test_an_asset_that_leaves_is_sold():
    gone = MARKET.copy()
    gone.iloc[200:, 0] = np.nan
    run = walk_forward({"1/N": EqualWeight()}, gone, rebalance=BandRule(0.05, to="edge"), **QUICK)
    assert run.weights["1/N"]["A"].iloc[-1] == 0 and np.allclose(run.weights["1/N"].iloc[-1].sum(), 1)


def test_a_rule_that_gives_nonsense_is_refused():
    class Nonsense:
        every = "month"

        def revise(self, target, held, window):
            return target * np.nan

    with pytest.raises(PortfolioError, match="not finite"):
        walk_forward({"1/N": EqualWeight()}, MARKET, rebalance=Nonsense(), **QUICK)


def test_conditions():
    never = walk_forward({"1/N": EqualWeight()}, MARKET, rebalance=OnlyWhen(None, lambda frame: False), **QUICK)
    assert (never.turnover["1/N"] > 0).sum() == 1
    always = walk_forward({"1/N": EqualWeight()}, MARKET, rebalance=OnlyWhen(SpeedRule(0.5), lambda frame: True, every="month"), **QUICK)
    half = walk_forward({"1/N": EqualWeight()}, MARKET, rebalance=SpeedRule(0.5), **QUICK)
    assert always.net_returns.equals(half.net_returns)
    wild = MARKET.iloc[:60].copy()
    wild.iloc[-21:] *= 3
    assert calm_market()(wild.iloc[::-1]) and not calm_market()(wild)
    table = pd.Series(np.arange(400.0), DAYS)
    assert not below_median(table)(MARKET.iloc[:100]) and below_median(-table)(MARKET.iloc[:100])
    with pytest.raises(MissingDataError, match="2010-01-01"):
        below_median(table.iloc[50:])(MARKET.iloc[:1])

    def ahead(frame):
        return table.loc[frame.index[-1] :].iloc[1] > 200

    table = pd.Series(RNG.uniform(0, 400, 400), DAYS)
    with pytest.raises(LookAheadError):
        check_no_lookahead({"1/N": EqualWeight()}, MARKET, rebalance=OnlyWhen(None, ahead, every="week"), n_cuts=8, **QUICK)


def test_worth_and_tax():
    class Window:
        names, row, panel = pd.Index(["A", "B"]), 0, pd.DataFrame(index=[0])
        values = np.array([[0.01, 0.01], [0.01, -0.01], [-0.01, 0.01], [-0.01, -0.01]])

    goal, held = np.array([0.5, 0.5]), np.array([0.6, 0.4])
    np.testing.assert_allclose(WorthRule(0.0).revise(goal, held, Window), goal)
    assert WorthRule(0.9).revise(goal, held, Window) is held
    assert WorthRule({"A": 0.9, "B": 0.9}).revise(goal, held, Window) is held
    tax = gains_tax({"A": 0.2, "B": 1.0}, 0.25, costs=0.01, names=["A", "B"])
    np.testing.assert_allclose(tax(goal - held), 0.01 * 0.2 + 0.25 * 0.1 * 0.8)
    np.testing.assert_allclose(tax(held - goal), 0.01 * 0.2)
    with pytest.raises(DataError, match="tax rate"):
        gains_tax(0.5, 1.5)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(0, 10_000), st.floats(-0.9, 3.0))
def test_flows(n, seed, share):
    rng = np.random.default_rng(seed)
    money, goal = rng.uniform(0, 50, n), rng.dirichlet(np.ones(n))
    flow = share * money.sum()
    trade = invest_flow(money, goal, flow)
    assert np.isclose(trade.sum(), flow) and (trade * np.sign(flow) >= 0).all()
    enough = ((goal * (money.sum() + flow) - money) * np.sign(flow) >= 0).all()
    if enough and flow:
        np.testing.assert_allclose(money + trade, goal * (money.sum() + flow), atol=1e-9 * (1 + money.sum()))
    with pytest.raises(InfeasibleError, match="are to go out"):
        invest_flow(money, goal, -2 * money.sum() - 1)


def test_withdrawals_never_sell_what_is_not_there():
    np.testing.assert_allclose(invest_flow([90, 5, 5], [0.0, 0.5, 0.5], -95), [-90, -2.5, -2.5])


@pytest.mark.parametrize("lot", [1, 100])
def test_whole_shares(lot):
    rng = np.random.default_rng(lot)
    for k in range(12):
        n = int(rng.integers(1, 7))
        goal, price = rng.dirichlet(np.ones(n)) * (1.0, 0.8)[k % 2], rng.uniform(5, 200, n)
        wealth = 2e4 * lot
        far = []
        for buy in (whole_shares, whole_shares_exactly):
            lots, left = buy(goal, price, wealth, lot)
            assert (lots % lot == 0).all() and (lots >= 0).all() and left >= -1e-6
            np.testing.assert_allclose(lots @ price + left, wealth)
            far.append(np.abs(lots * price - goal * wealth).sum() + abs(left - (1 - goal.sum()) * wealth))
        assert far[1] <= far[0] + 1e-6 * wealth and far[0] < far[1] + 0.02 * wealth


def test_names_of_prices():
    price = pd.Series([10.0, 20.0], ["A", "B"])
    assert whole_shares({"B": 0.5, "A": 0.5}, price, 100)[0].tolist() == [5, 2]
    with pytest.raises(DataError):
        whole_shares({"C": 1.0}, price, 100)


WRONG = {
    "band": lambda: BandRule(0.0), "to": lambda: BandRule(0.1, to=1.5), "speed": lambda: SpeedRule(0.0), "merton": lambda: merton_band(0.5, 0.1, 0.0),
    "exact": lambda: exact_band(0.5, 0.0, 0.1, 1.0), "grid": lambda: weight_grid([0.5], [[0.04]], -1.0, 1.0), "weeks": lambda: calendar_growth(None, 0),
    "reach": lambda: weight_grid([0.5], [[4.0]], 0.01, 1.0, reach=20.0), "thresholds": lambda: trade_thresholds([0.5], [[0.04]], -0.1, 1.0),
    "flow": lambda: invest_flow([1.0, -1.0], [0.5, 0.5], 1.0), "prices": lambda: whole_shares([1.0], [0.0], 10.0), "lots": lambda: whole_shares([1.0], [1.0], 10.0, lot=0),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(DataError):
        wrong()


def test_a_covariance_that_is_none_is_refused():
    for bad in ([[np.nan]], [[-1.0]], [[np.inf]]):
        with pytest.raises(PortfolioError):
            trade_thresholds([0.5], bad, 0.001, 1.0)
