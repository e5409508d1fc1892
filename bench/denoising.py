"Denoising beside skfolio's, under the switch that gives the same matrix; the price of a cleaning against one eigendecomposition; memory."

import numpy as np

from bench.harness import Case, best, peak_memory

LARGE = """
import numpy as np
from portfolio_ml.covariance.denoising import denoise_covariance
rng = np.random.default_rng(0)
S = np.cov(rng.standard_normal((1000, 2000)) + 0.5 * rng.standard_normal((1000, 1)), rowvar=False)
assert denoise_covariance(S, 999, {method!r}).shape == (2000, 2000)
"""


def market(n: int) -> np.ndarray:
    "Draw 3N + 20 rows of N assets with four factors and unequal volatilities."
    from portfolio_ml.covariance.estimator import draw_returns, factor_covariance

    return draw_returns(factor_covariance(n, 4, random_state=n), 3 * n + 20, random_state=n + 1)


def apart(a, b):
    "Give the largest difference of a correlation."
    scale = np.sqrt(np.outer(b.diagonal(), b.diagonal()))
    return np.abs((a - b) / scale).max()


def cases() -> list[Case]:
    "List the comparisons: from returns to the cleaned covariance, the kernel-density fit of the book, and then our own default."
    from skfolio.moments import DenoiseCovariance

    from portfolio_ml.covariance.denoising import Denoised

    found = []
    for n in (20, 100, 500):
        X = market(n)

        def peer(X=X):
            return DenoiseCovariance(nearest=False).fit(X).covariance_

        book = Denoised(noise="density", confidence=None, n_obs=len(X))
        found.append(Case(f"density fit, N={n}", lambda X=X, m=book: m.fit(X).covariance_, peer, "skfolio DenoiseCovariance", apart, 1e-10))
        found.append(Case(
            f"median fit, N={n}", lambda X=X: Denoised().fit(X).covariance_, peer, "skfolio DenoiseCovariance (its own fit)", apart, 2.0,
        ))
    return found


def notes() -> list[str]:
    "Say the ratios to one eigendecomposition of the same correlation, and the peak of the memory at N=2000."
    from portfolio_ml.covariance.denoising import clean_correlation

    lines = []
    for n in (100, 500):
        C, T = np.corrcoef(market(n), rowvar=False), 3 * n + 19
        base = best(lambda C=C: np.linalg.eigh(C))
        ratios = {m: best(lambda C=C, T=T, m=m: clean_correlation(C, T, m)) / base for m in ("constant", "targeted", "rie")}
        text = ", ".join(f"{k} {v:.2f}" for k, v in ratios.items())
        lines.append(f"Cleaning a correlation, N={n}, in eigendecompositions of it ({base:.1f} ms): {text}.")
    peaks = {m: peak_memory(LARGE.format(method=m)) for m in ("constant", "rie")}
    text = ", ".join(f"{k} {v:.0f} MB" for k, v in peaks.items())
    return [*lines, f"Peak memory at N=2000, T=1000, the interpreter included: {text}; the limit is 1000 MB."]
