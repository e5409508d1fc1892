"Hierarchical allocation: against naive rewritings, other libraries, and in every degenerate case that has a documented answer."

import random

import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import linkage, to_tree
from scipy.spatial.distance import pdist, squareform
from sklearn.covariance import LedoitWolf
from sklearn.utils.estimator_checks import parametrize_with_checks

from portfolio_ml.allocation.baselines import InverseVolatility
from portfolio_ml.allocation.clustering import (
    asset_tree,
    cluster_assets,
    cluster_stability,
    column_distances,
    correlation_distance,
    count_clusters,
    gap_statistic,
    plot_correlation,
    plot_tree,
    silhouette_quality,
)
from portfolio_ml.allocation.hierarchical import (
    HierarchicalEqualRisk,
    HierarchicalRiskParity,
    NestedClusters,
    hierarchical_equal_risk,
    hierarchical_risk_parity,
    nested_clusters,
    unconstrained_minimum_variance,
)
from portfolio_ml.core.moments import check_covariance
from portfolio_ml.core.testing import check_allocator
from portfolio_ml.core.validation import (
    ConstantAssetError,
    DataError,
    InsufficientDataError,
    MissingDataError,
    NonFiniteError,
    ShapeError,
    SingularCovarianceError,
)

ESTIMATORS = [HierarchicalRiskParity(), HierarchicalEqualRisk(), NestedClusters()]
HRPS = [
    {"leaf_order": order, "bisection": cut, "linkage": link, "second_distance": second}
    for order in ("paper", "variance", "optimal")
    for cut in ("halves", "tree")
    for link in ("single", "ward")
    for second in (True, False)
]


@pytest.fixture(scope="module")
def returns():
    rng = np.random.default_rng(3)
    x = 0.6 * rng.standard_normal((300, 1)) + np.repeat(rng.standard_normal((300, 3)), 4, axis=1) + rng.standard_normal((300, 12))
    return pd.DataFrame(0.01 * x * np.linspace(1, 3, 12), pd.bdate_range("2020-01-01", periods=300), [f"A{i}" for i in range(12)])


def paper():
    "Rebuild the example of the paper of 2016, drawn as Python 2 drew it."
    draw, twister = random.Random(12345), np.random.RandomState(12345)
    base = twister.normal(0, 1, (10000, 5))
    noisy = base[:, [int(draw.random() * 5) for _ in range(5)]] + twister.normal(0, 0.25, (10000, 5))
    return np.hstack([base, noisy])


def slow(matrix):
    "Compute the paper's HRP as it stands there: observations given to linkage, quasi-diagonalisation, recursive bisection."
    s = np.sqrt(matrix.diagonal())
    distance = np.sqrt(np.clip(1 - matrix / np.outer(s, s), 0, None) / 2)
    np.fill_diagonal(distance, 0)
    line = to_tree(linkage(pdist(distance), "single")).pre_order()
    weights, parts = np.ones(len(matrix)), [line]

    def variance(items):
        inverse = 1 / matrix.diagonal()[items]
        inverse = inverse / inverse.sum()
        return inverse @ matrix[np.ix_(items, items)] @ inverse

    while parts := [half for p in parts if len(p) > 1 for half in (p[: len(p) // 2], p[len(p) // 2 :])]:
        for a, b in zip(parts[::2], parts[1::2]):
            share = 1 - variance(a) / (variance(a) + variance(b))
            weights[a] *= share
            weights[b] *= 1 - share
    return weights


@parametrize_with_checks(ESTIMATORS)
def test_sklearn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("allocator", [*ESTIMATORS, NestedClusters(inner=InverseVolatility(), outer=InverseVolatility())], ids=str)
def test_conformance(allocator):
    assert (check_allocator(allocator)["result"] == "passed").all()


def test_digits_of_the_paper():
    weights = 100 * hierarchical_risk_parity(np.cov(paper(), rowvar=False))
    np.testing.assert_array_equal(weights.round(2), [7.00, 7.59, 10.84, 19.03, 9.72, 10.19, 6.62, 9.10, 7.12, 12.79])


@pytest.mark.parametrize("n", [2, 3, 4, 5, 7, 8, 17, 33, 64, 101])
def test_naive_rewriting(n):
    rng = np.random.default_rng(n)
    for _ in range(5):
        x = rng.standard_normal((2 * n + 3, n)) @ rng.standard_normal((n, n)) * np.logspace(0, rng.uniform(0, 6), n)
        matrix = np.cov(x, rowvar=False)
        np.testing.assert_allclose(hierarchical_risk_parity(matrix), slow(matrix), atol=1e-12)


@pytest.mark.parametrize("settings", HRPS, ids=str)
def test_any_switch_gives_a_portfolio(settings, returns):
    for x in (returns, returns.iloc[:3], returns.iloc[:, :2], returns.iloc[:, [0, 0, 1, 1, 2, 0]].set_axis(list("abcdef"), axis=1)):
        weights = HierarchicalRiskParity(**settings).fit(x).weights_
        assert (weights >= 0).all() and abs(weights.sum() - 1) < 1e-12


def test_column_distances_where_they_cancel():
    rng = np.random.default_rng(0)
    base = rng.standard_normal((100, 6))
    near = np.hstack([base, base + 1e-7 * rng.standard_normal((100, 6)), rng.standard_normal((100, 40))])
    d = correlation_distance(np.corrcoef(near, rowvar=False))
    np.testing.assert_allclose(column_distances(d), pdist(d), atol=1e-10)
    assert (column_distances(correlation_distance(np.ones((30, 30)))) == 0).all()
    equal = correlation_distance(0.4 + 0.6 * np.eye(60))
    assert len(np.unique(column_distances(equal))) == 1


def test_one_and_two_assets():
    frame = pd.DataFrame([[4.0]], ["A"], ["A"])
    for compute in (hierarchical_risk_parity, hierarchical_equal_risk):
        assert compute(frame)["A"] == 1
        for rho in (-1, 0.3, 1):
            np.testing.assert_allclose(compute([[1, 2 * rho], [2 * rho, 4]]), [0.8, 0.2])
    assert list(cluster_assets(frame)) == [0] and cluster_assets(frame, method="kmeans", n_clusters="silhouette")["A"] == 0
    for rule in ("gap", "gap_first", "two_difference", "silhouette"):
        for n in (1, 2, 3, 4):
            assert 1 <= count_clusters(asset_tree(np.eye(n)), rule) <= n
    one, two = np.random.default_rng(0).standard_normal((2, 30, 2))
    for allocator in ESTIMATORS:
        assert allocator.fit(one[:, :1]).weights_ == 1 and abs(allocator.fit(two).weights_.sum() - 1) < 1e-12


def test_riskless_parts_share_equally():
    hedged = np.kron(np.eye(2), [[1, -1], [-1, 1]])
    for settings in HRPS:
        np.testing.assert_allclose(hierarchical_risk_parity(hedged, distance="absolute", **settings), 0.25)
    np.testing.assert_allclose(hierarchical_equal_risk(hedged, n_clusters=2, distance="absolute"), 0.25)


def test_ties_are_settled_by_position():
    matrix = np.outer([1, 2, 3, 4, 5.0], [1, 2, 3, 4, 5]) * (0.3 + 0.7 * np.eye(5))
    trees = [asset_tree(c * matrix) for c in (1, 1e-9, 3.7e11)]
    assert all((t.order == trees[0].order).all() for t in trees)
    assert (asset_tree(np.eye(6)).order == asset_tree(4 * np.eye(6)).order).all()
    for bisection in ("halves", "tree"):
        np.testing.assert_allclose(hierarchical_risk_parity(np.eye(7), bisection=bisection), 1 / 7)


def test_equivariance(returns):
    matrix, rng = returns.cov(), np.random.default_rng(0)
    for settings in ({"leaf_order": "variance"}, {"bisection": "tree"}):
        for order in (rng.permutation(12) for _ in range(20)):
            gap = hierarchical_risk_parity(matrix.iloc[order, order], **settings)[matrix.columns] - hierarchical_risk_parity(matrix, **settings)
            assert gap.abs().max() < 1e-12
    order = rng.permutation(12)
    labels, again = (cluster_assets(m, "gap") for m in (matrix, matrix.iloc[order, order]))
    assert (pd.crosstab(labels, again[labels.index]) > 0).sum().max() == 1


def test_when_the_paper_is_equivariant():
    "The paper's weights change under a permutation exactly when a halving separates two leaves that merge with each other."
    rng, seen = np.random.default_rng(1), set()
    for _ in range(60):
        n = int(rng.integers(3, 9))
        matrix = np.cov(rng.standard_normal((50, n)) @ rng.standard_normal((n, n)), rowvar=False)
        tree = asset_tree(matrix)
        cherries = [{int(a), int(b)} for a, b in tree.links[:, :2] if max(a, b) < n]
        parts, cut = [list(tree.order)], False
        while parts := [h for p in parts if len(p) > 1 for h in (p[: len(p) // 2], p[len(p) // 2 :])]:
            joined = [set(a) | set(b) for a, b in zip(parts[::2], parts[1::2])]
            cut |= any(len(both) > 2 and c <= both and c & set(a) and c - set(a) for both, a in zip(joined, parts[::2]) for c in cherries)
        back = np.arange(n)[::-1]
        moved = np.abs(hierarchical_risk_parity(matrix[np.ix_(back, back)])[back] - hierarchical_risk_parity(matrix)).max() > 1e-9
        assert moved == cut
        seen.add(cut)
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("matrix", "error", "words"),
    [
        (np.ones((2, 3)), ShapeError, "square"),
        (np.ones(3), ShapeError, "square"),
        (np.empty((0, 0)), ShapeError, "square"),
        ([["a", "b"], ["c", "d"]], DataError, "numbers"),
        ([[1, np.nan], [np.nan, 1]], MissingDataError, "0 and 1"),
        ([[1, np.inf], [np.inf, 1]], NonFiniteError, "0 and 1"),
        ([[1, 0], [0, 0]], ConstantAssetError, "of 1"),
        ([[1, 0], [0, -1]], DataError, "of 1"),
        ([[1, 0.5], [0.4, 1]], DataError, "symmetric"),
        ([[1, 2], [2, 1]], DataError, "semidefinite"),
        (pd.DataFrame(np.eye(2), list("AB"), list("BA")), DataError, "same order"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_refused_covariances(matrix, error, words):
    for compute in (hierarchical_risk_parity, hierarchical_equal_risk, cluster_assets, unconstrained_minimum_variance, asset_tree):
        with pytest.raises(error, match=words):
            compute(matrix)


def test_scale_and_rounding(returns):
    matrix = returns.cov()
    for c in (1e-250, 1e-12, 1e200):
        np.testing.assert_allclose(hierarchical_risk_parity(c * matrix), hierarchical_risk_parity(matrix), rtol=1e-9)
    assert check_covariance(np.ones((4, 4)) - 1e-12 * np.eye(4)[::-1])[2].shape == (4, 4)
    wild = np.diag([1e-30, 1e-4, 2e-4, 1e10])
    np.testing.assert_allclose(hierarchical_risk_parity(wild), (1 / wild.diagonal()) / (1 / wild.diagonal()).sum(), rtol=1e-12)


@pytest.mark.parametrize(
    "bad",
    [{"distance": "taxi"}, {"linkage": "centroid"}, {"leaf_order": "alphabetical"}, {"bisection": "thirds"}],
    ids=str,
)
def test_refused_switches(bad, returns):
    with pytest.raises(DataError, match=next(iter(bad.values()))):
        HierarchicalRiskParity(**bad).fit(returns)


def test_refused_settings(returns):
    matrix = returns.cov()
    for settings in ({"n_clusters": 0}, {"n_clusters": 13}, {"n_clusters": "many"}, {"within": "x"}, {"risk_measure": "x"}, {"risk_measure": "cvar"}):
        with pytest.raises(DataError):
            hierarchical_equal_risk(matrix, **settings)
    with pytest.raises(ShapeError):
        hierarchical_equal_risk(matrix, returns=returns.iloc[:, :3], risk_measure="cvar")
    for settings in ({"method": "guess"}, {"method": "kmeans", "n_clusters": "gap"}, {"method": "kmeans", "n_clusters": 13}):
        with pytest.raises(DataError):
            cluster_assets(matrix, **settings)
    with pytest.raises(DataError, match="A3"):
        HierarchicalEqualRisk(risk_measure="cvar").fit(returns.assign(A3=returns["A3"].abs()))
    with pytest.raises(ConstantAssetError, match="A5"):
        HierarchicalRiskParity().fit(returns.assign(A5=0.01))
    with pytest.raises(InsufficientDataError):
        HierarchicalRiskParity().fit(returns.iloc[:1])


def test_equal_risk_by_hand():
    matrix = np.diag([1.0, 4.0, 2.0, 2.0]) + np.kron([[0, 1], [0, 0]], np.zeros((2, 2)))
    matrix[0, 1] = matrix[1, 0] = 1.6
    matrix[2, 3] = matrix[3, 2] = 1.2
    first, second = np.array([0.8, 0.2]), np.array([0.5, 0.5])
    a, b = first @ matrix[:2, :2] @ first, second @ matrix[2:, 2:] @ second
    np.testing.assert_allclose(hierarchical_equal_risk(matrix, n_clusters=2), np.r_[first * b, second * a] / (a + b))
    np.testing.assert_allclose(hierarchical_equal_risk(matrix, n_clusters=2, within="equal", across="equal"), 0.25)
    first = np.array([2, 1]) / 3
    a, b = np.sqrt(first @ matrix[:2, :2] @ first), np.sqrt(b)
    np.testing.assert_allclose(hierarchical_equal_risk(matrix, n_clusters=2, risk_measure="std"), np.r_[first * b, second * a] / (a + b))


def test_gap_statistic_is_the_textbook(returns):
    "Ward's heights give the sums of squares; the same from the definition, for average linkage too."
    tree = asset_tree(returns.cov(), linkage="ward", second_distance=False)
    squares = squareform(tree.condensed) ** 2
    for k in (1, 3, 6):
        labels = tree.labels(k)
        direct = sum(squares[np.ix_(labels == c, labels == c)].sum() / (2 * (labels == c).sum()) for c in range(k))
        np.testing.assert_allclose((tree.links[: 12 - k, 2] ** 2 / 2).sum(), direct)
    for link in ("ward", "average"):
        table = gap_statistic(asset_tree(returns.cov(), linkage=link, second_distance=False), link)
        assert table["gap"].idxmax() == 3 and len(table) == 10


def test_known_groups(returns):
    truth = np.repeat(range(3), 4)
    for rule in (3, "gap", "silhouette"):
        assert (cluster_assets(returns.cov(), rule) == truth).all()
    assert (cluster_assets(returns.cov(), "silhouette", method="kmeans") == truth).all()
    assert (cluster_stability(returns, 3, groups=np.repeat(range(3), 100)) > 0.5).all()


def test_silhouettes_are_sklearns(returns):
    from sklearn.metrics import silhouette_samples

    tree = asset_tree(returns.cov(), linkage="average")
    full = squareform(tree.condensed)
    for k in range(2, 12):
        values = silhouette_samples(full, tree.labels(k), metric="precomputed")
        np.testing.assert_allclose(silhouette_quality(full, tree.labels(k)), values.mean() / values.std())


def test_least_variance():
    rng = np.random.default_rng(0)
    matrix = np.cov(rng.standard_normal((40, 6)), rowvar=False)
    solved = np.linalg.solve(matrix, np.ones(6))
    np.testing.assert_allclose(unconstrained_minimum_variance(matrix), solved / solved.sum())
    twice = matrix[np.ix_([0, 1, 2, 3, 4, 5, 0], [0, 1, 2, 3, 4, 5, 0])]
    weights = unconstrained_minimum_variance(twice)
    np.testing.assert_allclose(weights[[0, 6]], weights[0])
    np.testing.assert_allclose(weights @ twice @ weights, 1 / solved.sum())
    for singular in ([[1, -1], [-1, 1]], [[1, 2], [2, 4]], np.cov(rng.standard_normal((4, 6)), rowvar=False)):
        with pytest.raises(SingularCovarianceError):
            unconstrained_minimum_variance(singular)


def test_nested_clusters(returns):
    matrix = returns.cov()
    one = nested_clusters(matrix, np.zeros(12, int))
    np.testing.assert_allclose(one, unconstrained_minimum_variance(matrix))
    np.testing.assert_allclose(nested_clusters(matrix, np.arange(12)), one)
    labels = cluster_assets(matrix, 3)
    np.testing.assert_allclose(NestedClusters(n_clusters=3).fit(returns).weights_, nested_clusters(matrix, labels), atol=1e-12)
    with pytest.raises(ShapeError):
        nested_clusters(matrix, [0, 1])
    with pytest.raises(SingularCovarianceError, match="A"):
        NestedClusters(n_clusters=2).fit(returns.iloc[:4])
    mixed = NestedClusters(inner=HierarchicalRiskParity(), outer=InverseVolatility(), covariance=LedoitWolf()).fit(returns)
    assert (mixed.weights_ > 0).all() and list(mixed.weights.index) == list(returns.columns)


def test_covariance_estimators(returns):
    for kind in (HierarchicalRiskParity, HierarchicalEqualRisk, NestedClusters):
        estimator = LedoitWolf()
        allocator = kind(covariance=estimator)
        assert np.abs(allocator.fit(returns).weights_ - kind().fit(returns).weights_).max() > 1e-9
        assert not hasattr(estimator, "covariance_") and allocator.covariance is estimator
    np.testing.assert_allclose(HierarchicalRiskParity().fit(returns).weights_, hierarchical_risk_parity(returns.cov()), atol=1e-14)


def test_other_libraries(returns):
    HRPOpt = pytest.importorskip("pypfopt").HRPOpt
    optimization = pytest.importorskip("skfolio.optimization")
    ours = HierarchicalRiskParity(second_distance=False).fit(returns).weights_
    np.testing.assert_allclose(ours, pd.Series(HRPOpt(returns).optimize())[returns.columns], atol=1e-12)
    ours = HierarchicalRiskParity(second_distance=False, linkage="ward", leaf_order="optimal").fit(returns).weights_
    np.testing.assert_allclose(ours, optimization.HierarchicalRiskParity().fit(returns).weights_, atol=1e-12)
    ours = HierarchicalEqualRisk(n_clusters="two_difference").fit(returns).weights_
    np.testing.assert_allclose(ours, optimization.HierarchicalEqualRiskContribution().fit(returns).weights_, atol=1e-12)


def test_in_both_engines(returns):
    selection = pytest.importorskip("skfolio.model_selection")
    from portfolio_ml.backtest.walk_forward import walk_forward

    for allocator in ESTIMATORS:
        theirs = selection.cross_val_predict(allocator, returns, cv=selection.WalkForward(train_size=120, test_size=60)).returns
        assert len(theirs) == 180 and np.isfinite(theirs).all()
    assert walk_forward({str(a): a for a in ESTIMATORS}, returns, window=120).failures.empty


def test_pictures(returns):
    import matplotlib.pyplot as plt

    tree = asset_tree(returns.cov())
    ax = plot_tree(tree, n_clusters=3, title="t")
    assert [t.get_text() for t in ax.get_yticklabels()] == list(tree.names[tree.order]) and len(ax.lines) == 11
    assert plot_correlation(returns.cov(), tree.order).get_yticklabels()[0].get_text() == tree.names[tree.order[0]]
    assert plot_tree(asset_tree([[1.0]])) is not None
    plt.close("all")
