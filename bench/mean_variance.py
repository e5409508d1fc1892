"Minimum variance and mean-variance, given the covariance, beside PyPortfolioOpt and skfolio; two thousand assets beside one Cholesky factorisation."

import inspect
from functools import lru_cache, partial

import numpy as np

from bench.harness import Case, best, often, peak_memory

SIZES = {20: 50, 100: 30, 500: 100}
AVERSION, PEER = 5.0, "PyPortfolioOpt, Clarabel"


def draw(n: int) -> np.ndarray:
    "Draw 2N + 200 days of N assets: a market with betas of 0.5 to 1.5, and volatilities of their own of 0.5 to 3 %."
    rng = np.random.default_rng(n)
    days, beta = 2 * n + 200, rng.uniform(0.5, 1.5, n)
    shared = rng.normal(0.0003, 0.01, (days, 1))
    return shared * beta + rng.standard_normal((days, n)) * rng.uniform(0.005, 0.03, n)


@lru_cache
def market(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    "Draw 2N + 200 days of N assets with a market factor; give returns, yearly means and covariance."
    X = draw(n)
    return X, 252 * X.mean(axis=0), 252 * np.cov(X, rowvar=False)


def theirs(n: int, ask: str, **how) -> np.ndarray:
    "Ask PyPortfolioOpt with Clarabel."
    from pypfopt import EfficientFrontier

    _, mean, covariance = market(n)
    frontier = EfficientFrontier(mean, covariance, solver="CLARABEL")
    getattr(frontier, ask)(**how)
    return frontier.weights


def conic(n: int, utility: bool) -> np.ndarray:
    "Ask skfolio, which estimates the moments first, in a small part of its time."
    from skfolio.optimization import MeanRisk, ObjectiveFunction

    goal = ObjectiveFunction.MAXIMIZE_UTILITY if utility else ObjectiveFunction.MINIMIZE_RISK
    return MeanRisk(objective_function=goal, risk_aversion=AVERSION / 2).fit(market(n)[0]).weights_


def compare(n: int, utility: bool, ours: np.ndarray, peer: np.ndarray) -> float:
    "Give the largest difference of a weight, having checked that ours is no worse by the objective."
    _, mean, covariance = market(n)
    peer = np.maximum(peer, 0) / np.maximum(peer, 0).sum()
    loss = [0.5 * AVERSION * w @ covariance @ w - utility * (mean @ w) for w in (ours, peer)]
    if loss[0] > loss[1] + 1e-9 * abs(loss[1]):
        raise AssertionError(f"N={n}: ours has an objective of {loss[0]:.12g}, theirs {loss[1]:.12g}")
    return float(np.abs(ours - peer).max())


def far(ours: np.ndarray, peer: np.ndarray) -> float:
    "Give the largest difference of a weight."
    return float(np.abs(ours - peer).max())


def cases() -> list[Case]:
    "List the comparisons."
    from portfolio_ml.allocation.mean_variance import maximum_sharpe, mean_variance, minimum_variance

    rows = []
    for n, target in SIZES.items():
        _, mean, covariance = market(n)
        once = partial(minimum_variance, covariance), partial(mean_variance, mean, covariance, risk_aversion=AVERSION)
        sharpe = partial(maximum_sharpe, mean, covariance)
        least, utility, best_ratio = (
            often(partial(theirs, n, ask, **how))
            for ask, how in (("min_volatility", {}), ("max_quadratic_utility", {"risk_aversion": AVERSION}), ("max_sharpe", {"risk_free_rate": 0.0}))
        )
        apart, apart_best = (lambda a, b, n=n, u=u: compare(n, u, a, b) for u in (False, True))
        rows += [
            Case(f"minimum variance, N={n}, ten times", often(once[0]), least, PEER, apart, 1e-3, target),
            Case(f"mean-variance, N={n}, ten times", often(once[1]), utility, PEER, apart_best, 1e-3, target),
            Case(f"maximum Sharpe ratio, N={n}, ten times", often(sharpe), best_ratio, PEER, far, 1e-3),
        ]
        if n < 500:
            rows += [
                Case(f"minimum variance, N={n}", once[0], lambda n=n: conic(n, False), "skfolio", apart, 1e-2),
                Case(f"mean-variance, N={n}", once[1], lambda n=n: conic(n, True), "skfolio", apart_best, 1e-2),
            ]
    covariance = market(2000)[2]
    rows.append(Case("minimum variance, N=2000", lambda: minimum_variance(covariance), lambda: np.linalg.cholesky(covariance), "one Cholesky factorisation", lambda a, b: 0.0, 1.0, 1))
    return rows


SETUP = "import numpy as np\n" + inspect.getsource(draw) + """
X = draw(2000)
X -= X.mean(axis=0)
S = X.T @ X
S *= 252 / (len(X) - 1)
del X
from portfolio_ml.allocation.mean_variance import minimum_variance
"""
SOLVE = """
open('/proc/self/clear_refs', 'w').write('5')
minimum_variance(S)
"""


def notes() -> list[str]:
    "Say the ratio to a Cholesky factorisation at every size, and the memory of two thousand assets."
    from portfolio_ml.allocation.mean_variance import mean_variance, minimum_variance

    lines = []
    for n in (*SIZES, 2000):
        _, mean, covariance = market(n)
        rounds = 5 if n == 2000 else 50
        factor = best(lambda c=covariance: np.linalg.cholesky(c), rounds)
        least = best(lambda c=covariance: minimum_variance(c), rounds)
        utility = best(lambda m=mean, c=covariance: mean_variance(m, c, risk_aversion=AVERSION), rounds)
        held = int((minimum_variance(covariance) > 0).sum())
        lines.append(
            f"N={n}: minimum variance holds {held} and takes {least:.2f} ms, {least / factor:.2f} Cholesky factorisations "
            f"of the same matrix ({factor:.2f} ms); mean-variance {utility:.2f} ms, {utility / factor:.2f}."
        )
    matrix = 2000**2 * 8 / 2**20
    small = SETUP.replace("draw(2000)", "draw(20)")
    used = peak_memory(SETUP + SOLVE) - peak_memory(small + SOLVE)
    return [*lines, f"N=2000: the peak with matrix and solution is {used:.0f} MB above that for N=20, {used / matrix:.2f} times the matrix ({matrix:.0f} MB)."]
