"GARCH(1,1) margins of twenty assets over 2,500 days by exact Newton steps beside the package arch, and what dynamic correlations cost on top."

import numpy as np

from bench.harness import Case, best

DAYS, ASSETS = 2500, 20


def market(n: int = ASSETS, days: int = DAYS) -> np.ndarray:
    "Draw centred returns with GARCH variances and dynamic correlations."
    from portfolio_ml.covariance.estimator import factor_covariance
    from portfolio_ml.covariance.garch import draw_dcc_returns

    returns, _ = draw_dcc_returns(days, factor_covariance(n, 2), random_state=n)
    return returns - returns.mean(axis=0)


def by_arch(moves: np.ndarray) -> np.ndarray:
    "Fit each asset with arch, in units in which its optimiser is at ease; give log-likelihoods."
    from arch import arch_model

    found = []
    for x in moves.T:
        scale = x.std()
        fitted = arch_model(x / scale, mean="Zero", rescale=False).fit(disp="off", show_warning=False)
        found.append(fitted.loglikelihood - len(x) * np.log(scale))
    return np.array(found)


def behind(ours, theirs) -> float:
    "Say by how much a log-likelihood of ours is below the peer's, at worst."
    return float(np.maximum(theirs - ours, 0).max())


def cases() -> list[Case]:
    "List the comparisons; the distance is how far a likelihood of ours lies below."
    from portfolio_ml.covariance.garch import fit_dcc, fit_garch

    moves = market()
    fit = fit_garch(moves)
    shocks = moves / np.sqrt(fit.variances[:-1])
    return [
        Case("GARCH margins, N=20, T=2500", lambda: fit_garch(moves).log_likelihood, lambda: by_arch(moves), "arch", behind, 1e-4, rounds=3),
        Case("the same, parameters shared", lambda: fit_garch(moves, pooled=True)),
        Case("DCC on top, each asset with its neighbour", lambda: fit_dcc(shocks)),
        Case("DCC on top, all 190 pairs", lambda: fit_dcc(shocks, reach=None), rounds=2),
    ]


def notes() -> list[str]:
    "Say the certificate, and the cost of one pass of the filter."
    from portfolio_ml.covariance.garch import fit_garch, garch_filter

    moves = market()
    fit = fit_garch(moves)
    once = best(lambda: garch_filter(moves, fit.omega, fit.alpha, fit.beta))
    ratio = best(lambda: fit_garch(moves), 3) / once
    return [f"Slope left: {fit.gradient.max():.0e} after at most {fit.steps.max()} steps; a fit costs {ratio:.0f} passes of the filter."]
