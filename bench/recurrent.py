"""Five LSTMs walked forward on 20 assets, beside the same networks and rows trained seed by seed and window by window in a PyTorch Lightning loop.

The slice: three refits, each taught by 1,000 dates of 20 assets (20,000 labels), five seeds, window 20, hidden 16, five
passes in batches of 512 labels, forecasts for the 250 dates that follow. The world has a planted signal of R2 4 %, so
equal loss means something: what is compared is R2 out of sample. The whole walk is on us20, 33 years, 31 yearly refits,
every one taught by all dates before it. Training is linear in labels, seeds and passes on both sides."""

import logging
import warnings

import numpy as np
import pandas as pd

from bench.harness import Case

DATES, AHEAD, REFITS = 1000, 250, 3
HOW = dict(window=20, hidden=16, seeds=5, epochs=5, validation=0.0, batch_size=512, learning_rate=0.005, random_state=0)


def task() -> tuple[pd.DataFrame, pd.Series]:
    "Make the world with a planted signal."
    from portfolio_ml.core.worlds import signal_world

    return signal_world(DATES + REFITS * AHEAD + 1, 20, strength=0.2, correlation=0.0, random_state=0).task()


def walked(X, y, **how) -> np.ndarray:
    "Walk our forecaster; give the share of squared error explained out of sample, %."
    from portfolio_ml.forecast.harness import walk_forecast
    from portfolio_ml.forecast.recurrent import LSTMForecaster

    walk = walk_forecast(LSTMForecaster(**(HOW | how)), X, y, first=DATES, window=DATES, refit=AHEAD)
    return np.array([100 * walk.scores(n_resamples=100)["R2"].iloc[0]])


def plain_lightning(X, y) -> np.ndarray:
    "Walk the same networks one by one, window after window."
    import pytorch_lightning as pl
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from portfolio_ml.forecast.recurrent import LSTMForecaster, lightning_twin

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    wide = {name: X[name].unstack(1).to_numpy() for name in X}
    features, labels = np.stack(list(wide.values()), axis=2), y.unstack(1).to_numpy()
    windows = np.lib.stride_tricks.sliding_window_view(features, HOW["window"], axis=0)  # dates, assets, features, steps
    windows, labels = np.moveaxis(windows, 3, 2), labels[HOW["window"] - 1 :]
    missed, total = 0.0, 0.0
    for refit in range(REFITS):
        begin, end = max(0, refit * AHEAD - HOW["window"] + 1), refit * AHEAD + DATES - HOW["window"] + 1
        x, t = (a[begin:end].reshape(-1, *a.shape[2:]) for a in (windows, labels))
        ahead, truth = (a[end : end + AHEAD].reshape(-1, *a.shape[2:]) for a in (windows, labels))
        mean, sd, middle, scale = x.mean((0, 1)), x.std((0, 1)), t.mean(), t.std()
        x, ahead, t = (torch.tensor(a, dtype=torch.float32) for a in ((x - mean) / sd, (ahead - mean) / sd, (t - middle) / scale))
        told = []
        for seed in range(HOW["seeds"]):
            pl.seed_everything(seed, verbose=False)
            net = lightning_twin(LSTMForecaster(**HOW), x.shape[2], seed)
            quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
            trainer = pl.Trainer(max_epochs=HOW["epochs"], accelerator="cpu", gradient_clip_val=1.0, **quiet)
            trainer.fit(net, DataLoader(TensorDataset(x, t), batch_size=HOW["batch_size"], shuffle=True))
            with torch.no_grad():
                told.append(net.eval()(ahead).numpy())
        forecast = middle + scale * np.mean(told, axis=0)
        missed, total = missed + ((truth - forecast) ** 2).sum(), total + (truth**2).sum()
    return np.array([100 * (1 - missed / total)])


def whole_walk() -> np.ndarray:
    "Walk five LSTMs over 33 years of us20 with yearly refits that go on from one another."
    from portfolio_ml.data.catalog import load_returns
    from portfolio_ml.forecast.harness import walk_forecast
    from portfolio_ml.forecast.recurrent import LSTMForecaster

    returns = load_returns("us20")
    market = returns.mean(axis=1)
    columns = {
        "return": returns, "week": returns.rolling(5).sum(), "month": returns.rolling(21).sum(),
        "volatility": returns.rolling(21).std(), "market": returns * 0 + market.to_numpy()[:, None],
    }
    X = pd.DataFrame({name: wide.stack(future_stack=True) for name, wide in columns.items()})
    y = returns.shift(-1).stack(future_stack=True)
    model = LSTMForecaster(window=20, hidden=16, seeds=5, warm_start=True, random_state=0)
    walk = walk_forecast(model, X, y, first=504, refit="year")
    return np.array([100 * walk.scores(n_resamples=100)["R2"].iloc[0], len(walk.fits)])


def cases() -> list[Case]:
    "List the comparisons."
    X, y = task()
    apart = lambda a, b: max(0.0, float((b - a)[0]))  # noqa: E731  by how much we explain less, points
    slow = lambda: plain_lightning(X, y)  # noqa: E731
    return [
        Case("five LSTMs, 3 refits, each afresh", lambda: walked(X, y), slow, "Lightning, R2 % apart", apart, 0.3, target=5, rounds=1),
        Case(
            "five LSTMs, 3 refits, two passes from the last fit", lambda: walked(X, y, warm_start=True, warm_epochs=2), slow,
            "Lightning, R2 % apart", apart, 0.3, target=5, rounds=1,
        ),
        Case("five LSTMs, us20, 33 years, 31 refits", whole_walk, rounds=1),
    ]
