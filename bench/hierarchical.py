"HRP beside skfolio and PyPortfolioOpt, at each one's convention: 1,000 days of 20, 100 and 500 assets with one common factor."

from functools import partial

import numpy as np
import pandas as pd

from bench.harness import Case, often, once

SIZES, TARGETS = (20, 100, 500), {20: 40, 100: 50, 500: 100}


def market(n: int) -> pd.DataFrame:
    "Simulate 1,000 days of n assets with one common factor and volatilities from one to four per cent."
    rng = np.random.default_rng(0)
    shocks = rng.standard_normal((1000, 1)) + rng.standard_normal((1000, n))
    return pd.DataFrame(shocks * np.linspace(0.01, 0.04, n), columns=[f"A{i:03d}" for i in range(n)])


def weights(allocator, returns):
    "Fit an allocator and give its weights."
    return allocator.fit(returns).weights_


def cases() -> list[Case]:
    "List the comparisons."
    from pypfopt import HRPOpt
    from skfolio.cluster import HierarchicalClustering, LinkageMethod
    from skfolio.optimization import HierarchicalRiskParity as Theirs
    from skfolio.seriation import HierarchicalSeriation

    from portfolio_ml.allocation.hierarchical import HierarchicalRiskParity, hierarchical_risk_parity

    # The number of clusters is given, since HRP makes no use of it and skfolio would spend half of its time on it.
    clustering = HierarchicalClustering(max_clusters=2, linkage_method=LinkageMethod.SINGLE)
    theirs = Theirs(seriation_estimator=HierarchicalSeriation(hierarchical_clustering_estimator=clustering, optimal_ordering=False))

    def apart(a, b):
        return np.abs(np.asarray(a) - np.asarray(b)).max()

    def pypfopt(covariance):
        return pd.Series(HRPOpt(cov_matrix=covariance).optimize())[covariance.columns]

    found, plain = [], HierarchicalRiskParity(second_distance=False)
    for n in SIZES:
        returns = market(n)
        covariance = returns.cov()
        given = partial(hierarchical_risk_parity, covariance.to_numpy(), second_distance=False)
        fit, peer = partial(weights, plain, returns), partial(weights, theirs, returns)
        k, times = (10, ", ten times") if n == 20 else (1, "")
        found += [
            Case(f"HRP, N={n}, covariance given{times}", often(given, k), often(peer, k), "skfolio, from returns", apart, 1e-12, TARGETS[n]),
            Case(f"HRP, N={n}, from returns", fit, peer, "skfolio, from returns", apart, 1e-12),
            Case(
                f"HRP, N={n}, covariance given{times}", often(given, k), often(partial(pypfopt, covariance), k),
                "PyPortfolioOpt, covariance given", apart, 1e-12, TARGETS[n],
            ),
            Case(f"HRP of the paper, N={n}, covariance given", partial(hierarchical_risk_parity, covariance.to_numpy())),
        ]
    return found


def notes() -> list[str]:
    "Say what else is measured: the ratio to a Cholesky factorisation of the same matrix."
    from portfolio_ml.allocation.hierarchical import hierarchical_risk_parity

    told = [
        "skfolio cannot be given a covariance, so the rows with one compare unlike work; the rows from returns, both sides fitting a frame,"
        " are like for like, and hold the cost of scikit-learn's checks and of the sample covariance."
    ]
    for n in SIZES:
        matrix = market(n).cov().to_numpy()
        ours, floor = (min(once(partial(f, matrix))[0] for _ in range(9)) for f in (hierarchical_risk_parity, np.linalg.cholesky))
        told.append(f"N={n}: HRP of the paper costs {ours / floor:.1f} Cholesky factorisations of the same matrix.")
    return told
