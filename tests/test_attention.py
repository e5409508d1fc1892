"Attention and convolutions: torch's own numbers, exact windows, members that are the same alone, the same file again."

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.utils.estimator_checks import check_estimator

from portfolio_ml.core.validation import DataError, DataIntegrityError
from portfolio_ml.core.worlds import empty_world, signal_world
from portfolio_ml.forecast.attention import CNNLSTMForecaster, TransformerForecaster
from portfolio_ml.forecast.encoders import (
    CNNLSTMNetwork,
    TransformerNetwork,
    add_and_feed,
    causal_convolution,
    layer_norm,
    multi_head_attention,
    positional_encoding,
    scaled_dot_product_attention,
    torch_encoder,
)
from portfolio_ml.forecast.harness import walk_forecast
from portfolio_ml.forecast.recurrent import torch_layers

torch = pytest.importorskip("torch")
KINDS = [TransformerForecaster, CNNLSTMForecaster]
SMALL = dict(window=5, hidden=4, seeds=2, epochs=3, random_state=0)
BY_NATURE = {  # a forecast depends on the rows before it, so these two cannot hold
    "check_methods_sample_order_invariance": "rows are a sequence",
    "check_methods_subset_invariance": "rows are a sequence",
}
NETWORKS = [
    TransformerNetwork(8, 2, 1, 16), TransformerNetwork(8, 4, 3, 5), TransformerNetwork(6, 1, 2, 12, positional=False),
    CNNLSTMNetwork(5, 4, 3, 1), CNNLSTMNetwork(3, 2, 2, 3), CNNLSTMNetwork(4, 3, 1, 1),
]


def small_task(n_obs=300, n_assets=3, seed=0):
    "Give a small planted task."
    return signal_world(n_obs, n_assets, strength=0.3, noise_features=0, random_state=seed).task()


def drawn_members(network, P, S=2):
    "Draw members none of whose weights are zero or one."
    rng, members = np.random.default_rng(5), [network.initial(P, s) for s in range(S)]
    stacked = {k: np.stack([m[k] for m in members]) for k in members[0]}
    return {k: torch.tensor(v + 0.3 * rng.standard_normal(v.shape)) for k, v in stacked.items()}


def drawn_rows(T, P, B=4, S=2, seed=0):
    "Draw features."
    return torch.tensor(np.random.default_rng(seed).standard_normal((T, S, P, B)))


def test_attention_by_hand_and_torch():
    q = torch.tensor([[[2**0.5 * np.log(2), 0.0]]], dtype=torch.float64)
    k = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]], dtype=torch.float64)
    found, weights = scaled_dot_product_attention(q, k, torch.tensor([[[4.0], [8.0], [0.0]]], dtype=torch.float64))
    np.testing.assert_allclose(weights, [[[0.5, 0.25, 0.25]]])
    assert abs(found.item() - 4.0) < 1e-12
    q, k, v = (torch.randn(2, 3, 7, 4, dtype=torch.float64) for _ in range(3))
    mask = torch.ones(7, 7, dtype=torch.bool).tril()
    theirs = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    found, weights = scaled_dot_product_attention(q, k, v, mask)
    np.testing.assert_allclose(found, theirs, atol=1e-12)
    assert (weights.triu(1) == 0).all()


def test_layer_norm_is_torchs():
    x, g, b = torch.randn(4, 9, dtype=torch.float64), torch.randn(9, dtype=torch.float64), torch.randn(9, dtype=torch.float64)
    np.testing.assert_allclose(layer_norm(x, g, b), torch.nn.functional.layer_norm(x, (9,), g, b), atol=1e-12)
    assert torch.isfinite(layer_norm(torch.ones(2, 3))).all()


@pytest.mark.parametrize("width", [1, 2, 5, 16])
def test_codes(width):
    codes = positional_encoding(30, width)
    assert codes.shape == (30, width) and np.abs(codes).max() <= 1
    if width % 2 == 0:
        np.testing.assert_allclose((codes**2).sum(axis=1), width / 2)
        products = codes @ codes.T
        assert max(np.ptp(np.diag(products, k)) for k in range(29)) < 1e-12


@pytest.mark.parametrize("network", NETWORKS[:3], ids=str)
def test_encoder_is_torchs(network):
    params, x = drawn_members(network, 3), drawn_rows(6, 3)
    out = network.outputs(params, x, 1)
    codes = torch.tensor(positional_encoding(6, network.hidden)[::-1] * network.positional)
    for s in range(2):
        embed, encoder, head = torch_encoder(network, {k: v[s].numpy() for k, v in params.items()})
        theirs = head(encoder(embed(x[:, s].permute(2, 0, 1)) + codes)[:, -1])[:, 0]
        np.testing.assert_allclose(out[0, s], theirs.detach(), atol=1e-10)
    days = torch.randn(2, 5, 6, network.hidden, dtype=torch.float64)
    own = encoder.layers[-1]
    theirs, weights = own.self_attn(*[days[1]] * 3, average_attn_weights=False)
    last = network.n_layers - 1
    found, ours = multi_head_attention(params, last, days, network.n_heads)
    np.testing.assert_allclose(found[1], theirs.detach(), atol=1e-10)
    np.testing.assert_allclose(ours[1], weights.detach(), atol=1e-10)
    np.testing.assert_allclose(add_and_feed(params, last, days, found)[1], own(days[1]).detach(), atol=1e-10)


@pytest.mark.parametrize("n_features", [1, 3])
def test_convolution_and_memory_are_torchs(n_features):
    network, P = CNNLSTMNetwork(5, 4, 3, 2), n_features
    params, x = drawn_members(network, P), drawn_rows(9, P)
    for s in range(2):
        made = x[:, s].permute(2, 1, 0)
        for k, width in enumerate((P, 4)):
            weights = params[f"filters {k}"][s]
            conv = torch.nn.Conv1d(width, 4, 3, dtype=torch.float64)
            conv.load_state_dict({"weight": weights[:, :-1].unflatten(1, (3, width)).mT, "bias": weights[:, -1]})
            made = conv(made).relu()
        layer, linear = (m.double() for m in torch_layers("lstm", params["cell"][s].numpy(), params["head"][s].numpy()))
        theirs = linear(layer(made.mT)[0][:, -2:])[..., 0].T.detach()
        np.testing.assert_allclose(network.outputs(params, x, 2)[:, s], theirs, atol=1e-6)


def test_convolution_sees_nothing_later():
    weights, x = torch.randn(2, 4, 3 * 2 + 1), torch.randn(9, 2, 2, 3)
    before = causal_convolution(weights, x)
    x[6] += 1.0
    after = causal_convolution(weights, x)
    assert torch.equal(before[:4], after[:4]) and not torch.equal(before[4], after[4])


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_runs_give_what_single_windows_give(network):
    params, x, W = drawn_members(network, 3), drawn_rows(11, 3), 6
    whole = network.outputs(params, x, 6)
    if isinstance(network, CNNLSTMNetwork):  # a memory starts where its run starts
        np.testing.assert_allclose(whole[0], network.outputs(params, x[:W], 1)[0], atol=1e-12)
        return
    for k in range(6):
        np.testing.assert_allclose(whole[k], network.outputs(params, x[k : k + W], 1)[0], atol=1e-12)


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_gradients_by_finite_differences(network):
    params, x, y = drawn_members(network, 2), drawn_rows(8, 2), torch.randn(3, 2, 4, dtype=torch.float64)
    slopes = network.gradients(params, x, 3, lambda out: 2 * (out - y))
    assert list(slopes) == list(params)
    rng, total = np.random.default_rng(0), lambda p: ((network.outputs(p, x, 3) - y) ** 2).sum()
    for name, weights in params.items():
        for _ in range(4):
            at, moved = tuple(rng.integers(n) for n in weights.shape), []
            for step in (1e-6, -1e-6):
                other = weights.clone()
                other[at] += step
                moved.append(total(params | {name: other}))
            assert abs(slopes[name][at] - (moved[0] - moved[1]) / 2e-6) < 1e-5 * (1 + abs(slopes[name][at]))


@pytest.mark.parametrize("kind", KINDS)
def test_scikit_learn_checks(kind):
    model = kind(window=3, hidden=4, seeds=1, epochs=2, random_state=0)
    seen = check_estimator(model, expected_failed_checks=BY_NATURE, on_fail=None)
    assert [r["check_name"] for r in seen if r["status"] == "failed"] == []
    assert {r["check_name"] for r in seen if r["status"] == "xfail"} == set(BY_NATURE)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_alone_again_and_on_two_threads(kind):
    X, y = small_task(300, 4)
    many = kind(**SMALL, precision="double").fit(X, y)
    for k in range(2):
        alone = clone(many).set_params(seeds=(int(many.seeds_[k]),)).fit(X, y)
        np.testing.assert_allclose(alone.predict(X), many.predict_members(X)[:, k], rtol=1e-6, atol=1e-12)
    told = [kind(**SMALL | {"n_threads": n, "batch_size": 4096, "hidden": 16, "epochs": 2}).fit(X, y).predict(X) for n in (1, 2, 1)]
    np.testing.assert_allclose(told[0], told[1], atol=1e-5 * np.abs(told[0]).max())
    np.testing.assert_array_equal(told[0], told[2])


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_read_again(kind, tmp_path):
    X, y = small_task()
    model = kind(**SMALL).fit(X, y)
    model.save(tmp_path / "m.npz")
    again = kind.load(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.get_params() == model.get_params() and list(again.feature_names_in_) == list(X.columns)
    with pytest.raises(DataError, match="holds"):
        next(k for k in KINDS if k is not kind).load(tmp_path / "m.npz")
    (tmp_path / "m.npz").write_bytes((tmp_path / "m.npz").read_bytes()[:-30])
    with pytest.raises(DataIntegrityError):
        kind.load(tmp_path / "m.npz")


@pytest.mark.parametrize("kind", [*KINDS, lambda **k: TransformerForecaster(**k, n_layers=2)])
def test_a_forecast_reads_its_window_and_nothing_else(kind):
    X, y = small_task()
    model = kind(**SMALL, precision="double").fit(X, y)
    whole = pd.Series(model.predict(X), X.index)
    dates = X.index.get_level_values(0).unique()
    part = X.loc[dates[100 - model.context] : dates[110]]
    told = pd.Series(model.predict(part), part.index).loc[dates[100] :]
    np.testing.assert_allclose(told, whole.loc[told.index], rtol=1e-8)
    np.testing.assert_allclose(model.predict(X.xs("A1", level=1)), whole.xs("A1", level=1), rtol=1e-8)
    later = X.copy()
    later.loc[dates[200] :] = 9.0
    before = X.index.get_level_values(0) < dates[200]
    np.testing.assert_allclose(model.predict(later)[before], whole[before], rtol=1e-8)


@pytest.mark.parametrize("n_layers", [1, 2])
def test_without_codes_the_past_is_a_heap(n_layers):
    X, y = small_task(120, 1)
    X, y = X.to_numpy(), y.to_numpy()
    order = [2, 0, 3, 1, 4]  # today stays
    for positional in (False, True):
        model = TransformerForecaster(**SMALL, n_layers=n_layers, positional=positional, precision="double").fit(X, y)
        changed = model.predict(X[50:55][order])[-1] - model.predict(X[50:55])[-1]
        assert (abs(changed) < 1e-12) == (not positional)


@pytest.mark.parametrize("n_layers", [1, 2])
def test_attention_maps(n_layers):
    X, y = small_task()
    model = TransformerForecaster(**SMALL, n_layers=n_layers).fit(X, y)
    maps = model.attention(X)
    assert maps.shape == (len(X), 2, 2, 5) and (maps >= 0).all()
    np.testing.assert_allclose(maps.sum(-1), 1.0, atol=1e-5)
    own = X.index.get_level_values(1) == "A1"
    np.testing.assert_allclose(model.attention(X[own]), maps[own], atol=1e-5)


def test_a_distant_day_is_found_and_nothing_where_nothing_is():
    world = signal_world(1200, 6, kind="lagged", lag=5, strength=0.5, correlation=0.0, random_state=1)
    X, y = world.task(window=1)
    X, teach = X[["lag0"]], X.index.get_level_values(0) < world.returns.index[900]
    model = TransformerForecaster(window=7, hidden=8, seeds=2, epochs=15, learning_rate=0.01, random_state=0).fit(X[teach], y[teach])
    assert model.score(X, y) > world.truth.ceilings["R2"] - 0.05
    assert model.attention(X).mean((0, 1, 2)).argmax() == 4
    X, y = empty_world(500, 6, random_state=0).task()
    for kind in KINDS:
        walk = walk_forecast(kind(window=3, hidden=8, seeds=2, random_state=0), X, y, first=350, refit=500)
        assert walk.scores(n_resamples=100)["R2"].iloc[0] < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_warm_start_probabilities_and_search(kind):
    X, y = small_task()
    model = kind(**SMALL, warm_start=True, warm_epochs=1, validation=0.0).fit(X.iloc[:600], y.iloc[:600])
    model.fit(X, y)
    assert len(model.history_) == 2 and len(clone(model).fit(X, y).history_) == 4
    told = kind(**SMALL, loss="logistic").fit(X, (y > 0).astype(float)).predict(X)
    assert ((told > 0) & (told < 1)).all()
    one = tuple(z.xs("A0", level=1) for z in (X, y))
    search = GridSearchCV(kind(**SMALL), {"hidden": [2, 4]}, cv=TimeSeriesSplit(2)).fit(*one)
    assert np.isfinite(search.predict(one[0])).all()


@pytest.mark.parametrize(("model", "name"), [
    (TransformerForecaster(hidden=9), "n_heads"), (TransformerForecaster(n_heads=0), "n_heads"), (TransformerForecaster(n_layers=1.5), "n_layers"),
    (TransformerForecaster(feedforward=0), "feedforward"), (TransformerForecaster(window=0), "window"), (CNNLSTMForecaster(kernel=0), "kernel"),
    (CNNLSTMForecaster(filters=True), "filters"), (CNNLSTMForecaster(window=4, kernel=3, n_convolutions=2), "window"), (CNNLSTMForecaster(loss="x"), "loss"),
])
def test_bad_settings_are_refused_by_name(model, name):
    X, y = small_task(60)
    with pytest.raises(DataError, match=name):
        model.fit(X, y)
    with pytest.raises(ValueError, match="NaN|infinity"):
        TransformerForecaster(**SMALL).fit(X.assign(x1=np.inf), y)


def test_without_torch_it_says_what_to_install():
    code = (
        "import sys\n"
        "import numpy as np\n"
        "from portfolio_ml.forecast.attention import CNNLSTMForecaster, TransformerForecaster\n"
        "print('torch' in sys.modules)\n"
        "sys.modules['torch'] = None\n"
        "from portfolio_ml.core.validation import MissingExtraError\n"
        "for kind in (CNNLSTMForecaster, TransformerForecaster):\n"
        "    try:\n        kind(window=3).fit(np.random.default_rng(0).normal(size=(50, 1)), np.arange(50.0))\n"
        "    except MissingExtraError as e:\n        print(e)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert out[0] == "False" and sum("portfolio_ml[deep]" in line for line in out) == 2
