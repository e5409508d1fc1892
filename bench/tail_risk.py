"Minimum CVaR, CDaR, semivariance and EVaR beside skfolio's convex programs, and CVaR beside the full linear program."

import numpy as np

from bench.harness import Case, once


def market(n: int, rows: int = 1000) -> np.ndarray:
    "Draw fat-tailed returns of N assets with a common factor."
    rng = np.random.default_rng(n)
    return (0.8 * rng.standard_t(5, (rows, n)) + 0.6 * rng.standard_t(5, (rows, 1))) * np.linspace(0.005, 0.03, n) + 0.0004


def full_program(returns: np.ndarray, confidence: float = 0.95) -> np.ndarray:
    "Solve the program of Rockafellar and Uryasev with a variable for every scenario, by HiGHS."
    from scipy.optimize import linprog

    T, n = returns.shape
    cost = np.r_[np.zeros(n), 1, np.full(T, 1 / (T * (1 - confidence)))]
    table = np.hstack([-returns, -np.ones((T, 1)), -np.eye(T)])
    ends = [(0, None)] * n + [(None, None)] + [(0, None)] * T
    exact = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    return linprog(cost, table, np.zeros(T), np.r_[np.ones(n), np.zeros(T + 1)][None], [1], ends, method="highs", options=exact).x[:n]


def cases() -> list[Case]:
    "List the comparisons; answers are compared by the risk they reach, relative."
    from skfolio import RiskMeasure
    from skfolio.optimization import MeanRisk

    from portfolio_ml.allocation.tail_risk import minimum_cdar, minimum_cvar, minimum_evar, minimum_semivariance
    from portfolio_ml.measure.performance import cvar, downside_deviation, drawdowns
    from portfolio_ml.optimize.scenarios import entropic_risk

    def case(name, X, ours, theirs, risk, peer, tolerance, target=None):
        def apart(a, b):
            return abs(risk(X @ a) / risk(X @ b) - 1)

        return Case(name, lambda: ours(X), lambda: theirs(X), peer, apart, tolerance, target)

    def by_skfolio(measure):
        return lambda X: MeanRisk(risk_measure=measure).fit(X).weights_

    found = []
    for n, target in ((20, None), (100, 20)):
        X = market(n)
        found.append(case(f"CVaR 95 %, T=1000, N={n}", X, minimum_cvar, by_skfolio(RiskMeasure.CVAR), cvar, "skfolio MeanRisk", 1e-6, target))
        found.append(case(f"the same, N={n}", X, minimum_cvar, full_program, cvar, "full program, HiGHS", 1e-9))
    rest = (
        ("CDaR 95 %", minimum_cdar, RiskMeasure.CDAR, lambda x: cvar(drawdowns(x, compounded=False))),
        ("semivariance", lambda X: minimum_semivariance(X, target="mean"), RiskMeasure.SEMI_VARIANCE,
         lambda x: downside_deviation(x, target="mean", annualise=False)),
        ("EVaR 95 %", minimum_evar, RiskMeasure.EVAR, lambda x: entropic_risk(-x)[0]),
    )
    for n in (20, 100):
        X = market(n)
        found += [case(f"{name}, T=1000, N={n}", X, ours, by_skfolio(m), risk, "skfolio MeanRisk", 1e-4) for name, ours, m, risk in rest]
    return found


def notes() -> list[str]:
    "Say the certificates, the rounds, and the ratio to a Cholesky factorisation and to a pass over the returns."
    from portfolio_ml.allocation.tail_risk import solve_tail_risk

    lines = []
    for n in (20, 100):
        X = market(n)
        for risk in ("cvar", "cdar", "semivariance", "evar"):
            seconds, found = min((once(lambda X=X, risk=risk: solve_tail_risk(X, risk)) for _ in range(3)), key=lambda k: k[0])
            lines.append(f"{risk}, N={n}: {found.rounds} rounds by {found.method}, gap {max(found.gap, 0):.0e} returns, {1e3 * seconds:.1f} ms.")
        covariance = min(once(lambda X=X: np.linalg.cholesky(X.T @ X))[0] for _ in range(5))
        lines.append(f"Covariance and Cholesky factorisation of the same returns, N={n}: {1e3 * covariance:.2f} ms.")
    return lines
