"Factor covariances beside skfolio's factor model, scikit-learn's likelihood and a plain inverse."

import numpy as np
import pandas as pd

from bench.harness import Case


def market(n_obs: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    "Draw returns and their three factors."
    rng = np.random.default_rng(n)
    F = 0.01 * rng.standard_normal((n_obs, 3))
    return F @ rng.normal(1, 0.4, (3, n)) + 0.02 * rng.standard_normal((n_obs, n)), F


def apart(a, b):
    "Give the largest difference, relative to the largest entry."
    return np.abs(a - b).max() / np.abs(b).max()


def cases() -> list[Case]:
    "List the comparisons."
    from skfolio.prior import LoadingMatrixRegression, TimeSeriesFactorModel
    from sklearn.decomposition import FactorAnalysis
    from sklearn.linear_model import LinearRegression

    from portfolio_ml.covariance.components import principal_factors
    from portfolio_ml.covariance.factors import POET, FactorCovariance, ObservedFactorCovariance

    found = []
    for n in (100, 500):
        X, F = market(252, n)
        frame, factors = pd.DataFrame(X, columns=[f"A{i}" for i in range(n)]), pd.DataFrame(F, columns=list("xyz"))
        peer = TimeSeriesFactorModel(loading_matrix_estimator=LoadingMatrixRegression(linear_regressor=LinearRegression()))
        found.append(Case(
            f"observed factors, N={n}", lambda frame=frame, f=factors: ObservedFactorCovariance(factors=f).fit(frame).covariance_,
            lambda frame=frame, f=factors, peer=peer: peer.fit(frame, factors=f).return_distribution_.covariance,
            "skfolio TimeSeriesFactorModel", apart, 1e-9,
        ))
        found.append(Case(
            f"principal factors, N={n}", lambda X=X: FactorCovariance(n_factors=3).fit(X).covariance_,
            lambda X=X: FactorAnalysis(3).fit(X).get_covariance(), "scikit-learn FactorAnalysis (likelihood)", apart, 0.05,
        ))
        model = principal_factors(X - X.mean(axis=0), 3)
        whole = model.covariance()
        found.append(Case(f"precision, N={n}", model.precision, lambda whole=whole: np.linalg.inv(whole), "numpy inv", apart, 1e-8))
        found.append(Case(f"POET, cross-validated, N={n}", lambda X=X: POET(n_factors=3).fit(X).covariance_))
    return found
