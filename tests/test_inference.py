"""Inference: published numbers to their digits, independent witnesses, size and power by simulation, impossible input refused by name."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.signal import lfilter

from portfolio_ml.core.validation import (
    ConstantAssetError,
    DataError,
    InsufficientDataError,
    MissingDataError,
    NonFiniteError,
    ShapeError,
)
from portfolio_ml.data.catalog import load_returns
from portfolio_ml.measure import inference as I
from portfolio_ml.measure import smooth as S
from portfolio_ml.measure.performance import kurtosis, sharpe_ratio, skewness
from portfolio_ml.measure.resampling import Blocks, block_rows

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def stocks():
    "Four stocks, 33 years."
    return load_returns("us20")[["AAPL", "KO", "XOM", "RRC"]]


def pairs(M, T, rng, correlation=0.5, sharpe=0.144, phi=0.0, tails=None):
    "Draw M pairs of series of equal Sharpe ratio, (T, 2M), variance one."
    x = correlation**0.5 * rng.standard_normal((T + 50, M, 1)) + (1 - correlation) ** 0.5 * rng.standard_normal((T + 50, M, 2))
    if tails:
        x = x * np.sqrt((tails - 2) / rng.chisquare(tails, (T + 50, M, 1)))
    x = lfilter([(1 - phi**2) ** 0.5], [1, -phi], x, axis=0)[50:]
    return x.reshape(T, 2 * M) + sharpe, np.arange(0, 2 * M, 2)


# -- published numbers -------------------------------------------------------------------------------------------------

def test_bailey_lopez_de_prado_2012():
    "The probabilistic ratio of the fund with 24 months, and the four track records."
    assert round(I.probabilistic_sharpe_ratio(0.458, 24), 3) == 0.982
    assert round(I.probabilistic_sharpe_ratio(0.458, 24, -2.448, 10.164), 3) == 0.913
    years = [I.min_track_record_length(2 / p**0.5, benchmark=1 / p**0.5) / p for p in (252, 52, 12)]
    funds = I.min_track_record_length(2 / 12**0.5, skew=-0.72, kurtosis=5.78, benchmark=1 / 12**0.5, confidence=0.95) / 12
    np.testing.assert_allclose([*years, funds], [2.73, 2.83, 3.24, 4.99], atol=0.005)


def test_deflated_sharpe_2014():
    "SR0 and both deflated ratios of the paper."
    kw = dict(sharpe_variance=0.5 / 250, skew=-3, kurtosis=10)
    got = [I.deflated_sharpe_ratio(2.5 / 250**0.5, 1250, n_trials=n, **kw) for n in (100, 46)]
    np.testing.assert_allclose([I.expected_maximum_sharpe(100, 0.5 / 250), *got], [0.1132, 0.9004, 0.9505], atol=6e-5)


def test_pseudo_mathematics_2014():
    "At most 45 tries in five years; the best of ten is 1.57."
    assert I.min_backtest_length(45, 1.0) < 5 < I.min_backtest_length(46, 1.0)
    assert round(I.expected_maximum_sharpe(10), 2) == 1.57
    np.testing.assert_allclose(I.min_backtest_length(np.array([10, 100]), 2.0), I.min_backtest_length(np.array([10, 100])) / 4)


def test_lo_2002():
    "Table 1 for a Sharpe ratio of 0.5 and of 3; eta(12) at 20 and -20 %."
    for ratio, row in ((0.5, (0.306, 0.217, 0.177, 0.153, 0.137, 0.095, 0.067, 0.047)), (3.0, (0.677, 0.479, 0.391, 0.339, 0.303, 0.210, 0.148, 0.105))):
        T = np.array([12, 24, 36, 48, 60, 125, 250, 500])
        np.testing.assert_allclose(np.sqrt(I.sharpe_variance_factor(ratio) / T), row, atol=5.1e-4)
    eta = [I.lo_annualising_factor(phi ** np.arange(1, 12), 12) for phi in (0.2, -0.2)]
    np.testing.assert_allclose(eta, [2.88, 4.17], atol=0.005)
    assert I.lo_annualising_factor([], 12) == I.lo_annualising_factor([0.0], 12) == pytest.approx(12**0.5)
    assert I.lo_annualising_factor([0.3, 0.2], 1) == 1


def test_years_of_the_question():
    "14.6 against 12.1 % at 15 % volatility: the formula by hand."
    a, b, z = 0.146 / 0.15, 0.121 / 0.15, stats.norm.ppf([0.975, 0.8]).sum()
    for rho in (0.0, 0.9):
        noise = 2 * (1 - rho) + (a**2 + b**2 - 2 * a * b * rho**2) / 504
        assert I.years_to_tell(a, b, correlation=rho) == pytest.approx(noise * (z / (a - b)) ** 2)
    assert round(I.years_to_tell(a, b)) == 566 and round(I.years_to_tell(a, b, correlation=0.9), 1) == 56.7
    assert I.sharpe_power(a, b, I.years_to_tell(a, b, sides=1), sides=1) == pytest.approx(0.8)
    assert I.sharpe_power(1, 1, 10) == pytest.approx(0.05) and I.years_to_tell(1, 1) == np.inf
    assert I.years_to_tell(0.5, 1, sides=1) == np.inf and np.isfinite(I.years_to_tell(0.5, 1))


# -- standard errors, intervals ----------------------------------------------------------------------------------------

def test_closed_forms(stocks):
    "The two formulas for independent returns, by hand; annualised by the square root."
    x = stocks["KO"].to_numpy()
    s, g, k = sharpe_ratio(x, annualise=False), stats.skew(x), stats.kurtosis(x, fisher=False)
    assert I.sharpe_standard_error(x, method="iid", annualise=False) == pytest.approx(np.sqrt((1 + s * s / 2) / len(x)))
    want = np.sqrt((1 - g * s + (k - 1) / 4 * s * s) / len(x))
    assert I.sharpe_standard_error(x, method="non-normal") == pytest.approx(want * 252**0.5)


def test_shapes_and_labels(stocks):
    "A frame gives Series, a series a float, arrays arrays; monthly dates are recognised."
    for method in I.SHARPE_METHODS:
        kw = dict(method=method, n_resamples=50)
        frame = I.sharpe_standard_error(stocks, **kw)
        assert isinstance(frame, pd.Series) and list(frame.index) == list(stocks.columns)
        np.testing.assert_allclose(I.sharpe_standard_error(stocks.to_numpy(), **kw), frame)
        assert I.sharpe_standard_error(stocks["KO"], **kw) == pytest.approx(frame["KO"])
    for method in (*I.SHARPE_METHODS, "studentised"):
        low, high = I.sharpe_interval(stocks, method=method, n_resamples=100)
        assert (low < sharpe_ratio(stocks)).all() and (sharpe_ratio(stocks) < high).all() and list(low.index) == list(stocks)
        assert isinstance(I.sharpe_interval(stocks["KO"], method=method, n_resamples=100)[0], float)
    monthly = load_returns("french_monthly")[["NoDur"]]
    ratio = I.sharpe_standard_error(monthly) / I.sharpe_standard_error(monthly, annualise=False)
    np.testing.assert_allclose(ratio, 12**0.5)
    rate = pd.Series(0.0001, stocks.index)
    np.testing.assert_allclose(I.sharpe_standard_error(stocks, risk_free=rate), I.sharpe_standard_error(stocks - 0.0001))


def test_units_and_leverage_do_not_matter(stocks):
    "Percent and decimals, once and twice levered: the same errors and the same tests."
    for method in I.SHARPE_METHODS:
        kw = dict(method=method, n_resamples=50)
        np.testing.assert_allclose(I.sharpe_standard_error(100 * stocks, **kw), I.sharpe_standard_error(stocks, **kw), rtol=1e-8)
    a = I.sharpe_difference_test(stocks["KO"], 2 * stocks["XOM"], n_resamples=200)
    b = I.sharpe_difference_test(100 * stocks["KO"], stocks["XOM"], n_resamples=200)
    assert a.p_value == b.p_value and a.difference == pytest.approx(b.difference)


def test_coverage():
    "Ninety-five per cent, within three Monte Carlo errors: normal for all, smoothed for those who know of dependence."
    rng, M, truth = RNG(3), 1000, 0.144 * 12**0.5
    for phi, methods in ((0.0, (*I.SHARPE_METHODS[:4], "studentised")), (0.3, ("hac", "studentised"))):
        x = pairs(M, 240, rng, phi=phi)[0][:, ::2]
        for m in methods:
            kw = dict(block=5, n_resamples=299) if m == "studentised" else {}
            low, high = I.sharpe_interval(x, method=m, periods_per_year=12, **kw)
            assert abs(((low < truth) & (truth < high)).mean() - 0.95) < 3 * (0.95 * 0.05 / M) ** 0.5, (phi, m)
    low, high = I.sharpe_interval(x, method="iid", periods_per_year=12)
    assert ((low < truth) & (truth < high)).mean() < 0.88


def test_eta_recovers_the_truth():
    "Lo's annual ratio and its standard error on AR(1) months; the square root is right for white ones."
    x = 0.15 + lfilter([0.96**0.5], [1, -0.2], RNG(1).standard_normal((600, 650)))[:, 50:].T
    annual, error = I.annualised_sharpe_eta(x, periods_per_year=12), I.annualised_sharpe_eta_error(x, periods_per_year=12)
    truth = 0.15 * I.lo_annualising_factor(0.2 ** np.arange(1, 12), 12)
    assert abs(annual.mean() - truth) < 4 * annual.std() / 600**0.5
    assert abs(np.median(error) / annual.std() - 1) < 0.1
    np.testing.assert_allclose(I.annualised_sharpe_eta(x, periods_per_year=12, lags=0), sharpe_ratio(x, periods_per_year=12))
    one = I.annualised_sharpe_eta(pd.DataFrame(x[:, :2], columns=["a", "b"]), periods_per_year=12)
    np.testing.assert_allclose(one, annual[:2])


# -- probabilistic and deflated ratios ---------------------------------------------------------------------------------

def test_witnesses(stocks):
    "quantstats and skfolio have both ratios."
    qs, sk = pytest.importorskip("quantstats"), pytest.importorskip("skfolio.measures")
    tried = sharpe_ratio(stocks, annualise=False)
    psr = I.probabilistic_sharpe_ratio(tried, len(stocks), skewness(stocks), kurtosis(stocks))
    assert isinstance(psr, pd.Series)
    np.testing.assert_allclose(psr, [qs.stats.probabilistic_sharpe_ratio(stocks[c]) for c in stocks], rtol=1e-3)
    np.testing.assert_allclose(psr, sk.probabilistic_sharpe_ratio(stocks.to_numpy()), rtol=1e-3)
    dsr = I.deflated_sharpe_ratio(tried["AAPL"], len(stocks), 4, tried.var(), skewness(stocks["AAPL"]), kurtosis(stocks["AAPL"]))
    assert dsr == pytest.approx(sk.deflated_sharpe_ratio(stocks["AAPL"].to_numpy(), tried.to_numpy()), rel=1e-3)


def test_relations():
    "The least track record is where the probability reaches the confidence; one try deflates nothing; a coin is certain."
    n = I.min_track_record_length(0.1, -0.5, 4, 0.02, 0.9)
    assert I.probabilistic_sharpe_ratio(0.1, n, -0.5, 4, 0.02) == pytest.approx(0.9)
    assert I.deflated_sharpe_ratio(0.1, 60, 1, 0.01) == I.probabilistic_sharpe_ratio(0.1, 60)
    assert I.expected_maximum_sharpe(1) == 0 and I.expected_maximum_sharpe(1.2) >= 0
    assert I.min_track_record_length(0.1, benchmark=0.1) == np.inf and I.min_track_record_length(0.1, confidence=0.5) == 1
    assert I.probabilistic_sharpe_ratio(1.0, 24, 2.0, 5.0, 0.5) == 1.0  # no error at all
    many = I.probabilistic_sharpe_ratio(np.array([0.1, 0.2]), np.array([[60], [120]]))
    assert many.shape == (2, 2) and (np.diff(many) > 0).all() and isinstance(I.probabilistic_sharpe_ratio(0.1, 60), float)


@pytest.mark.parametrize(("call", "error", "says"), [
    (lambda: I.probabilistic_sharpe_ratio(0.1, 1), InsufficientDataError, "n_obs"),
    (lambda: I.probabilistic_sharpe_ratio(np.nan, 60), MissingDataError, "sharpe"),
    (lambda: I.probabilistic_sharpe_ratio(0.1, 60, np.inf), NonFiniteError, "skew"),
    (lambda: I.probabilistic_sharpe_ratio(0.1, 60, 1.5, 3.0), DataError, "kurtosis"),
    (lambda: I.probabilistic_sharpe_ratio(0.1, 60, 0.0, 0.0), DataError, "excess"),
    (lambda: I.expected_maximum_sharpe(0), DataError, "n_trials"),
    (lambda: I.expected_maximum_sharpe(10, -1), DataError, "sharpe_variance"),
    (lambda: I.min_track_record_length(0.1, confidence=95), DataError, "confidence"),
    (lambda: I.min_backtest_length(10, 0), DataError, "sharpe"),
    (lambda: I.lo_annualising_factor([-0.9, -0.9], 12), DataError, "variance"),
    (lambda: I.lo_annualising_factor([0.2], 2.5), DataError, "periods"),
    (lambda: I.years_to_tell(1, 0.5, correlation=1.1), DataError, "correlation"),
    (lambda: I.years_to_tell(1, 0.5, power=1.0), DataError, "power"),
    (lambda: I.sharpe_power(1, 0.5, -1), DataError, "years"),
    (lambda: I.sharpe_power(1, 0.5, 10, sides=3), DataError, "sides"),
    (lambda: I.sharpe_power(1, 0.5, 10, level=5), DataError, "level"),
])
def test_impossible_numbers(call, error, says):
    "Impossible numbers are refused by name."
    with pytest.raises(error, match=says):
        call()


def test_impossible_returns(stocks):
    "Impossible returns are refused, naming the asset."
    few = stocks.iloc[:200]
    hole, spike = few.copy(), few.copy()
    hole.iloc[3, 1], spike.iloc[3, 1] = np.nan, np.inf
    for call in (I.sharpe_standard_error, I.sharpe_interval, I.pairwise_sharpe_tests, I.annualised_sharpe_eta):
        for bad, error in ((hole, MissingDataError), (spike, NonFiniteError), (few.assign(KO=0.01), ConstantAssetError)):
            with pytest.raises(error, match="KO"):
                call(bad)
        with pytest.raises(InsufficientDataError):
            call(few.iloc[:5])
    for call in (lambda: I.sharpe_standard_error(few, method="nw"), lambda: I.sharpe_interval(few, confidence=2), lambda: I.sharpe_standard_error(few, kernel="x")):
        with pytest.raises(DataError):
            call()
    with pytest.raises(InsufficientDataError, match="block"):
        I.sharpe_standard_error(few, method="circular", block=60)
    with pytest.raises(ShapeError):
        I.pairwise_sharpe_tests(few[["KO"]])
    with pytest.raises(DataError, match="same dates"):
        I.sharpe_difference_test(few["KO"], stocks["XOM"].iloc[1:201])
    with pytest.raises(ShapeError):
        I.sharpe_difference_test(few, few)
    with pytest.raises(DataError, match="jobson"):
        I.variance_difference_test(few["KO"], few["XOM"], method="jobson-korkie")
    with pytest.raises(DataError, match="risk_aversion"):
        I.certainty_equivalent(few, -1)
    with pytest.raises(DataError, match="everything"):
        I.certainty_equivalent(np.r_[few["KO"], -1.0], 3)


# -- differences -------------------------------------------------------------------------------------------------------

def test_memmel_by_simulation():
    "The formula is the variance of the difference, within its Monte Carlo error."
    x, first = pairs(4000, 250, RNG(0), correlation=0.7, sharpe=0.2)
    gap = np.subtract(*(x[:, first + k].mean(axis=0) / x[:, first + k].std(axis=0, ddof=1) for k in (0, 1)))
    formula = np.sqrt((2 * 0.3 + 0.5 * 2 * 0.04 * (1 - 0.49)) / 250)
    assert abs(gap.std() / formula - 1) < 4 / 8000**0.5
    assert abs(I.jobson_korkie_error(x, first, first + 1).mean() / formula - 1) < 0.01


@pytest.mark.parametrize(("world", "methods"), [
    (dict(), ("jobson-korkie", "hac", "bootstrap")), (dict(tails=5), ("jobson-korkie", "hac", "bootstrap")), (dict(phi=0.3), ("hac", "bootstrap")),
])
def test_size(world, methods):
    "Five per cent of false alarms, within three Monte Carlo errors."
    M = 1000
    x, first = pairs(M, 240, RNG(11), **world)
    how = {"jobson-korkie": {"errors": I.jobson_korkie_error(x, first, first + 1)}, "hac": {}, "bootstrap": {"blocks": Blocks(240, 5, 299, "circular")}}
    for m in methods:
        rejected = (S.difference_tests(S.sharpe_measure(x), first, first + 1, **how[m])["p value"] <= 0.05).mean()
        assert abs(rejected - 0.05) < 3 * (0.05 * 0.95 / M) ** 0.5, m
    if "phi" in world:
        classical = S.difference_tests(S.sharpe_measure(x), first, first + 1, **how["jobson-korkie"])
        assert (classical["p value"] <= 0.05).mean() > 0.1


def test_size_of_the_variance_test():
    "Both variance tests keep their level under heavy tails, where the F test does not."
    M, T = 1000, 400
    x, first = pairs(M, T, RNG(5), tails=8)
    measure = S.log_variance_measure(x)
    for blocks in (None, Blocks(T, 5, 299, "circular")):
        rejected = (S.difference_tests(measure, first, first + 1, blocks=blocks)["p value"] <= 0.05).mean()
        assert abs(rejected - 0.05) < 3 * (0.05 * 0.95 / M) ** 0.5 + 0.01
    ratio = np.exp(measure.estimate[first] - measure.estimate[first + 1])
    independent = RNG(6).standard_t(5, (T, 2 * M))
    ratio = np.divide(*(independent[:, k::2].var(axis=0) for k in (0, 1)))
    f = 2 * np.minimum(stats.f(T - 1, T - 1).cdf(ratio), stats.f(T - 1, T - 1).sf(ratio))
    assert (f < 0.05).mean() > 0.15


def test_power_by_simulation():
    "The test rejects as often as the formula says."
    years, M = 30, 1500
    x, first = pairs(M, 12 * years, RNG(2), correlation=0.9, sharpe=0.0)
    x[:, first] += 0.2
    x[:, first + 1] += 0.14
    p = S.difference_tests(S.sharpe_measure(x), first, first + 1)["p value"]
    want = I.sharpe_power(0.2 * 12**0.5, 0.14 * 12**0.5, years, correlation=0.9, periods_per_year=12)
    assert abs((p < 0.05).mean() - want) < 3 * (want * (1 - want) / M) ** 0.5 + 0.01


def test_results_and_pairs(stocks):
    "A single test and the row of the table agree; signs turn; a strategy against itself is no different."
    for method in I.DIFFERENCE_METHODS:
        table = I.pairwise_sharpe_tests(stocks, method=method, n_resamples=300)
        one = I.sharpe_difference_test(stocks["AAPL"], stocks["XOM"], method=method, n_resamples=300)
        row = table.loc[("AAPL", "XOM")]
        np.testing.assert_allclose(one.to_frame().iloc[0], row[one.to_frame().columns])
        back = I.sharpe_difference_test(stocks["XOM"], stocks["AAPL"], method=method, n_resamples=300)
        assert back.difference == pytest.approx(-one.difference) and back.p_value == pytest.approx(one.p_value)
        same = I.sharpe_difference_test(stocks["KO"], 2 * stocks["KO"], method=method, n_resamples=99)
        assert same.p_value == 1 and same.statistic == 0
    assert "AAPL" in one.summary() and "AAPL" in repr(one)
    with pytest.raises(AttributeError):
        one.p_value = 0
    twice = I.sharpe_difference_test(stocks["KO"], stocks["XOM"], n_resamples=99)
    assert twice == I.sharpe_difference_test(stocks["KO"], stocks["XOM"], n_resamples=99)
    shifted = I.sharpe_difference_test(stocks["KO"], stocks["XOM"], null=twice.difference, method="hac")
    assert shifted.p_value == pytest.approx(1) and shifted.statistic == pytest.approx(0)


def test_bootstrap_by_hand(stocks):
    "The p value of the studentised bootstrap, resample by resample, as the paper describes it."
    x = stocks[["KO", "XOM"]].to_numpy()[-500:]
    B, b, mean = 199, 10, x.mean(axis=0)
    ours = I.sharpe_difference_test(x[:, 0], x[:, 1], block=b, n_resamples=B, annualise=False)
    gap = np.subtract(*(mean / x.std(axis=0, ddof=1)))
    rows = np.vstack([block_rows(*drawn, 500) for drawn in Blocks(500, b, B, "circular").batches()])
    exceed = 1
    for row in rows:
        r = x[row]
        m, g = r.mean(axis=0), (r**2).mean(axis=0)
        v = g - m**2
        slope = np.r_[g / v**1.5 * [1, -1], -0.5 * m / v**1.5 * [1, -1]]
        y = np.hstack([r - m, r**2 - g]).reshape(-1, b, 4)
        psi = sum(np.outer(z, z) for z in y.sum(axis=1) / b**0.5) / len(y)
        drawn = np.subtract(*(m / r.std(axis=0, ddof=1)))
        exceed += abs(drawn - gap) / np.sqrt(slope @ psi @ slope / 500) >= abs(ours.statistic)
    assert ours.p_value == exceed / (B + 1)


# -- the machine -------------------------------------------------------------------------------------------------------

def test_gradients(stocks):
    "Every gradient equals a difference quotient."
    x = stocks.to_numpy()
    for measure in (S.sharpe_measure(x, 12), S.sharpe_measure(x, standardise=False), S.log_variance_measure(x), S.utility_measure(x, 1, "power", 12), S.utility_measure(x, 4, "power", 12), S.utility_measure(x, 4, "quadratic", 12)):
        at = measure.means * 1.01 + 0.001 * measure.features.std(axis=1)
        h = 1e-6 * np.eye(at.shape[-1])
        numeric = np.stack([(measure.value(at + k) - measure.value(at - k)) / 2e-6 for k in h], -1)
        np.testing.assert_allclose(measure.slope(at), numeric, rtol=1e-3, atol=1e-6)


def test_hac_against_statsmodels(stocks):
    "Bartlett's kernel of given width is Newey and West's; kernels at zero and beyond are what they should be."
    OLS = pytest.importorskip("statsmodels.api").OLS
    x = stocks["KO"].to_numpy()
    fit = OLS(x, np.ones(len(x))).fit(cov_type="HAC", cov_kwds={"maxlags": 9})
    ours = S.hac_variance(x[None, :, None], np.ones((1, 1)), kernel="bartlett", prewhiten=False, bandwidth=10, correct=False)
    assert ours[0] == pytest.approx(fit.bse[0] ** 2)
    for kernel in ("qs", "parzen", "bartlett"):
        assert S.kernel_weights(np.zeros(1), kernel)[0] == 1
        steps = S.kernel_weights(np.linspace(0, 1, 2001), kernel)
        assert (np.diff(steps) <= 1e-12).all()  # no step where the expansion near zero ends
    assert S.hac_variance(x[None, :, None], np.ones((1, 1)), kernel="parzen")[0] > 0


def test_calibration():
    "On independent returns every block length is fine; the wrong shape is refused."
    x = RNG(0).standard_normal((120, 2)) + 0.1
    rejected = S.calibrate_block(x, (1, 5), n_worlds=200)
    assert list(rejected.index) == [1, 5] and (abs(rejected - 0.05) < 4 * (0.05 * 0.95 / 200) ** 0.5).all()
    with pytest.raises(ShapeError):
        S.calibrate_block(x[:, :1])
    with pytest.raises(DataError):
        S.calibrate_block(x, level=5)


def test_certainty_equivalents(stocks):
    "By hand for logarithm, power and mean-variance; risk neutral is the mean; the error is that of a bootstrap."
    x = stocks["KO"].to_numpy()
    assert I.certainty_equivalent(x, 1, annualise=False) == pytest.approx(np.expm1(np.log1p(x).mean()))
    assert I.certainty_equivalent(x, 3, annualise=False) == pytest.approx(((1 + x) ** -2.0).mean() ** -0.5 - 1)
    assert I.certainty_equivalent(x, 0, annualise=False) == pytest.approx(x.mean())
    assert I.certainty_equivalent(x, 3, "quadratic") == pytest.approx(252 * (x.mean() - 1.5 * x.var(ddof=1)))
    assert I.certainty_equivalent(x, 1 + 1e-9) == pytest.approx(I.certainty_equivalent(x, 1), rel=1e-5)
    draws = S.studentised_draws(S.utility_measure(x[:, None], 3, "power", 252), Blocks(len(x), 20, 2000, "circular"), [0])[0]
    assert abs(I.certainty_equivalent_error(x, 3) / draws.std() - 1) < 0.15
    frame = I.certainty_equivalent(stocks, 3)
    assert isinstance(frame, pd.Series) and frame["KO"] == pytest.approx(I.certainty_equivalent(stocks["KO"], 3))
    test = I.certainty_equivalent_test(stocks["KO"], stocks["RRC"], 3, n_resamples=500)
    assert test.p_value < 0.05 and test.difference == pytest.approx(frame["KO"] - frame["RRC"])
