"A panel of 100 series, each fitted by exact Newton steps beside the package arch one by one: GARCH with a mean, and GJR with Student's shocks; and what the errors cost."

import numpy as np

from bench.harness import Case, best

DAYS, SERIES = 1500, 100


def market(n: int = SERIES, days: int = DAYS) -> np.ndarray:
    "Draw percent returns whose variances answer more to losses, with Student's tails."
    from portfolio_ml.forecast.likelihood import draw_variances

    params = {"mu": 0.04, "omega": 0.03, "alpha": 0.04, "gamma": 0.08, "beta": 0.89, "nu": 7.0}
    return draw_variances(params, days, n, random_state=n)[0]


def by_arch(returns: np.ndarray, o: int, law: str) -> np.ndarray:
    "Fit each series with arch, in units in which its optimiser is at ease; give log-likelihoods."
    from arch import arch_model

    return np.array([arch_model(x, o=o, dist=law, rescale=False).fit(disp="off", show_warning=False).loglikelihood for x in returns.T])


def behind(ours, theirs) -> float:
    "Say by how much a log-likelihood of ours is below the peer's, at worst."
    return float(np.maximum(theirs - ours, 0).max())


def cases() -> list[Case]:
    "List the comparisons; ours computes both kinds of standard errors too, the peer none."
    from portfolio_ml.forecast.likelihood import fit_variances

    returns, found = market(), []
    for name, o, law in (("GARCH", 0, "normal"), ("GJR, Student", 1, "t")):
        how = {"asymmetric": bool(o), "distribution": law}
        found.append(Case(
            f"{name}, {SERIES} series, T={DAYS}", lambda how=how: fit_variances(returns, **how).log_likelihood.to_numpy(),
            lambda o=o, law=law: by_arch(returns, o, law), "arch, one by one", behind, 1e-4, target=3, rounds=3,
        ))
    return found


def notes() -> list[str]:
    "Say the certificate, and a fit in passes of the filter."
    from portfolio_ml.covariance.garch import garch_filter
    from portfolio_ml.forecast.likelihood import fit_variances

    returns = market(20)
    fit = fit_variances(returns)
    p = fit.params
    once = best(lambda: garch_filter(returns - p["mu"].to_numpy(), p["omega"].to_numpy(), p["alpha"].to_numpy(), p["beta"].to_numpy()))
    ratio = best(lambda: fit_variances(returns), 3) / once
    steps, gap = fit.certificate["steps"], fit.certificate["gradient"]
    return [f"Slope left: {gap.max():.0e} after {steps.median():.0f} steps (most: {steps.max():.0f}); a fit with its errors costs {ratio:.0f} passes of the filter."]
