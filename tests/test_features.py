"""Features, labels and panels: causal, equal to plain pandas, and refusing what they cannot use."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from portfolio_ml.backtest.splits import PurgedKFold
from portfolio_ml.core.validation import (
    DataError,
    InsufficientDataError,
    LookAheadError,
    MissingDataError,
    NonFiniteError,
    ShapeError,
)
from portfolio_ml.core.worlds import empty_world
from portfolio_ml.forecast.features import (
    Feature,
    FeaturePanel,
    Published,
    as_of,
    check_feature,
    feature_panel,
    feature_task,
    information_coefficients,
    past_return,
    score_features,
    standard_features,
)
from portfolio_ml.forecast.harness import cosine_test, walk_forecast
from portfolio_ml.forecast.panel import (
    LABELS,
    CrossSection,
    date_splits,
    delayed,
    forward_returns,
    forward_volatility,
    from_cube,
    label_ends,
    label_uniqueness,
    rank_across,
    rolled,
    rolled_deviation,
    rolled_skewness,
    rows_ahead,
    scale_across,
    to_cube,
    uniqueness_weights,
)


def market(T=420, N=4, seed=0):
    "Draw returns."
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(0.0003, 0.012, (T, N)), pd.bdate_range("2015-01-02", periods=T), list("ABCDEFGH")[:N])


def companions(returns, seed=1):
    "Draw volumes and bars that fit prices."
    rng, prices = np.random.default_rng(seed), (1 + returns).cumprod()
    volumes = pd.DataFrame(rng.lognormal(0, 0.5, returns.shape), returns.index, returns.columns)
    wide = np.abs(rng.normal(0, 0.01, returns.shape))
    return prices, volumes, {"high": prices * (1 + wide), "low": prices / (1 + wide)}


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10**6))
def test_rolled_is_pandas_rolling(T, window, seed):
    x = np.random.default_rng(seed).normal(size=(T, 3))
    x[np.random.default_rng(seed + 1).random((T, 3)) < 0.03] = np.nan
    table = pd.DataFrame(x).rolling(window)
    np.testing.assert_allclose(rolled(x, window), table.sum(), atol=1e-12)
    np.testing.assert_array_equal(rolled(x, window, np.maximum), table.max())
    np.testing.assert_array_equal(rolled(x, window, np.minimum), table.min())


def test_windows_touch_nothing_but_their_rows():
    x = market().to_numpy()
    other = x.copy()
    other[:100] *= 1e6
    for fold in (rolled, rolled_deviation, rolled_skewness):
        np.testing.assert_array_equal(fold(x, 21)[120:], fold(other, 21)[120:])
    still = np.full((80, 1), 0.0004)
    assert (rolled_deviation(still, 21)[20:] == 0).all() and np.isnan(rolled_skewness(still, 21)).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(0, 10**6))
def test_ranks_share_ties_and_keep_gaps(N, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 4, (6, N)).astype(float)
    x[rng.random((6, N)) < 0.2] = np.nan
    ranks = rank_across(x)
    for row, found in zip(x, ranks):
        known = ~np.isnan(row)
        n = known.sum()
        expected = 2 * (rankdata(row[known]) - 1) / max(n - 1, 1) - 1 if n > 1 else np.zeros(n)
        np.testing.assert_allclose(found[known], expected, atol=1e-12)
        assert np.isnan(found[~known]).all()


def test_zscores():
    z = scale_across(np.array([[1.0, 2, 3], [5, 5, 5], [1, np.nan, 3]]), "zscore")
    np.testing.assert_allclose(z, [[-1.5**0.5, 0, 1.5**0.5], [0, 0, 0], [-1, np.nan, 1]])
    with pytest.raises(DataError, match="neither"):
        scale_across(z, "minmax")


def test_cube_goes_there_and_back():
    X = feature_panel(market(60, 3), [Feature("r", past_return, 5), Feature("s", past_return, 2)])
    cube, dates, assets = to_cube(X)
    assert cube.shape == (60, 3, 2)
    pd.testing.assert_frame_equal(from_cube(cube, dates, assets, X.columns), X)
    holes = X.iloc[[0, 5, 7, 100]]
    assert np.isfinite(to_cube(holes)[0]).sum() == holes.notna().sum().sum()
    with pytest.raises(ShapeError):
        from_cube(cube[:-1], dates, assets, X.columns)


@pytest.mark.parametrize("horizon", [1, 5, 21])
def test_labels_by_hand(horizon):
    r = market(60, 3)
    r.iloc[30, 1] = np.nan
    y = {kind: forward_returns(r, horizon, kind).unstack() for kind in LABELS}
    t = 10
    simple = (1 + r.iloc[t + 1 : t + 1 + horizon]).prod(skipna=False) - 1
    np.testing.assert_allclose(y["simple"].iloc[t], simple)
    np.testing.assert_allclose(y["log"].iloc[t], np.log1p(simple))
    np.testing.assert_allclose(y["excess"].iloc[t], simple - simple.mean())
    np.testing.assert_allclose(y["sign"].iloc[t], np.sign(simple))
    np.testing.assert_allclose(y["winner"].iloc[t].dropna(), (simple > simple.median())[simple.notna()])
    assert y["simple"].iloc[-horizon:].isna().all(axis=None)
    assert y["simple"]["B"].iloc[30 - horizon : 31].isna().all() and y["simple"]["A"].iloc[30] == y["simple"]["A"].iloc[30]
    v = forward_volatility(r, horizon, "variance").unstack()
    np.testing.assert_allclose(v.iloc[t], (r.iloc[t + 1 : t + 1 + horizon] ** 2).mean(skipna=False))


def test_a_total_loss_is_a_label():
    r = market(10, 2)
    r.iloc[4, 0], r.iloc[5:, 0] = -1.0, np.nan
    y = forward_returns(r, 1).unstack()
    assert y["A"].iloc[3] == -1 and y["A"].iloc[4:].isna().all()


def test_uniqueness_of_the_book():
    dates = pd.RangeIndex(7)
    np.testing.assert_allclose(label_uniqueness(dates, ends=pd.Series([3, 4, 6], [0, 2, 4])), [5 / 6, 3 / 4, 1])
    u = label_uniqueness(pd.RangeIndex(200), 7)
    count = np.array([sum(t < s <= t + 7 for t in range(193)) for s in range(200)])
    np.testing.assert_allclose(u.iloc[:193], [(1 / count[t + 1 : t + 8]).mean() for t in range(193)])
    assert u.iloc[193:].isna().all()
    y = forward_returns(market(50, 2), 7)
    w = uniqueness_weights(y, 7)
    assert w[y.notna()].mean() == pytest.approx(1) and (w[y.isna()] == 0).all()
    for how in ({}, {"horizon": 2, "ends": pd.Series([3], [0])}, {"ends": pd.Series([0], [0])}, {"ends": pd.Series([9], [0])}):
        with pytest.raises(DataError):
            label_uniqueness(dates, **how)


def test_splits_never_cut_a_date():
    X, y = feature_task(market(300, 3)[["C", "A", "B"]], 5, features=[Feature("r", past_return, 2)])  # assets not in order of the alphabet
    dates = X.index.get_level_values(0)
    cv = PurgedKFold(4, label_ends=label_ends(dates.unique(), 5))
    for (train, test), (a, b) in zip(date_splits(cv, X), cv.split(pd.DataFrame(index=dates.unique()))):
        assert len(train) == 3 * len(a) and len(test) == 3 * len(b)
        assert not set(dates[train]) & set(dates[test])
    with pytest.raises(DataError, match="order of time"):
        date_splits(cv, X.iloc[::-1])


@pytest.mark.parametrize("feature", [f for f in standard_features() if set(f.needs) <= {"calendar", "high", "low", "volume"}], ids=lambda f: f.name)
def test_standard_features_are_honest(feature):
    prices, volumes, bars = companions(market(330, 3))
    given = {"volumes": volumes} if "volume" in feature.needs else {"bars": bars} if "high" in feature.needs else {}
    found = check_feature(feature, prices, n_cuts=2, **given)
    assert (found["largest change"] == 0).all()
    X = feature_panel(market(330, 3), [feature], **given)[feature.name].unstack()
    first = 0 if feature.common else feature.lookback - 1
    assert X.iloc[:first].isna().all(axis=None) and X.iloc[first:].notna().all(axis=None)


def test_leaks_are_caught():
    prices = companions(market(200, 2))[0]
    centred = Feature("centred", lambda d, w: np.roll(rolled(d.returns, w), -(w // 2), axis=0), 5)
    with pytest.raises(LookAheadError):
        check_feature(centred, prices)
    with pytest.raises(DataError, match="further back"):
        check_feature(Feature("short", lambda d, w: past_return(d, 30), 5), prices)
    with pytest.raises(DataError, match="future"):
        Feature("tomorrow", past_return, 1, delay=-1)


def test_delay_moves_rows():
    r = market(100, 2)
    now, later = (feature_panel(r, [Feature("x", past_return, 5, delay=d)])["x"].unstack() for d in (0, 3))
    pd.testing.assert_frame_equal(now.shift(3), later)


def test_publication_is_waited_for():
    values = pd.Series([1.0, np.nan, 3.0], pd.to_datetime(["2020-03-31", "2020-06-30", "2020-09-30"]))
    dates = pd.date_range("2020-03-01", "2021-03-01")
    found = pd.Series(as_of(Published(values, "45D"), dates), dates)
    assert found.first_valid_index() == pd.Timestamp("2020-05-15") and found["2020-11-13"] == 1 and found["2020-11-14"] == 3
    later = pd.Series(as_of(Published(values, pd.DateOffset(months=2)), dates), dates)
    assert later.first_valid_index() == pd.Timestamp("2020-05-31")
    stale = pd.Series(as_of(Published(values, "1D", max_age="5D"), dates), dates)
    assert stale.count() == 12
    assert np.isnan(as_of(Published(values.iloc[1:2]), dates)).all()
    with pytest.raises(DataError, match="before its date"):
        as_of(Published(values, "-1D"), dates)
    with pytest.raises(DataError, match="ascend"):
        as_of(Published(values.iloc[::-1], "1D"), dates)


def test_macro_features_read_what_was_published():
    r = market(60, 2)
    level = pd.Series(np.arange(60.0), r.index)
    macro = {name: Published(level * k, "1D") for k, name in enumerate(("vix", "treasury_2y", "treasury_10y"), 1)}
    X = feature_panel(r, macro=macro).xs("A", level="asset")
    friday = r.index.get_loc(pd.Timestamp("2015-01-16"))
    assert X["vix"].iloc[friday] == friday - 1 and X["slope"].iloc[friday] == friday - 1  # published a day later
    assert X["rate_change_21"].iloc[50] == 63


def test_scales_leave_common_features_alone():
    r = market(300, 4)
    ranked = feature_panel(r, scale="rank")
    assert ranked["month"].max() == 12 and ranked["volatility_21"].max() == 1
    X = feature_panel(r)
    pd.testing.assert_frame_equal(CrossSection().fit(X).transform(X), ranked)
    assert clone(CrossSection("zscore")).get_params() == {"how": "zscore"}
    panel = FeaturePanel(scale="rank").fit(r)
    pd.testing.assert_frame_equal(clone(panel).fit(r).transform(r), ranked)
    assert list(panel.get_feature_names_out()) == list(ranked)


def test_order_and_units_do_not_matter():
    prices, volumes, bars = companions(market(300, 3))
    X = feature_panel(prices, kind="prices", volumes=volumes, bars=bars)
    turned = feature_panel(prices.iloc[:, ::-1] * 7, kind="prices", volumes=volumes, bars={k: 7 * v for k, v in bars.items()})
    pd.testing.assert_frame_equal(turned.reindex(X.index), X)


def test_missing_days_stay_missing():
    r = market(300, 3)
    r.iloc[280:285, 0] = np.nan
    X = feature_panel(r)
    assert X.xs("A", level="asset").iloc[280:285].isna().all(axis=None)
    assert X.xs("A", level="asset")["return_5"].iloc[285:289].isna().all() and np.isfinite(X.xs("A", level="asset")["return_5"].iloc[289])
    assert X.xs("B", level="asset").iloc[260:].notna().all(axis=None)


def test_one_asset_and_a_still_one():
    r = market(300, 2)
    r["B"] = 0.0
    X = feature_panel(r)
    assert (X.xs("B", level="asset")["volatility_63"].iloc[62:] == 0).all()
    assert X.xs("B", level="asset")["skewness_63"].isna().all() and (X.xs("B", level="asset")["strength_14"].iloc[13:] == 50).all()
    alone = feature_panel(r[["A"]])
    np.testing.assert_allclose(alone["beta_252"].dropna(), 1)
    assert not np.isinf(X.to_numpy()).any()


def test_bad_input_is_named():
    r = market(300, 3)
    bad = r.copy()
    bad.iloc[3, 1] = np.inf
    with pytest.raises(NonFiniteError, match="B"):
        feature_panel(bad)
    with pytest.raises(DataError, match="C lose more than everything"):
        feature_panel(r.assign(C=-2.0))
    with pytest.raises(DataError, match="say when it is known"):
        feature_panel(r, macro={"vix": r["A"]})
    with pytest.raises(MissingDataError, match="volume"):
        feature_panel(r, [f for f in standard_features() if f.name == "volume_21"])
    with pytest.raises(MissingDataError, match="no column for B"):
        feature_panel(r, volumes=r[["A", "C"]])
    with pytest.raises(ShapeError, match="no date"):
        feature_panel(r, volumes=r.set_axis(r.index + pd.Timedelta("9999D")))
    with pytest.raises(DataError, match="more than once"):
        feature_panel(r, [Feature("x", past_return, 2)] * 2)
    with pytest.raises(DataError, match="none"):
        feature_panel(r, [])
    with pytest.raises(DataError, match="neither returns nor prices"):
        feature_panel(r, kind="logs")
    for call in (lambda: rolled(r.to_numpy(), 0), lambda: delayed(r.to_numpy(), -1), lambda: rows_ahead(r.to_numpy(), 0), lambda: forward_returns(r, 1, "best")):
        with pytest.raises(DataError):
            call()
    with pytest.raises(InsufficientDataError):
        forward_returns(r, 300)


def test_information_coefficients_are_spearmans():
    X, y = feature_task(market(80, 6), 5, features=[Feature("a", past_return, 3), Feature("b", past_return, 9)])
    X.iloc[200, 0] = np.nan
    ic = information_coefficients(X, y)
    for t in (20, 33, 50):
        day = ic.index[t]
        for name in X:
            both = X[name].xs(day).notna() & y.xs(day).notna()
            expected = spearmanr(X[name].xs(day)[both], y.xs(day)[both]).statistic
            assert ic.loc[day, name] == pytest.approx(expected)
    assert ic.iloc[-5:].isna().all(axis=None)


def test_cosines_keep_their_size_and_find_a_mean():
    from scipy.stats import t as student

    rng, beyond, h = np.random.default_rng(0), [], 21
    for _ in range(1500):
        x = np.convolve(rng.standard_normal(1220), np.ones(h), "valid")
        mean, error, free = cosine_test(x, h)
        beyond.append(abs(mean / error) > student.ppf(0.975, free))
    assert abs(np.mean(beyond) - 0.05) < 4 * (0.05 * 0.95 / 1500) ** 0.5 + 0.01  # the spectrum of overlap is not quite flat
    mean, error, free = cosine_test(x + 60, h)
    assert mean / error > 5 and free == len(x) // (3 * h)
    with pytest.raises(InsufficientDataError):
        cosine_test(np.arange(60.0), 21)


def test_scores_count_their_tries():
    world = empty_world(400, 6, random_state=3)
    table = score_features(*feature_task(world.returns, 5, features=[f for f in standard_features() if f.window < 100 and not f.needs]), 5)
    assert (table["holm"] >= table["p"]).all() and (table["bh"] <= table["holm"]).all()
    assert ((table["low"] < table["IC"]) & (table["IC"] < table["high"])).all()
    with pytest.raises(InsufficientDataError):
        score_features(*feature_task(world.returns.iloc[:40], 21, features=[Feature("x", past_return, 2)]), 21)


def test_the_harness_reads_it():
    X, y = feature_task(market(700, 4), 5, features=[f for f in standard_features() if f.window <= 63 and not f.needs])
    walk = walk_forecast(make_pipeline(CrossSection(), Ridge()), X, y, horizon=5, first=400)
    assert np.isfinite(walk.predictions[next(iter(walk.predictions))]).all(axis=None)
    whole = X.notna().all(axis=1) & y.notna()
    cv = date_splits(PurgedKFold(3, horizon=5), X[whole])
    assert np.isfinite(cross_val_predict(Ridge(), X[whole], y[whole], cv=cv)).all()
