"Factor models: identities, certified regressions, other people's libraries, planted factors, bad input, scikit-learn's checks."

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from portfolio_ml.allocation.mean_variance import MinimumVariance, minimum_variance
from portfolio_ml.backtest.walk_forward import check_no_lookahead, walk_forward
from portfolio_ml.core.testing import factor_returns
from portfolio_ml.core.validation import (
    ConstantAssetError,
    DataError,
    InsufficientDataError,
    MissingDataError,
    NonFiniteError,
    ShapeError,
    SingularCovarianceError,
)
from portfolio_ml.covariance.components import (
    assemble,
    candidate_constants,
    choose_constant,
    eigenvalues,
    entry_thresholds,
    is_definite,
    principal_factors,
    project,
    shrink_entries,
    spectrum,
    threshold_residuals,
    woodbury,
)
from portfolio_ml.covariance.estimator import draw_returns, factor_covariance
from portfolio_ml.covariance.factors import (
    POET,
    FactorCovariance,
    ObservedFactorCovariance,
    count_factors,
    eigenvalue_ratios,
    factor_regression,
    information_criteria,
    parallel_analysis,
    poet_covariance,
)
from portfolio_ml.data.catalog import load_returns

ESTIMATORS = [
    FactorCovariance(), FactorCovariance(n_factors="parallel"), FactorCovariance(n_factors="gr", standardise=False),
    ObservedFactorCovariance(), POET(), POET(threshold="scad", constant="least"), POET(threshold="hard", n_factors=0),
]
RULES = ("ic1", "ic2", "ic3", "er", "gr", "parallel")


def draw(T, N, seed=0, k=3):
    "Draw centred returns of a planted factor market."
    X = draw_returns(factor_covariance(N, k, random_state=seed), T, random_state=seed)
    return X - X.mean(axis=0)


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn(estimator, check):
    "scikit-learn's own checks of an estimator."
    check(estimator)


@pytest.mark.parametrize(("T", "N"), [(200, 30), (20, 30), (31, 30), (5, 40), (60, 1), (2, 3)])
def test_identities(T, N):
    "All factors give the sample covariance, none the diagonal; variances are the sample's; Woodbury inverts."
    X = draw(T, N)
    S = X.T @ X / (T - 1)
    np.testing.assert_allclose(principal_factors(X, min(T, N)).covariance(), S, atol=1e-16)
    np.testing.assert_allclose(principal_factors(X, 0).covariance(), np.diag(S.diagonal()), atol=1e-18)
    for k in range(1, min(T - 1, N, 6)):
        model = principal_factors(X, k)
        np.testing.assert_allclose(model.covariance().diagonal(), S.diagonal(), rtol=1e-10)
        np.testing.assert_allclose(model.factor_covariance, np.eye(k), atol=1e-8)
        np.testing.assert_allclose(model.factors.T @ model.residuals, 0, atol=1e-10)
        np.testing.assert_allclose(model.precision(), np.linalg.inv(model.covariance()), rtol=1e-7, atol=1e-7 / S.diagonal().min())
        np.testing.assert_allclose(model.precision() @ model.covariance(), np.eye(N), atol=1e-9)
    np.testing.assert_allclose(eigenvalues(X), spectrum(X, T)[0], atol=1e-16)


def test_woodbury_where_the_factors_are_singular_or_the_rest_is():
    "A factor without variance is no factor; an asset without own variance gets a pseudo-inverse or an inverse."
    rng = np.random.default_rng(0)
    B, own = rng.standard_normal((8, 2)), rng.uniform(0.5, 2, 8)
    np.testing.assert_allclose(woodbury(B, np.diag([1.0, 0.0]), own), np.linalg.inv(assemble(B, np.diag([1.0, 0.0]), own)), atol=1e-10)
    own[3] = 0.0
    np.testing.assert_allclose(woodbury(B, np.eye(2), own) @ assemble(B, np.eye(2), own), np.eye(8), atol=1e-8)
    np.testing.assert_allclose(woodbury(B, np.eye(2), np.zeros(8)), np.linalg.pinv(B @ B.T), atol=1e-8)


@pytest.mark.parametrize(("T", "N"), [(100, 20), (25, 60)])
def test_criteria_are_those_of_statsmodels(T, N):
    from statsmodels.multivariate.pca import PCA

    X = draw(T, N)
    theirs = PCA(X, ncomp=8, standardize=False, demean=False, normalize=False).ic
    np.testing.assert_allclose(information_criteria(X, 8) + np.log(X.size), theirs, atol=1e-10)


def test_ratios_by_the_letter():
    "Ahn and Horenstein, with their mock eigenvalue."
    X = draw(50, 12)
    mu = np.linalg.eigvalsh(X @ X.T / X.size)[::-1][:12]
    m, V = 12, [mu[k:].sum() for k in range(13)]
    full = np.r_[V[0] / np.log(m), mu]
    table = eigenvalue_ratios(X, 5)
    np.testing.assert_allclose(table["er"], full[:6] / full[1:7])
    star = full[:7] / np.r_[V[0], V[1:7]]
    np.testing.assert_allclose(table["gr"], np.log1p(star[:6]) / np.log1p(star[1:7]))


def test_strong_factors_are_counted_by_every_rule_and_noise_has_none():
    for seed in range(3):
        for T, N in ((120, 60), (60, 120)):
            rng = np.random.default_rng(seed)
            B = rng.standard_normal((N, 3))
            X = rng.standard_normal((T, 3)) @ (2 * B.T) + rng.standard_normal((T, N))
            X = X - X.mean(axis=0)
            assert {count_factors(X, rule) for rule in RULES} == {3}
            noise = rng.standard_normal((T, N))
            assert {count_factors(noise - noise.mean(axis=0), rule) for rule in ("ic1", "ic2", "er", "gr")} == {0}
            assert count_factors(noise - noise.mean(axis=0), "parallel") <= 1
    assert (parallel_analysis(X)["threshold"].diff().dropna() <= 0).all()


def test_counts_are_whole_and_within_bounds():
    for T, N in ((10, 1), (3, 2), (2, 5), (40, 3)):
        X = draw(T, N)
        assert all(0 <= count_factors(X, rule) <= min(T, N) for rule in RULES)
    assert count_factors(draw(40, 20), 7) == 7 and count_factors(draw(40, 20), np.int64(2)) == 2
    assert count_factors(draw(100, 20), "parallel", most=0) == 0


def test_longley():
    "The values that NIST certifies."
    import statsmodels.api as sm

    data = sm.datasets.longley.load_pandas()
    found = factor_regression(data.endog, data.exog)
    np.testing.assert_allclose(found.coefficients["GNPDEFL"], 15.0618722713733, rtol=1e-8)
    np.testing.assert_allclose(found.errors["YEAR"], 455.478499142212, rtol=1e-8)
    np.testing.assert_allclose(found.coefficients["alpha"], -3482258.63459582, rtol=1e-8)
    np.testing.assert_allclose(found.r2, 0.995479004577296, rtol=1e-12)


def test_regression_is_that_of_statsmodels():
    import statsmodels.api as sm

    french, names = load_returns("french_monthly"), ["MktRF", "SMB", "HML", "Mom"]
    found = factor_regression(french[["Utils", "S1V5"]], french[names])
    for name in ("Utils", "S1V5"):
        ols = sm.OLS(french[name], sm.add_constant(french[names])).fit()
        np.testing.assert_allclose(found.coefficients.loc[name], ols.params, atol=1e-10)
        np.testing.assert_allclose(found.errors.loc[name], ols.bse, atol=1e-10)
        np.testing.assert_allclose(found.t_values.loc[name], ols.tvalues, atol=1e-8)
        np.testing.assert_allclose([found.r2[name], found.residual_volatility[name]], [ols.rsquared, ols.mse_resid**0.5], atol=1e-12)
    arrays = factor_regression(french[["Utils"]].to_numpy(), french[names].to_numpy())
    np.testing.assert_allclose(arrays.coefficients.loc[0], found.coefficients.loc["Utils"])


def test_observed_factors_are_read_by_date_by_name_and_by_position():
    french = load_returns("french_monthly").iloc[-120:]
    assets, market = french.iloc[:, 5:12], french[["MktRF", "SMB"]]
    by_date = ObservedFactorCovariance(factors=load_returns("french_monthly")[["MktRF", "SMB"]]).fit(assets).covariance_
    by_name = ObservedFactorCovariance(factors=["MktRF", "SMB"]).fit(assets.join(market)).covariance_
    by_place = ObservedFactorCovariance(factors=[7, 8]).fit(assets.join(market).to_numpy()).covariance_
    np.testing.assert_allclose(by_name, by_place)
    np.testing.assert_allclose(by_name[:7, :7], by_date)
    np.testing.assert_allclose(by_name[7:], assets.join(market).cov().loc[["MktRF", "SMB"]])
    alone = ObservedFactorCovariance(factors=french["MktRF"]).fit(assets).covariance_
    np.testing.assert_allclose(ObservedFactorCovariance(factors="MktRF").fit(assets.join(market["MktRF"])).covariance_[:7, :7], alone)


def test_skfolio_finds_the_same():
    from skfolio.optimization import MeanRisk
    from skfolio.prior import EmpiricalPrior, LoadingMatrixRegression, TimeSeriesFactorModel
    from sklearn.linear_model import LinearRegression

    french = load_returns("french_monthly").iloc[-240:]
    assets, market = french.iloc[:, 5:17], french[["MktRF", "SMB", "HML"]]
    peer = TimeSeriesFactorModel(loading_matrix_estimator=LoadingMatrixRegression(linear_regressor=LinearRegression()))
    theirs = peer.fit(assets, factors=market).return_distribution_.covariance
    np.testing.assert_allclose(ObservedFactorCovariance(factors=market).fit(assets).covariance_, theirs, atol=1e-12)
    for estimator in (FactorCovariance(), ObservedFactorCovariance(), POET()):
        weights = MeanRisk(prior_estimator=EmpiricalPrior(covariance_estimator=estimator)).fit(assets).weights_
        np.testing.assert_allclose(weights, MinimumVariance(estimator).fit(assets).weights_, atol=1e-4)


def test_thresholds():
    X = draw(60, 40)
    T, N = X.shape
    products = X[:, 3] * X[:, 7]
    np.testing.assert_allclose(entry_thresholds(X)[3, 7], (np.sqrt(np.log(N) / T) + N**-0.5) * products.std())
    entries = np.random.default_rng(0).standard_normal((9, 9))
    tau = np.abs(np.random.default_rng(1).standard_normal((9, 9)))
    away = ~np.eye(9, dtype=bool)
    for rule in ("soft", "hard", "scad"):  # the conditions of Fan, Liao and Mincheva
        out = shrink_entries(entries, tau, rule)
        assert (out[away & (np.abs(entries) < tau)] == 0).all() and (np.abs(out - entries)[away] <= tau[away] + 1e-12).all()
        np.testing.assert_array_equal(out.diagonal(), entries.diagonal())
    model = principal_factors(X, 2)
    for rule in ("soft", "hard", "scad"):
        grid = candidate_constants(model.residuals, rule)
        assert (np.diff(grid) < 0).all() and choose_constant(model.residuals, rule) in grid
        for constant in (*grid, "cv", "least"):
            assert is_definite(threshold_residuals(model, rule, constant)[0], 0.0)


@pytest.mark.parametrize(("T", "N"), [(200, 30), (20, 30)])
def test_poet_limits(T, N):
    "A huge constant: the factor model; zero: the sample covariance; labels come back."
    X = draw(T, N)
    np.testing.assert_allclose(poet_covariance(X, 2, constant=1e9), principal_factors(X, 2).covariance(), atol=1e-16)
    np.testing.assert_allclose(poet_covariance(X, 2, constant=0), X.T @ X / (T - 1), atol=1e-16)
    frame = pd.DataFrame(X, columns=[f"A{i}" for i in range(N)])
    assert list(poet_covariance(frame, 2).index) == list(frame.columns)
    for rule in ("soft", "hard", "scad"):
        np.linalg.cholesky(poet_covariance(X, 2, threshold=rule))


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_equivariance(estimator):
    "Order and units of the assets; the sample's variances; a twin is survived."
    X = draw(150, 25)
    plain = estimator.fit(X).covariance_
    turn, units = np.random.default_rng(1).permutation(25), np.linspace(0.5, 2, 25)
    np.testing.assert_allclose(plain.diagonal(), X.var(axis=0, ddof=1))
    if estimator.get_params().get("n_factors") != "parallel":  # whose shuffles follow the columns
        np.testing.assert_allclose(estimator.fit(X[:, turn]).covariance_, plain[np.ix_(turn, turn)], atol=1e-12)
    if getattr(estimator, "standardise", False):
        np.testing.assert_allclose(estimator.fit(X * units).covariance_, plain * np.outer(units, units), atol=1e-12)
    np.testing.assert_allclose(estimator.fit(X * 3).covariance_, plain * 9, rtol=1e-8)
    twin = estimator.fit(np.column_stack([X, X[:, 0]])).covariance_
    assert np.isfinite(twin).all() and np.linalg.eigvalsh(twin)[0] > -1e-12
    np.testing.assert_allclose(estimator.fit(X).precision_ @ plain, np.eye(25), atol=1e-8)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_bad_windows_are_refused_by_name(estimator):
    X = factor_returns(60, 4)
    for value, error in ((np.nan, MissingDataError), (np.inf, NonFiniteError)):
        bad = X.copy()
        bad.iloc[3, 1] = value
        with pytest.raises(error, match="A1"):
            estimator.fit(bad)
    with pytest.raises(ConstantAssetError, match="A2"):
        estimator.fit(X.assign(A2=0.01))
    with pytest.raises(InsufficientDataError):
        estimator.fit(X.iloc[:1])


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (FactorCovariance(n_factors=5), "0 to 4"), (FactorCovariance(n_factors=-1), "n_factors"), (FactorCovariance(n_factors=True), "n_factors"),
        (FactorCovariance(n_factors="elbow"), "elbow"), (FactorCovariance(n_factors=None), "n_factors"), (POET(n_factors=1.5), "n_factors"),
        (POET(threshold="firm"), "firm"), (POET(constant=-1), "constant"), (POET(constant="best"), "best"), (POET(constant=np.nan), "constant"),
        (ObservedFactorCovariance(factors=["A9"]), "A9"), (ObservedFactorCovariance(factors=[]), "none given"),
        (ObservedFactorCovariance(factors=["A0", "A0"]), "collinear"),
    ],
)
def test_bad_parameters_are_named(estimator, words):
    with pytest.raises(DataError, match=words):
        estimator.fit(factor_returns(60, 4))


def test_bad_factors_are_named():
    X = factor_returns(60, 4)
    F = pd.DataFrame(np.random.default_rng(0).standard_normal((60, 2)), X.index, ["m", "s"])
    with pytest.raises(MissingDataError, match=str(X.index[-1].date())):
        ObservedFactorCovariance(factors=F.iloc[:-1]).fit(X)
    with pytest.raises(MissingDataError, match="m"):
        ObservedFactorCovariance(factors=F.assign(m=np.nan)).fit(X)
    with pytest.raises(DataError, match="without dates"):
        ObservedFactorCovariance(factors=F).fit(X.to_numpy())
    with pytest.raises(DataError, match="frame by date"):
        ObservedFactorCovariance(factors=F.to_numpy()).fit(X)
    with pytest.raises(SingularCovarianceError, match="m and s"):
        ObservedFactorCovariance(factors=F.assign(s=2 * F["m"])).fit(X)
    with pytest.raises(SingularCovarianceError):
        ObservedFactorCovariance(factors=F.assign(s=1.0)).fit(X)
    with pytest.raises(ShapeError, match="align"):
        factor_regression(X, F.iloc[1:])
    with pytest.raises(ShapeError, match="align"):
        factor_regression(X, F.set_axis(F.index[::-1]).sort_index().shift(0).set_axis(F.index + pd.Timedelta(days=1)))
    with pytest.raises(ShapeError, match="too few"):
        factor_regression(X.iloc[:3], F.iloc[:3])
    with pytest.raises(SingularCovarianceError):
        project(np.ones((2, 3)), np.ones((2, 2)), 1)


def test_searches_pipelines_and_the_engine():
    X = factor_returns(300, 8)
    search = GridSearchCV(FactorCovariance(), {"n_factors": [0, 1, 2, "ic2", "er"]}, cv=3).fit(X)
    assert search.best_params_["n_factors"] in (1, "ic2", "er")
    pipe = make_pipeline(FunctionTransformer(), POET(n_factors=1))
    assert GridSearchCV(pipe, {"poet__constant": [0.1, 1.0, "cv"]}, cv=3).fit(X).best_score_ > -np.inf
    F = X.mean(axis=1).to_frame("market")
    assert np.isfinite(GridSearchCV(ObservedFactorCovariance(), {"factors": [None, F]}, cv=3).fit(X).best_score_)
    rules = {type(e).__name__: MinimumVariance(e) for e in (FactorCovariance(), ObservedFactorCovariance(), POET())}
    rules["by date"] = lambda window: minimum_variance(ObservedFactorCovariance(factors=F).fit(window).to_frame())
    bt = walk_forward(rules, X, window=60, rebalance=40)
    assert not len(bt.failures)
    check_no_lookahead(rules, X, window=60, rebalance=40)


def test_known_factors_are_recovered():
    "Betas to within their errors, and closer to the truth than the sample covariance."
    rng = np.random.default_rng(0)
    B, F = rng.normal(1, 0.3, (40, 2)), 0.01 * rng.standard_normal((250, 2))
    X = F @ B.T + 0.02 * rng.standard_normal((250, 40))
    found = factor_regression(X, F)
    t = (found.coefficients.to_numpy()[:, 1:] - B) / found.errors.to_numpy()[:, 1:]
    assert 0.85 < t.std() < 1.15 and np.abs(t).max() < 4
    truth = 1e-4 * B @ B.T + 4e-4 * np.eye(40)
    miss = [np.linalg.norm(C - truth) for C in (ObservedFactorCovariance(factors=pd.DataFrame(F)).fit(pd.DataFrame(X)).covariance_, np.cov(X, rowvar=False))]
    assert miss[0] < miss[1]
