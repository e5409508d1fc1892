"The engine beside skfolio's cross_val_predict: 20 stocks, 33 years of days, a decision every 21 rows, weights drifting."

import numpy as np

from bench.harness import Case, peak_memory

ALONE = """
from portfolio_ml.allocation.baselines import BuyAndHold, EqualWeight, FixedMix, InverseVolatility
from portfolio_ml.backtest.walk_forward import walk_forward
from portfolio_ml.data.catalog import load_returns
walk_forward([EqualWeight(), InverseVolatility(), FixedMix(), BuyAndHold()], load_returns("us20"), costs=0.001)
"""


def cases() -> list[Case]:
    "List the comparisons."
    from skfolio.model_selection import WalkForward, cross_val_predict
    from skfolio.optimization import EqualWeighted
    from skfolio.optimization import InverseVolatility as Theirs

    from portfolio_ml.allocation.baselines import BuyAndHold, EqualWeight, FixedMix, InverseVolatility
    from portfolio_ml.backtest.walk_forward import walk_forward
    from portfolio_ml.data.catalog import load_returns

    returns = load_returns("us20")
    drifting = {"portfolio_params": {"weight_drift": True}}
    peers = [("1/N", EqualWeighted(**drifting)), ("inverse volatility", Theirs(**drifting))]

    def ours():
        return walk_forward({"1/N": EqualWeight(), "inverse volatility": InverseVolatility()}, returns, rebalance=21).gross_returns.to_numpy()

    def theirs():
        population = cross_val_predict(peers, returns, cv=WalkForward(train_size=252, test_size=21))
        return np.column_stack([p.returns for p in population])

    def four():
        return walk_forward([EqualWeight(), InverseVolatility(), FixedMix(), BuyAndHold()], returns, costs=0.001)

    def apart(a, b):
        return np.abs(a[: len(b)] - b).max()

    return [
        Case("walk-forward, 20 assets, 33 years, two allocators", ours, theirs, "skfolio cross_val_predict", apart, 1e-12, target=20),
        Case("the same, four baselines, monthly, with costs", four),
    ]


def notes() -> list[str]:
    "Say what else is measured."
    return [f"Peak memory of a process that imports, loads and walks four baselines: {peak_memory(ALONE):.0f} MB."]
