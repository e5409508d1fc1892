"Denoising: the laws of random matrices, the fits, the cleanings, the switches of other libraries, degenerate input, scikit-learn's checks."

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from sklearn.covariance import LedoitWolf
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from portfolio_ml.allocation.mean_variance import MinimumVariance
from portfolio_ml.backtest.walk_forward import walk_forward
from portfolio_ml.core.testing import factor_returns
from portfolio_ml.core.validation import ConstantAssetError, DataError, InsufficientDataError, MissingDataError, NonFiniteError, ShapeError
from portfolio_ml.covariance.denoising import (
    CLEANINGS,
    NOISE_FITS,
    Denoised,
    Detoned,
    absorption_ratio,
    clean_correlation,
    denoise_covariance,
    detone_covariance,
    effective_rank,
    fit_noise_variance,
    marchenko_pastur_cdf,
    marchenko_pastur_density,
    marchenko_pastur_edges,
    marchenko_pastur_quantile,
    noise_edge,
    participation_ratio,
    rotationally_invariant_eigenvalues,
    split_spectrum,
    tracy_widom_cdf,
    tracy_widom_quantile,
)
from portfolio_ml.covariance.estimator import draw_returns, factor_covariance, minimum_variance_loss


def sample(n_assets=40, n_factors=3, n_obs=250, seed=0):
    "Draw a sample covariance of a factor market, and the truth."
    truth = factor_covariance(n_assets, n_factors, random_state=seed)
    return np.cov(draw_returns(truth, n_obs, random_state=seed + 100), rowvar=False), truth


def test_edges_are_the_known_ones():
    "T/N = 10; a square matrix; fewer rows than columns; the variance scales."
    np.testing.assert_allclose(marchenko_pastur_edges(10), [0.46754, 1.73246], atol=1e-5)
    np.testing.assert_allclose(marchenko_pastur_edges(1), [0, 4], atol=1e-15)
    np.testing.assert_allclose(marchenko_pastur_edges(0.25), [1, 9])
    np.testing.assert_allclose(marchenko_pastur_edges(10, 0.5), np.multiply(marchenko_pastur_edges(10), 0.5))


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.999, 1.0, 1.001, 2.0, 30.0])
def test_the_law_has_its_mass_and_moments(ratio):
    "The density integrates to the mass that is not at zero, its mean is the variance; distribution and quantile follow."
    low, high = marchenko_pastur_edges(ratio, 0.6)
    middle, half = (low + high) / 2, (high - low) / 2

    def by_angle(f):
        return quad(lambda t: f(middle + half * np.cos(t)) * half * np.sin(t), 0, np.pi, limit=300)[0]

    assert abs(by_angle(lambda x: marchenko_pastur_density(x, ratio, 0.6)) - min(1, ratio)) < 1e-6
    assert abs(by_angle(lambda x: x * marchenko_pastur_density(x, ratio, 0.6)) - 0.6) < 1e-6
    np.testing.assert_allclose(marchenko_pastur_cdf([-1, high, 2 * high], ratio, 0.6), [0, 1, 1], atol=1e-12)
    np.testing.assert_allclose(marchenko_pastur_cdf(low / 2, ratio, 0.6), max(0, 1 - ratio), atol=1e-6)
    for level in (0.05, 0.5, 0.99):
        x, zeros = marchenko_pastur_quantile(level, ratio, 0.6), max(0, 1 - ratio)
        np.testing.assert_allclose(marchenko_pastur_cdf(x, ratio, 0.6), zeros + (1 - zeros) * level, atol=1e-9)


def test_tracy_widom_has_the_printed_quantiles():
    "Johnstone (2001), table 1; mean and variance as in the literature; the level must be one."
    for level, x in {0.01: -3.90, 0.05: -3.18, 0.1: -2.78, 0.5: -1.27, 0.9: 0.45, 0.95: 0.98, 0.99: 2.02}.items():
        assert abs(tracy_widom_quantile(level) - x) < 0.006
    grid = np.linspace(-8, 5, 131)
    cdf = np.array([tracy_widom_cdf(x) for x in grid])
    assert (np.diff(cdf) >= -1e-12).all()
    middle, mass = (grid[1:] + grid[:-1]) / 2, np.diff(cdf)
    np.testing.assert_allclose([mass @ middle, mass @ middle**2 - (mass @ middle) ** 2], [-1.2065, 1.6078], atol=2e-3)
    for bad in (0, 1, 95, -0.1, "high"):
        with pytest.raises(DataError, match="confidence"):
            noise_edge(10, 100, confidence=bad)


def test_the_margin_keeps_its_word():
    "The largest eigenvalue of a covariance of noise exceeds the edge as often as it should."
    rng = np.random.default_rng(0)
    top = np.array([np.linalg.eigvalsh(np.cov(rng.standard_normal((101, 20)), rowvar=False))[-1] for _ in range(1500)])
    assert abs((top > noise_edge(20, 100, confidence=0.9)).mean() - 0.1) < 3 * np.sqrt(0.09 / 1500)
    assert noise_edge(20, 100, confidence=None) < noise_edge(20, 100) < noise_edge(20, 100, confidence=0.999)


@pytest.mark.parametrize("how", NOISE_FITS)
@pytest.mark.parametrize("n_obs", [500, 60])
def test_fits_find_the_noise(how, n_obs):
    "Pure noise has a variance of about one, below and above T = N; the scale of the eigenvalues is that of the answer."
    values = np.linalg.eigvalsh(np.corrcoef(np.random.default_rng(1).standard_normal((n_obs + 1, 100)), rowvar=False))
    assert abs(fit_noise_variance(values, n_obs, how) - 1) < 0.08
    if how != "density":
        np.testing.assert_allclose(fit_noise_variance(3 * values, n_obs, how), 3 * fit_noise_variance(values, n_obs, how))


def test_the_median_withstands_factors():
    "Ten spikes among a hundred; the mean is far off."
    rng = np.random.default_rng(2)
    X = rng.standard_normal((400, 100)) * np.r_[np.full(10, 6.0), np.ones(90)]
    values = np.linalg.eigvalsh(np.cov(X, rowvar=False))
    assert abs(fit_noise_variance(values, 399) - 1) < 0.12 and fit_noise_variance(values, 399, "unit") > 4
    assert split_spectrum(values, 399).n_factors == 10


def test_the_toy_by_hand():
    "Exact fractions."
    toy = [[1, 0.6, 0.6], [0.6, 1, 0.1], [0.6, 0.1, 1]]
    clean = denoise_covariance(toy, 20, n_factors=1)
    np.testing.assert_allclose(clean[1, 2], 12.15 / 30.85)
    np.testing.assert_allclose(clean[0, 1], 1.35 * 6 / 17 / np.sqrt(20.15 / 17 * 30.85 / 34))
    strict = denoise_covariance(toy, 20, "targeted", n_factors=1)
    np.testing.assert_allclose(strict[1, 2], 1.9 * 9 / 34)


@pytest.mark.parametrize("method", CLEANINGS)
@pytest.mark.parametrize("n_obs", [250, 25])
def test_invariants(method, n_obs):
    "Variances kept, symmetric, no negative eigenvalue, equivariant under permutation and scaling, T < N."
    S, _ = sample(n_obs=n_obs)
    clean, n = denoise_covariance(S, n_obs - 1, method), n_obs - 1
    np.testing.assert_allclose(clean.diagonal(), S.diagonal(), rtol=1e-12)
    assert np.array_equal(clean, clean.T)
    assert np.linalg.eigvalsh(clean)[0] > (-1e-15 if method == "spectral" else 1e-7)
    order, scale = np.random.default_rng(3).permutation(len(S)), np.linspace(0.1, 10, len(S))
    np.testing.assert_allclose(denoise_covariance(S[np.ix_(order, order)], n, method), clean[np.ix_(order, order)], atol=1e-14)
    np.testing.assert_allclose(denoise_covariance(S * np.outer(scale, scale), n, method), clean * np.outer(scale, scale), atol=1e-12)


def test_limits():
    "Noise becomes the identity; all factors kept, or alpha of one, give the sample back; a duplicated asset is withstood."
    noise = np.corrcoef(np.random.default_rng(4).standard_normal((301, 60)), rowvar=False)
    np.testing.assert_allclose(denoise_covariance(noise, 300), np.eye(60), atol=1e-12)
    S, _ = sample()
    for again in (denoise_covariance(S, 249, n_factors=40), denoise_covariance(S, 249, "targeted", alpha=1.0)):
        np.testing.assert_allclose(again, S, atol=1e-15)
    twice = S[np.ix_([0, *range(40)], [0, *range(40)])]
    for method in ("constant", "targeted"):
        assert np.linalg.eigvalsh(denoise_covariance(twice, 249, method))[0] > 1e-6
    for values in ([1.0], [0.5, 1.5]):
        assert np.isfinite(rotationally_invariant_eigenvalues(values, 10)).all()
    np.testing.assert_allclose(denoise_covariance([[4.0]], 10), [[4.0]])


@pytest.mark.parametrize("n_obs", [30, 59, 60, 61, 64, 120, 600])
def test_rotationally_invariant_eigenvalues(n_obs):
    "Nearer to the oracle than the sample, positive, ascending, the same sum, around T = N too."
    truth = factor_covariance(60, 8, random_state=5)
    C = np.corrcoef(draw_returns(truth, n_obs + 1, random_state=6), rowvar=False)
    volatility, (values, vectors) = np.sqrt(truth.diagonal()), np.linalg.eigh(C)
    oracle = (vectors * (truth / np.outer(volatility, volatility) @ vectors)).sum(axis=0)
    best = rotationally_invariant_eigenvalues(values, n_obs)
    assert best[0] > 0 and (np.diff(best) >= 0).all() and abs(best.sum() - 60) < 1e-9
    assert np.abs(best - oracle)[:50].mean() < 0.6 * np.abs(values - oracle)[:50].mean()


def test_planted_factors():
    "Cleaning removes most of the minimum-variance loss, and more than Ledoit-Wolf."
    gains = {"sample": [], "lw": [], "constant": [], "targeted": [], "rie": []}
    for seed in range(5):
        truth = factor_covariance(60, 3, random_state=seed)
        X = draw_returns(truth, 200, random_state=seed + 50)
        guess = {k: Denoised(method=k).fit(X).covariance_ for k in ("constant", "targeted", "rie")}
        guess |= {"sample": np.cov(X, rowvar=False), "lw": LedoitWolf().fit(X).covariance_}
        for k, g in guess.items():
            gains[k].append(minimum_variance_loss(g, truth))
    mean = {k: np.mean(v) for k, v in gains.items()}
    assert all(mean[k] < 0.5 * mean["lw"] < 0.5 * mean["sample"] for k in ("constant", "targeted", "rie"))


def test_detoning():
    "The market is gone, the rank falls, the variances stay or do not."
    S, _ = sample()
    bare = detone_covariance(S)
    np.testing.assert_allclose(bare.diagonal(), S.diagonal())
    assert np.linalg.matrix_rank(bare) == 39 and np.array_equal(bare, bare.T)
    np.testing.assert_allclose(detone_covariance(S, 0), S, atol=1e-18)
    assert (detone_covariance(S, 3, rescale=False).diagonal() < S.diagonal()).all()
    for bad in (-1, 40, 1.5):
        with pytest.raises(DataError, match="n_components"):
            detone_covariance(S, bad)
    with pytest.raises(DataError, match="nothing is left"):
        detone_covariance(np.ones((2, 2)))


def test_dimensions():
    "Identities, scaling, bounds."
    S, _ = sample()
    np.testing.assert_allclose([effective_rank(np.eye(5)), effective_rank(np.ones((5, 5))), participation_ratio(np.ones(5))], [5, 1, 5])
    np.testing.assert_allclose(effective_rank(7 * S), effective_rank(S))
    assert 1 <= participation_ratio(np.linalg.eigvalsh(S)) <= effective_rank(S) <= 40
    assert absorption_ratio(S, 40) == 1 and 0.2 < absorption_ratio(S) < absorption_ratio(S, 20)
    with pytest.raises(DataError, match="n_components"):
        absorption_ratio(S, 0)


def test_labels():
    "A frame in, a frame out."
    X = factor_returns(120, 4)
    for answer in (denoise_covariance(X.cov(), 119), detone_covariance(X.cov())):
        assert list(answer.index) == list(answer.columns) == list(X.columns)
    assert list(Denoised().fit(X).to_frame().columns) == list(X.columns)


@pytest.mark.parametrize(
    "bad",
    [
        {"method": "kernel"}, {"noise": "kernel"}, {"alpha": -0.1}, {"alpha": "half"}, {"confidence": 1.0}, {"n_factors": 2.5}, {"n_factors": 99},
        {"n_obs": 0}, {"n_obs": np.nan}, {"n_obs": -5}, {"n_obs": None},
    ],
)
def test_bad_settings_are_refused(bad):
    "By a typed error that names the setting."
    S, _ = sample()
    with pytest.raises(DataError, match=next(iter(bad)) if bad != {"confidence": 1.0} else "confidence"):
        denoise_covariance(S, **({"n_obs": 249} | bad))


def test_bad_data_are_refused():
    "NaN, infinity, a constant column, one row, an indefinite matrix, eigenvalues that are none."
    X = factor_returns(60, 4)
    for data, error in ((X.assign(A1=np.nan), MissingDataError), (X.replace(X.iloc[3, 1], np.inf), NonFiniteError), (X.assign(A1=0.01), ConstantAssetError), (X.iloc[:1], InsufficientDataError)):
        for model in (Denoised(), Detoned()):
            with pytest.raises(error):
                model.fit(data)
    with pytest.raises(DataError, match="semidefinite"):
        denoise_covariance([[1, 2], [2, 1]], 10)
    for values, error in (([1, np.nan], MissingDataError), ([1, np.inf], NonFiniteError), ([-1, 1], DataError), ([[1, 2]], ShapeError), ([], ShapeError), ([0, 0], DataError)):
        with pytest.raises(error, match="eigenvalues"):
            fit_noise_variance(values, 10)
    for f in (marchenko_pastur_edges, lambda r: marchenko_pastur_density(1.0, r), lambda r: marchenko_pastur_cdf(1.0, r)):
        for ratio in (0, -1, np.nan, "ten", None, True):
            with pytest.raises(DataError, match="ratio"):
                f(ratio)
    with pytest.raises(DataError, match="level"):
        marchenko_pastur_quantile(1.0, 2)
    with pytest.raises(DataError, match="bulk"):
        few = np.corrcoef(np.random.default_rng(0).standard_normal((3, 50)) @ np.diag(range(1, 51)), rowvar=False)
        clean_correlation(few, 2000, noise="bulk")


def test_inside_other_estimators():
    "An inner covariance, an effective number of observations, a pipeline with a grid search, a walk."
    X = factor_returns(400, 8)
    inner = Denoised(covariance=LedoitWolf(), n_obs=50).fit(X)
    np.testing.assert_allclose(inner.covariance_.diagonal(), LedoitWolf().fit(X).covariance_.diagonal())
    assert inner.edge_ > Denoised().fit(X).edge_
    np.testing.assert_allclose(Denoised(assume_centered=True).fit(X).location_, 0)
    pipe = Pipeline([("same", FunctionTransformer()), ("covariance", Denoised(method="targeted"))])
    search = GridSearchCV(pipe, {"covariance__alpha": [0.0, 0.5, 1.0]}, cv=TimeSeriesSplit(3)).fit(X)
    assert np.isfinite(search.best_score_)
    rules = {m: MinimumVariance(covariance=Denoised(method=m), min_weight=None) for m in ("constant", "targeted", "rie")}
    walk = walk_forward(rules, X, window=120, costs=0.001)
    assert not len(walk.failures) and np.isfinite(walk.net_returns.to_numpy()).all()


@parametrize_with_checks([Denoised(), Denoised(method="targeted", alpha=0.5), Denoised(method="rie"), Detoned()])
def test_scikit_learn(estimator, check):
    "scikit-learn's own checks of an estimator."
    check(estimator)


SKFOLIO = """
import numpy as np, pandas as pd, riskfolio, skfolio
from skfolio.moments import DenoiseCovariance, DetoneCovariance
from skfolio.optimization import MeanRisk
from skfolio.prior import EmpiricalPrior
from portfolio_ml.core.testing import factor_returns
from portfolio_ml.covariance.denoising import Denoised, Detoned, denoise_covariance, detone_covariance
for rows, cols in ((260, 6), (150, 30), (300, 12)):
    X = factor_returns(rows, cols)
    S, T, close = X.cov(), rows, dict(rtol=0, atol=1e-12 * X.var().max())
    book = dict(noise="density", confidence=None)
    np.testing.assert_allclose(denoise_covariance(S, T, **book), DenoiseCovariance(nearest=False).fit(X).covariance_, **close)
    np.testing.assert_allclose(Denoised(n_obs=T, **book).fit(X).covariance_, DenoiseCovariance(nearest=False).fit(X).covariance_, **close)
    np.testing.assert_allclose(detone_covariance(S, 2), DetoneCovariance(n_markets=2, nearest=False).fit(X).covariance_, **close)
    for kind, method in (("fixed", "constant"), ("shrink", "targeted"), ("spectral", "spectral")):
        theirs = riskfolio.AuxFunctions.denoiseCov(S, T / cols, kind, alpha=0.2)
        np.testing.assert_allclose(denoise_covariance(S, T, method, alpha=0.2, **book), theirs, **close)
X = factor_returns(260, 6)
for ours in (Denoised(), Denoised(method="rie")):
    model = MeanRisk(prior_estimator=EmpiricalPrior(covariance_estimator=ours)).fit(X)
    assert abs(model.weights_.sum() - 1) < 1e-8
print("fine")
"""


def test_beside_other_libraries():
    "skfolio's and Riskfolio-Lib's matrices under the switches; our estimators inside skfolio."
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", SKFOLIO], capture_output=True, text=True)
    assert run.stdout.strip().endswith("fine"), run.stderr[-2000:]


def test_pandas_is_optional_in_the_functions():
    "Lists and arrays do."
    assert isinstance(denoise_covariance([[1.0, 0.2], [0.2, 1.0]], 30), np.ndarray)
    assert isinstance(denoise_covariance(pd.DataFrame([[1.0, 0.2], [0.2, 1.0]], list("ab"), list("ab")), 30), pd.DataFrame)
