"Shrinkage: the papers' sums, other libraries, identities, edges, the truth approached, and the estimators in other people's hands."

from decimal import Decimal, localcontext

import numpy as np
import pandas as pd
import pytest
from pypfopt.risk_models import CovarianceShrinkage
from sklearn.base import clone
from sklearn.covariance import OAS, LedoitWolf
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from portfolio_ml.allocation.mean_variance import MinimumVariance
from portfolio_ml.backtest.walk_forward import walk_forward
from portfolio_ml.core.testing import factor_returns
from portfolio_ml.core.validation import (
    ConstantAssetError,
    DataError,
    InsufficientDataError,
    MissingDataError,
    NonFiniteError,
    ShapeError,
)
from portfolio_ml.covariance.estimator import draw_returns, frobenius_loss, minimum_variance_loss, spectrum_covariance, stein_loss
from portfolio_ml.covariance.shrinkage import (
    AnalyticalShrinkage,
    GeometricInverseShrinkage,
    LinearInverseShrinkage,
    LinearShrinkage,
    QuadraticInverseShrinkage,
    analytical_shrinkage,
    constant_correlation_shrinkage,
    constant_variance_shrinkage,
    geometric_inverse_shrinkage,
    linear_inverse_shrinkage,
    oracle_shrinkage,
    quadratic_inverse_shrinkage,
    single_factor_shrinkage,
)
from portfolio_ml.covariance.spectrum import (
    cauchy_transform,
    epanechnikov_transform,
    linear_inverse_eigenvalues,
    oracle_eigenvalues,
    quadratic_inverse_eigenvalues,
    sample_spectrum,
    shrink_spectrum,
)

LINEAR = [constant_variance_shrinkage, constant_correlation_shrinkage, single_factor_shrinkage]
ROTATING = {"QIS": quadratic_inverse_shrinkage, "LIS": linear_inverse_shrinkage, "GIS": geometric_inverse_shrinkage, "analytical": analytical_shrinkage}
ESTIMATORS = [
    LinearShrinkage(), LinearShrinkage("constant_correlation"), LinearShrinkage("single_factor", ddof=0), LinearShrinkage(rule="oas"),
    QuadraticInverseShrinkage(), LinearInverseShrinkage(), GeometricInverseShrinkage(), AnalyticalShrinkage(),
]
ANY_SHAPE = [e for e in ESTIMATORS if not isinstance(e, LinearInverseShrinkage | GeometricInverseShrinkage)]
SHAPES = [(60, 20), (31, 30), (30, 30), (31, 31), (21, 60), (13, 100)]


def panel(rows, assets, seed=0):
    "Draw days with a common factor and unequal volatilities."
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((rows, assets)) + 0.7 * rng.standard_normal((rows, 1))) * rng.uniform(0.5, 2, assets)


# --- linear ------------------------------------------------------------------------------------------------------------------------


def literal(x, kind, ddof=1, factor=None):
    "Compute an intensity from matrices of asymptotic covariances, every entry by itself."
    n, (_, p) = len(x) - ddof, x.shape
    x = x - x.mean(axis=0)
    m = x.mean(axis=1) if factor is None else factor - factor.mean()
    S, b, v = x.T @ x / n, x.T @ m / n, m @ m / n
    sd = np.sqrt(np.diag(S))
    if kind == "variance":
        F, rho = np.eye(p) * np.trace(S) / p, np.zeros((p, p))
    elif kind == "correlation":
        mean = (S / np.outer(sd, sd))[~np.eye(p, dtype=bool)].mean()
        F = mean * np.outer(sd, sd)
        third = (x**3).T @ x / n - np.diag(S)[:, None] * S
        half = mean / 2 * sd / sd[:, None] * third
        rho = half + half.T
    else:
        F = np.outer(b, b) / v
        one = np.einsum("ti,tj,ti,t->ij", x, x, x, m) / n - b[:, None] * S
        two = np.einsum("ti,tj,t,t->ij", x, x, m, m) / n - v * S
        rho = (b * one + (b * one).T) / v - np.outer(b, b) / v**2 * two
    pi = np.einsum("ti,tj->ij", x**2, x**2) / n - S**2
    if kind != "variance":
        np.fill_diagonal(F, np.diag(S))
        np.fill_diagonal(rho, np.diag(pi))
    alpha = np.clip((pi.sum() - rho.sum()) / n / ((F - S) ** 2).sum(), 0, 1)
    return alpha * F + (1 - alpha) * S, alpha


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize(("method", "kind"), list(zip(LINEAR, ("variance", "correlation", "factor"), strict=True)))
@pytest.mark.parametrize("shape", [(40, 6), (15, 30), (500, 4)])
def test_linear_shrinkage_is_the_papers(method, kind, shape, ddof):
    "Covariance and intensity, entry by entry, with both denominators."
    x = panel(*shape)
    for found, wanted in zip(method(x, ddof=ddof), literal(x, kind, ddof), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_a_market_of_ones_own():
    "The index in place of the mean of the assets."
    x = panel(60, 5)
    index = x @ [0.5, 0.2, 0.1, 0.1, 0.1] + 1.0
    np.testing.assert_allclose(single_factor_shrinkage(x, index)[0], literal(x, "factor", factor=index)[0], rtol=1e-9)
    np.testing.assert_allclose(single_factor_shrinkage(x, x.mean(axis=1))[0], single_factor_shrinkage(x)[0])
    for bad in (index[:-1], np.r_[index[:-1], np.nan]):
        with pytest.raises(DataError, match="factor"):
            single_factor_shrinkage(x, bad)


def test_other_libraries():
    "scikit-learn's two, PyPortfolioOpt's single factor; its constant correlation mixes the denominators."
    for shape in ((40, 12), (12, 30)):
        x = panel(*shape)
        for theirs, rule in ((LedoitWolf(), "ledoit-wolf"), (OAS(), "oas")):
            C, alpha = constant_variance_shrinkage(x, rule=rule, ddof=0)
            np.testing.assert_allclose(C, theirs.fit(x).covariance_, rtol=1e-9, atol=1e-12)
            assert abs(alpha - theirs.shrinkage_) < 1e-12
            centred = constant_variance_shrinkage(x, rule=rule, assume_centered=True)
            np.testing.assert_allclose(centred[0], clone(theirs).set_params(assume_centered=True).fit(x).covariance_, rtol=1e-9, atol=1e-12)
        other = CovarianceShrinkage(pd.DataFrame(x), returns_data=True, frequency=1)
        np.testing.assert_allclose(single_factor_shrinkage(x, ddof=0)[0], other.ledoit_wolf("single_factor"), rtol=1e-8, atol=1e-12)


def test_edges_of_linear_shrinkage():
    "Nothing to choose, one asset, two assets, wrong words."
    x = panel(30, 2)
    assert constant_correlation_shrinkage(x)[1] == 0  # the target is the sample
    for method in LINEAR:
        C, alpha = method(x[:, :1])
        np.testing.assert_allclose(C, [[x[:, 0].var(ddof=1)]])
        assert alpha == 0
        assert 0 <= method(panel(3, 40))[1] <= 1
    hedged = np.c_[x[:, 0], -x[:, 0]]  # a market that does not move
    C = single_factor_shrinkage(hedged)[0]
    assert np.isfinite(C).all() and np.linalg.eigvalsh(C)[0] > -1e-12
    with pytest.raises(DataError, match="rule"):
        constant_variance_shrinkage(x, rule="lw")
    with pytest.raises(DataError, match="ddof"):
        constant_variance_shrinkage(x, ddof=2)
    for bad, word in ((LinearShrinkage("identity"), "target"), (LinearShrinkage(ddof=3), "ddof"), (LinearShrinkage("single_factor", rule="oas"), "rule")):
        with pytest.raises(DataError, match=word):
            bad.fit(x)


# --- nonlinear ---------------------------------------------------------------------------------------------------------------------


def authors(x, kind):
    "Compute a nonlinear estimate from the p x p matrix, as the papers write it."
    (T, p), x = x.shape, x - x.mean(axis=0)
    n = T - 1
    c, k = p / n, min(p, n)
    lam, U = np.linalg.eigh(x.T @ x / n)
    lam = lam[p - k:]
    if kind == "analytical":
        lam = lam.astype(np.longdouble)  # the closed form loses digits
        h = np.longdouble(n) ** (-np.longdouble(1) / 3)
        edge, pi = np.sqrt(np.longdouble(5)), np.longdouble(np.pi)
        L = np.tile(lam[:, None], (1, k))
        H = h * L.T
        z = (L - L.T) / H
        f = 3 / 4 / edge * (np.maximum(1 - z**2 / 5, 0) / H).mean(axis=1)
        g = -3 * z / 10 / pi + 3 / (4 * edge) / pi * (1 - z**2 / 5) * np.log(np.abs((edge - z) / (edge + z)))
        g = (g / H).mean(axis=1)
        if p <= n:
            d = lam / ((pi * c * lam * f) ** 2 + (1 - c - pi * c * lam * g) ** 2)
        else:
            at_zero = 1 / np.pi * (3 / 10 / h**2 + 3 / 4 / np.sqrt(5) / h * (1 - 1 / 5 / h**2) * np.log((1 + np.sqrt(5) * h) / (1 - np.sqrt(5) * h)))
            d = np.r_[np.full(p - n, 1 / (np.pi * (p - n) / n * at_zero * (1 / lam).mean())), lam / (pi**2 * lam**2 * (f**2 + g**2))]
        return (U * d.astype(float)) @ U.T
    inv, h = 1 / lam, min(c**2, 1 / c**2) ** 0.35 / p**0.35
    gap = inv[None, :] - inv[:, None]
    theta = (inv * gap / (gap**2 + h**2 * inv**2)).mean(axis=1)
    other = (h * inv**2 / (gap**2 + h**2 * inv**2)).mean(axis=1)
    square = theta**2 + other**2
    quadratic, linear = (1 - c) ** 2 * inv + 2 * c * (1 - c) * inv * theta + c**2 * inv * square, (1 - c) * inv + 2 * c * inv * theta
    linear = np.maximum(linear, inv.min())
    if kind == "QIS":
        d = 1 / quadratic if p <= n else np.r_[np.full(p - n, 1 / ((c - 1) * inv.mean())), 1 / (inv * square)]
        d = d * lam.sum() / d.sum()
    else:
        d = 1 / linear if kind == "LIS" else np.sqrt(1 / quadratic / linear)
    return (U * d) @ U.T


@pytest.mark.parametrize("name", ROTATING)
@pytest.mark.parametrize("shape", SHAPES)
def test_nonlinear_shrinkage_is_the_papers(name, shape):
    "Below, at and above as many assets as degrees of freedom; positive definite everywhere; LIS and GIS refuse above."
    x = panel(*shape)
    if name in ("LIS", "GIS") and shape[1] >= shape[0]:
        with pytest.raises(InsufficientDataError, match="QIS"):
            ROTATING[name](x)
        return
    C = ROTATING[name](x)
    square = abs(shape[0] - shape[1]) < 2  # there the closed form loses digits, even in long doubles; see the test with decimals below
    loose = (5e-4 if square else 1e-7) if name == "analytical" else 1e-8
    np.testing.assert_allclose(C, authors(x, name), rtol=loose, atol=loose * np.abs(C).max())
    assert np.linalg.eigvalsh(C)[0] > 0
    np.testing.assert_array_equal(C, C.T)
    if name == "QIS":
        np.testing.assert_allclose(np.trace(C), np.trace(np.cov(x, rowvar=False)))


@pytest.mark.parametrize("shape", [(80, 12), (12, 40)])
def test_equivariance(shape):
    "Rotations, permutations, units."
    x, rng = panel(*shape), np.random.default_rng(1)
    Q, order = np.linalg.qr(rng.standard_normal((shape[1],) * 2))[0], rng.permutation(shape[1])
    methods = [quadratic_inverse_shrinkage, lambda x: constant_variance_shrinkage(x)[0]]
    methods += list(ROTATING.values())[1:] if shape[0] > shape[1] else []
    for method in methods:
        C = method(x)
        np.testing.assert_allclose(method(x @ Q), Q.T @ C @ Q, atol=1e-9 * C.max())
        np.testing.assert_allclose(method(x + 5), C, atol=1e-9 * C.max())
    for method in (*methods, *(lambda x, f=f: f(x)[0] for f in LINEAR[1:])):
        C = method(x)
        np.testing.assert_allclose(method(x[:, order]), C[np.ix_(order, order)], atol=1e-9 * C.max())
        for unit in (1e-6, 1e4):
            np.testing.assert_allclose(method(unit * x), unit**2 * C, rtol=1e-7, atol=1e-9 * unit**2 * C.max())


def test_marchenko_pastur():
    "Where the transform is known the shrunk eigenvalue is exact, for any variance."
    for c, variance in ((0.1, 1.0), (0.6, 4.0), (0.95, 1e-4)):
        low, high = (1 - np.sqrt(c)) ** 2, (1 + np.sqrt(c)) ** 2
        u = np.linspace(low, high, 50)
        exact = (u + c - 1 - 1j * np.sqrt(np.maximum((high - u) * (u - low), 0))) / (2 * c)
        np.testing.assert_allclose(quadratic_inverse_eigenvalues(variance * u, exact, c), variance)
        assert (linear_inverse_eigenvalues(variance * u, exact, c) <= variance * (1 + 1e-12)).all()


def test_transforms_lose_no_digits():
    "Against sixty decimals, over seven orders of magnitude; both kernels agree where nothing is near."
    values, h = np.geomspace(1e-6, 10, 12), 0.2
    with localcontext() as context:
        context.prec = 60
        exact, edge, wanted = [Decimal(float(v)) for v in values], Decimal(5).sqrt(), []
        for a in exact:
            z = [(a - b) / (Decimal(h) * b) for b in exact]
            closed = [-3 * x / 10 + 3 / (4 * edge) * (1 - x * x / 5) * abs((edge - x) / (edge + x)).ln() for x in z]
            wanted.append(float(-a * sum(g / (Decimal(h) * b) for g, b in zip(closed, exact, strict=True)) / len(exact)))
    np.testing.assert_allclose(epanechnikov_transform(values, h).real, wanted, rtol=1e-10)
    apart = np.array([1.0, 1e3, 1e6])
    np.testing.assert_allclose(cauchy_transform(apart, 1e-9, 3).real, epanechnikov_transform(apart, 1e-4).real, atol=1e-7)


def test_repetitions():
    "An asset twice, with fewer and with more assets than days; a day twice; all finite."
    for rows, name in ((60, "QIS"), (60, "analytical"), (60, "LIS"), (16, "QIS"), (16, "analytical")):
        x = panel(rows, 20)
        twice = np.c_[x, x[:, 3]]
        C, pair = ROTATING[name](twice), np.zeros(21)
        pair[[3, 20]] = 1, -1
        assert np.isfinite(C).all() and np.linalg.eigvalsh(C)[0] > -1e-10
        assert (pair @ C @ pair < 1e-9) == (rows == 60)
    still = np.r_[panel(20, 40), np.zeros((3, 40))]
    for name in ("QIS", "analytical"):
        assert np.linalg.eigvalsh(ROTATING[name](still))[0] > 0


def test_small_samples():
    "One asset, two days; too few days for the analytical formula."
    np.testing.assert_allclose(quadratic_inverse_shrinkage([[0.01], [0.03], [0.02]]), [[1e-4]])
    C = quadratic_inverse_shrinkage(panel(2, 6))
    assert np.linalg.eigvalsh(C)[0] > 0
    with pytest.raises(InsufficientDataError, match="12"):
        analytical_shrinkage(panel(10, 30))
    values, vectors = sample_spectrum(panel(5, 9) - panel(5, 9).mean(axis=0), 4)
    assert vectors.shape == (9, 4) and (values > 0).all()


# --- the truth ---------------------------------------------------------------------------------------------------------------------


def plant(n):
    "Plant the spectrum of the papers."
    return spectrum_covariance(np.repeat([1.0, 3.0, 10.0], [n // 5, 2 * n // 5, 2 * n // 5]))


@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_the_oracle_is_approached(ratio):
    "The distance of QIS and of the analytical formula from the oracle falls."
    for method in (quadratic_inverse_shrinkage, analytical_shrinkage):
        gaps = []
        for size, draws in ((50, 10), (250, 3)):
            truth = plant(size)
            x = [draw_returns(truth, int(size / ratio) + 1, random_state=s) for s in range(draws)]
            gaps.append(np.mean([frobenius_loss(method(v), oracle_shrinkage(v, truth)) for v in x]))
        assert gaps[1] < gaps[0] / 2.5


def test_each_loss_has_its_estimator():
    "QIS, LIS and GIS win at their own losses, on average, at half as many assets as days; the oracle always does."
    truth, names = plant(100), ("QIS", "LIS", "GIS")
    losses = {
        "frobenius": (frobenius_loss, "QIS"), "minimum variance": (minimum_variance_loss, "QIS"), "inverse stein": (lambda a, b: stein_loss(b, a), "QIS"),
        "stein": (stein_loss, "LIS"), "symmetrised": (lambda a, b: stein_loss(a, b) + stein_loss(b, a), "GIS"),
    }
    draws = [draw_returns(truth, 201, random_state=s) for s in range(6)]
    found = [{k: ROTATING[k](x) for k in names} for x in draws]
    for name, (loss, winner) in losses.items():
        lost = {k: np.array([loss(f[k], truth) for f in found]) for k in names}
        assert min(lost, key=lambda k: lost[k].mean()) == winner
        best = np.array([loss(oracle_shrinkage(x, truth, name), truth) for x in draws])
        assert all((best < v).all() for v in lost.values())


def test_the_oracle_of_the_null_space():
    "With more assets than days it is the best common value; bad words and shapes are refused."
    truth, x = plant(30), draw_returns(plant(30), 13)
    _, U = sample_spectrum(x - x.mean(axis=0), 12)
    for loss, measure in (("frobenius", frobenius_loss), ("stein", stein_loss)):
        values, null = oracle_eigenvalues(U, truth, loss)
        rest = np.eye(30) - U @ U.T
        least = measure((U * values) @ U.T + null * rest, truth)
        assert all(measure((U * values) @ U.T + null * f * rest, truth) > least for f in (0.95, 1.05))
    with pytest.raises(DataError, match="loss"):
        oracle_shrinkage(x, truth, "l1")
    with pytest.raises(ShapeError, match="truth"):
        oracle_shrinkage(x, np.eye(4))


# --- bad input, names, other people's code -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [*LINEAR, *ROTATING.values()])
def test_bad_input_is_refused(method):
    "By a typed error that names it."
    x = pd.DataFrame(panel(40, 3), columns=["KO", "WMT", "AAPL"])
    for bad, error, word in (
        (x.mask(x == x.iloc[3, 1]), MissingDataError, "WMT"), (x.replace(x.iloc[3, 1], np.inf), NonFiniteError, "WMT"),
        (x.assign(KO=0.01), ConstantAssetError, "KO"), (x.iloc[:1], InsufficientDataError, "1 row"),
    ):
        with pytest.raises(error, match=word):
            method(bad)
    found = method(x)
    found = found[0] if isinstance(found, tuple) else found
    assert list(found.index) == list(found.columns) == list(x.columns)
    plain = method(x.to_numpy())
    np.testing.assert_allclose(found, plain[0] if isinstance(plain, tuple) else plain)


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn(estimator, check):
    "scikit-learn's own checks of an estimator."
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_estimators_are_their_functions(estimator):
    "Covariance, precision, intensity, eigenvalues, score; centred or not."
    x = panel(50, 6)
    for centred in (False, True):
        fitted = clone(estimator).set_params(assume_centered=centred).fit(x)
        np.testing.assert_allclose(fitted.precision_ @ fitted.covariance_, np.eye(6), atol=1e-9)
        assert np.isfinite(fitted.score(x))
        if isinstance(estimator, LinearShrinkage):
            method = dict(zip(("constant_variance", "constant_correlation", "single_factor"), LINEAR, strict=True))[estimator.target]
            extra = {"rule": estimator.rule} if estimator.target == "constant_variance" else {}
            C, alpha = method(x, ddof=estimator.ddof, assume_centered=centred, **extra)
            assert abs(fitted.shrinkage_ - alpha) < 1e-12
        else:
            name = {"Q": "QIS", "L": "LIS", "G": "GIS", "A": "analytical"}[type(estimator).__name__[0]]
            C = ROTATING[name](x, assume_centered=centred)
            np.testing.assert_allclose(np.sort(fitted.eigenvalues_), np.linalg.eigvalsh(C))
            moves = x if centred else x - x.mean(axis=0)
            np.testing.assert_allclose(fitted.sample_eigenvalues_, np.linalg.eigvalsh(moves.T @ moves / (50 - (not centred))))
            np.testing.assert_allclose(shrink_spectrum(moves, 50 - (not centred), estimator.rule)[0], C)
        np.testing.assert_allclose(fitted.covariance_, C, atol=1e-14)


@pytest.mark.parametrize("estimator", ANY_SHAPE, ids=str)
def test_in_portfolios(estimator):
    "In our minimum variance and its walk-forward, with more assets than days, and in skfolio's."
    from skfolio.optimization import MeanRisk
    from skfolio.prior import EmpiricalPrior

    X = factor_returns(90, 25)
    bt = walk_forward({"gmv": MinimumVariance(estimator, min_weight=None)}, X, window=20, rebalance=30, costs=0.001)
    assert not len(bt.failures) and np.isfinite(bt.net_returns.to_numpy()).all()
    ours = MinimumVariance(estimator).fit(X.iloc[:, :6]).weights_
    prior = EmpiricalPrior(covariance_estimator=clone(estimator))
    theirs = MeanRisk(prior_estimator=prior).fit(X.iloc[:, :6]).weights_
    np.testing.assert_allclose(theirs, ours, atol=2e-3)  # their solver stops early


def test_in_a_pipeline_with_a_grid():
    "The score is the likelihood of days that were not seen."
    X = factor_returns(120, 30)
    pipe = make_pipeline(FunctionTransformer(), LinearShrinkage())
    grid = {"linearshrinkage__target": ["constant_variance", "constant_correlation", "single_factor"]}
    search = GridSearchCV(pipe, grid, cv=KFold(3)).fit(X)
    assert np.isfinite(search.best_score_) and search.best_estimator_[-1].covariance_.shape == (30, 30)
