"Worst-case mean-variance beside skfolio and cvxpy's cone programme, growth-optimal weights beside Riskfolio-Lib and a cone programme in cvxpy; answers compared by weight."


import numpy as np
import pandas as pd

from bench.harness import Case, once


def market(n: int, rows: int = 1000) -> np.ndarray:
    "Draw returns of N assets with a common factor, unequal volatilities and means that reward them."
    rng = np.random.default_rng(n)
    shocks = 0.8 * rng.standard_normal((rows, n)) + 0.6 * rng.standard_normal((rows, 1))
    return (shocks + 0.04) * np.linspace(0.005, 0.03, n)


def apart(a, b):
    "Give the largest difference of a weight."
    return np.abs(np.asarray(a) - np.asarray(b)).max()


def growth_apart(X):
    "Give a distance: how far two portfolios' growth rates are apart, as a share of the mean absolute return."
    return lambda a, b: abs(np.log1p(X @ a).mean() - np.log1p(X @ b).mean()) / np.abs(X).mean()


def worst_by_skfolio(X):
    "Solve the worst case by skfolio."
    from skfolio.optimization import MeanRisk, ObjectiveFunction
    from skfolio.uncertainty_set import EmpiricalMuUncertaintySet

    doubt = EmpiricalMuUncertaintySet(diagonal=False)
    return MeanRisk(ObjectiveFunction.MAXIMIZE_UTILITY, risk_aversion=1.5, mu_uncertainty_set_estimator=doubt).fit(X).weights_


def growth_by_riskfolio(X):
    "Solve for growth by Riskfolio-Lib."
    import riskfolio

    lib = riskfolio.Portfolio(returns=pd.DataFrame(X))
    lib.assets_stats(method_mu="hist", method_cov="hist")
    return lib.optimization(model="Classic", rm="MV", obj="Utility", kelly="exact", l=0, hist=True)["weights"].to_numpy()


def growth_by_cvxpy(X):
    "Solve for growth by cvxpy."
    import cvxpy as cp

    w = cp.Variable(X.shape[1])
    cp.Problem(cp.Maximize(cp.sum(cp.log(1 + X @ w)) / len(X)), [cp.sum(w) == 1, w >= 0]).solve(solver="CLARABEL")
    return w.value


def cases() -> list[Case]:
    "List the comparisons."
    from portfolio_ml.allocation.robust import WorstCaseMeanVariance
    from portfolio_ml.optimize.growth import kelly

    found = []
    for n in (20, 100):
        X = market(n)
        found.append(Case(
            f"worst case, T=1000, N={n}", lambda X=X: WorstCaseMeanVariance(3).fit(X).weights_,
            lambda X=X: worst_by_skfolio(X), "skfolio MeanRisk", apart, 2e-3,
        ))
        found.append(Case(
            f"growth, T=1000, N={n}", lambda X=X: kelly(X), lambda X=X: growth_by_riskfolio(X),
            "Riskfolio-Lib kelly='exact'", growth_apart(X), 1e-3,
        ))
        found.append(Case(
            f"growth, T=1000, N={n}", lambda X=X: kelly(X), lambda X=X: growth_by_cvxpy(X), "cvxpy, Clarabel", growth_apart(X), 1e-5,
        ))
    return found


def notes() -> list[str]:
    "Say what the search costs beside the frontier it runs along, and a resampled frontier."
    from portfolio_ml.allocation.frontier import critical_line
    from portfolio_ml.allocation.robust import resampled_frontier, worst_case_mean_variance

    X, seconds = market(100), []
    m, S = X.mean(axis=0), np.cov(X, rowvar=False)
    works = (
        lambda: critical_line(m, S), lambda: worst_case_mean_variance(m, S, radius=11, uncertainty=1e-3, risk_aversion=3),
        lambda: worst_case_mean_variance(m, S, radius=11, uncertainty=1e-3, risk_aversion=3, method="cone"),
        lambda: resampled_frontier(m[:20], S[:20, :20], 1000, n_resamples=100, random_state=0),
    )
    for work in works:
        work()
        seconds.append(1e3 * once(work)[0])
    return [
        f"Worst case given the covariance, N=100: {seconds[1]:.1f} ms along the exact frontier, which itself takes {seconds[0]:.1f} ms; {seconds[2]:.1f} ms by the cone.",
        f"A resampled frontier of 20 assets, 100 histories of 1,000 rows: {seconds[3]:.0f} ms.",
    ]
