"Shrinkage beside scikit-learn's and skfolio's linear estimators, which compute a precision too; for the nonlinear ones, an eigendecomposition of the same matrix."

import numpy as np

from bench.harness import Case, best, peak_memory


def market(rows: int, n: int) -> np.ndarray:
    "Draw days with a common factor and unequal volatilities."
    rng = np.random.default_rng(n)
    shocks = 0.8 * rng.standard_normal((rows, n)) + 0.6 * rng.standard_normal((rows, 1))
    return shocks * np.linspace(0.005, 0.03, n)


def apart(a, b):
    "Give the largest difference, relative to the largest number."
    return np.abs(a - b).max() / np.abs(b).max()


def cases() -> list[Case]:
    "List the comparisons."
    from skfolio.moments import OAS
    from skfolio.moments import LedoitWolf as SkfolioLedoitWolf
    from sklearn.covariance import LedoitWolf

    from portfolio_ml.covariance.shrinkage import LinearShrinkage

    found = []
    for n in (100, 500):
        X = market(1000, n)
        for ours, theirs, name in (
            (LinearShrinkage(ddof=0), LedoitWolf(), "scikit-learn LedoitWolf"), (LinearShrinkage(ddof=0), SkfolioLedoitWolf(), "skfolio LedoitWolf"),
            (LinearShrinkage(rule="oas", ddof=0), OAS(), "skfolio OAS"),
        ):
            found.append(Case(
                f"constant variance, N={n}, T=1000", lambda X=X, m=ours: m.fit(X).covariance_,
                lambda X=X, m=theirs: m.fit(X).covariance_, name, apart, 1e-9,
            ))
    return found


def notes() -> list[str]:
    "Say what each nonlinear estimate costs in eigendecompositions of the same matrix, and its memory."
    from scipy.linalg import eigh

    from portfolio_ml.covariance.shrinkage import (
        analytical_shrinkage,
        constant_correlation_shrinkage,
        geometric_inverse_shrinkage,
        linear_inverse_shrinkage,
        quadratic_inverse_shrinkage,
        single_factor_shrinkage,
    )

    lines = []
    for rows, n in ((1000, 500), (300, 500)):
        X = market(rows, n)
        S = np.cov(X, rowvar=False)
        one = best(lambda S=S: eigh(S, driver="evd"))
        for method in (quadratic_inverse_shrinkage, analytical_shrinkage, linear_inverse_shrinkage, geometric_inverse_shrinkage):
            if rows > n or method in (quadratic_inverse_shrinkage, analytical_shrinkage):
                ratio = best(lambda X=X, m=method: m(X)) / one
                lines.append(f"{method.__name__}, N={n}, T={rows}: the time of {ratio:.2f} eigendecompositions of the sample covariance ({one:.0f} ms), input checks included.")
                if method is quadratic_inverse_shrinkage and ratio > 3:
                    raise AssertionError(f"QIS takes {ratio:.2f} eigendecompositions, more than 3")
    X = market(1000, 500)
    product = best(lambda: X.T @ X)
    for method in (constant_correlation_shrinkage, single_factor_shrinkage):
        lines.append(f"{method.__name__}, N=500, T=1000: the time of {best(lambda m=method: m(X)) / product:.1f} products of the data with themselves ({product:.0f} ms).")
    for rows, name in ((4000, "quadratic_inverse_shrinkage"), (1000, "quadratic_inverse_shrinkage"), (4000, "analytical_shrinkage"), (4000, "constant_variance_shrinkage")):
        code = f"from bench.shrinkage import market; from portfolio_ml.covariance.shrinkage import {name}; {name}(market({rows}, 2000))"
        peak = peak_memory(code)
        if peak > 1000:
            raise AssertionError(f"{name} needs {peak:.0f} MB")
        lines.append(f"{name}, N=2000, T={rows}: {peak:.0f} MB at the peak, imports and data of {rows * 2000 * 8 / 2**20:.0f} MB included.")
    return lines
