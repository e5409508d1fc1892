"Ten allocators walked through 33 years of 20 stocks, a decision every 21 rows from 252, beside skfolio's cross_val_predict of the same ten."

import numpy as np

from bench.harness import Case, once


def ours() -> dict:
    "List our ten, with the switches that reproduce skfolio's defaults."
    from portfolio_ml.allocation.baselines import EqualWeight, InverseVolatility
    from portfolio_ml.allocation.hierarchical import HierarchicalEqualRisk, HierarchicalRiskParity
    from portfolio_ml.allocation.mean_variance import MeanVariance, MinimumVariance
    from portfolio_ml.allocation.risk_parity import MaximumDiversification, RiskBudgeting
    from portfolio_ml.allocation.tail_risk import MinimumCVaR, MinimumSemivariance

    return {
        "1/N": EqualWeight(),
        "inverse volatility": InverseVolatility(),
        "minimum variance": MinimumVariance(),
        "mean-variance": MeanVariance(risk_aversion=10),
        "risk budgeting": RiskBudgeting(),
        "maximum diversification": MaximumDiversification(),
        "HRP": HierarchicalRiskParity(second_distance=False, linkage="ward", leaf_order="optimal"),
        "HERC": HierarchicalEqualRisk(n_clusters="two_difference"),
        "minimum CVaR": MinimumCVaR(),
        "minimum semivariance": MinimumSemivariance(target="mean"),
    }


def theirs() -> dict:
    "List skfolio's ten."
    from skfolio import RiskMeasure
    from skfolio.optimization import (
        EqualWeighted,
        HierarchicalEqualRiskContribution,
        HierarchicalRiskParity,
        InverseVolatility,
        MaximumDiversification,
        MeanRisk,
        ObjectiveFunction,
        RiskBudgeting,
    )

    drifting = {"portfolio_params": {"weight_drift": True}}
    return {
        "1/N": EqualWeighted(**drifting),
        "inverse volatility": InverseVolatility(**drifting),
        "minimum variance": MeanRisk(**drifting),
        "mean-variance": MeanRisk(objective_function=ObjectiveFunction.MAXIMIZE_UTILITY, risk_aversion=5, **drifting),
        "risk budgeting": RiskBudgeting(**drifting),
        "maximum diversification": MaximumDiversification(**drifting),
        "HRP": HierarchicalRiskParity(**drifting),
        "HERC": HierarchicalEqualRiskContribution(**drifting),
        "minimum CVaR": MeanRisk(risk_measure=RiskMeasure.CVAR, **drifting),
        "minimum semivariance": MeanRisk(risk_measure=RiskMeasure.SEMI_VARIANCE, **drifting),
    }


def cases() -> list[Case]:
    "List the comparison: all ten at once; the answers are compared by the mean distance of daily returns."
    from skfolio.model_selection import WalkForward, cross_val_predict

    from portfolio_ml.backtest.walk_forward import walk_forward
    from portfolio_ml.data.catalog import load_returns

    returns, own, peers = load_returns("us20"), ours(), theirs()

    def walk():
        return walk_forward(own, returns, rebalance=21).gross_returns.to_numpy()

    def peer():
        population = [cross_val_predict(p, returns, cv=WalkForward(train_size=252, test_size=21)) for p in peers.values()]
        return np.column_stack([p.returns for p in population])

    def apart(a, b):
        return np.abs(a[: len(b)] - b).mean()

    return [Case("ten allocators, 20 assets, 33 years", walk, peer, "skfolio", apart, 1e-5, target=20, rounds=1)]


def notes() -> list[str]:
    "Say what each of ours takes on its own."
    from portfolio_ml.backtest.walk_forward import walk_forward
    from portfolio_ml.data.catalog import load_returns

    returns, out = load_returns("us20"), []
    for name, allocator in ours().items():
        seconds, _ = once(lambda a=allocator: walk_forward(a, returns, rebalance=21))
        out.append(f"{name} {seconds:.2f} s")
    return ["Ours one by one: " + ", ".join(out) + "."]
