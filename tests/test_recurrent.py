"Recurrent forecasters: torch's own numbers, members that are the same alone, the same file again, nothing from the future."

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.utils.estimator_checks import check_estimator

from portfolio_ml.backtest.leaks import check_label_overlap
from portfolio_ml.core.validation import DataError, DataIntegrityError, MissingExtraError
from portfolio_ml.core.worlds import empty_world, signal_world
from portfolio_ml.forecast.harness import walk_forecast
from portfolio_ml.forecast.recurrent import (
    GRUForecaster,
    LSTMForecaster,
    RecurrentNetwork,
    RNNForecaster,
    from_torch,
    lightning_twin,
    torch_layers,
)
from portfolio_ml.forecast.sequences import LOSSES, lay_out, run_starts, split_end

torch = pytest.importorskip("torch")
KINDS = {"lstm": LSTMForecaster, "gru": GRUForecaster, "rnn": RNNForecaster}
SMALL = dict(window=5, hidden=4, seeds=2, epochs=4, random_state=0)
BY_NATURE = {  # a forecast depends on the rows before it, so these two cannot hold
    "check_methods_sample_order_invariance": "rows are a sequence",
    "check_methods_subset_invariance": "rows are a sequence",
}


def small_task(n_obs=300, n_assets=3, seed=0):
    "Give a small planted task."
    return signal_world(n_obs, n_assets, strength=0.3, noise_features=0, random_state=seed).task()


def drawn_members(kind, P, H, seeds=(0, 1)):
    "Draw members with heads that are not zero."
    network, rng = RecurrentNetwork(kind, H), np.random.default_rng(5)
    members = [network.initial(P, s) for s in seeds]
    for member in members:
        member["head"] = rng.standard_normal(H + 1)
    return network, {k: torch.tensor(np.stack([m[k] for m in members])) for k in members[0]}


@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_torch_forward_and_back(kind):
    P, H, L = 3, 6, 4
    network, params = drawn_members(kind, P, H)
    x, y = torch.randn(9, 2, P, 5, dtype=torch.float64), torch.randn(L, 2, 5, dtype=torch.float64)
    with torch.no_grad():
        out = network.outputs(params, x, L)
        slopes = network.gradients(params, x, L, lambda o: 2 * (o - y))
    for s in range(2):
        layer, linear = (m.double() for m in torch_layers(kind, params["cell"][s].numpy(), params["head"][s].numpy()))
        told = linear(layer(x[:, s].permute(2, 0, 1))[0][:, -L:])[..., 0].T
        assert (told - out[:, s]).abs().max() < 1e-6
        back = from_torch(kind, layer, linear)
        np.testing.assert_allclose(back["cell"], params["cell"][s], atol=1e-7)
        ((told - y[:, s]) ** 2).sum().backward()
        for module in (layer, linear):
            for p in module.parameters():
                p.data = p.grad
        theirs = from_torch(kind, layer, linear)  # gradients, in our order; both biases of torch have the same one
        P_ = slice(P, P + 1)
        ours = slopes["cell"][s].numpy()
        free = np.delete(theirs["cell"], P_, axis=1), np.delete(ours, P_, axis=1)
        np.testing.assert_allclose(*free, atol=1e-5)
        np.testing.assert_allclose(theirs["head"], slopes["head"][s], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_by_finite_differences(kind):
    network, params = drawn_members(kind, 2, 3)
    x, y = torch.randn(7, 2, 2, 4, dtype=torch.float64), torch.randn(3, 2, 4, dtype=torch.float64)
    with torch.no_grad():
        slopes = network.gradients(params, x, 3, lambda o: LOSSES["huber"](o, y)[1])
        rng = np.random.default_rng(0)
        for name, g in slopes.items():
            for _ in range(12):
                at = tuple(rng.integers(n) for n in g.shape)
                if params[name][at] == 0:  # a weight that a GRU does not have
                    continue
                risen = []
                for step in (1e-6, -1e-6):
                    moved = {k: v.clone() for k, v in params.items()}
                    moved[name][at] += step
                    risen.append(LOSSES["huber"](network.outputs(moved, x, 3), y)[0].sum())
                assert abs((risen[0] - risen[1]) / 2e-6 - g[at]) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_scikit_learn_checks(kind):
    seen = check_estimator(KINDS[kind](window=3, hidden=3, seeds=1, epochs=2, random_state=0), expected_failed_checks=BY_NATURE, on_fail=None)
    assert [r["check_name"] for r in seen if r["status"] == "failed"] == []
    assert {r["check_name"] for r in seen if r["status"] == "xfail"} == set(BY_NATURE)


def test_members_are_the_same_alone():
    X, y = small_task()
    many = LSTMForecaster(**(SMALL | {"seeds": 3})).fit(X, y)
    for k in range(3):
        alone = LSTMForecaster(**(SMALL | {"seeds": (int(many.seeds_[k]),)})).fit(X, y)
        np.testing.assert_allclose(alone.predict(X), many.predict_members(X)[:, k], rtol=1e-4, atol=1e-7)


def test_the_same_on_one_thread_and_on_two():
    X, y = small_task(400, 8)
    told = [LSTMForecaster(**(SMALL | {"n_threads": n, "batch_size": 4096, "hidden": 16, "epochs": 3})).fit(X, y).predict(X) for n in (1, 2)]
    np.testing.assert_allclose(told[0], told[1], atol=1e-5 * np.abs(told[0]).max())
    again = LSTMForecaster(**SMALL).fit(X, y).predict(X)
    np.testing.assert_array_equal(again, LSTMForecaster(**SMALL).fit(X, y).predict(X))


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_read_again(kind, tmp_path):
    X, y = small_task()
    model = KINDS[kind](**SMALL).fit(X, y)
    model.save(tmp_path / "m.npz")
    again = KINDS[kind].load(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.get_params() == model.get_params() and list(again.feature_names_in_) == list(X.columns)
    other = GRUForecaster if kind != "gru" else RNNForecaster
    with pytest.raises(DataError, match="holds"):
        other.load(tmp_path / "m.npz")
    (tmp_path / "m.npz").write_bytes((tmp_path / "m.npz").read_bytes()[:-30])
    with pytest.raises(DataIntegrityError):
        KINDS[kind].load(tmp_path / "m.npz")


def test_a_forecast_reads_its_window_and_nothing_else():
    X, y = small_task()
    model = LSTMForecaster(**SMALL | {"precision": "double"}).fit(X, y)
    whole = pd.Series(model.predict(X), X.index)
    dates = X.index.get_level_values(0).unique()
    part = X.loc[dates[100 - model.context] : dates[110]]
    told = pd.Series(model.predict(part), part.index).loc[dates[100] :]
    np.testing.assert_allclose(told, whole.loc[told.index], rtol=1e-10)
    one = X.xs("A1", level=1)  # assets do not touch each other
    np.testing.assert_allclose(model.predict(one), whole.xs("A1", level=1), rtol=1e-10)
    later = X.copy()
    later.loc[dates[200] :] = 9.0
    before = X.index.get_level_values(0) < dates[200]
    np.testing.assert_allclose(model.predict(later)[before], whole[before], rtol=1e-10)


def test_runs_cover_every_label_once():
    rng = np.random.default_rng(0)
    for window, stretch in ((1, 1), (4, 1), (1, 5), (6, 3), (3, 6)):
        assets = rng.integers(4, size=60)
        rows = lay_out(rng.standard_normal((60, 2)), assets, window + stretch - 2)
        for offset in range(stretch):
            starts = run_starts(rows, window, stretch, offset)
            labels = (starts[:, None] + window - 1 + np.arange(stretch)).ravel()
            assert starts.min() >= 0 and labels.max() < len(rows.values)
            assert (np.bincount(labels, minlength=len(rows.values))[rows.place] == 1).all()


@pytest.mark.parametrize("horizon", [1, 5, 21])
def test_validation_is_purged(horizon):
    teach, check = split_end(np.arange(200), 0.2, horizon)
    assert check_label_overlap([(np.flatnonzero(teach), np.flatnonzero(check))], horizon, 200).empty
    assert check.sum() == 40 and teach.sum() == 160 - horizon + 1


def test_a_planted_signal_is_found_and_nothing_is_found_where_nothing_is():
    gaps, empty = [], []
    for seed in range(3):
        world = signal_world(2000, 6, kind="lagged", strength=0.4, correlation=0.0, random_state=seed)
        X, y = world.task(window=1)
        walk = walk_forecast(LSTMForecaster(window=3, hidden=8, seeds=2, epochs=12, learning_rate=0.01, random_state=seed), X[["lag0"]], y, first=1400, refit=2000)
        gaps.append(walk.scores(n_resamples=100)["R2"].iloc[0] - world.truth.ceilings["R2"])
        X, y = empty_world(1200, 6, random_state=seed).task()
        walk = walk_forecast(LSTMForecaster(window=3, hidden=8, seeds=2, random_state=seed), X, y, first=800, refit=2000)
        empty.append(walk.scores(n_resamples=100)["R2"].iloc[0])
    assert abs(np.mean(gaps)) < 0.02 + 3 * np.std(gaps, ddof=1) / 3**0.5 and np.mean(gaps) > -0.03
    assert np.mean(empty) < 0.003


def test_warm_start_goes_on():
    X, y = small_task(600)
    model = LSTMForecaster(**(SMALL | {"warm_start": True, "warm_epochs": 1, "validation": 0.0}))
    model.fit(X.iloc[:900], y.iloc[:900])
    before = model.weights_["cell"].copy()
    model.fit(X, y)
    assert len(model.history_) == 2 and 0 < np.abs(model.weights_["cell"] - before).max() < 0.5
    assert len(clone(model).fit(X, y).history_) == 5


def test_probabilities():
    X, y = small_task()
    model = GRUForecaster(**(SMALL | {"loss": "logistic"})).fit(X, (y > 0).astype(float))
    told = model.predict(X)
    assert ((told > 0) & (told < 1)).all()
    with pytest.raises(DataError, match="0 to 1"):
        GRUForecaster(loss="logistic").fit(X, 100 * y)


def test_grid_search_and_single_series():
    X, y = (z.xs("A0", level=1) for z in small_task())
    search = GridSearchCV(LSTMForecaster(**SMALL), {"hidden": [2, 4]}, cv=TimeSeriesSplit(2)).fit(X, y)
    assert search.best_params_["hidden"] in (2, 4) and np.isfinite(search.predict(X)).all()
    assert np.isfinite(LSTMForecaster(**SMALL).fit(X.to_numpy(), y.to_numpy()).predict(X.to_numpy())).all()


def test_bad_input_is_refused():
    X, y = small_task(100)
    for bad, name in (({"window": 0}, "window"), ({"hidden": 2.5}, "hidden"), ({"seeds": 0}, "seeds"), ({"loss": "x"}, "loss"),
                      ({"device": "tpu"}, "device"), ({"validation": 1.0}, "validation"), ({"learning_rate": 0.0}, "learning_rate")):
        with pytest.raises(DataError, match=name):
            LSTMForecaster(**(SMALL | bad)).fit(X, y)
    for spoiled in (np.nan, np.inf):
        broken = X.copy()
        broken.iloc[3, 0] = spoiled
        with pytest.raises(ValueError, match="NaN|infinity"):
            LSTMForecaster(**SMALL).fit(broken, y)
    with pytest.raises(DataError, match="order of time"):
        LSTMForecaster(**SMALL).fit(X.iloc[::-1], y.iloc[::-1])
    model = LSTMForecaster(**SMALL).fit(X.assign(same=1.0), y)  # a constant feature does no harm
    assert np.isfinite(model.predict(X.assign(same=1.0))).all()


def test_lightning_trains_the_same_network():
    pl = pytest.importorskip("pytorch_lightning")
    model = LSTMForecaster(window=4, hidden=3)
    net = lightning_twin(model, 2, seed=3)
    first = model.network().initial(2, 3)
    np.testing.assert_allclose(from_torch("lstm", net.layer, net.linear)["cell"], first["cell"], atol=1e-7)
    x, y = torch.randn(64, 4, 2), torch.randn(64)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=32)
    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    before = float(net.training_step((x, y)))
    pl.Trainer(max_epochs=3, accelerator="cpu", **quiet).fit(net, loader)
    assert float(net.training_step((x, y))) < before


def test_without_torch_it_says_what_to_install():
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from portfolio_ml.forecast.recurrent import LSTMForecaster\n"
        "sys.modules['torch'] = None\n"
        "from portfolio_ml.core.validation import MissingExtraError\n"
        "try:\n    LSTMForecaster(window=2).fit(np.random.default_rng(0).normal(size=(50, 1)), np.arange(50.0))\n"
        "except MissingExtraError as e:\n    print(e)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "portfolio_ml[deep]" in out and issubclass(MissingExtraError, ImportError)
    lazy = "import sys, portfolio_ml.forecast.recurrent; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", lazy], capture_output=True, text=True, check=True).stdout.strip() == "False"
