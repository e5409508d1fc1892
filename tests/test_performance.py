"The measure room: closed forms, identities that hold for any data, and the refusal of bad input."

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from portfolio_ml.core.validation import (
    DataError,
    DuplicateDateError,
    InsufficientDataError,
    MissingDataError,
    NonFiniteError,
    ShapeError,
    UnsortedIndexError,
)
from portfolio_ml.measure import performance as pf

MEASURES = {
    "annualised_return": pf.annualised_return,
    "annualised_volatility": pf.annualised_volatility,
    "downside_deviation": pf.downside_deviation,
    "sharpe_ratio": pf.sharpe_ratio,
    "sortino_ratio": pf.sortino_ratio,
    "max_drawdown": pf.max_drawdown,
    "calmar_ratio": pf.calmar_ratio,
    "skewness": pf.skewness,
    "kurtosis": pf.kurtosis,
    "value_at_risk": pf.value_at_risk,
    "var_gaussian": lambda r: pf.value_at_risk(r, method="gaussian"),
    "var_cornish_fisher": lambda r: pf.value_at_risk(r, method="cornish_fisher", check=False),
    "cvar": pf.cvar,
    "cvar_mean": lambda r: pf.cvar(r, tail="mean"),
    "cvar_cornish_fisher": lambda r: pf.cvar(r, method="cornish_fisher", check=False),
    "hit_rate": pf.hit_rate,
}
PATHS = {"drawdowns": pf.drawdowns, "equity_curve": pf.equity_curve, "excess_returns": pf.excess_returns}
quick = settings(max_examples=25, deadline=None)


def panels(rows=(5, 40), columns=(2, 5)):
    "Panels of plausible returns, on a grid of a thousandth of a basis point so that no draw is a rounding riddle."
    shape = st.tuples(st.integers(*rows), st.integers(*columns))
    grid = st.integers(-2_000_000, 2_000_000)
    return shape.flatmap(lambda s: arrays(np.int64, s, elements=grid)).map(lambda x: x * 1e-7)


def varied(values):
    "Keep to panels in which every column moves, so that every ratio exists."
    assume((values.std(axis=0) > 1e-4).all())
    return values


@pytest.fixture(scope="module")
def daily():
    rng = np.random.default_rng(0)
    dates = pd.bdate_range("2015-01-01", periods=1500)
    return pd.DataFrame(0.0004 + 0.01 * rng.standard_t(5, (1500, 4)), index=dates, columns=list("ABCD"))


# --- identities for any data -------------------------------------------------------------------------------------


@quick
@given(panels())
@pytest.mark.parametrize("name", MEASURES)
def test_permuting_the_columns_permutes_the_answer(name, values):
    order = np.arange(values.shape[1])[::-1]
    np.testing.assert_array_equal(MEASURES[name](values)[order], MEASURES[name](np.ascontiguousarray(values[:, order])))


@quick
@given(panels(columns=(1, 4)))
@pytest.mark.parametrize("name", MEASURES)
def test_array_frame_and_series_agree(name, values):
    frame = pd.DataFrame(values, columns=[f"a{i}" for i in range(values.shape[1])])
    from_array, from_frame = MEASURES[name](values), MEASURES[name](frame)
    assert isinstance(from_array, np.ndarray) and isinstance(from_frame, pd.Series)
    assert list(from_frame.index) == list(frame.columns)
    np.testing.assert_array_equal(from_array, from_frame)
    for i, column in enumerate(frame.columns):
        one, array = MEASURES[name](frame[column]), MEASURES[name](values[:, i])
        assert isinstance(one, float) and isinstance(array, float)
        np.testing.assert_allclose([one, array], from_array[i], rtol=1e-9, atol=1e-12)


@quick
@given(panels())
@pytest.mark.parametrize("name", MEASURES)
def test_a_duplicated_column_gets_the_same_answer(name, values):
    result = MEASURES[name](np.column_stack([values, values[:, 0]]))
    np.testing.assert_array_equal(result[0], result[-1])


@quick
@given(panels(), st.floats(0.1, 3))
def test_scaling(values, c):
    varied(values)
    for f in (pf.sharpe_ratio, pf.skewness, pf.kurtosis, pf.hit_rate):
        np.testing.assert_allclose(f(c * values), f(values), rtol=1e-6, atol=1e-9)
    for f in (pf.annualised_volatility, pf.downside_deviation, pf.value_at_risk, pf.cvar):
        np.testing.assert_allclose(f(c * values), c * f(values), rtol=1e-9, atol=1e-12)
    deepest = pf.max_drawdown(values, compounded=False)
    np.testing.assert_allclose(pf.max_drawdown(c * values, compounded=False), c * deepest, rtol=1e-9, atol=1e-12)


@quick
@given(panels(), st.floats(-0.05, 0.05))
def test_cash_shifts_the_tail_and_leaves_the_spread(values, cash):
    for method in ("historical", "gaussian"):
        np.testing.assert_allclose(pf.cvar(values + cash, method=method), pf.cvar(values, method=method) - cash, atol=1e-12)
    np.testing.assert_allclose(pf.annualised_volatility(values + cash), pf.annualised_volatility(values), rtol=1e-9, atol=1e-12)


@quick
@given(panels(rows=(5, 60)), st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99]))
def test_the_tail_is_ordered_and_subadditive(values, confidence):
    var, upper = pf.value_at_risk(values, confidence=confidence), pf.value_at_risk(values, confidence=confidence, quantile="upper")
    es = pf.cvar(values, confidence=confidence)
    assert (var <= upper + 1e-15).all() and (upper <= es + 1e-15).all() and (es <= -values.min(axis=0) + 1e-15).all()
    assert pf.cvar(values.mean(axis=1), confidence=confidence) <= es.mean() + 1e-12


@quick
@given(panels(rows=(5, 40), columns=(1, 1)), st.sampled_from([0.6, 0.9, 0.95]))
def test_cvar_is_the_minimum_of_rockafellar_and_uryasev(values, confidence):
    losses = -values[:, 0]
    objective = losses[:, None] + np.maximum(losses[None, :] - losses[:, None], 0).mean(axis=1, keepdims=True) / (1 - confidence)
    np.testing.assert_allclose(pf.cvar(values[:, 0], confidence=confidence), objective.min(), rtol=1e-9, atol=1e-12)


@quick
@given(panels())
def test_drawdowns_by_the_definition(values):
    wealth = np.vstack([np.ones(values.shape[1]), np.cumprod(1 + values, axis=0)])
    naive = [[wealth[t, j] / wealth[: t + 1, j].max() - 1 for j in range(values.shape[1])] for t in range(1, len(wealth))]
    np.testing.assert_allclose(pf.drawdowns(values), naive, atol=1e-12)
    np.testing.assert_allclose(pf.max_drawdown(values), np.min(naive, axis=0), atol=1e-12)


@quick
@given(panels(rows=(5, 30), columns=(1, 1)))
def test_aggregation_keeps_the_total(values):
    dates = pd.bdate_range("2020-01-20", periods=len(values))
    daily = pd.Series(values[:, 0], index=dates)
    for to in ("week", "month", "quarter", "year"):
        np.testing.assert_allclose((1 + pf.aggregate_returns(daily, to)).prod(), (1 + daily).prod(), rtol=1e-12)
    by_hand = (1 + daily).groupby([dates.year, dates.month]).prod() - 1
    np.testing.assert_allclose(pf.aggregate_returns(daily, "month"), by_hand, rtol=1e-9, atol=1e-12)


# --- closed forms ------------------------------------------------------------------------------------------------


def test_prices_to_returns_and_back():
    prices = pd.DataFrame({"A": [100.0, 110.0, 99.0], "B": [50.0, 50.0, 75.0]}, index=pd.bdate_range("2024-01-01", periods=3))
    simple = pf.simple_returns(prices)
    np.testing.assert_allclose(simple, [[0.1, 0.0], [-0.1, 0.5]])
    np.testing.assert_allclose(pf.log_returns(prices), np.log1p(simple))
    np.testing.assert_allclose(pf.equity_curve(simple, initial=100)["A"], [110, 99])
    assert list(simple.index) == list(prices.index[1:])
    assert pf.simple_returns(prices["A"]).name == "A" and pf.simple_returns(prices["A"].to_numpy()).shape == (2,)
    assert pf.simple_returns(prices.where(prices != 110), missing="keep")["A"].isna().all()


def test_by_hand():
    r = np.array([0.10, -0.20, 0.05, 0.05])
    assert pf.max_drawdown(r) == pytest.approx(-0.2)
    assert pf.max_drawdown(-np.abs(r)) == pytest.approx(0.9 * 0.8 * 0.95**2 - 1)
    assert pf.max_drawdown(r, compounded=False) == pytest.approx(-0.2)
    assert pf.sharpe_ratio(r, periods_per_year=4) == pytest.approx(0.0, abs=1e-15)
    assert pf.sharpe_ratio(r, risk_free=0.01, periods_per_year=4) == pytest.approx(-0.01 / r.std(ddof=1) * 2)
    assert pf.sortino_ratio(r, target=-0.05, periods_per_year=1) == pytest.approx(0.05 / np.sqrt(0.15**2 / 4))
    assert pf.annualised_return(r, periods_per_year=4) == pytest.approx(1.1 * 0.8 * 1.05**2 - 1)
    assert pf.annualised_return(r, periods_per_year=8) == pytest.approx((1.1 * 0.8 * 1.05**2) ** 2 - 1)
    assert pf.calmar_ratio(r, periods_per_year=4) == pytest.approx((1.1 * 0.8 * 1.05**2 - 1) / 0.2)
    assert pf.cvar(r, confidence=0.5) == pytest.approx((0.2 - 0.05) / 2)
    assert pf.cvar(r, confidence=0.6) == pytest.approx((0.2 - 0.6 * 0.05) / 1.6)
    assert pf.value_at_risk(r, confidence=0.75, quantile="upper") == pytest.approx(0.2)
    assert pf.value_at_risk(r, confidence=0.75) == pytest.approx(-0.05)
    assert pf.cvar(r, confidence=0.99) == pytest.approx(0.2)
    assert pf.hit_rate(np.array([0.0, 1.0, 0.0, -1.0])) == 0.25
    assert pf.hit_rate(np.array([0.0, 1.0, 0.0, -1.0]), zeros="drop") == 0.5


def test_gaussian_tail_of_rockafellar_and_uryasev():
    mean = np.array([0.0101110, 0.0043532, 0.0137058])
    covariance = np.array(
        [[0.00324625, 0.00022983, 0.00420395], [0.00022983, 0.00049937, 0.00019247], [0.00420395, 0.00019247, 0.00764097]]
    )
    weights = np.array([0.452013, 0.115573, 0.432414])
    raw = np.random.default_rng(0).normal(size=500)
    sample = weights @ mean + np.sqrt(weights @ covariance @ weights) * (raw - raw.mean()) / raw.std(ddof=1)
    published = {0.90: (0.067847, 0.096975), 0.95: (0.090200, 0.115908), 0.99: (0.132128, 0.152977)}
    for confidence, (var, es) in published.items():
        assert pf.value_at_risk(sample, confidence=confidence, method="gaussian") == pytest.approx(var, abs=2e-6)
        assert pf.cvar(sample, confidence=confidence, method="gaussian") == pytest.approx(es, abs=2e-6)


def test_cornish_fisher_against_quadrature_and_the_normal():
    from scipy import stats

    np.testing.assert_allclose(pf.cornish_fisher_quantile(-1.645, 0.0, 3.0), -1.645)
    rng = np.random.default_rng(1)
    r = 0.01 * rng.gamma(20.0, size=400)
    r -= r.mean()
    s, k = pf.skewness(r), pf.kurtosis(r)
    assert pf.cornish_fisher_valid(s, k)
    u = (np.arange(200_000) + 0.5) / 200_000 * 0.05
    z = pf.cornish_fisher_quantile(stats.norm.ppf(u), s, k)
    assert pf.cvar(r, method="cornish_fisher") == pytest.approx(-r.mean() - r.std(ddof=1) * z.mean(), rel=1e-5)
    bent = pf.cornish_fisher_quantile(stats.norm.ppf(0.05), s, k)
    assert pf.value_at_risk(r, method="cornish_fisher") == pytest.approx(-r.mean() - r.std(ddof=1) * bent)
    assert -3.2 - 5.6 * pf.cornish_fisher_quantile(stats.norm.ppf(0.1), 2.0, 3.0) == pytest.approx(4.145348, abs=1e-6)  # R package Dowd
    assert s == pytest.approx(stats.skew(r)) and k == pytest.approx(stats.kurtosis(r, fisher=False))
    assert pf.skewness(r, bias=False) == pytest.approx(stats.skew(r, bias=False))
    assert pf.kurtosis(r, bias=False, excess=True) == pytest.approx(stats.kurtosis(r, bias=False))


@quick
@given(st.floats(-2, 2), st.floats(1, 20))
def test_cornish_fisher_domain_is_where_the_quantile_rises(skew, kurt):
    z = np.linspace(-60, 60, 24_001)
    rises = (np.diff(pf.cornish_fisher_quantile(z, skew, kurt)) > 0).all()
    a, c = (kurt - 3) / 8 - skew**2 / 6, 1 - (kurt - 3) / 8 + 5 * skew**2 / 36
    assume(abs(skew**2 / 9 - 4 * a * c) > 1e-2 and abs(a) > 1e-2)
    assert bool(pf.cornish_fisher_valid(skew, kurt)) == bool(rises)


def test_cornish_fisher_is_refused_outside_its_domain(daily):
    wild = daily.assign(B=np.where(np.arange(len(daily)) == 700, -0.5, daily["B"]))
    with pytest.raises(DataError, match="Cornish-Fisher expansion: B "):
        pf.cvar(wild, method="cornish_fisher")
    assert np.isfinite(pf.cvar(wild, method="cornish_fisher", check=False)).all()


def test_benchmark_measures(daily):
    market = daily.mean(axis=1)
    slope, intercept = np.polyfit(market, daily["A"], 1)
    assert pf.beta(daily, market)["A"] == pytest.approx(slope)
    assert pf.alpha(daily, market)["A"] == pytest.approx(252 * intercept)
    assert pf.beta(daily, market).mean() == pytest.approx(1) and pf.alpha(daily, market).mean() == pytest.approx(0, abs=1e-12)
    active = daily["A"] - market
    assert pf.tracking_error(daily["A"], market) == pytest.approx(active.std() * np.sqrt(252))
    assert pf.information_ratio(daily["A"], market, annualise=False) == pytest.approx(active.mean() / active.std())
    assert np.isnan(pf.information_ratio(market, market)) and pf.beta(market, market) == pytest.approx(1)
    assert np.isnan(pf.beta(daily["A"], market * 0))
    rate = pd.Series(0.0001, index=daily.index)
    assert pf.alpha(daily["A"], market, risk_free=rate) == pytest.approx(pf.alpha(daily["A"], market, risk_free=0.0001))


def test_sharpe_identities(daily):
    r = daily["A"]
    assert pf.sharpe_ratio(r) == pytest.approx(pf.sharpe_ratio(r, annualise=False) * np.sqrt(252))
    assert pf.sharpe_ratio(r) == pytest.approx(pf.annualised_return(r, mean="arithmetic") / pf.annualised_volatility(r))
    assert pf.sharpe_ratio(r, mean="geometric") == pytest.approx(pf.annualised_return(r) / pf.annualised_volatility(r))
    rate = pd.Series(0.0001, index=pd.bdate_range("2014-01-01", periods=3000))
    assert pf.sharpe_ratio(r, risk_free=rate) == pytest.approx(pf.sharpe_ratio(pf.excess_returns(r, 0.0001)))
    assert pf.per_period_rate(0.05, 12) == pytest.approx(1.05 ** (1 / 12) - 1)


def test_undefined_ratios_are_nan_without_a_warning(recwarn):
    flat = np.full((30, 2), 0.001)
    for f in (pf.sharpe_ratio, pf.sortino_ratio, pf.calmar_ratio, pf.skewness, pf.kurtosis):
        assert np.isnan(f(flat)).all(), f.__name__
    assert np.isnan(pf.sharpe_ratio(np.full(10, 0.0)))
    assert pf.max_drawdown(flat).tolist() == [0.0, 0.0]
    assert pf.performance_summary(flat).loc["Sharpe ratio"].isna().all()
    assert not recwarn.list


def test_ruin():
    assert pf.annualised_return(np.array([0.1, -1.0, 0.5])) == -1.0
    assert pf.max_drawdown(np.array([0.1, -1.0, 0.5])) == -1.0
    for f in (pf.annualised_return, pf.max_drawdown, pf.drawdowns, pf.equity_curve, pf.calmar_ratio):
        with pytest.raises(DataError, match="more than 100 %"):
            f(pd.DataFrame({"A": [0.1, 0.2], "B": [0.1, -1.2]}))
    for f in (pf.performance_summary, lambda x: pf.calmar_ratio(x, mean="arithmetic")):
        with pytest.raises(DataError, match="B lose more than 100 %"):
            f(pd.DataFrame({"A": [0.1, 0.2], "B": [0.1, -1.2]}))
    assert pf.max_drawdown(np.array([0.1, -1.2]), compounded=False) == pytest.approx(-1.2)


def test_turnover_by_hand():
    dates = pd.bdate_range("2024-01-01", periods=3)
    weights = pd.DataFrame([[0.5, 0.5], [0.5, 0.5], [0.2, 0.3]], index=dates, columns=["A", "B"])
    returns = pd.DataFrame([[0.1, 0.0], [0.0, 0.0], [0.0, 0.0]], index=dates, columns=["A", "B"])
    drifted = 0.55 / 1.05
    np.testing.assert_allclose(pf.turnover(weights, returns), [0, 2 * (drifted - 0.5), 0.5])
    np.testing.assert_allclose(pf.turnover(weights, returns, convention="one-way"), [0, drifted - 0.5, 0.5])
    np.testing.assert_allclose(pf.turnover(weights), [0, 0, 0.5])
    np.testing.assert_allclose(pf.turnover(weights.to_numpy(), initial=True), [1, 0, 0.5])
    with pytest.raises(ShapeError):
        pf.turnover(weights.to_numpy(), returns.to_numpy()[:2])
    for other in (returns.iloc[:2], returns[["B", "A"]], returns.shift(1, freq="B")):
        with pytest.raises(DataError, match="reindex"):
            pf.turnover(weights, other)


def test_an_unrebalanced_portfolio_has_no_turnover(daily):
    wealth = (1 + daily).cumprod()
    held = wealth.shift(1, fill_value=1.0)
    np.testing.assert_allclose(pf.turnover(held.div(held.sum(axis=1), axis=0), daily), 0, atol=1e-12)


def test_episodes(daily):
    table = pf.drawdown_episodes(daily["A"], top=3)
    assert table.loc[0, "depth"] == pytest.approx(pf.max_drawdown(daily["A"])) and table["depth"].is_monotonic_increasing
    hand = pf.drawdown_episodes(np.array([-0.1, 0.2, 0.1, -0.5, 0.1]))
    assert hand.loc[0, ["peak", "trough", "periods"]].tolist() == [2, 3, 2] and pd.isna(hand.loc[0, "recovery"])
    assert pd.isna(hand.loc[1, "peak"]) and hand.loc[1, "recovery"] == 1
    assert len(pf.drawdown_episodes(np.array([0.1, 0.1]))) == 0


# --- the summary, frequencies and labels -------------------------------------------------------------------------


def test_summary_is_made_of_the_measures(daily):
    table = pf.performance_summary(daily, benchmark=daily["A"], risk_free=0.0001)
    assert list(table.columns) == list(daily.columns) and table.attrs["periods_per_year"] == 252
    pd.testing.assert_series_equal(table.loc["Sharpe ratio"], pf.sharpe_ratio(daily, risk_free=0.0001), check_names=False)
    pd.testing.assert_series_equal(table.loc["CVaR 0.95"], pf.cvar(daily), check_names=False)
    pd.testing.assert_series_equal(table.loc["Alpha"], pf.alpha(daily, daily["A"], risk_free=0.0001), check_names=False, atol=1e-12)
    assert np.isnan(table.loc["Information ratio", "A"]) and table.loc["Beta", "A"] == pytest.approx(1)
    text = pf.format_summary(table)
    assert text.loc["Information ratio", "A"] == "-" and text.loc["Annualised return", "A"].endswith("%")
    assert text.loc["Periods", "A"] == "1,500"
    assert pf.performance_summary(daily["A"].to_numpy()).shape == (14, 1)


def test_summary_of_unequal_histories(daily):
    gappy = daily.mask(np.arange(len(daily))[:, None] < np.array([0, 500, 0, 0]))
    with pytest.raises(MissingDataError, match="B"):
        pf.performance_summary(gappy)
    table = pf.performance_summary(gappy, missing="omit")
    assert table.loc["Periods"].tolist() == [1500, 1000, 1500, 1500]
    assert table.loc["Sharpe ratio", "B"] == pytest.approx(pf.sharpe_ratio(daily["B"].iloc[500:]))
    full = pf.performance_summary(daily.iloc[500:], benchmark=daily["A"], risk_free=daily["D"])
    array = pf.performance_summary(gappy.to_numpy(), benchmark=daily["A"].to_numpy(), risk_free=daily["D"].to_numpy(), missing="omit")
    np.testing.assert_allclose(array[1], full["B"])
    with pytest.raises(InsufficientDataError, match="C"):
        pf.performance_summary(daily.assign(C=np.nan), missing="omit")


@pytest.mark.parametrize(("freq", "periods"), [("B", 252), ("D", 365), ("W-FRI", 52), ("ME", 12), ("QE", 4), ("YE", 1)])
def test_frequencies(freq, periods):
    index = pd.date_range("2015-01-01", periods=40, freq=freq)
    assert pf.infer_periods_per_year(index) == periods
    r = pd.Series(np.random.default_rng(0).normal(0, 0.01, 40), index=index)
    assert pf.annualised_volatility(r) == pytest.approx(r.std() * np.sqrt(periods))
    assert pf.annualised_volatility(r, periods_per_year=7) == pytest.approx(r.std() * np.sqrt(7))
    assert pf.infer_periods_per_year(pd.RangeIndex(5)) == 252
    assert pf.infer_periods_per_year(index.tz_localize("Europe/Zurich")) == periods
    assert pf.aggregate_returns(r.tz_localize("Europe/Zurich"), "year").tolist() == pf.aggregate_returns(r, "year").tolist()


def test_odd_frequencies_are_refused():
    for index in (pd.date_range("2020", periods=9, freq="14D"), pd.date_range("2020", periods=9, freq="h")):
        with pytest.raises(DataError, match="periods_per_year"):
            pf.sharpe_ratio(pd.Series(np.arange(9) * 0.01, index=index))
    with pytest.raises(DataError):
        pf.sharpe_ratio(np.arange(9) * 0.01, periods_per_year=-1)


# --- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*MEASURES, *PATHS])
def test_bad_values_are_refused_by_name(name, daily):
    f = {**MEASURES, **PATHS}[name]
    for bad, error in ((np.nan, MissingDataError), (np.inf, NonFiniteError)):
        with pytest.raises(error, match="C"):
            f(daily.mask((daily.index == daily.index[7])[:, None] & (daily.columns == "C"), bad))
    with pytest.raises(DuplicateDateError):
        f(pd.concat([daily, daily.iloc[-1:]]))
    with pytest.raises(UnsortedIndexError):
        f(daily.iloc[::-1])
    with pytest.raises(DataError):
        f(daily.iloc[:0])
    with pytest.raises(DataError):
        f(np.zeros((2, 2, 2)))


def test_too_few_rows(daily):
    for f in (pf.sharpe_ratio, pf.annualised_volatility, pf.tracking_error, pf.performance_summary, pf.alpha):
        with pytest.raises(InsufficientDataError):
            f(daily.iloc[:1], **({"benchmark": daily["A"]} if f in (pf.tracking_error, pf.alpha) else {}))
    with pytest.raises(InsufficientDataError, match="periods_per_year"):
        pf.annualised_return(daily.iloc[:1])
    assert pf.max_drawdown(daily["A"].iloc[:1] * 0 - 0.1) == pytest.approx(-0.1)


def test_mismatched_rates_and_benchmarks(daily):
    short = daily["A"].iloc[10:]
    for f in (pf.beta, pf.alpha, pf.tracking_error, pf.information_ratio):
        with pytest.raises(DataError, match="lacks 10 of the 1500 dates"):
            f(daily, short)
        with pytest.raises(ShapeError):
            f(daily, short.to_numpy())
        with pytest.raises(ShapeError):
            f(daily, daily)
        with pytest.raises(MissingDataError, match="benchmark"):
            f(daily, daily["A"].where(daily.index != daily.index[3]))
    for f in (pf.sharpe_ratio, pf.sortino_ratio, pf.excess_returns, pf.performance_summary):
        with pytest.raises(DataError, match="risk_free"):
            f(daily, risk_free=short)
        with pytest.raises(MissingDataError, match="risk_free"):
            f(daily, risk_free=np.nan)


def test_bad_options_and_prices(daily):
    for call in (
        lambda: pf.sharpe_ratio(daily, mean="harmonic"),
        lambda: pf.cvar(daily, method="student"),
        lambda: pf.cvar(daily, tail="fat"),
        lambda: pf.value_at_risk(daily, quantile="middle"),
        lambda: pf.value_at_risk(daily, confidence=95),
        lambda: pf.sortino_ratio(daily, target="median"),
        lambda: pf.aggregate_returns(daily, "decade"),
        lambda: pf.aggregate_returns(daily.to_numpy()),
        lambda: pf.turnover(daily, convention="three-way"),
        lambda: pf.as_reported_by("excel", daily),
        lambda: pf.simple_returns(pd.Series([1.0, 0.0, 1.0])),
        lambda: pf.simple_returns(pd.Series([1.0])),
    ):
        with pytest.raises(DataError):
            call()


# --- the libraries (extra: peers) --------------------------------------------------------------------------------


def test_quantstats_as_reported(daily):
    qs = pytest.importorskip("quantstats", reason="needs the extra: peers")
    ours, r = pf.as_reported_by("quantstats", daily["A"])["A"], daily["A"]
    theirs = {
        "Annualised return": qs.stats.cagr(r), "Annualised volatility": qs.stats.volatility(r), "Sharpe ratio": qs.stats.sharpe(r),
        "Sortino ratio": qs.stats.sortino(r), "Maximum drawdown": qs.stats.max_drawdown(r), "Calmar ratio": qs.stats.calmar(r),
        "VaR 0.95": qs.stats.value_at_risk(r), "CVaR 0.95": qs.stats.cvar(r), "Skewness": qs.stats.skew(r),
        "Kurtosis": qs.stats.kurtosis(r), "Hit rate": qs.stats.win_rate(r),
    }
    np.testing.assert_allclose(ours, pd.Series(theirs)[ours.index], rtol=1e-10)


def test_skfolio_as_reported(daily):
    skfolio = pytest.importorskip("skfolio", reason="needs the extra: peers")
    book = skfolio.Portfolio(X=daily[["A"]], weights=[1.0])
    ours = pf.as_reported_by("skfolio", daily["A"])["A"]
    theirs = {
        "Annualised return": book.annualized_mean, "Annualised volatility": book.annualized_standard_deviation,
        "Sharpe ratio": book.annualized_sharpe_ratio, "Sortino ratio": book.annualized_sortino_ratio, "Maximum drawdown": book.max_drawdown,
        "Calmar ratio": book.calmar_ratio, "VaR 0.95": book.value_at_risk, "CVaR 0.95": book.cvar, "Skewness": book.skew,
        "Kurtosis": book.kurtosis,
    }
    np.testing.assert_allclose(ours, pd.Series(theirs)[ours.index], rtol=1e-10)
