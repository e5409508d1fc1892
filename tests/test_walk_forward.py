"The engine against a slow reference written from its equations, against skfolio, and against everything that should not get past it."

import io
import json
import pickle
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from portfolio_ml.allocation.baselines import BuyAndHold, EqualWeight, FixedMix, InverseVolatility
from portfolio_ml.backtest.record import Backtest
from portfolio_ml.backtest.simulation import DriftBand, cost_function, drift
from portfolio_ml.backtest.walk_forward import check_no_lookahead, scramble_after, walk_forward, with_scrambled_future
from portfolio_ml.core.allocator import BaseAllocator
from portfolio_ml.core.testing import factor_returns
from portfolio_ml.core.validation import (
    DataError,
    DataIntegrityError,
    DuplicateAssetError,
    DuplicateDateError,
    InsufficientDataError,
    LookAheadError,
    MissingDataError,
    NonFiniteError,
    PortfolioError,
    ShapeError,
    UnsortedIndexError,
)

COST = 35.0
MARKET = factor_returns(400, 4)
QUICK = {"window": 60, "costs": 0.001}


# --- the reference: one row, one asset, one unit of money at a time --------------------------------------------------------------


def equal(rows, held):
    return [1 / len(rows[0])] * len(rows[0])


def half_in_cash(rows, held):
    return [0.5 / len(rows[0])] * len(rows[0])


def inverse(rows, held):
    n, inverses = len(rows), []
    for asset in zip(*rows):
        mean = sum(asset) / n
        inverses.append(1 / (sum((r - mean) ** 2 for r in asset) / n) ** 0.5)
    return [x / sum(inverses) for x in inverses]


def long_short(rows, held):
    means = [sum(asset) / len(rows) for asset in zip(*rows)]
    middle = sum(means) / len(means)
    return [1.3 / len(means) + (2.0 if m > middle else -2.0) / len(means) for m in means]


def half_way(rows, held):
    return [0.5 * h + 0.5 / len(held) for h in held]


def keep(rows, held):
    return held if any(held) else equal(rows, held)


def moody(rows, held):
    if rows[-1][0] < 0:
        raise RuntimeError("not today")
    return equal(rows, held)


RULES = {f.__name__: f for f in (equal, half_in_cash, inverse, long_short, half_way, keep, moody)}


class Rule(BaseEstimator):
    "One of the rules above, as an estimator that knows nothing of the house."

    def __init__(self, rule=None, previous_weights=None):
        self.rule = rule
        self.previous_weights = previous_weights

    @property
    def needs_previous_weights(self):
        return self.rule in ("half_way", "keep")

    def fit(self, X, y=None):
        held = None if self.previous_weights is None else [float(w) for w in self.previous_weights]
        self.weights_ = np.array(RULES[self.rule](X.to_numpy().tolist(), held))
        return self


def seen_at(rows, t, window, history):
    "The assets with a complete recent history, and their rows since their common start."
    start = 0 if window is None else max(0, t - window + 1)
    assets = [i for i in range(len(rows[0])) if all(rows[s][i] == rows[s][i] for s in range(t - history + 1, t + 1))]
    cut = []
    for s in range(start, t + 1):
        row = [rows[s][i] for i in assets]
        cut = [*cut, row] if all(r == r for r in row) else []
    return assets, cut


def decide_by_hand(rule, fallback, rows, t, window, history, held):
    "Target weights, or None to keep; and whether the rule failed."
    assets, cut = seen_at(rows, t, window, history)
    target = [0.0] * len(rows[0])
    try:
        if not assets:
            raise ValueError("nobody there")
        answer, failed = RULES[rule](cut, [held[i] for i in assets]), False
    except (RuntimeError, ValueError):
        if fallback == "previous" or not assets:
            return None, True
        answer, failed = equal(cut, None), True
    for i, w in zip(assets, answer):
        target[i] = w
    return target, failed


def is_decision(index, t, rebalance, first):
    if isinstance(rebalance, int):
        return t >= first and (t - first) % rebalance == 0
    if t < first or t + 1 == len(index):
        return False
    label = {
        "day": lambda d: d.date(),
        "week": lambda d: d.isocalendar()[:2],
        "month": lambda d: (d.year, d.month),
        "quarter": lambda d: (d.year, (d.month - 1) // 3),
        "year": lambda d: d.year,
    }[rebalance]
    return label(index[t]) != label(index[t + 1])


def outside(weights, aim, band):
    for w, a in zip(weights, aim):
        scale = abs(a) if band.relative else 1.0
        if scale > 0 and abs(w - a) / scale > band.width:
            return True
    return False


def reference(rule, returns, *, window, min_history, rebalance, costs, lag, risk_free, fallback):
    "Walk forward with money in an account, row by row: what the engine must reproduce."
    rows, index = returns.to_numpy().tolist(), returns.index
    T, N, first = len(rows), len(rows[0]), min_history - 1
    band = rebalance if isinstance(rebalance, DriftBand) else None
    money, bank, due, aim = [0.0] * N, 1.0, {}, None
    retry = ruined = False
    out = {"gross": [], "cost": [], "turnover": [], "held": []}
    targets, trades, failed_at = {}, {}, []
    for t in range(T):
        cost = turnover = 0.0
        if t - 1 in due and not ruined:
            target, seen, decided, settled = due.pop(t - 1)
            wealth = sum(money) + bank
            now = [m / wealth for m in money]
            aim = now if settled and target == seen else target
            targets[decided], trades[t - 1] = target, [a - w for a, w in zip(aim, now)]
            turnover = sum(abs(x) for x in trades[t - 1])
            cost = sum(k * abs(x) for k, x in zip(costs, trades[t - 1]))
            money, bank = [a * wealth for a in aim], (1 - sum(aim)) * wealth
        wealth = sum(money) + bank
        out["held"].append([0.0] * N if ruined else [m / wealth for m in money])
        money = [m * (1 + (0.0 if r != r else r)) for m, r in zip(money, rows[t])]
        bank *= 1 + risk_free[t]
        gross = 0.0 if ruined else (sum(money) + bank) / wealth - 1
        if not ruined and (gross < -1 + 1e-12 or cost >= 1):
            gross, ruined = -1.0, True
            failed_at = [*(f for f in failed_at if f + lag < t), t]
        for key, value in (("gross", gross), ("cost", cost), ("turnover", turnover)):
            out[key].append(value)
        if ruined or t + lag >= T - 1:
            continue
        held = [m / (sum(money) + bank) for m in money]
        if band is None:
            decides = is_decision(index, t, rebalance, first)
        elif aim is None and not due and not retry:
            decides = t == first
        else:
            gone = any(r != r and a != 0 for r, a in zip(rows[t], aim or []))
            decides = retry or (not due and (gone or outside(held, aim, band)))
        if decides:
            target, failed = decide_by_hand(rule, fallback, rows, t, window, min_history, held)
            retry = target is None
            failed_at += [t] if failed else []
            if target is not None:
                due[t + lag] = (target, held, t, not due)
    return out, targets, trades, failed_at


@st.composite
def markets(draw):
    "Panels in which assets enter, leave, pause, and lose everything."
    T, N = draw(st.integers(40, 110)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    values = np.maximum(rng.normal(0.002, draw(st.sampled_from([0.01, 0.03, 0.15])), (T, N)), -0.95)
    for i in range(N):
        event = draw(st.sampled_from(["none", "none", "enters", "leaves", "pauses", "dies"]))
        at = int(rng.integers(1, T))
        if event == "enters":
            values[:at, i] = np.nan
        elif event == "leaves":
            values[at:, i] = np.nan
        elif event == "pauses":
            values[at, i] = np.nan
        elif event == "dies":
            values[at, i] = -1.0
    starts = pd.date_range("2020-11-20", periods=T, freq=draw(st.sampled_from(["D", "B", "W", "11D"])))
    return pd.DataFrame(values, starts, [f"S{i}" for i in range(N)])


@st.composite
def walks(draw, N):
    "Everything one can ask of the engine."
    window = draw(st.one_of(st.none(), st.integers(3, 25)))
    bands = st.builds(DriftBand, st.sampled_from([0.01, 0.05, 0.2]), st.booleans())
    return {
        "window": window,
        "min_history": draw(st.integers(2, window or 12)),
        "rebalance": draw(st.one_of(st.sampled_from(["day", "week", "month", "quarter"]), st.integers(1, 9), bands)),
        "lag": draw(st.integers(0, 5)),
        "fallback": draw(st.sampled_from(["previous", "equal"])),
        "costs": draw(st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.3]), min_size=N, max_size=N)),
    }


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_engine_is_the_reference(data):
    returns = data.draw(markets())
    T, N = returns.shape
    how = data.draw(walks(N))
    risk_free = np.random.default_rng(T).normal(0.0005, 0.001, T) if data.draw(st.booleans()) else np.zeros(T)
    names = data.draw(st.lists(st.sampled_from(sorted(RULES)), min_size=1, max_size=3, unique=True))
    try:
        bt = walk_forward({n: Rule(n) for n in names}, returns, risk_free=pd.Series(risk_free, returns.index), **how)
    except InsufficientDataError:
        return
    for name in names:
        out, targets, trades, failed_at = reference(name, returns, risk_free=risk_free, **how)
        rows = returns.index.get_indexer(bt.net_returns.index)
        gross, cost = (np.array(out[k])[rows] for k in ("gross", "cost"))
        close = {"atol": 1e-8, "rtol": 1e-8}
        np.testing.assert_allclose(bt.gross_returns[name], gross, **close)
        np.testing.assert_allclose(bt.costs[name], cost, **close)
        np.testing.assert_allclose(bt.net_returns[name], (1 - cost) * (1 + gross) - 1, **close)
        np.testing.assert_allclose(bt.turnover[name], np.array(out["turnover"])[rows], **close)
        np.testing.assert_allclose(bt.weights[name], np.array(out["held"])[rows], **close)
        for table, expected in ((bt.targets[name], targets), (bt.trades[name], trades)):
            assert list(table.index) == list(returns.index[list(expected)])
            np.testing.assert_allclose(table, np.array(list(expected.values())).reshape(-1, N), **close)
        failures = bt.failures.query("allocator == @name")
        if "Ruin" in failures["error"].tolist():  # whether somebody still failed while the last trade was on its way is of no interest
            last = returns.index.get_loc(failures["date"].iloc[-1])
            failures = failures[(returns.index.get_indexer(failures["date"]) + how["lag"] < last) | (failures["error"] == "Ruin")]
        assert list(failures["date"]) == list(returns.index[failed_at])
        assert np.isfinite(bt.weights[name].to_numpy()).all() and np.isfinite(bt.net_returns[name]).all()


# --- identities that need no reference ---------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(markets(), st.integers(0, 3))
def test_held_weights_times_returns_are_the_gross_return(returns, lag):
    bt = walk_forward(Rule("half_in_cash"), returns, window=5, rebalance=4, lag=lag, costs=0.002, risk_free=0.001)
    held, r = bt.weights["Rule"], returns.fillna(0.0).loc[bt.net_returns.index]
    alive = bt.gross_returns["Rule"] > -1
    np.testing.assert_allclose(
        ((held * r).sum(axis=1) + (1 - held.sum(axis=1)) * 0.001)[alive], bt.gross_returns["Rule"][alive], atol=1e-12
    )
    np.testing.assert_allclose(bt.costs, 0.002 * bt.turnover, atol=1e-15)


@settings(max_examples=25, deadline=None)
@given(markets(), st.data())
def test_the_past_does_not_depend_on_the_future(returns, data):
    how = data.draw(walks(returns.shape[1]))
    end = data.draw(st.integers(30, len(returns)))
    later = returns.iloc[end:]
    other = pd.concat([returns.iloc[:end], pd.DataFrame(0.5, later.index, later.columns)])
    try:
        one, two = (walk_forward([Rule("inverse"), Rule("half_way")], x, **how) for x in (returns, other))
    except InsufficientDataError:
        return
    for name in one.net_returns:
        a, b = one.net_returns[name].loc[: returns.index[end - 1]], two.net_returns[name].loc[: returns.index[end - 1]]
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)  # rounding may differ: a calm future is walked in one go


def test_drift_is_the_sum_of_what_is_held():
    rng = np.random.default_rng(0)
    w, r, c = rng.normal(size=6), rng.normal(0, 0.01, (300, 6)), np.full(300, 1e-4)
    gross, held = drift(w, r, c)
    np.testing.assert_allclose(gross, (held[:-1] * r).sum(axis=1) + (1 - held[:-1].sum(axis=1)) * c, atol=1e-12)


def test_a_lag_longer_than_the_gap_between_decisions():
    seen = []

    def allocator(frame):
        seen.append(frame.index[-1])
        return np.eye(4)[len(seen) % 4]

    bt = walk_forward(allocator, MARKET, window=10, rebalance=2, lag=5)
    targets, trades = bt.targets["allocator"], bt.trades["allocator"]
    assert list(trades.index) == list(MARKET.index[MARKET.index.get_indexer(targets.index) + 5])
    held = bt.weights["allocator"].loc[MARKET.index[MARKET.index.get_indexer(trades.index) + 1]]
    np.testing.assert_allclose(held, targets, atol=1e-12)
    assert len(seen) == len(targets)


@pytest.mark.parametrize("lag", [0, 1, 3])
@pytest.mark.parametrize("rebalance", ["month", 21, DriftBand(0.03)])
def test_buy_and_hold_trades_once(lag, rebalance):
    bt = walk_forward(BuyAndHold(), MARKET, **QUICK, rebalance=rebalance, lag=lag)
    assert bt.turnover["BuyAndHold"].iloc[0] == 1 and (bt.turnover["BuyAndHold"].iloc[1:] == 0).all()
    assert bt.summary().loc["Rebalances", "BuyAndHold"] == 1
    grown = (1 + MARKET.loc[bt.net_returns.index]).prod().mean() * 0.999
    assert (1 + bt.net_returns["BuyAndHold"]).prod() == pytest.approx(grown, rel=1e-12)


def test_a_band_asks_again_after_a_failure():
    def late(frame):
        if len(frame) < 80:
            raise RuntimeError("not yet")
        return np.full(4, 0.25)

    bt = walk_forward(late, MARKET, window=None, min_history=60, rebalance=DriftBand(0.5))
    assert len(bt.failures) == 20 and bt.targets["late"].index[0] == MARKET.index[79]
    assert bt.weights["late"].iloc[-1].sum() == pytest.approx(1)


def test_a_band_sells_what_stops_trading():
    gone = MARKET.copy()
    gone.iloc[150:, 0] = np.nan
    bt = walk_forward([EqualWeight(), BuyAndHold()], gone, **QUICK, rebalance=DriftBand(0.9))
    for name in bt.net_returns:
        assert (bt.weights[name]["A0"].loc[gone.index[151] :] == 0).all() and bt.weights[name]["A0"].loc[gone.index[150]] > 0.1
        assert list(bt.targets[name].index) == list(gone.index[[59, 150]])


def test_failures_fall_back_as_configured():
    def march(frame):
        if frame.index[-1].month == 3:
            raise RuntimeError("solver said no\nand much more")
        return np.array([0.7, 0.1, 0.1, 0.1])

    first = {f: walk_forward(march, MARKET, **QUICK, fallback=f) for f in ("previous", "equal")}
    other = walk_forward(march, MARKET, **QUICK, fallback=FixedMix([0.4, 0.3, 0.2, 0.1]))
    worse = walk_forward(march, MARKET, **QUICK, fallback=march)
    lazy = walk_forward(march, MARKET, **QUICK, fallback=BuyAndHold())
    day = next(d for d in first["equal"].targets["march"].index if d.month == 3)
    assert day not in first["previous"].targets["march"].index
    assert (first["previous"].turnover.loc[day:].iloc[1] == 0).all()
    np.testing.assert_allclose(first["equal"].targets["march"].loc[day], 0.25)
    np.testing.assert_allclose(other.targets["march"].loc[day], [0.4, 0.3, 0.2, 0.1])
    assert other.failures.iloc[0].tolist() == ["march", day, "RuntimeError", "solver said no", "FixedMix"]
    assert (
        worse.failures["reason"].iloc[0] == "solver said no; then march: solver said no"
        and worse.failures["fallback"].iloc[0] == "previous"
    )
    pd.testing.assert_frame_equal(worse.net_returns, first["previous"].net_returns)
    assert (lazy.targets["march"].index == first["equal"].targets["march"].index).all()
    assert (lazy.turnover.loc[lazy.failures["date"].iloc[-1] :].iloc[1] == 0).all()
    with pytest.raises(RuntimeError, match="solver said no"):
        walk_forward(march, MARKET, **QUICK, fallback="raise")


def test_only_decisions_that_trade_are_asked_for():
    def never_at_the_end(frame):
        if frame.index[-1] >= MARKET.index[-2]:
            raise RuntimeError("asked for a decision that nobody trades")
        return np.full(4, 0.25)

    assert walk_forward(never_at_the_end, MARKET, window=10, rebalance=1, lag=1).failures.empty


def test_all_wealth_lost():
    dead = MARKET.copy()
    dead.iloc[200] = -1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bt = walk_forward({"a": EqualWeight(), "b": BuyAndHold()}, dead, **QUICK)
    for name in bt.net_returns:
        net = bt.net_returns[name]
        assert net.loc[dead.index[200]] == -1 and (net.loc[dead.index[201] :] == 0).all()
        assert (bt.weights[name].loc[dead.index[201] :] == 0).all(axis=None)
    assert bt.failures["error"].tolist() == ["Ruin", "Ruin"] and bt.failures["date"].tolist() == [dead.index[200]] * 2
    assert bt.summary().loc["Maximum drawdown"].tolist() == [-1, -1] and "Ruin" not in bt._repr_html_()
    moody = walk_forward(lambda frame: np.full(4, 0.25) if len(frame) < 210 else 1 / 0, dead, window=None, min_history=60)
    assert moody.failures["error"].tolist() == ["Ruin"], "nobody is asked after a ruin"
    expensive = walk_forward(lambda frame: np.array([30.0, -29.0, 0, 0]), MARKET, window=60, costs=0.05)
    assert expensive.net_returns.iloc[0, 0] == -1 and (expensive.net_returns.iloc[1:] == 0).all(axis=None)


def test_an_asset_that_leaves_while_held_is_sold_at_the_next_decision():
    gone = MARKET.copy()
    gone.iloc[150:, 0] = np.nan
    bt = walk_forward(EqualWeight(), gone, **QUICK)
    held = bt.weights["EqualWeight"]["A0"]
    assert held.loc[gone.index[150]] > 0.2
    sold = held.loc[gone.index[150] :].eq(0).idxmax()
    assert sold == next(d for d in gone.index[151:] if d.month != gone.index[150].month)
    assert (bt.targets["EqualWeight"].loc[sold:].iloc[1] == [0, *[1 / 3] * 3]).all() and bt.failures.empty


def test_a_market_with_nobody_in_it():
    empty = MARKET.copy()
    empty.iloc[:300] = np.nan
    bt = walk_forward(
        {"ours": InverseVolatility(), "function": lambda frame: np.full(frame.shape[1], 0.25)}, empty, **QUICK, fallback="equal"
    )
    assert set(bt.failures["reason"]) == {"no asset has a complete recent history"}
    assert (bt.weights["ours"].loc[: empty.index[359]] == 0).all(axis=None) and bt.weights["ours"].iloc[-1].sum() == pytest.approx(1)
    column = walk_forward(EqualWeight(), MARKET.assign(void=np.nan), **QUICK)
    assert (column.weights["EqualWeight"]["void"] == 0).all() and column.failures.empty


def test_one_asset_and_one_decision():
    bt = walk_forward(InverseVolatility(), MARKET[["A0"]], window=60, rebalance=10_000)
    np.testing.assert_allclose(bt.net_returns["InverseVolatility"], MARKET["A0"].iloc[60:], atol=1e-14)
    assert walk_forward(EqualWeight(), MARKET["A0"], window=60).net_returns.shape[1] == 1


def test_an_allocator_cannot_spoil_the_data_of_another():
    class Vandal(BaseAllocator):
        def allocate(self, returns):
            self.memory_ = 1
            returns *= 0
            return np.full(returns.shape[1], 0.25)

    def vandal(frame):
        frame.iloc[:, :] = 0.0
        return np.full(4, 0.25)

    alone, bad = walk_forward(InverseVolatility(), MARKET, **QUICK), Vandal()
    before = MARKET.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        together = walk_forward({"bad": bad, "worse": vandal, "InverseVolatility": InverseVolatility()}, MARKET, **QUICK)
    pd.testing.assert_series_equal(alone.net_returns["InverseVolatility"], together.net_returns["InverseVolatility"])
    pd.testing.assert_frame_equal(MARKET, before)
    assert not hasattr(bad, "memory_")


def test_processes_change_nothing():
    cases = {"inverse": Rule("inverse"), "moody": Rule("moody"), "lambda": lambda frame: np.full(4, 0.2), "lazy": BuyAndHold()}
    one, two = (walk_forward(cases, MARKET, **QUICK, rebalance="week", n_jobs=n) for n in (1, 2))
    pd.testing.assert_frame_equal(one.net_returns, two.net_returns, check_exact=True)
    pd.testing.assert_frame_equal(one.failures, two.failures)
    assert len(one.failures) and one.settings == two.settings


# --- any object with fit and weights_ ----------------------------------------------------------------------------------------------


def test_weights_come_in_many_forms():
    class Plain:
        "No get_params, and fit returns nothing."

        def fit(self, X):
            self.weights_ = {"A3": 1.0}

    forms = {
        "series": lambda f: pd.Series([1.0], ["A3"]),
        "mapping": lambda f: {"A3": 1.0, "elsewhere": 0.0},
        "list": lambda f: [0, 0, 0, 1],
        "object": Plain(),
        "pipeline": make_pipeline(StandardScaler(with_mean=False), FixedMix([0, 0, 0, 1])),
    }
    bt = walk_forward(forms, MARKET, **QUICK, fallback="raise")
    for name in forms:
        np.testing.assert_allclose(bt.weights[name]["A3"], 1.0)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (pd.Series(np.full(4, 0.25)), "weights for 0, 1, 2 and 3, not among the assets seen"),
        ({"SPY": 1.0}, "weights for SPY"),
        (np.full(3, 1 / 3), "weights of shape (3,) for 4 assets"),
        (np.full((4, 1), 0.25), "weights of shape (4, 1)"),
        (np.array([1, np.nan, 0, 0]), "1 of 4 weights are not finite"),
        (None, ""),
    ],
)
def test_an_answer_that_cannot_be_held_is_a_failure(answer, words):
    bt = walk_forward(lambda frame: answer, MARKET, **QUICK)
    assert len(bt.failures) == len(set(bt.failures["date"])) > 10
    assert words in bt.failures["reason"].iloc[0]
    assert (bt.weights["<lambda>"] == 0).all(axis=None) and bt.targets["<lambda>"].empty


def test_skfolio_runs_unchanged():
    pytest.importorskip("skfolio", reason="needs the extra peers")
    from skfolio import RiskMeasure
    from skfolio.model_selection import WalkForward, cross_val_predict
    from skfolio.optimization import EqualWeighted, MeanRisk
    from skfolio.optimization import InverseVolatility as Theirs
    from skfolio.pre_selection import SelectKExtremes
    from sklearn.model_selection import GridSearchCV, KFold

    theirs = {
        "equal": EqualWeighted(),
        "inverse": Theirs(),
        "variance": MeanRisk(risk_measure=RiskMeasure.VARIANCE),
        "pipeline": make_pipeline(SelectKExtremes(k=2), EqualWeighted()),
        "costs": MeanRisk(transaction_costs=0.001),
        "costs, selected": make_pipeline(SelectKExtremes(k=3), MeanRisk(transaction_costs=0.001)).set_output(transform="pandas"),
        "search": GridSearchCV(Theirs(), {"prior_estimator": [None]}, cv=KFold(2)),
    }
    bt = walk_forward(theirs, MARKET, window=120, rebalance=40, costs=0.001, fallback="raise")
    ours = walk_forward([EqualWeight(), InverseVolatility()], MARKET, window=120, rebalance=40, costs=0.001)
    np.testing.assert_allclose(bt.net_returns["equal"], ours.net_returns["EqualWeight"], atol=1e-14)
    np.testing.assert_allclose(bt.net_returns["inverse"], ours.net_returns["InverseVolatility"], atol=1e-13)
    np.testing.assert_allclose(bt.net_returns["search"], ours.net_returns["InverseVolatility"], atol=1e-13)
    assert (bt.targets["pipeline"].ne(0).sum(axis=1) == 2).all() and (bt.targets["costs, selected"].ne(0).sum(axis=1) <= 3).all()
    for name, at in (("variance", 0), ("costs", 3)):
        day = MARKET.index.get_loc(bt.targets[name].index[at])
        held = (
            bt.weights[name].loc[MARKET.index[day]] * (1 + MARKET.iloc[day]) / (1 + bt.gross_returns[name].iloc[day - 120]) if at else None
        )
        alone = theirs[name] if held is None else theirs[name].set_params(previous_weights=held.to_numpy())
        np.testing.assert_allclose(bt.targets[name].iloc[at], alone.fit(MARKET.iloc[day - 119 : day + 1]).weights_, atol=1e-9)
    drifting = Theirs(portfolio_params={"weight_drift": True})
    peers = cross_val_predict(drifting, MARKET, cv=WalkForward(train_size=120, test_size=40)).returns
    np.testing.assert_allclose(peers, bt.gross_returns["inverse"].to_numpy()[: len(peers)], atol=1e-13)


def test_ours_run_in_skfolio():
    pytest.importorskip("skfolio", reason="needs the extra peers")
    from skfolio.model_selection import WalkForward, cross_val_predict

    cv = WalkForward(train_size=120, test_size=40)
    for allocator in (EqualWeight(), InverseVolatility(), FixedMix({"A0": 0.6, "A3": 0.4})):
        one, two = (cross_val_predict(allocator, MARKET, cv=cv, n_jobs=n).returns for n in (None, 2))
        np.testing.assert_array_equal(one, two)
        assert len(one) == 280
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skfolio says that it runs in sequence
        lazy = cross_val_predict(BuyAndHold({"A0": 1.0}), MARKET, cv=cv, n_jobs=2)
    np.testing.assert_allclose(lazy.returns, MARKET["A0"].iloc[120:400], atol=1e-14)


# --- whoever looks ahead -----------------------------------------------------------------------------------------------------------


class Carrier(BaseAllocator):
    "Hold the asset that a table of its own ranks first, on the day or over all of time."

    def __init__(self, *, table=None, ahead=None):
        self.table = table
        self.ahead = ahead

    def fit(self, X, y=None):
        table = np.asarray(self.table)
        scores = (
            table.mean(axis=0) if self.ahead is None else table[min(self.table.index.get_loc(X.index[-1]) + self.ahead, len(table) - 1)]
        )
        self.weights_ = np.eye(X.shape[1])[scores.argmax()]
        return self


class Nested(BaseEstimator):
    "Carry an allocator in a list in a dictionary."

    def __init__(self, inside=None):
        self.inside = inside

    def fit(self, X, y=None):
        self.weights_ = self.inside["it"][0].fit(X).weights_
        return self


def tomorrow(panel):
    ahead = panel.shift(-1).fillna(0.0)
    return {"tomorrow": lambda frame: np.eye(frame.shape[1])[ahead.loc[frame.index[-1]].argmax()]}


def full_mean(panel):
    mean = panel.mean().to_numpy()
    return {"mean": lambda frame: mean / np.abs(mean).sum()}


def full_scaler(panel):
    scaler = StandardScaler().fit(panel.to_numpy())

    def allocate(frame):
        score = np.exp(scaler.transform(frame.to_numpy()).mean(axis=0))
        return score / score.sum()

    return allocate and {"scaler": allocate}


def fitted_once(panel):
    weights = InverseVolatility().fit(panel).weights_
    return {"fitted once": lambda frame: weights}


LEAKS = {
    "tomorrow": tomorrow,
    "full mean": full_mean,
    "full scaler": full_scaler,
    "fitted once": fitted_once,
    "table": Carrier(table=MARKET),
    "table, one row ahead": Carrier(table=MARKET, ahead=1),
    "array": Carrier(table=MARKET.to_numpy()),
    "in a pipeline": make_pipeline(StandardScaler(with_mean=False).set_output(transform="pandas"), Carrier(table=MARKET)),
    "nested": Nested({"it": [Carrier(table=MARKET, ahead=1)]}),
    "closure": {"closure": (lambda table: lambda frame: np.eye(4)[table.mean().argmax()])(MARKET)},
    "default argument": {"default": lambda frame, table=MARKET: np.eye(4)[table["2016":].mean().argmax()]},
}


@pytest.mark.parametrize("rebalance", ["month", 5, DriftBand(0.02)])
@pytest.mark.parametrize("name", LEAKS)
def test_leaks_are_caught(name, rebalance):
    with pytest.raises(LookAheadError, match=r"the decision at 201\d-\d\d-\d\d changed by"):
        check_no_lookahead(LEAKS[name], MARKET, window=60, rebalance=rebalance, n_cuts=6)


def test_leaks_are_caught_without_dates():
    numbered = MARKET.reset_index(drop=True)
    with pytest.raises(LookAheadError):
        check_no_lookahead(Carrier(table=numbered, ahead=1), numbered, window=60, rebalance=5, n_cuts=6)


@pytest.mark.parametrize(
    "how", [{}, {"lag": 5, "rebalance": 4}, {"rebalance": DriftBand(0.02)}, {"fallback": "raise", "window": None, "min_history": 60}]
)
def test_the_honest_pass(how):
    gaps = MARKET.copy()
    gaps.iloc[:90, 1], gaps.iloc[330:, 2] = np.nan, np.nan
    past = MARKET.rolling(20).mean()
    honest = {
        "inverse": InverseVolatility(),
        "lazy": BuyAndHold(),
        "signal": lambda frame: pd.Series(1.0, [past.loc[frame.index[-1], frame.columns].idxmax()]),
    }
    if how.get("fallback") != "raise":
        honest["moody"] = Rule("moody")
    result = check_no_lookahead(
        honest, gaps, **{"window": 60, "costs": 0.001, "risk_free": pd.Series(0.0001, gaps.index), "benchmark": "lazy", **how}
    )
    assert (result["largest difference"] == 0).all() and set(result["allocator"]) == set(honest)
    whole = check_no_lookahead(Carrier(table=past.fillna(0.0), ahead=0), MARKET, **{"window": 60, **how})
    assert (whole["largest difference"] == 0).all()


def test_a_plain_function_is_an_allocator_to_the_detector():
    result = check_no_lookahead(lambda frame: np.full(4, 0.25), MARKET, window=60)
    assert len(result) == 3 and (result["decisions"] > 0).all()
    with pytest.raises(PortfolioError, match="failed at every decision"):
        check_no_lookahead({"broken": lambda frame: 1 / 0}, MARKET, window=60)


def test_scrambling_leaves_the_past_alone():
    cut = MARKET.index[200]
    other = scramble_after(MARKET, cut)
    pd.testing.assert_frame_equal(other.loc[:cut], MARKET.loc[:cut])
    assert (other.iloc[201:] != MARKET.iloc[201:]).to_numpy().mean() > 0.9
    assert scramble_after(MARKET["A0"], cut).name == "A0" and len(scramble_after(MARKET.iloc[:0], cut)) == 0
    mine = Carrier(table=MARKET)
    twin = with_scrambled_future(mine, cut)
    pd.testing.assert_frame_equal(twin.table, other)
    assert mine.table is MARKET


# --- the record --------------------------------------------------------------------------------------------------------------------

INDEXES = {
    "dates": lambda x: x,
    "nanoseconds": lambda x: x.set_axis(x.index.astype("datetime64[ns]")),
    "time zone": lambda x: x.tz_localize("America/New_York"),
    "offset": lambda x: x.tz_localize("+05:30"),
    "intraday": lambda x: x.set_axis(pd.date_range("2024-03-08 22:00", periods=len(x), freq="h", tz="Europe/Berlin")),
    "numbers": lambda x: x.reset_index(drop=True),
    "weeks": lambda x: x.set_axis(pd.period_range("2000-01-03", periods=len(x), freq="W")),
    "months": lambda x: x.set_axis(pd.period_range("1980-01", periods=len(x), freq="M")),
    "text": lambda x: x.set_axis(x.index.strftime("%Y-%m-%d")),
    "named": lambda x: x.rename_axis(index="Datum", columns="Wert"),
    "columns of numbers": lambda x: x.set_axis(range(4), axis=1),
    "columns in unicode": lambda x: x.set_axis(["Münchener Rück", "日本", "a b\tc", ""], axis=1),
}


@pytest.mark.parametrize("kind", INDEXES)
def test_saved_and_read_back(kind, tmp_path):
    returns = INDEXES[kind](MARKET)
    bt = walk_forward(
        {"größer": Rule("inverse"), "moody": Rule("moody"), "never": lambda frame: 1 / 0}, returns,
        window=60, rebalance=10, costs=0.001, risk_free=0.0001, benchmark=returns.iloc[:, 0],
    )  # fmt: skip
    again = Backtest.load(bt.save(tmp_path / "walk"))
    same = {"check_freq": False, "check_exact": True}
    for table in ("gross_returns", "net_returns", "costs", "turnover"):
        pd.testing.assert_frame_equal(getattr(bt, table), getattr(again, table), **same)
    for table in ("weights", "targets", "trades"):
        for name in bt.net_returns:
            pd.testing.assert_frame_equal(getattr(bt, table)[name], getattr(again, table)[name], **same)
    pd.testing.assert_frame_equal(bt.failures, again.failures)
    for series in ("risk_free", "benchmark"):
        pd.testing.assert_series_equal(getattr(bt, series), getattr(again, series), **same)
    assert again.settings == bt.settings and again.net_returns.index.dtype == bt.net_returns.index.dtype
    assert len(bt.failures) and repr(again) == repr(bt)
    pd.testing.assert_frame_equal(bt.summary(periods_per_year=252), again.summary(periods_per_year=252))
    assert again._repr_html_() == bt._repr_html_() and len(bt.to_frame()) == 3 * len(bt.net_returns)


def test_what_cannot_be_saved_is_refused_before_anything_is_written(tmp_path):
    mixed = walk_forward(EqualWeight(), MARKET.set_axis([1, "a", 2, "b"], axis=1), **QUICK)
    with pytest.raises(DataError, match="the label 1 is neither"):
        mixed.save(tmp_path / "mixed")
    assert list(tmp_path.iterdir()) == []
    bt = walk_forward(EqualWeight(), MARKET, window=np.int64(60), lag=np.int64(1))
    assert Backtest.load(bt.save(tmp_path / "numpy")).settings["window"] == 60
    assert pickle.loads(pickle.dumps(bt)).settings == bt.settings


def test_truncated_and_altered_files_are_refused(tmp_path):
    path = walk_forward([EqualWeight(), Rule("moody")], MARKET, **QUICK).save(tmp_path / "walk")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for cut in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataIntegrityError, match="walk does not hold a whole backtest"):
            Backtest.load(path)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    for gone in ("index.npy", "weights_1.npy", "trades_0_rows.npy", "meta.npy", "failure_dates.npy"):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                if name != gone:
                    archive.writestr(name, data)
        with pytest.raises(DataIntegrityError):
            Backtest.load(path)
    for at in rng.integers(200, len(whole) - 2000, 10):  # a flipped byte is found by the archive's checksums
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
        with pytest.raises(DataIntegrityError):
            Backtest.load(path)
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "text").write_text(json.dumps({}))
    for other in ("array.npy", "text"):
        with pytest.raises(DataIntegrityError):
            Backtest.load(tmp_path / other)
    with pytest.raises(FileNotFoundError):
        Backtest.load(tmp_path / "nowhere")


def test_pictures_of_what_is_owed():
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    bt = walk_forward({"a": Rule("long_short"), "b": EqualWeight()}, MARKET, **QUICK)
    assert bt.plot("weights", "a").get_ylim()[0] < 0 <= bt.plot("weights", "b").get_ylim()[0]
    assert len(bt.plot()) == 2 and bt.plot("turnover").get_ylabel()
    for wrong in ({"kind": "returns"}, {"kind": "weights", "allocator": "gmv"}):
        with pytest.raises(DataError, match="plot: '(returns|gmv)' is none of"):
            bt.plot(**wrong)
    plt.close("all")


# --- bad input ---------------------------------------------------------------------------------------------------------------------


def with_value(value):
    bad = MARKET.copy()
    bad.iloc[123, 2] = value
    return bad


BAD_PANELS = {
    "infinite": (lambda: with_value(np.inf), NonFiniteError, "A2.*2015-06-23"),
    "less than everything": (lambda: with_value(-1.5), DataError, "A2 loses more than everything"),
    "per cent": (lambda: MARKET * 100, DataError, "are these percentages"),
    "duplicate columns": (lambda: MARKET.set_axis(["A", "B", "A", "C"], axis=1), DuplicateAssetError, "A stands more than once"),
    "duplicate dates": (
        lambda: MARKET.set_axis(MARKET.index.where(np.arange(400) != 7, MARKET.index[6])),
        DuplicateDateError,
        "2015-01-09",
    ),
    "unsorted": (lambda: MARKET.iloc[[1, 0, *range(2, 400)]], UnsortedIndexError, "row 1"),
    "descending": (lambda: MARKET[::-1], UnsortedIndexError, "row 1"),
    "missing date": (lambda: MARKET.set_axis(MARKET.index.where(np.arange(400) != 7)), MissingDataError, "row.*7"),
    "text": (lambda: MARKET.assign(A1="x"), DataError, "A1 is not a number"),
    "numbers as text": (lambda: MARKET.assign(A1=MARKET["A1"].astype(str)), DataError, "A1 is not a number"),
    "dates as values": (lambda: MARKET.assign(A1=MARKET.index), DataError, "A1 is not a number"),
    "no columns": (lambda: MARKET[[]], ShapeError, "no columns"),
    "no rows": (lambda: MARKET[:0], InsufficientDataError, r"0 row\(s\)"),
    "too few rows": (lambda: MARKET[:60], InsufficientDataError, "60 rows, but the first result needs 61"),
    "three dimensions": (lambda: np.zeros((3, 3, 3)), ShapeError, "3 dimension"),
}


@pytest.mark.parametrize("case", BAD_PANELS)
def test_a_bad_panel_is_refused_by_name(case):
    make, error, words = BAD_PANELS[case]
    with pytest.raises(error, match=words):
        walk_forward(EqualWeight(), make(), window=60)


BAD_ARGUMENTS = [
    ({"window": 0}, "window: 0"),
    ({"window": 2.5}, "window: 2.5"),
    ({"window": True}, "window: True"),
    ({"min_history": 0}, "min_history: 0"),
    ({"min_history": 61}, "min_history: 61 rows are more than the window of 60"),
    ({"lag": -1}, "lag: -1"),
    ({"lag": None}, "lag: None"),
    ({"rebalance": "fortnight"}, "rebalance: 'fortnight' is none of day, week, month, quarter, year"),
    ({"rebalance": 0}, "rebalance: every 0 rows"),
    ({"rebalance": None}, "rebalance: None"),
    ({"rebalance": ["month"]}, "rebalance"),
    ({"rebalance": True}, "rebalance: True"),
    ({"costs": -0.1}, "costs"),
    ({"costs": 10}, "less than 1; 0.001 is 10 basis points"),
    ({"costs": np.nan}, "costs"),
    ({"costs": None}, "costs"),
    ({"costs": "10bp"}, "costs: '10bp'"),
    ({"costs": [0.1, 0.1]}, "costs: 2 rates for 4 assets"),
    ({"costs": {"A0": 0.1, "A1": 0.1}}, "costs: no rate for A2 and A3"),
    ({"costs": pd.Series(0.001, ["A0", "A1", "A2"])}, "costs: no rate for A3"),
    ({"costs": lambda trades, date: np.nan}, "costs: the function gave nan at 2015-03-31"),
    ({"costs": lambda trades, date: np.abs(trades)}, "costs: the function gave array"),
    ({"costs": lambda trades, date: None}, "costs: the function gave None"),
    ({"risk_free": np.nan}, "risk_free: not finite"),
    ({"risk_free": "cash"}, "risk_free: a str"),
    ({"risk_free": np.zeros(7)}, "risk_free"),
    ({"risk_free": pd.Series(0.0, MARKET.index[:-2])}, "risk_free: no value for 2016-07-12 and 2016-07-13"),
    ({"risk_free": pd.Series(0.0, MARKET.index.append(MARKET.index[:1]))}, "risk_free: 2015-01-01 stands more than once"),
    ({"benchmark": "SPY"}, "benchmark: 'SPY' is neither an allocator nor an asset"),
    ({"benchmark": pd.Series(0.0, MARKET.index[:100])}, "benchmark: no value for"),
    ({"benchmark": MARKET}, "benchmark: a DataFrame"),
    ({"fallback": "keep"}, "fallback: 'keep' is none of previous, equal, raise"),
    ({"fallback": 3}, "fallback"),
    ({"fallback": EqualWeight}, "fallback"),
    ({"n_jobs": 0}, "n_jobs: 0"),
    ({"n_jobs": "all"}, "n_jobs: 'all'"),
]


@pytest.mark.parametrize(("wrong", "words"), BAD_ARGUMENTS)
def test_an_argument_that_makes_no_sense_is_refused_in_words(wrong, words):
    asked = []

    def allocator(frame):
        asked.append(1)
        return np.full(4, 0.25)

    with pytest.raises(DataError) as caught:
        walk_forward(allocator, MARKET, **{"window": 60, **wrong})
    assert words in str(caught.value)
    assert not asked or callable(wrong.get("costs")), "refused only after the work"


@pytest.mark.parametrize("nobody", [{}, [], None, 3, "gmv", EqualWeight, {"a": EqualWeight}, {1: EqualWeight(), "1": EqualWeight()}])
def test_allocators_that_are_none_are_refused(nobody):
    with pytest.raises(DataError, match="allocators"):
        walk_forward(nobody, MARKET, window=60)


def test_calendars_need_dates():
    numbered = MARKET.reset_index(drop=True)
    with pytest.raises(DataError, match="'month' needs dates in the index"):
        walk_forward(EqualWeight(), numbered, window=60)
    assert len(walk_forward(EqualWeight(), numbered, window=60, rebalance=21).net_returns) == 340
    assert len(walk_forward(EqualWeight(), numbered.to_numpy(), window=60, rebalance=21).net_returns) == 340
    months = MARKET.set_axis(pd.period_range("1980-01", periods=400, freq="M"))
    assert {d.month for d in walk_forward(EqualWeight(), months, window=60, rebalance="year").targets["EqualWeight"].index} == {12}


@pytest.mark.parametrize("width", [-0.1, 0, np.nan, "5%", None])
def test_a_band_has_a_width(width):
    with pytest.raises(DataError, match="DriftBand: a width of"):
        DriftBand(width)


def test_costs_in_every_form():
    trades, names = np.array([0.1, -0.2, 0.0]), ["A", "B", "C"]
    rates = [0.001, 0.002, 0.5]
    for costs in (
        rates,
        tuple(rates),
        np.array(rates),
        dict(zip(names, rates)),
        pd.Series(rates, names)[::-1],
        lambda t, d: float(np.abs(t) @ rates),
    ):
        assert cost_function(costs, names)(trades, None) == pytest.approx(0.0005)
    fixed = walk_forward(Rule("keep"), MARKET, window=60, costs=lambda trades, date: 0.01)
    assert fixed.costs["Rule"].sum() == pytest.approx(0.01), "a fixed fee is due for a trade, not for a decision to do nothing"


def test_memory_of_the_long_walk():
    code = """
from portfolio_ml.allocation.baselines import BuyAndHold, EqualWeight, FixedMix, InverseVolatility
from portfolio_ml.backtest.walk_forward import walk_forward
from portfolio_ml.data.catalog import load_returns
returns = load_returns("us20")
peak = lambda: int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) // 1024
before = peak()
bt = walk_forward([EqualWeight(), InverseVolatility(), FixedMix(), BuyAndHold()], returns, costs=0.001)
assert bt.net_returns.shape[1] == 4 and len(bt.net_returns) > 8000
print(before, peak())
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("peak memory is read from /proc")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    before, after = map(int, out.split())
    assert after < 300 and after - before < 60, f"{before} MB before, {after} MB after"
