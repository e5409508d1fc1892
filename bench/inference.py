"The studentised block bootstrap of a difference of Sharpe ratios by sums over blocks, beside the same resamples written out one by one, and the tests of a whole table."

import numpy as np

from bench.harness import Case, best


def history(T: int = 8000, N: int = 10) -> np.ndarray:
    "Draw T days of N strategies with something in common."
    rng = np.random.default_rng(0)
    return 0.0004 + 0.01 * (0.7 * rng.standard_normal((T, N)) + 0.7 * rng.standard_normal((T, 1)))


def one_by_one(x: np.ndarray, blocks) -> np.ndarray:
    "Draw differences and their standard errors, each resample written out."
    from portfolio_ml.measure.resampling import block_rows

    T, b, found = len(x), int(blocks.block), []
    for row in (r for drawn in blocks.batches() for r in block_rows(*drawn, T)):
        r = x[row[: T // b * b]]
        m, g = r.mean(axis=0), (r**2).mean(axis=0)
        v = g - m**2
        slope = np.r_[g / v**1.5 * [1, -1], -0.5 * m / v**1.5 * [1, -1]]
        z = np.hstack([r - m, r**2 - g]).reshape(-1, b, 4).sum(axis=1)
        found.append([(m / v**0.5) @ [1, -1] * (1 - 1 / T) ** 0.5, np.sqrt(((z @ slope) ** 2).sum()) / len(r)])
    return np.array(found)


def cases() -> list[Case]:
    "List the comparisons; both sides draw the same blocks and give the same numbers."
    from portfolio_ml.measure.resampling import Blocks
    from portfolio_ml.measure.smooth import sharpe_measure, studentised_draws

    x, found = history()[:, :2], []
    for block in (21, 63):
        blocks = Blocks(len(x), block, 499, "circular")
        found.append(Case(
            f"Sharpe difference, T=8000, 499 resamples, blocks of {block}",
            lambda blocks=blocks: np.hstack(studentised_draws(sharpe_measure(x), blocks, [0], [1])),
            lambda blocks=blocks: one_by_one(x, blocks), "one by one", lambda a, b: np.abs(a - b).max(), 1e-9, target=5,
        ))
    return found


def notes() -> list[str]:
    "Say how long the public functions take."
    from portfolio_ml.measure.inference import pairwise_sharpe_tests, sharpe_difference_test

    x = history()
    one = best(lambda: sharpe_difference_test(x[:, 0], x[:, 1]), 3)
    hac, drawn = (best(lambda m=m: pairwise_sharpe_tests(x, method=m), 3) for m in ("hac", "bootstrap"))
    return [f"T=8000: one test with 4,999 resamples takes {one:.0f} ms; all 45 pairs of ten strategies by HAC {hac:.0f} ms, by 1,999 resamples {drawn:.0f} ms."]
