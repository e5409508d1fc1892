"Every measure of the summary has an interval: draws equal the slow way's, estimates the summary's, and intervals cover."

import time

import numpy as np
import pandas as pd
import pytest

from portfolio_ml.core.validation import DataError, DuplicateDateError, InsufficientDataError, MissingDataError, NonFiniteError
from portfolio_ml.data.catalog import load_returns
from portfolio_ml.measure.intervals import (
    MEASURE_RANGE,
    PATH_MEASURES,
    counted_tail,
    interval_of,
    performance_intervals,
    row_counts,
    summary_draws,
    widen,
)
from portfolio_ml.measure.performance import cvar, performance_summary, tail_count, value_at_risk
from portfolio_ml.measure.resampling import Blocks, block_rows, resample

RNG = np.random.default_rng(0)


def market(T=600, N=3, seed=0, heavy=False):
    "Draw dated returns and a benchmark."
    rng = np.random.default_rng(seed)
    shocks = rng.standard_t(4, (T, N + 1)) if heavy else rng.standard_normal((T, N + 1))
    days = pd.bdate_range("2015", periods=T)
    x = pd.DataFrame(0.0004 + 0.01 * (0.5 * shocks[:, :1] + shocks[:, 1:]), days, [f"s{k}" for k in range(N)])
    return x, pd.Series(0.0003 + 0.01 * shocks[:, 0], days, name="market")


@pytest.mark.parametrize("kind", ["stationary", "circular"])
@pytest.mark.parametrize("rate", ["number", "series"])
def test_draws_are_those_of_the_slow_way(kind, rate):
    "Each draw of each measure is what the summary gives on the resample written out, rates by date and benchmark resampled with it."
    x, bench = market(heavy=True)
    cash = 0.0001 if rate == "number" else pd.Series(RNG.uniform(0, 0.0004, len(x)), x.index)
    column = np.full(len(x), cash) if rate == "number" else cash.to_numpy()
    blocks = Blocks(len(x), 21, 20, kind, 3)
    fast = summary_draws(x, cash, bench, 252.0, 0.9, blocks)
    table = np.column_stack([x, bench, column])
    slow = resample(table, lambda v: performance_summary(v[:, :3], risk_free=v[:, 4], benchmark=v[:, 3], confidence=0.9).to_numpy(), blocks)
    labels = performance_summary(x, benchmark=bench, confidence=0.9).index
    assert set(labels) - set(fast) == {"Best period", "Worst period", "Periods"}
    for k, name in enumerate(labels):
        if name in fast:
            np.testing.assert_allclose(fast[name], slow[:, k], rtol=1e-8, atol=1e-10, err_msg=name)


def test_estimates_are_those_of_the_summary():
    "The estimate is the summary, to the last bit, and lies in its interval."
    x, bench = market()
    cash = pd.Series(0.0001, x.index)
    found = performance_intervals(x, risk_free=cash, benchmark=bench, n_resamples=200)
    pd.testing.assert_frame_equal(found.estimate, performance_summary(x, risk_free=cash, benchmark=bench))
    bounded = [m for m in found.draws if m not in PATH_MEASURES]
    assert (found.low.loc[bounded] < found.estimate.loc[bounded]).all(axis=None) and (found.high.loc[bounded] > found.estimate.loc[bounded]).all(axis=None)
    assert found.low.loc[["Best period", "Worst period", "Periods"]].isna().all(axis=None)


def test_tails_by_counting():
    "Counted tails equal the performance functions on resamples, ties, tiny samples and odd confidences included."
    for T, confidence, decimals in ((40, 0.95, 5), (40, 0.95, 2), (333, 0.9, 3), (8, 0.99, 4), (500, 0.5, 4)):
        x = np.round(0.02 * RNG.standard_t(3, T), decimals)
        starts, lengths = next(Blocks(T, 4, 30).batches())
        rows = block_rows(starts, lengths, T)
        order = np.argsort(x, kind="stable")
        risk, mean = counted_tail(x[order], row_counts(rows)[:, order], tail_count(confidence, T))
        np.testing.assert_allclose(risk, [value_at_risk(x[r], confidence=confidence) for r in rows], atol=1e-15)
        np.testing.assert_allclose(mean, [cvar(x[r], confidence=confidence) for r in rows], atol=1e-12)


def test_a_tail_that_is_hardly_drawn():
    "Resamples that hold few of the worst days are read to the end."
    x, counts = np.linspace(-1, 1, 100), np.zeros((2, 100), dtype=int)
    counts[0, -1] = counts[1, 0] = 100
    risk, mean = counted_tail(x, counts, 5.0)
    np.testing.assert_allclose(risk, [-1, 1])
    np.testing.assert_allclose(mean, [-1, 1])


def test_shapes_order_and_seed():
    "One series will do; columns may be turned; a seed gives the same intervals, another one others."
    x, bench = market()
    one, all_of_them = performance_intervals(x["s0"], benchmark=bench, n_resamples=80), performance_intervals(x, benchmark=bench, n_resamples=80)
    turned = performance_intervals(x.iloc[:, ::-1], benchmark=bench, n_resamples=80)
    np.testing.assert_allclose(one.low["s0"], all_of_them.low["s0"], rtol=1e-9)
    np.testing.assert_allclose(turned.high[x.columns], all_of_them.high, rtol=1e-9)
    again = performance_intervals(x, benchmark=bench, n_resamples=80, random_state=1)
    assert not np.allclose(again.low.loc["Sharpe ratio"], all_of_them.low.loc["Sharpe ratio"])
    frame = all_of_them.to_frame()
    assert list(frame.columns[:3]) == [("s0", "estimate"), ("s0", "low"), ("s0", "high")]
    text = all_of_them.summary().loc["Sharpe ratio", "s0"]
    assert text == f"{frame.loc['Sharpe ratio', ('s0', 'estimate')]:.2f} [{frame.loc['Sharpe ratio', ('s0', 'low')]:.2f}, {frame.loc['Sharpe ratio', ('s0', 'high')]:.2f}]"
    assert "95% intervals from 80 resamples" in all_of_them._repr_html_() and "Sharpe ratio" in repr(all_of_them)
    plain = performance_intervals(x.to_numpy(), n_resamples=80, benchmark=bench.to_numpy())
    np.testing.assert_allclose(plain.low, all_of_them.low, rtol=1e-9)


def test_scaling():
    "Twice the returns: twice the volatility and its interval, the same Sharpe ratio."
    x, _ = market()
    one, two = performance_intervals(x, n_resamples=80), performance_intervals(2 * x, n_resamples=80)
    np.testing.assert_allclose(two.low.loc["Annualised volatility"], 2 * one.low.loc["Annualised volatility"])
    np.testing.assert_allclose(two.high.loc["Sharpe ratio"], one.high.loc["Sharpe ratio"], rtol=1e-9)


def test_methods_and_ranges():
    "The four methods differ; widened is wider; no end leaves the range of its measure, however few the blocks."
    x, bench = market(T=24)
    found = {m: performance_intervals(x, benchmark=bench, n_resamples=100, method=m, block=6) for m in ("widened", "percentile", "basic", "normal")}
    width = {m: (f.high - f.low).loc["Sharpe ratio"] for m, f in found.items()}
    assert (width["widened"] > 1.2 * width["percentile"]).all()
    for f in found.values():
        for name, (low, high) in MEASURE_RANGE.items():
            assert (f.low.loc[name] >= low).all() and (f.high.loc[name] <= high).all()
    assert found["widened"].low.loc["Maximum drawdown"].equals(found["percentile"].low.loc["Maximum drawdown"])
    np.testing.assert_allclose(widen(np.array([0.9]), np.array([1.1]), 1.0, 20, 0.95), [[1 - 0.1 * 1.0956], [1 + 0.1 * 1.0956]], atol=2e-4)
    with pytest.raises(DataError, match="method"):
        performance_intervals(x, method="exact", n_resamples=100)


def test_degenerate_strategies():
    "Cash has volatility zero and no Sharpe ratio; the benchmark has beta one against itself; ruin is a drawdown of all."
    x, bench = market()
    x = x.assign(cash=0.0001, market=bench, ruin=x["s0"])
    x.iloc[300, x.columns.get_loc("ruin")] = -1.0
    found = performance_intervals(x, benchmark=bench, n_resamples=200)
    assert found.low.loc["Annualised volatility", "cash"] == found.high.loc["Annualised volatility", "cash"] == 0
    assert np.isnan(found.low.loc["Sharpe ratio", "cash"]) and np.isnan(found.low.loc["Information ratio", "market"])
    np.testing.assert_allclose([found.low.loc["Beta", "market"], found.high.loc["Beta", "market"]], 1)
    assert found.estimate.loc["Maximum drawdown", "ruin"] == found.low.loc["Maximum drawdown", "ruin"] == -1
    assert found.low.loc["Annualised return", "ruin"] == -1
    assert found.summary().loc["Sharpe ratio", "cash"] == "-"


def test_refusals():
    "Bad input is refused by its name."
    x, bench = market()
    for wrong, error, words in (
        (x.mask(x > 0.03), MissingDataError, "NaN"),
        (x.replace(x.iloc[3, 0], np.inf), NonFiniteError, "infinite"),
        (x.iloc[:5], InsufficientDataError, "at least 8"),
        (pd.concat([x, x]), DuplicateDateError, "index"),
    ):
        with pytest.raises(error, match=words):
            performance_intervals(wrong, n_resamples=50)
    for how, words in ((dict(confidence=1.0), "confidence"), (dict(block=0.5), "block"), (dict(n_resamples=10), "resamples"), (dict(kind="moving"), "kind"),
                       (dict(benchmark=bench[:50]), "benchmark"), (dict(tail=0), "confidence"), (dict(periods_per_year=-1), "periods_per_year")):
        with pytest.raises(DataError, match=words):
            performance_intervals(x, **({"n_resamples": 50} | how))


def test_coverage_of_the_sharpe_ratio():
    "Widened intervals of 95 % cover in 95 % of 300 histories of five years, within three Monte Carlo errors; so do those of beta and volatility."
    hits, n = {"Sharpe ratio": [], "Beta": [], "Annualised volatility": []}, 300
    for seed in range(n):
        rng = np.random.default_rng([9, seed])
        m = 0.0003 + 0.01 * rng.standard_normal(1260)
        x = 0.6 * m + 0.01 * rng.standard_normal(1260)
        truth = {"Sharpe ratio": 0.00018 / (0.01 * 1.36**0.5) * 252**0.5, "Beta": 0.6, "Annualised volatility": 0.01 * 1.36**0.5 * 252**0.5}
        blocks = Blocks(1260, 63, 300, random_state=seed)
        draws = summary_draws(pd.DataFrame(x), 0.0, m, 252.0, 0.95, blocks) if seed < 3 else light_draws(x, m, blocks)
        estimate = performance_summary(x, benchmark=m)[0] if seed < 3 else light_estimate(x, m)
        for name, value in truth.items():
            low, high = interval_of(name, draws[name], np.array([estimate[name]]), blocks, 0.95, "widened")
            hits[name].append(low[0] <= value <= high[0])
    error = (0.95 * 0.05 / n) ** 0.5
    for name, found in hits.items():
        assert abs(np.mean(found) - 0.95) < 3.2 * error, (name, np.mean(found))


def light_draws(x, m, blocks):
    "Draw only what the coverage test reads."
    from portfolio_ml.measure.intervals import resampled_own, resampled_relative

    zero = np.zeros((len(x), 1))
    return resampled_own(x[:, None], zero, 252.0, blocks) | resampled_relative(x[:, None], zero, m[:, None], 252.0, blocks)


def light_estimate(x, m):
    "Measure only what the coverage test reads."
    return {"Sharpe ratio": x.mean() / x.std(ddof=1) * 252**0.5, "Beta": np.cov(x, m)[0, 1] / m.var(ddof=1), "Annualised volatility": x.std(ddof=1) * 252**0.5}


def test_ten_strategies_in_seconds():
    "Ten strategies, 8,000 days, 1,000 resamples: under 5 s of one core."
    x = 0.01 * RNG.standard_normal((8000, 10))
    start = time.process_time()
    performance_intervals(x, benchmark=x.mean(axis=1))
    assert time.process_time() - start < 5


def test_on_real_returns():
    "Twenty stocks: the intervals of the Sharpe ratio exclude zero for the whole and do not for a year."
    us20 = load_returns("us20")
    whole = performance_intervals(us20.mean(axis=1), n_resamples=300)
    year = performance_intervals(us20.mean(axis=1)["2018"], n_resamples=300)
    assert whole.low.loc["Sharpe ratio"].item() > 0 > year.low.loc["Sharpe ratio"].item()
