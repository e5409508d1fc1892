"The probability of backtest overfitting, beside the paper's loop over choices of half of the history, and purging beside the comparison of every pair of labels."

from itertools import combinations

import numpy as np

from bench.harness import Case


def overfitted(values: np.ndarray, n_blocks: int) -> float:
    "Loop over all choices, as the paper describes them."
    blocks, below = np.split(values, n_blocks), []
    for c in combinations(range(n_blocks), n_blocks // 2):
        first = np.vstack([blocks[b] for b in c])
        second = np.vstack([blocks[b] for b in range(n_blocks) if b not in c])
        best = np.argmax(first.mean(axis=0) / first.std(axis=0))
        judged = second.mean(axis=0) / second.std(axis=0)
        below.append((judged <= judged[best]).sum() / (values.shape[1] + 1) <= 0.5)
    return float(np.mean(below))


def by_pairs(train: np.ndarray, test: np.ndarray, ends: np.ndarray) -> np.ndarray:
    "Purge by comparing all pairs of labels at once."
    meets = np.maximum(train[:, None], test) <= np.minimum(ends[train][:, None], ends[test])
    return train[~meets.any(axis=1)]


def apart(a, b):
    "Give the largest difference of two answers of one shape; infinite where the shapes differ."
    return np.abs(np.asarray(a) - b).max() if np.shape(a) == np.shape(b) else np.inf


def cases() -> list[Case]:
    "List the comparisons."
    from portfolio_ml.backtest.splits import label_times, purge
    from portfolio_ml.backtest.validation import probability_of_backtest_overfitting

    found = []
    for S, N, rounds, target in ((10, 100, None, 10), (16, 100, 1, 50)):
        values = 0.01 * np.random.default_rng(0).standard_normal((2560, N))
        found.append(Case(
            f"PBO, T=2560, N={N}, S={S}", lambda v=values, S=S: probability_of_backtest_overfitting(v, S).pbo,
            lambda v=values, S=S: overfitted(v, S), "a loop over choices", apart, 1e-12, target=target, rounds=rounds,
        ))
    ends, rows = label_times(8000, 21), np.arange(8000)
    train, test = rows[(rows < 3000) | (rows >= 5000)], rows[3000:5000]
    found.append(Case(
        "purge, T=8000, horizon 21", lambda: purge(train, test, ends),
        lambda: by_pairs(train, test, ends), "all pairs of labels", apart, 0, target=20,
    ))
    return found
