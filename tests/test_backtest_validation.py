"Validation: paths, and the probability of backtest overfitting against its definition, by simulation, and on degenerate input."

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from skfolio.model_selection import CombinatorialPurgedCV as SkfolioCombinatorial
from skfolio.model_selection import cross_val_predict
from skfolio.optimization import InverseVolatility as SkfolioInverseVolatility
from sklearn.linear_model import LinearRegression

import portfolio_ml.backtest.validation as module
from portfolio_ml.allocation.baselines import EqualWeight, InverseVolatility
from portfolio_ml.backtest.validation import (
    CombinatorialPurgedCV,
    backtest_paths,
    choose_and_judge,
    dominance,
    half_choices,
    probability_of_backtest_overfitting,
)
from portfolio_ml.core.testing import factor_returns
from portfolio_ml.core.validation import ConstantAssetError, DataError, InsufficientDataError, MissingDataError, NonFiniteError, ShapeError
from portfolio_ml.measure.performance import max_drawdown, sharpe_ratio


def draw(seed, T=320, N=6):
    "Draw returns without skill."
    return 0.01 * np.random.default_rng(seed).standard_normal((T, N))


def by_definition(values, S):
    "Logits, one choice after the other, ranks by scipy."
    blocks, out = np.split(values, S), []
    for c in combinations(range(S), S // 2):
        first = sharpe_ratio(np.vstack([blocks[b] for b in c]))
        second = sharpe_ratio(np.vstack([blocks[b] for b in range(S) if b not in c]))
        share = rankdata(second)[np.argmax(first)] / (values.shape[1] + 1)
        out.append(np.log(share / (1 - share)))
    return np.array(out)


def test_the_splitters_can_be_had_from_here():
    "The names that the house promised."
    for name in ("PurgedKFold", "CombinatorialPurgedCV", "WalkForwardSplit"):
        assert hasattr(module, name)


@pytest.mark.parametrize(("S", "N"), [(2, 2), (4, 5), (8, 6), (10, 3)])
def test_sums_over_blocks_are_the_definition(S, N):
    "All choices in lexicographic order, to rounding."
    values = draw(S * N, 40 * S, N)
    result = probability_of_backtest_overfitting(values, S)
    logits = by_definition(values, S)
    np.testing.assert_allclose(result.logits, logits, atol=1e-12)
    assert result.pbo == (logits <= 0).mean() and len(result.logits) == len(list(combinations(range(S), S // 2)))


def test_sixteen_blocks_are_12870_choices():
    "The paper's number, and each half is chosen exactly once."
    assert len(probability_of_backtest_overfitting(draw(0)).logits) == 12_870
    halves = half_choices(16)
    assert halves.shape == (6435, 16) and (halves.sum(axis=1) == 8).all() and (halves[:, 0] == 1).all()
    assert len(np.unique(halves, axis=0)) == 6435


def test_batches_do_not_change_the_answer():
    "Many strategies are worked through in parts; the order of the choices is kept."
    values = draw(3, 160, 900)
    result = probability_of_backtest_overfitting(values, 16)
    few = probability_of_backtest_overfitting(values[:, :50], 16)
    assert len(result.logits) == 12_870
    top = np.argmax(sharpe_ratio(values[:80]))
    assert result.chosen[0] == top and result.chosen[-1] == np.argmax(sharpe_ratio(values[80:]))
    np.testing.assert_allclose(result.in_sample[0], sharpe_ratio(values[:80])[top])
    np.testing.assert_allclose(few.out_of_sample[-1], sharpe_ratio(values[:80, few.chosen[-1]]))


def test_any_measure_by_the_slower_path():
    "A function that gives the Sharpe ratio or the mean gives the same; a drawdown works too."
    frame = pd.DataFrame(draw(1), columns=list("abcdef"))
    for name, function in (("sharpe", sharpe_ratio), ("mean", lambda r: 252 * np.mean(r, axis=0))):
        fast, slow = probability_of_backtest_overfitting(frame, 6, name), probability_of_backtest_overfitting(frame, 6, function)
        pd.testing.assert_frame_equal(fast.to_frame(), slow.to_frame(), rtol=1e-10)
    assert 0 <= probability_of_backtest_overfitting(frame, 6, lambda r: -max_drawdown(r)).pbo <= 1
    seen = []
    probability_of_backtest_overfitting(np.tile(np.arange(12.0)[:, None], 2), 6, lambda r: seen.append(r[:, 0].copy()) or r.mean(axis=0))
    assert all((np.diff(s) > 0).all() and len(s) == 6 for s in seen)  # rows in order of time


def test_rows_that_do_not_divide_are_left_out_at_the_beginning():
    "The oldest T mod S rows."
    values = draw(2, 325)
    whole, cut = probability_of_backtest_overfitting(values, 8), probability_of_backtest_overfitting(values[5:], 8)
    assert whole.n_obs == 320
    np.testing.assert_array_equal(whole.logits, cut.logits)


def test_scale_and_order_do_not_matter():
    "Strategies in another order or with another leverage."
    values = draw(4)
    base = probability_of_backtest_overfitting(values, 8)
    for other in (values[:, ::-1], values * [1, 2, 3, 4, 5, 6], 1e-6 * values):
        np.testing.assert_allclose(probability_of_backtest_overfitting(other, 8).logits, base.logits)


def test_ties_share_the_mean_of_their_ranks():
    "Clones rank together; the best of clones of one is the median."
    same = probability_of_backtest_overfitting(draw(5)[:, [0, 0, 0]], 8)
    assert same.pbo == 1 and (same.logits == 0).all()
    out = choose_and_judge(np.array([[1.0, 1.0, 0.0]]), np.array([[0.2, 0.2, 0.5]]))
    assert out[0, 0] == 0 and out[0, 3] == 1.5


def test_a_strategy_out_of_the_market_has_a_sharpe_ratio_of_zero():
    "It traded in one half only."
    values = draw(6, 320, 3)
    values[:160, 0] = 0
    result = probability_of_backtest_overfitting(values, 2)
    assert np.isfinite(result.logits).all() and np.isfinite(result.in_sample).all()


def test_one_half_on_noise_and_zero_with_one_true_strategy():
    "Over 300 worlds the mean is one half within three errors; a Sharpe ratio of four a year is never missed."
    noise = np.array([probability_of_backtest_overfitting(draw(s, 240, 10), 8).pbo for s in range(300)])
    assert abs(noise.mean() - 0.5) < 3 * noise.std() / 300**0.5 < 0.05
    odd = np.array([probability_of_backtest_overfitting(draw(s, 240, 3), 8).pbo for s in range(300)])
    assert abs(odd.mean() - 2 / 3) < 3 * odd.std() / 300**0.5
    for seed in range(10):
        values = draw(seed, 1260, 20)
        values[:, 7] += 0.01 * 4 / 252**0.5
        result = probability_of_backtest_overfitting(values, 10)
        assert result.pbo < 0.05 and (result.chosen == 7).mean() > 0.9


def test_strategies_of_exactly_zero_are_always_overfitted():
    "The first case of the paper: what is above zero in one half is below it in the other."
    values = draw(7, 800, 50)
    values -= values.mean(axis=0)
    result = probability_of_backtest_overfitting(values, 10)
    assert result.pbo == 1 and result.slope < 0
    np.testing.assert_allclose(probability_of_backtest_overfitting(values, 10, "mean").slope, -1)


def test_the_summary_says_what_the_arrays_say():
    "Slope by least squares, loss, dominance; a line of text and a picture of each kind."
    import matplotlib

    matplotlib.use("Agg")
    frame = pd.DataFrame(draw(8), pd.bdate_range("2020", periods=320), list("abcdef"))
    r = probability_of_backtest_overfitting(frame, 8)
    np.testing.assert_allclose(r.slope, np.polyfit(r.in_sample, r.out_of_sample, 1)[0])
    summary = r.summary()
    assert summary["probability of loss"] == (r.out_of_sample < 0).mean() and summary["choices"] == 70
    assert set(r.to_frame()["chosen"]) <= set("abcdef") and "70 choices" in repr(r) and "PBO" in r._repr_html_()
    assert all(r.plot(kind).get_title() for kind in ("logits", "degradation", "dominance"))
    with pytest.raises(DataError, match="plot"):
        r.plot("pie")
    weekly = probability_of_backtest_overfitting(frame, 8, periods_per_year=52)
    np.testing.assert_allclose(weekly.in_sample, r.in_sample * (52 / 252) ** 0.5)


def test_dominance_of_known_distributions():
    "A shift dominates at first order; a mean-preserving squeeze only at second order."
    x = np.random.default_rng(0).standard_normal(500)
    shifted = dominance(x + 1, x)
    assert (shifted["chosen"] <= shifted["others"]).all() and (shifted["second order"] >= 0).all()
    squeezed = dominance(x.mean() + (x - x.mean()) / 2, x)
    assert not (squeezed["chosen"] <= squeezed["others"]).all() and (squeezed["second order"] >= -1e-9).all()


@pytest.mark.parametrize(
    ("values", "kw", "error", "match"),
    [
        (draw(0), dict(n_blocks=7), DataError, "n_blocks"),
        (draw(0), dict(n_blocks=22), DataError, "n_blocks"),
        (draw(0), dict(n_blocks=4.0), DataError, "n_blocks"),
        (draw(0), dict(metric="best"), DataError, "metric"),
        (draw(0), dict(metric=lambda r: 1.0), DataError, "metric"),
        (draw(0), dict(metric=lambda r: np.full(r.shape[1], np.nan)), DataError, "metric"),
        (draw(0, 20), {}, InsufficientDataError, "at least 32"),
        (draw(0)[:, 0], {}, ShapeError, "one strategy"),
        (draw(0) * [0, 1, 1, 1, 1, 1], {}, ConstantAssetError, "0"),
        (np.where(np.arange(6) == 2, np.nan, draw(0)), {}, MissingDataError, "2"),
        (np.where(np.arange(6) == 2, np.inf, draw(0)), {}, NonFiniteError, "2"),
    ],
)
def test_what_makes_no_sense_is_refused(values, kw, error, match):
    "By the name of the strategy or of the parameter."
    with pytest.raises(error, match=match):
        probability_of_backtest_overfitting(values, **kw)


def test_paths_of_an_allocator_agree_with_skfolio():
    "The same portfolio returns on each path, for ours and for skfolio's estimator; equal weights give the history."
    X = factor_returns(240, 5)
    ours = backtest_paths(InverseVolatility(), X, cv=CombinatorialPurgedCV(6, 2, horizon=3, embargo=2))
    theirs = cross_val_predict(InverseVolatility(), X, cv=SkfolioCombinatorial(6, 2, purged_size=3, embargo_size=2))
    assert ours.shape == (240, 5) and ours.index.equals(X.index)
    for k, path in enumerate(theirs):
        np.testing.assert_allclose(ours[k], np.asarray(path.returns), atol=1e-14)
    other = backtest_paths(SkfolioInverseVolatility(), X, cv=CombinatorialPurgedCV(6, 2))
    assert other.notna().all(axis=None)
    equal = backtest_paths(EqualWeight(), X.to_numpy())
    assert equal.shape == (240, 9)
    np.testing.assert_allclose(equal, np.tile(X.mean(axis=1).to_numpy()[:, None], 9))


def test_paths_of_a_predictor():
    "Each value is the prediction of a model that saw neither its fold nor the overlapping rows."
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((120, 3)), rng.standard_normal(120)
    cv = CombinatorialPurgedCV(6, 2, horizon=2)
    paths = backtest_paths(LinearRegression(), x, y, cv=cv)
    train, test = next(iter(cv.split(x)))
    expected = LinearRegression().fit(x[train], y[train]).predict(x[test])
    np.testing.assert_allclose(paths.iloc[test, 0], expected)
    assert paths.notna().all(axis=None)
    with pytest.raises(ShapeError, match="y"):
        backtest_paths(LinearRegression(), x, y[:-1])
