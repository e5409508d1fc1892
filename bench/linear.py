"A walk of linear models over all penalties and all refits, beside scikit-learn refitted in the harness and searched inside each window."

import numpy as np

from bench.harness import Case


def apart(a, b):
    "Give the largest difference of two tables of forecasts."
    return float(np.nanmax(np.abs(np.asarray(a) - np.asarray(b))))


def cases() -> list[Case]:
    "List the comparisons: 20 assets, 15 years of days, 20 features."
    from sklearn.base import clone
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LinearRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from portfolio_ml.core.worlds import signal_world
    from portfolio_ml.forecast.harness import walk_forecast
    from portfolio_ml.forecast.paths import PerAsset, walk_linear

    X, y = signal_world(3780, 20, strength=0.05, noise_features=18, random_state=0).task()
    alphas = [1.0, 1e2, 1e3, 1e4, 1e5, 1e6]

    def ours(kind, values, refit):
        walk = walk_linear(X, y, {kind: values}, first=1008, refit=refit, each=True)
        return np.stack([walk.predictions[f"{kind} {v:g}"] for v in values])

    def theirs(models, refit):
        walk = walk_forecast(models, X, y, first=1008, refit=refit)
        return np.stack(list(walk.predictions.values()))

    ridge = {str(a): make_pipeline(StandardScaler(), Ridge(a)) for a in alphas}
    pcr = {str(k): make_pipeline(StandardScaler(), PCA(k), LinearRegression()) for k in (1, 2, 5, 10)}

    def looped():
        return np.stack([clone(Ridge(10.0)).fit(X.xs(a, level=1), y.xs(a, level=1)).coef_ for a in X.index.get_level_values(1).unique()])

    return [
        Case("ridge, 6 penalties chosen inside, yearly refits", lambda: ours("ridge", alphas, "year"), lambda: theirs(ridge, "year"), "scikit-learn, refitted, nothing chosen", apart, 1e-10, target=5, rounds=3),
        Case("ridge, 6 penalties chosen inside, monthly refits", lambda: ours("ridge", alphas, "month"), lambda: theirs(ridge, "month"), "scikit-learn, refitted, nothing chosen", apart, 1e-10, target=30, rounds=1),
        Case("principal components, 4 numbers, yearly refits", lambda: ours("pcr", [1, 2, 5, 10], "year"), lambda: theirs(pcr, "year"), "scikit-learn, refitted, nothing chosen", apart, 1e-10, target=5, rounds=3),
        Case("ridge for each of 20 assets", lambda: PerAsset(Ridge(10.0)).fit(X, y).coef_, looped, "a loop over assets", apart, 1e-12),
    ]
