"""The block bootstrap: what is drawn, what is summed, what it covers, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from arch.bootstrap import optimal_block_length
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import geom, kstest

from portfolio_ml.core.validation import DataError, InsufficientDataError, MissingDataError, NonFiniteError
from portfolio_ml.measure.performance import sharpe_ratio
from portfolio_ml.measure.resampling import (
    Blocks,
    block_length,
    block_rows,
    bootstrap_interval,
    compare_with,
    resample,
    resampled_moments,
    resampled_sums,
)


@pytest.fixture
def returns():
    "A year and a half of three strategies, by day."
    values = 0.0004 + 0.01 * np.random.default_rng(0).standard_normal((400, 3))
    return pd.DataFrame(values, pd.bdate_range("2020-01-01", periods=400), ["a", "b", "c"])


@pytest.mark.parametrize("kind", ["stationary", "circular"])
@pytest.mark.parametrize("n_obs, block", [(10, 1), (10, 3), (101, 7), (50, 50)])
def test_every_resample_is_a_whole_history(kind, n_obs, block):
    "Blocks fill the history exactly; rows follow each other around the circle inside a block."
    blocks = Blocks(n_obs, block, 37, kind)
    rows = np.vstack([block_rows(s, n, n_obs) for s, n in blocks.batches()])
    assert rows.shape == (37, n_obs) and rows.min() >= 0 and rows.max() < n_obs
    follows = (np.diff(rows, axis=1) % n_obs == 1).mean()
    assert abs(follows - (1 - 1 / block)) < 0.12 + 1 / n_obs


def test_lengths_are_geometric_and_starts_uniform():
    "The stationary bootstrap is that of Politis and Romano (1994): geometric lengths, uniform starts."
    drawn = list(Blocks(2000, 20, 300, random_state=3).batches())
    first = np.concatenate([n[:, 0] for _, n in drawn])
    starts = np.concatenate([s[:, 0] for s, _ in drawn])
    assert abs(first.mean() - 20) < 4 * geom.std(1 / 20) / 300**0.5
    assert kstest(starts / 2000, "uniform").pvalue > 1e-3
    whole = np.concatenate([np.bincount(block_rows(s, n, 2000).ravel(), minlength=2000) for s, n in drawn])
    assert abs(whole.sum() - 300 * 2000) == 0


def test_every_observation_is_drawn_equally_often():
    "The circle favours no row, the last ones neither."
    counts = sum(np.bincount(block_rows(s, n, 50).ravel(), minlength=50) for s, n in Blocks(50, 10, 4000).batches())
    assert abs(counts / 4000 - 1).max() < 0.2
    assert abs(counts[:5].mean() / counts[-5:].mean() - 1) < 0.05


def test_sums_moments_and_ratios_are_those_of_the_rows(returns):
    "The fast way and the slow way draw the same blocks and agree to rounding."
    blocks, values = Blocks(400, 21, 60), returns.to_numpy()
    assert_allclose(resampled_sums(values, blocks), resample(values, lambda x: x.sum(axis=0), blocks), atol=1e-13)
    moments = resampled_moments(returns, blocks)
    assert_allclose(moments.mean, resample(values, lambda x: x.mean(axis=0), blocks), atol=1e-15)
    assert_allclose(moments.std, resample(values, lambda x: x.std(axis=0, ddof=1), blocks), rtol=1e-11)
    slow = resample(values, lambda x: sharpe_ratio(x, periods_per_year=252), blocks)
    assert_allclose(moments.sharpe(252), slow, rtol=1e-9)
    far = resampled_moments(returns + 1e3, blocks)
    assert_allclose(far.std, moments.std, rtol=1e-7)


def test_draws_depend_on_nothing_but_the_description(returns):
    "The same blocks whatever is computed, another seed other blocks, one column or three alike."
    one = resampled_moments(returns["a"], Blocks(400, 21, 50)).mean[:, 0]
    assert_array_equal(one, resampled_moments(returns[["a"]], Blocks(400, 21, 50)).mean[:, 0])
    assert_allclose(one, resampled_moments(returns, Blocks(400, 21, 50)).mean[:, 0], atol=1e-17)
    assert (one != resampled_moments(returns["a"], Blocks(400, 21, 50, random_state=1)).mean[:, 0]).any()


def test_the_variance_of_the_mean_is_that_of_theory():
    "In expectation over blocks, the stationary bootstrap's variance of the mean has a closed form (Politis and Romano, lemma 1)."
    x = np.random.default_rng(5).standard_normal(300).cumsum() * 0.1 + np.random.default_rng(6).standard_normal(300)
    T, p = len(x), 1 / 10
    c = x - x.mean()
    circular = np.array([(c * np.roll(c, -k)).mean() for k in range(T)])
    k = np.arange(1, T)
    theory = (circular[0] + 2 * ((1 - k / T) * (1 - p) ** k * circular[1:]).sum()) / T
    drawn = resampled_sums(x[:, None], Blocks(T, 10, 40_000))[:, 0] / T
    assert abs(drawn.var() / theory - 1) < 4 * (2 / 40_000) ** 0.5


def plain_block_length(x, later=0):
    "Follow Politis and White (2004) line by line; `later` starts the noise some lags later."
    T, e = len(x), x - x.mean()
    K, longest = max(5, int(np.log10(T))), int(np.ceil(T**0.5))
    R = np.array([(e[k:] * e[: T - k]).sum() / T for k in range(longest + max(5, int(np.log10(T))) + 1)])
    rho, bound, m = R / R[0], 2 * np.sqrt(np.log10(T) / T), 0
    while not (np.abs(rho[m + 1 : m + K + 1]) < bound).all():
        m += 1
    M = 2 * max(m + later, 1)
    lam = [1 if k / M <= 0.5 else 2 * (1 - k / M) for k in range(M + 1)]
    G = 2 * sum(lam[k] * k * R[k] for k in range(1, M + 1))
    g = R[0] + 2 * sum(lam[k] * R[k] for k in range(1, M + 1))
    return (2 * G**2 / (2 * g**2)) ** (1 / 3) * T ** (1 / 3)


@pytest.mark.parametrize("phi", [0.3, 0.6, 0.8])
def test_block_lengths_beside_arch(phi):
    "Ours is the paper's rule; `arch` starts the noise one lag later; the two kinds differ by a known factor."
    rng, x = np.random.default_rng(1), np.zeros(3000)
    for t in range(1, 3000):
        x[t] = phi * x[t - 1] + rng.standard_normal()
    theirs = optimal_block_length(x).iloc[0]
    assert_allclose(block_length(x), plain_block_length(x), rtol=1e-9)
    assert_allclose(plain_block_length(x, later=1), theirs["stationary"], rtol=1e-9)
    assert_allclose(block_length(x, "circular") / block_length(x), 1.5 ** (1 / 3), rtol=1e-9)
    assert_allclose(block_length(5 * x + 3), block_length(x), rtol=1e-6)


def test_a_constant_series_needs_no_blocks():
    "Where nothing varies, the block length is 1, and Sharpe ratios are nan, not infinite."
    assert block_length(np.full(100, 0.01)) == 1.0
    assert np.isnan(resampled_moments(np.full((100, 1), 0.01), Blocks(100, 5, 10)).sharpe()).all()


def test_intervals():
    "Three ways, ordered ends, and Bonferroni's tails."
    draws = np.random.default_rng(0).normal(2.0, 1.0, 20_000)
    for method in ("percentile", "basic", "normal"):
        low, high = bootstrap_interval(draws, 2.0, method=method)
        assert_allclose([low, high], [2 - 1.96, 2 + 1.96], atol=0.05)
    wide = bootstrap_interval(draws, tries=10)
    assert_allclose(wide, np.quantile(draws, [0.0025, 0.9975]))
    for wrong in (dict(confidence=1.0), dict(tries=0), dict(method="bca")):
        with pytest.raises(DataError):
            bootstrap_interval(draws, 2.0, **wrong)
    with pytest.raises(InsufficientDataError, match="resamples"):
        bootstrap_interval(draws[:100], tries=10)


def test_strategies_against_one(returns):
    "The table has one row a strategy, the base differs from itself by nothing, wider ends for more tries."
    table = compare_with(returns, "b", tries=5, n_resamples=500, periods_per_year=252)
    assert list(table.index) == ["a", "b", "c"] and (table.loc["b", "difference":] == 0).all()
    assert_allclose(table["Sharpe"], sharpe_ratio(returns, periods_per_year=252))
    assert (table["d low (5)"] <= table["d low"]).all() and (table["d high (5)"] >= table["d high"]).all()
    risk = compare_with(returns * [1, 2, 1], "a", "volatility", n_resamples=500)
    assert_allclose(risk.loc["b", "difference"], np.log(2 * returns["b"].std() / returns["a"].std()))
    assert "d low (1)" not in risk
    level = compare_with(returns, "a", "mean", n_resamples=500)
    assert_allclose(level["mean"], returns.mean() * 252)


def test_bad_input_is_named(returns):
    "What cannot be resampled is refused by name."
    for wrong in (dict(block=0), dict(block=401), dict(n_resamples=0, block=5), dict(block=2.5, kind="circular"), dict(block=5, kind="x")):
        with pytest.raises((DataError, InsufficientDataError)):
            Blocks(400, **wrong)
    with pytest.raises(DataError, match="'z'"):
        compare_with(returns, "z")
    with pytest.raises(DataError, match="Sortino"):
        compare_with(returns, "a", "Sortino")
    holed = returns.copy()
    holed.iloc[3, 1] = np.nan
    with pytest.raises(MissingDataError, match="b"):
        compare_with(holed, "a")
    holed.iloc[3, 1] = np.inf
    with pytest.raises(NonFiniteError, match="b"):
        resampled_moments(holed, Blocks(400, 5, 10))
    with pytest.raises(DataError, match="3 columns"):
        block_length(returns)
    with pytest.raises(InsufficientDataError):
        block_length(returns["a"].iloc[:5])
