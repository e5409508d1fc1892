"Many tests at once: corrections against statsmodels, bootstrap tests against arch's draws, size and power, and what is refused."

import numpy as np
import pandas as pd
import pytest
from arch.bootstrap import MCS, SPA, StepM
from scipy import stats
from statsmodels.stats.multitest import multipletests

from portfolio_ml.core.validation import (
    ConstantAssetError,
    DataError,
    InsufficientDataError,
    MissingDataError,
    NonFiniteError,
    ShapeError,
)
from portfolio_ml.data.catalog import load_returns
from portfolio_ml.measure.multiplicity import (
    CORRECTIONS,
    STUDENTISE,
    adjust_p_values,
    best_of_many,
    bootstrap_variance,
    chance,
    choose_blocks,
    luck_and_skill,
    mean_steps,
    model_confidence_set,
    normal_scores,
    null_share,
    over_benchmark,
    q_values,
    range_steps,
    reality_check,
    recentre,
    step_down_p_values,
    step_m,
    superior_predictive_ability,
)
from portfolio_ml.measure.resampling import Blocks, resampled_sums

PEER = {"bonferroni": "bonferroni", "sidak": "sidak", "holm": "holm", "hochberg": "simes-hochberg", "bh": "fdr_bh", "by": "fdr_by"}
TRIAL = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]


@pytest.fixture(scope="module")
def returns():
    rng = np.random.default_rng(0)
    x = 0.6 * rng.standard_normal((160, 1)) + rng.standard_normal((160, 8)) + np.linspace(-0.2, 0.25, 8)
    return pd.DataFrame(x / 100, pd.bdate_range("2020-01-01", periods=160), list("abcdefgh"))


# corrections of p-values


@pytest.mark.parametrize("method", PEER)
@pytest.mark.parametrize("K", [1, 2, 3, 17, 40])
def test_corrections_equal_statsmodels(method, K):
    rng = np.random.default_rng(K)
    for power in (1, 3, 8):
        p = np.round(rng.random(K) ** power, 3) * 0.999  # with ties and zeros
        theirs = multipletests(p, method=PEER[method])[1]
        np.testing.assert_allclose(adjust_p_values(p, method), theirs, atol=1e-12)
        np.testing.assert_allclose(adjust_p_values(p, PEER[method]), theirs, atol=1e-12)
    assert adjust_p_values(np.ones(K), method).tolist() == [1.0] * K


@pytest.mark.parametrize("level", [0.01, 0.05, 0.1, 0.25])
def test_bh_is_its_definition(level):
    p = np.random.default_rng(1).random(200) ** 2
    ordered = np.sort(p)
    passed = np.flatnonzero(ordered <= np.arange(1, 201) / 200 * level)
    wanted = p <= ordered[passed[-1]] if len(passed) else np.zeros(200, dtype=bool)
    np.testing.assert_array_equal(adjust_p_values(p, "bh") <= level, wanted)


def test_published_examples():
    "Benjamini and Hochberg (1995): 4 against 3 rejections; James et al. (2023): Holm's and BH's of the fund managers."
    count = {m: int((adjust_p_values(TRIAL, m) <= 0.05).sum()) for m in CORRECTIONS}
    assert count == {"bonferroni": 3, "sidak": 3, "holm": 3, "hochberg": 3, "bh": 4, "by": 3}
    funds = load_returns("funds2000")
    p = stats.ttest_1samp(funds, 0.0).pvalue
    np.testing.assert_allclose(p[:5], [0.00620236, 0.91827115, 0.01160098, 0.60053960, 0.75578151], atol=1e-7)
    np.testing.assert_allclose(adjust_p_values(p[:5], "bonferroni"), [0.03101178, 1, 0.05800491, 1, 1], atol=1e-7)
    np.testing.assert_allclose(adjust_p_values(p[:5], "holm"), [0.03101178, 1, 0.04640393, 1, 1], atol=1e-7)
    q = adjust_p_values(p, "bh")
    np.testing.assert_allclose(q[:5], [0.08988921, 0.99149100, 0.12211561, 0.92342997, 0.95603587], atol=1e-6)
    assert (q <= 0.1).sum() == 146 and (p <= 0.1 / 2000).sum() == 0


def test_rows_are_families_and_labels_stay():
    p = np.random.default_rng(0).random((3, 7)) ** 2
    for method in CORRECTIONS:
        rows = np.array([adjust_p_values(row, method) for row in p])
        np.testing.assert_array_equal(adjust_p_values(p, method), rows)
    frame = pd.DataFrame(p, list("xyz"), list("abcdefg"))
    assert adjust_p_values(frame).columns.equals(frame.columns) and adjust_p_values(frame).index.equals(frame.index)
    series = frame.loc["x"]
    assert adjust_p_values(series).index.equals(series.index) and q_values(series).index.equals(series.index)
    shuffled = series.sample(frac=1, random_state=0)
    pd.testing.assert_series_equal(adjust_p_values(shuffled, "by")[series.index], adjust_p_values(series, "by"))


def test_sidak_keeps_digits():
    np.testing.assert_allclose(adjust_p_values(np.r_[1e-18, np.ones(999)], "sidak")[0], 1e-15, rtol=1e-9)


# shares


def test_null_share_of_known_mixtures():
    even = (np.arange(1000) + 0.5) / 1000
    assert null_share(even) == pytest.approx(1) and null_share(np.r_[even * 0.01, even], 0.5) == pytest.approx(0.5)
    assert null_share(np.full(10, 0.9)) == 1.0 and null_share(np.full(10, 0.001)) == 0.0
    np.testing.assert_allclose(q_values(TRIAL, 1.0), adjust_p_values(TRIAL, "bh"))
    np.testing.assert_allclose(q_values(TRIAL, 0.5), adjust_p_values(TRIAL, "bh") / 2)


def test_null_share_error_is_that_of_resamples():
    "The formula in place of Storey's resampling: the same choice of cutoff as with many draws."
    p = np.r_[np.random.default_rng(0).random(300), np.random.default_rng(1).random(100) * 0.05]
    cutoffs = np.arange(30, 71, 5) / 100
    shares = (p[:, None] > cutoffs).mean(axis=0) / (1 - cutoffs)
    draws = p[np.random.default_rng(2).integers(400, size=(4000, 400))]
    resampled = np.array([(draws > c).mean(axis=1) / (1 - c) for c in cutoffs])
    error = ((resampled - shares.min()) ** 2).mean(axis=1)
    assert null_share(p) == pytest.approx(shares[error.argmin()])


def test_luck_and_skill_finds_what_was_planted():
    "The world of Barras, Scaillet and Wermers' figure 1; bias at most half a point beyond four Monte Carlo errors."
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        found.append(luck_and_skill(rng.standard_normal(2000) + rng.choice([0, -2.5, 3], 2000, p=[0.75, 0.23, 0.02])).summary())
    found = pd.DataFrame(found)
    assert ((found.mean() - [0.75, 0.23, 0.02]).abs() < 4 * found.std() / 60**0.5 + 0.005).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_luck_and_skill_is_symmetric_and_knows_tails():
    t = np.random.default_rng(0).standard_normal(900) + np.repeat([0, 0, 2.0], 300)
    one, other = luck_and_skill(t), luck_and_skill(-t)
    assert one.skilled == pytest.approx(other.unskilled) and one.zero == other.zero
    tails = one.tails["good"]
    np.testing.assert_allclose(tails["luck"], one.zero * tails.index / 2)
    np.testing.assert_allclose(tails["significant"], [(t > stats.norm.isf(g / 2)).mean() for g in tails.index])
    given_p = luck_and_skill(t, 2 * stats.norm.sf(np.abs(t)))
    assert given_p.summary().equals(one.summary()) and "zero" in one._repr_html_()
    assert luck_and_skill(pd.Series(t)).zero == one.zero


# the variance of a bootstrap mean


def by_lags(x, block):
    T, q, x = len(x), 1 - 1 / block, x - x.mean()
    kappa = [(1 - i / T) * q**i + i / T * q ** (T - i) for i in range(1, T)]
    return (x @ x + 2 * sum(k * (x[:-i] @ x[i:]) for i, k in enumerate(kappa, 1))) / T


@pytest.mark.parametrize("T", [40, 41])
@pytest.mark.parametrize("block", [1, 2.5, 10])
def test_bootstrap_variance_is_hansens_sum(T, block):
    x = np.random.default_rng(0).standard_normal((T, 3)).cumsum(axis=0) + 5
    np.testing.assert_allclose(bootstrap_variance(x, block), [by_lags(col, block) for col in x.T], rtol=1e-10)


@pytest.mark.parametrize(("kind", "block"), [("stationary", 1), ("stationary", 4.5), ("circular", 1), ("circular", 7), ("circular", 20)])
def test_bootstrap_variance_is_that_of_many_draws(kind, block):
    x = np.random.default_rng(0).standard_normal((50, 2)).cumsum(axis=0)
    draws = resampled_sums(x, Blocks(50, block, 40_000, kind)) / 50**0.5
    np.testing.assert_allclose(bootstrap_variance(x, block, kind), draws.var(axis=0), rtol=4 * np.sqrt(2 / 40_000))


# the best of many


def arch_spa(x, **options):
    test = SPA(np.zeros(len(x)), -x, block_size=5, reps=400, seed=1, **options)
    test.compute()
    return test


@pytest.mark.parametrize("how", ["none", "fixed"])
def test_best_of_many_equals_arch_on_its_draws(returns, how):
    "arch never divides by the standard errors; divided beforehand, its p-values are Hansen's."
    x = returns.to_numpy()
    root = np.sqrt(bootstrap_variance(x, 5))
    scale = root if how == "fixed" else np.ones(8)
    theirs = arch_spa(x / scale)
    np.testing.assert_allclose(theirs._loss_diff_var, root**2 / scale**2, rtol=1e-9)
    drawn = theirs._simulated_vals[:, :, 2].T * scale + x.mean(axis=0)
    standardised = np.sqrt(160) * x.mean(axis=0) / scale, root / np.sqrt(160), drawn, scale
    ours = best_of_many(x, returns.columns, Blocks(160, 5, 400), "spa", how, "consistent", standardised)
    np.testing.assert_allclose((ours.p_values * 401 - 1) / 400, theirs.pvalues, atol=1e-12)


def test_arch_ignores_its_switch(returns):
    x = returns.to_numpy()
    assert arch_spa(x).pvalues.equals(arch_spa(x, studentize=False).pvalues)


def test_reality_check_agrees_with_arch_within_draws(returns):
    theirs = arch_spa(returns.to_numpy()).pvalues["upper"]
    ours = reality_check(returns, block=5, n_resamples=4000)
    assert abs(ours.p_value - theirs) < 4 * np.sqrt(0.25 / 400)
    assert ours.best == returns.mean().idxmax() and list(ours.p_values.index) == ["upper"]


def test_step_m_equals_arch_within_draws(returns):
    for size in (0.05, 0.3):
        theirs = StepM(np.zeros(160), -returns, size=size, block_size=5, reps=4000, seed=1)
        theirs.compute()
        ours = step_m(returns, level=size, studentise="none", centre="consistent", block=5, n_resamples=4000)
        table = ours.strategies
        unclear = set(table.index[(table["p"] - size).abs() < 4 * np.sqrt(size / 4000)])
        assert set(ours.better) ^ set(theirs.superior_models) <= unclear


def test_benchmark_is_subtracted(returns):
    base = returns["c"].rename(None)
    for test in (reality_check, step_m):
        one, two = (test(returns.drop(columns="c"), base), test(returns.drop(columns="c").sub(base, axis=0)))
        pd.testing.assert_frame_equal(one.strategies, two.strategies)
    np.testing.assert_allclose(over_benchmark(returns, 0.01)[0], returns - 0.01)
    np.testing.assert_allclose(over_benchmark(returns, base.to_numpy())[0], returns.sub(base, axis=0))


def test_spa_bounds_are_in_order(returns):
    p = superior_predictive_ability(returns).p_values
    assert p["lower"] <= p["consistent"] <= p["upper"]
    lower = superior_predictive_ability(returns, centre="lower")
    assert lower.p_value == p["lower"] and superior_predictive_ability(returns).p_value == p["consistent"]
    assert superior_predictive_ability(-returns.abs()).p_value == 1.0  # nobody is better: the statistic is zero


@pytest.mark.parametrize("how", STUDENTISE)
def test_order_units_twins_and_repetition(returns, how):
    base = step_m(returns, studentise=how)
    pd.testing.assert_frame_equal(base.strategies, step_m(returns.iloc[:, ::-1], studentise=how).strategies.loc[returns.columns])
    np.testing.assert_allclose(step_m(returns * 100, studentise=how).strategies["p"], base.strategies["p"])
    twin = step_m(returns.assign(twin=returns["h"]), studentise=how).strategies
    np.testing.assert_allclose(twin["p"].drop("twin"), base.strategies["p"])
    assert twin.loc["twin", "p"] == pytest.approx(twin.loc["h", "p"])
    assert base.strategies.equals(step_m(returns, studentise=how).strategies)


def test_step_down_by_hand_and_by_steps():
    draws = np.array([[0, 1, 0], [1, 0, 2], [2.5, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(step_down_p_values(np.array([3.0, 2.0, 1.0]), draws), [1 / 5, 2 / 5, 2 / 5])
    rng = np.random.default_rng(0)
    t, draws = rng.standard_normal(12) + 1.5, rng.standard_normal((999, 12))
    p = step_down_p_values(t, draws)
    for level in (0.05, 0.1, 0.4):  # StepM as published: remove, look for a new critical value, go on
        left, better = np.arange(12), []
        while len(left):
            bar = np.sort(draws[:, left].max(axis=1))[-int(level * 1000)]
            new = left[t[left] > bar]
            if not len(new):
                break
            better += list(new)
            left = np.setdiff1d(left, new)
        assert sorted(better) == list(np.flatnonzero(p <= level))


def test_small_parts():
    assert chance(2.0, np.array([1.0, 2.0, 3.0])) == 3 / 4
    np.testing.assert_allclose(normal_scores(np.array([-2.0, 0.0, 2.0]), 1e9), [-2, 0, 2], atol=1e-6)
    assert normal_scores(np.array([3.7]), 49)[0] < 3.7 and normal_scores(np.array([500.0]), 5000)[0] == 500
    moved = recentre(np.array([0.1, -0.1, -5.0]), np.ones(3), 100)
    np.testing.assert_allclose(moved["lower"], [0.1, 0, 0])
    np.testing.assert_allclose(moved["consistent"], [0.1, -0.1, 0])
    np.testing.assert_allclose(moved["upper"], [0.1, -0.1, -5])
    assert choose_blocks(pd.RangeIndex(64)).block == pytest.approx(4) and choose_blocks(pd.bdate_range("2020", periods=500)).block == 63


# size and power


def null_world(seed, T=150, K=10, correlation=0.3):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((T, K)) * (1 - correlation) ** 0.5 + correlation**0.5 * rng.standard_normal((T, 1))


def test_size_is_five_per_cent():
    "Each rejects a true null in 5 % of 200 worlds, within three Monte Carlo errors of 0.0154."
    how = dict(block=1, n_resamples=199)
    rejected = np.array([
        (reality_check(x, **how).p_value, superior_predictive_ability(x, **how).p_value, step_m(x, **how).strategies["p"].min())
        for x in map(null_world, range(200))
    ]) <= 0.05
    assert (np.abs(rejected.mean(axis=0) - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 200)).all()


def test_size_under_dependence_needs_blocks():
    "Returns with an autocorrelation of one half: drawn singly the test rejects far too often, in blocks it comes near."
    def world(seed):
        rng = np.random.default_rng(seed)
        shocks = rng.standard_normal((440, 5))
        x = np.zeros((440, 5))
        for i in range(1, 440):
            x[i] = 0.5 * x[i - 1] + shocks[i]
        return x[40:]

    p = np.array([[superior_predictive_ability(world(s), block=b, n_resamples=199).p_value for b in (1, 12)] for s in range(80)])
    single, blocked = (p <= 0.05).mean(axis=0)
    assert single > 0.2 and blocked < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 80)


def test_bad_company_dilutes_the_reality_check():
    p = []
    for seed in range(40):
        x = np.random.default_rng(seed).standard_normal((250, 25))
        x[:, 0] += 0.25
        x[:, 5:] = 2 * x[:, 5:] - 0.5
        p.append((reality_check(x, block=1, n_resamples=199).p_value, superior_predictive_ability(x, block=1, n_resamples=199).p_value))
    power = (np.array(p) <= 0.05).mean(axis=0)
    assert power[0] < 0.3 < 0.8 < power[1]


def test_few_rows_need_students_law():
    "120 worlds of 250 worthless strategies and 50 rows: the fixed form rejects too often, Student's does not."
    p = {h: [superior_predictive_ability(null_world(s, 50, 250, 0.0), block=1, studentise=h, n_resamples=99).p_value for s in range(120)]
         for h in ("fixed", "student")}
    fixed, student = ((np.array(v) <= 0.05).mean() for v in p.values())
    assert fixed > 0.05 + 2 * np.sqrt(0.05 * 0.95 / 120) and abs(student - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 120)


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_family_wise_and_false_discovery_rates(correlation):
    "Bounds hold within three Monte Carlo errors of 4,000 worlds."
    rng = np.random.default_rng(0)
    z = rng.standard_normal((4000, 60)) * (1 - correlation) ** 0.5 + correlation**0.5 * rng.standard_normal((4000, 1))
    z[:, :12] += 3
    p, true = 2 * stats.norm.sf(np.abs(z)), np.arange(60) >= 12
    for method in CORRECTIONS:
        hits = adjust_p_values(p, method) <= 0.05
        wrong = hits[:, true].sum(axis=1)
        share = wrong / np.maximum(hits.sum(axis=1), 1)
        if method in ("bh", "by"):
            assert share.mean() < 0.05 + 3 * share.std() / 4000**0.5
        else:
            assert (wrong > 0).mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)


# the model confidence set


def eliminate(gaps, moved):
    "The confidence set as it is written: drop the worst until one is left."
    left, p, highest = np.arange(len(gaps)), np.ones(len(gaps)), 0.0
    while len(left) > 1:
        inside = gaps[np.ix_(left, left)]
        draws = moved[:, left[:, None], left].max(axis=(1, 2))
        highest = max(highest, float((inside.max() < draws).mean()))
        worst = inside.max(axis=1).argmax()
        p[left[worst]] = highest
        left = np.delete(left, worst)
    return p


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("method", "steps"), [("R", range_steps), ("max", mean_steps)])
def test_confidence_set_equals_arch(seed, method, steps):
    rng = np.random.default_rng(seed)
    losses = pd.DataFrame(rng.chisquare(1, (90, 7)) + rng.uniform(0, 0.6, 7), columns=list("abcdefg"))
    theirs = MCS(losses, size=0.1, reps=400, block_size=4, seed=seed, method=method)
    theirs.compute()
    drawn = np.array([losses.to_numpy()[rows].mean(axis=0) for rows in theirs._bootstrap_indices])
    gone, p = steps(losses.mean().to_numpy(), drawn)
    np.testing.assert_allclose(np.maximum.accumulate(p), theirs.pvalues["Pvalue"].reindex(losses.columns[gone]), atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_range_steps_equal_the_naive_way(seed):
    rng = np.random.default_rng(seed)
    means, drawn = rng.uniform(0, 0.3, 15), rng.standard_normal((300, 15)) * 0.1
    drawn = drawn + means
    gaps = means[:, None] - means
    moved = drawn[:, :, None] - drawn[:, None, :] - gaps
    scale = np.sqrt((moved**2).mean(axis=0)) + np.eye(15)
    gone, p = range_steps(means, drawn)
    ours = np.empty(15)
    ours[gone] = np.maximum.accumulate(p)
    np.testing.assert_allclose(ours, eliminate(gaps / scale, moved / scale), atol=1e-12)


def test_confidence_set_by_hand():
    gone, p = range_steps(np.array([0.0, 2.0]), np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]))
    assert gone == [1, 0] and p == [0.0, 1.0]
    gone, p = range_steps(np.array([0.0, 0.5]), np.array([[0.0, 0], [0, 1], [0, 2], [0, -1]]))
    assert gone == [1, 0] and p[0] > 0.1


def test_confidence_set_ignores_order_and_twins():
    rng = np.random.default_rng(0)
    losses = pd.DataFrame(rng.standard_normal((80, 4)) + [0, 0, 0.5, 1], columns=list("abcd"))
    for statistic in ("range", "max"):
        how = dict(n_resamples=300, statistic=statistic)
        base = model_confidence_set(losses, **how)
        pd.testing.assert_frame_equal(base, model_confidence_set(losses[list("dcba")], **how).loc[list("abcd")])
        twins = model_confidence_set(losses.assign(e=losses["a"]), **how)
        assert twins.loc["e", "in"] == twins.loc["a", "in"] == base.loc["a", "in"]
        assert model_confidence_set(losses[["a"]], **how)["in"].all()
        assert model_confidence_set(losses * 0 + 1, **how)["in"].all()
        pair = model_confidence_set(pd.DataFrame({"a": losses["a"], "twin": losses["a"], "bad": losses["a"] + 9 + losses["b"]}), **how)
        assert pair["in"].to_list() == [True, True, False]


@pytest.mark.parametrize("statistic", ["range", "max"])
def test_confidence_set_keeps_the_best_as_often_as_it_says(statistic):
    kept = [
        model_confidence_set(np.random.default_rng(s).standard_normal((100, 4)) + [0, 0.3, 0.3, 0.6], statistic=statistic, block=1, n_resamples=200)["in"].iloc[0]
        for s in range(60)
    ]
    assert np.mean(kept) >= 0.9 - 3 * np.sqrt(0.09 / 60)


# records and refusals


def test_records(returns):
    spa, steps = superior_predictive_ability(returns), step_m(returns, level=0.2)
    with pytest.raises(AttributeError):
        spa.best = None
    assert spa.to_frame().index[0] == spa.best == steps.to_frame().index[0] and len(spa.draws) == 1000
    assert spa.summary()["best"] == spa.best and steps.summary()["better"] == len(steps.better)
    assert "Superior" in spa._repr_html_() and "StepM" in steps._repr_html_() and spa.best in repr(spa)


@pytest.mark.parametrize("call", [
    lambda r: adjust_p_values([0.2], "hope"), lambda r: adjust_p_values([1.2]), lambda r: adjust_p_values([-0.1]), lambda r: null_share([0.5], 1.0),
    lambda r: q_values([0.5], 1.5), lambda r: luck_and_skill([1.0], levels=[1.5]), lambda r: superior_predictive_ability(r, centre="middle"),
    lambda r: superior_predictive_ability(r, studentise="some"), lambda r: step_m(r, level=1.0), lambda r: step_m(r, centre="middle"),
    lambda r: reality_check(r, np.nan), lambda r: reality_check(r, r["a"].shift(freq="D")), lambda r: reality_check(r, block=0.5),
    lambda r: model_confidence_set(r, statistic="least"), lambda r: model_confidence_set(r, level=0.0),
])
def test_wrong_arguments(call, returns):
    with pytest.raises(DataError):
        call(returns)


def test_bad_data_are_refused_by_name(returns):
    for test in (reality_check, superior_predictive_ability, step_m, model_confidence_set):
        with pytest.raises(MissingDataError, match="c"):
            test(returns.assign(c=np.nan))
        with pytest.raises(NonFiniteError, match="d"):
            test(returns.assign(d=np.inf))
    for test in (superior_predictive_ability, step_m):
        with pytest.raises(ConstantAssetError, match="flat"):
            test(returns.assign(flat=0.1))
        with pytest.raises(InsufficientDataError):
            test(returns.iloc[:7])
    with pytest.raises(MissingDataError, match="good"):
        adjust_p_values(pd.Series([0.1, np.nan], ["bad", "good"]))
    for bad in (lambda: adjust_p_values([]), lambda: adjust_p_values(np.ones((2, 2, 2))), lambda: q_values(np.ones((2, 2))),
                lambda: luck_and_skill([1.0, 2.0], [0.5]), lambda: reality_check(returns, returns[["a", "b"]])):
        with pytest.raises(ShapeError):
            bad()
