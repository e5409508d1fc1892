"The bootstrap by running sums beside arch's, which writes every resample out: standard errors of ten Sharpe ratios, 8,000 days."

import numpy as np

from bench.harness import Case, once, peak_memory

TARGET = """
import numpy as np
from portfolio_ml.measure.resampling import Blocks, resampled_moments
returns = np.random.default_rng(0).standard_normal((8000, 10)) * 0.01
assert resampled_moments(returns, Blocks(8000, {block}, 10_000)).sharpe().shape == (10_000, 10)
"""


def returns() -> np.ndarray:
    "Draw 8,000 days of ten strategies."
    rng = np.random.default_rng(0)
    return 0.0004 + 0.01 * (rng.standard_normal((8000, 10)) + rng.standard_normal((8000, 1)))


def ours(n: int, block: int) -> np.ndarray:
    "Give the standard errors of ten Sharpe ratios, n resamples."
    from portfolio_ml.measure.resampling import Blocks, resampled_moments

    return resampled_moments(returns(), Blocks(8000, block, n)).sharpe(252).std(axis=0)


def theirs(n: int, block: int) -> np.ndarray:
    "The same by arch: another draw of the same law."
    from arch.bootstrap import StationaryBootstrap

    x = returns()
    return StationaryBootstrap(block, x, seed=0).apply(lambda x: x.mean(axis=0) / x.std(axis=0, ddof=1) * 252**0.5, n).std(axis=0)


def apart(a, b) -> float:
    "Give the largest relative difference of a standard error; both are draws."
    return float(np.abs(a / b - 1).max())


def cases() -> list[Case]:
    "List the comparisons; answers may differ by the error of 1,000 draws."
    return [
        Case(f"1,000 resamples, blocks of {b}", lambda b=b: ours(1000, b), lambda b=b: theirs(1000, b), "arch", apart, 0.15, rounds=1)
        for b in (5, 21, 63)
    ]


def notes() -> list[str]:
    "Say the time and the memory of 10,000 resamples."
    lines = []
    for block in (1, 5, 21, 63):
        seconds, _ = once(lambda b=block: ours(10_000, b))
        lines.append(f"10,000 resamples, blocks of {block}: {seconds:.2f} s (target 20 s), {peak_memory(TARGET.format(block=block)):.0f} MB at the peak (target 1 GB).")
    return lines
