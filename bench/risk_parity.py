"Risk budgeting, maximum diversification and long-only minimum variance, given the covariance, beside skfolio's convex solver (which estimates it first, in less than a hundredth of its time)."


import numpy as np

from bench.harness import Case, best, often


def market(n: int) -> np.ndarray:
    "Draw 2N + 20 rows of N assets with a common factor and unequal volatilities."
    rng = np.random.default_rng(n)
    shocks = 0.8 * rng.standard_normal((2 * n + 20, n)) + 0.6 * rng.standard_normal((2 * n + 20, 1))
    return shocks * np.linspace(0.005, 0.03, n)


def apart(a, b):
    "Give the largest difference of a weight."
    return np.abs(a - b).max()


def cases() -> list[Case]:
    "List the comparisons; the peer's weights are good to about 1e-5, ours are certified in `notes`."
    from skfolio.optimization import MaximumDiversification, RiskBudgeting

    from portfolio_ml.allocation.risk_parity import maximum_diversification, risk_budgeting

    found, X, S = [], market(20), np.cov(market(20), rowvar=False)
    found.append(Case(
        "risk parity, N=20, ten times", often(lambda S=S: risk_budgeting(S)),
        often(lambda X=X: RiskBudgeting().fit(X).weights_), "skfolio RiskBudgeting", apart, 1e-4, target=40,
    ))
    for n, target in ((20, 40), (100, 40), (500, 90)):
        X, S = market(n), np.cov(market(n), rowvar=False)
        found.append(Case(
            f"risk parity, N={n}, once", lambda S=S: risk_budgeting(S),
            lambda X=X: RiskBudgeting().fit(X).weights_, "skfolio RiskBudgeting", apart, 1e-4, target=target,
        ))
    for n in (20, 100):
        X, S = market(n), np.cov(market(n), rowvar=False)
        found.append(Case(
            f"maximum diversification, N={n}", lambda S=S: maximum_diversification(S),
            lambda X=X: MaximumDiversification().fit(X).weights_, "skfolio MaximumDiversification", apart, 1e-3,
        ))
    return found


def notes() -> list[str]:
    "Say the certificates, the ratios to a Cholesky factorisation, and the cost of minimum variance at N=2000."
    from portfolio_ml.allocation.risk_parity import risk_budgeting, solve_risk_budgets
    from portfolio_ml.optimize.active_set import simplex_minimum_variance

    lines = []
    for n in (20, 100, 500):
        S = np.cov(market(n), rowvar=False)
        exact = solve_risk_budgets(S)
        ratio = best(lambda S=S: risk_budgeting(S)) / best(lambda S=S: np.linalg.cholesky(S))
        lines.append(
            f"Risk parity, N={n}: {exact.steps} steps, contributions miss their budgets by {exact.residual:.0e}, "
            f"the time of {ratio:.1f} Cholesky factorisations of the same matrix, checks included."
        )
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4000, 2000)) * rng.uniform(0.5, 2, 2000) + 0.8 * rng.standard_normal((4000, 1))
    S = np.cov(X, rowvar=False)
    held = (simplex_minimum_variance(S) > 0).sum()
    ratio = best(lambda: simplex_minimum_variance(S), 3) / best(lambda: np.linalg.cholesky(S), 3)
    return [*lines, f"Long-only minimum variance, N=2000, {held} assets held: the time of {ratio:.2f} Cholesky factorisations."]
