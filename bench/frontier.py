"The whole exact frontier, every turning point, beside one single portfolio of the fastest peer; the same factor market, one thread."

from functools import lru_cache

import numpy as np

from bench.harness import Case, best

SIZES = (20, 100, 500)


@lru_cache
def market(n: int) -> tuple[np.ndarray, np.ndarray]:
    "Make means and covariance of a market with a common factor and five lesser ones, per day."
    rng = np.random.default_rng(n)
    beta = rng.normal(1, 0.3, (n, 1))
    loads = np.hstack([0.01 * beta, rng.normal(0, 0.004, (n, 5))])
    covariance = loads @ loads.T + np.diag(rng.uniform(0.008, 0.02, n) ** 2)
    return 0.0003 * beta[:, 0] + rng.normal(0, 0.0003, n), covariance


def whole(n: int):
    "Compute every turning point."
    from portfolio_ml.allocation.frontier import critical_line

    return critical_line(*market(n))


def single(n: int, ask: str) -> np.ndarray:
    "Compute one portfolio with PyPortfolioOpt and Clarabel, from yearly moments."
    from pypfopt import EfficientFrontier

    mean, covariance = market(n)
    frontier = EfficientFrontier(252 * mean, 252 * covariance, solver="CLARABEL")
    getattr(frontier, ask)()
    return frontier.weights


def conic(n: int) -> np.ndarray:
    "Compute one portfolio as a cone program, through cvxpy."
    import cvxpy as cp

    mean, covariance = market(n)
    w = cp.Variable(n)
    root = np.linalg.cholesky(252 * covariance)
    cp.Problem(cp.Minimize(cp.norm2(root.T @ w)), [w >= 0, cp.sum(w) == 1]).solve(solver="CLARABEL")
    return w.value


def their_path(n: int) -> np.ndarray:
    "Compute PyPortfolioOpt's critical line, and the least variance on it."
    from pypfopt import CLA

    mean, covariance = market(n)
    line = CLA(252 * mean, 252 * covariance)
    line.min_volatility()
    return line.weights


def apart_least(path, weights) -> float:
    "Compare the least variance."
    return np.abs(path.minimum_variance - weights).max()


def apart_sharpe(path, weights) -> float:
    "Compare the highest Sharpe ratio."
    return np.abs(path.maximum_sharpe() - weights).max()


def cases() -> list[Case]:
    "List the comparisons: a ratio above one means that the whole path is cheaper than one portfolio."
    rows = []
    for n in SIZES:
        name = f"every turning point, N={n} ({len(whole(n))})"
        rows.append(Case(f"{name}, beside one least variance", lambda n=n: whole(n), lambda n=n: single(n, "min_volatility"), "PyPortfolioOpt, Clarabel", apart_least, 1e-4, 1))
        rows.append(Case(f"{name}, beside one highest Sharpe", lambda n=n: whole(n), lambda n=n: single(n, "max_sharpe"), "PyPortfolioOpt, Clarabel", apart_sharpe, 1e-4, 1))
        rows.append(Case(f"{name}, beside one conic least risk", lambda n=n: whole(n), lambda n=n: conic(n), "cvxpy norm, Clarabel", apart_least, 1e-4, 1))
    for n in SIZES[:2]:
        rows.append(Case(f"every turning point, N={n}, beside a critical line", lambda n=n: whole(n), lambda n=n: their_path(n), "PyPortfolioOpt CLA", apart_least, 1e-6))
    rows.append(Case("every turning point, N=2000", lambda: whole(2000)))
    return rows


def notes() -> list[str]:
    "Say how the path compares with a Cholesky factorisation of the same matrix."
    found = []
    for n in (*SIZES, 2000):
        covariance, took = market(n)[1], {}
        for name, work in (("path", lambda n=n: whole(n)), ("cholesky", lambda c=covariance: np.linalg.cholesky(c))):
            took[name] = best(work)
        found.append(f"N={n}: {took['path'] / took['cholesky']:.1f}")
    return ["The whole path, in Cholesky factorisations of the same matrix: " + "; ".join(found) + "."]
