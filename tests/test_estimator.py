"The base class of covariance estimators, the losses, and the planted truths."

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import EmpiricalCovariance
from sklearn.exceptions import NotFittedError

from portfolio_ml.core.testing import factor_returns
from portfolio_ml.core.validation import DataError, ShapeError, SingularCovarianceError
from portfolio_ml.covariance.estimator import (
    CovarianceEstimator,
    draw_returns,
    factor_covariance,
    frobenius_loss,
    invert,
    log_likelihood,
    minimum_variance_loss,
    prial,
    qlike,
    sparse_precision,
    spectrum_covariance,
    stein_loss,
)


def test_the_base_class_is_the_sample_covariance():
    "Divided by T - 1, or by T about zero; likelihood and precision as scikit-learn has them."
    X = factor_returns(80, 5)
    np.testing.assert_allclose(CovarianceEstimator().fit(X).covariance_, X.cov())
    about_zero = CovarianceEstimator(assume_centered=True).fit(X)
    theirs = EmpiricalCovariance(assume_centered=True).fit(X)
    np.testing.assert_allclose(about_zero.covariance_, theirs.covariance_)
    np.testing.assert_allclose(about_zero.get_precision(), theirs.precision_, rtol=1e-8)
    assert about_zero.score(X) == pytest.approx(theirs.score(X)) and not about_zero.location_.any()
    with pytest.raises(NotFittedError):
        CovarianceEstimator().to_frame()
    with pytest.raises((ValueError, KeyError)):
        about_zero.score(X.rename(columns={"A0": "B0"}))


def test_inverse():
    "By Cholesky, or the pseudo-inverse of what is singular."
    S = factor_covariance(30)
    np.testing.assert_allclose(invert(S) @ S, np.eye(30), atol=1e-10)
    low = np.ones((3, 3))
    np.testing.assert_allclose(low @ invert(low) @ low, low, atol=1e-12)


def test_losses_by_their_formulas():
    "Against traces and determinants; zero for the truth, and the minimum-variance loss blind to scale."
    truth, guess = factor_covariance(12, random_state=1) * 1e4, factor_covariance(12, random_state=2) * 1e4
    ratio = guess @ np.linalg.inv(truth)
    assert stein_loss(guess, truth) == pytest.approx((np.trace(ratio) - np.linalg.slogdet(ratio)[1]) / 12 - 1)
    assert frobenius_loss(guess, truth) == pytest.approx(np.linalg.norm(guess - truth, "fro") ** 2 / 12)
    G, T = np.linalg.inv(guess), np.linalg.inv(truth)
    wanted = np.trace(G @ truth @ G) / 12 / (np.trace(G) / 12) ** 2 - 12 / np.trace(T)
    assert minimum_variance_loss(guess, truth) == pytest.approx(wanted) == minimum_variance_loss(7 * guess, truth)
    for loss in (stein_loss, frobenius_loss, minimum_variance_loss):
        assert abs(loss(truth, truth)) < 1e-10 < loss(guess, truth)
    for bad, other in ((np.ones((12, 12)), truth), (truth, np.ones((12, 12)))):
        with pytest.raises(SingularCovarianceError):
            stein_loss(bad, other)


def test_qlike_ranks_the_truth_first_and_is_a_likelihood():
    "Its mean is minus two log-likelihoods over N, up to a constant."
    truth = factor_covariance(6) * 1e4
    X = draw_returns(truth, 3000, random_state=3)
    level = qlike(truth, X).mean()
    assert level * 6 == pytest.approx(-2 * log_likelihood(X.T @ X / 3000, invert(truth)) - 6 * np.log(2 * np.pi))
    assert all(level < qlike(c * truth, X).mean() for c in (0.7, 1.4)) and qlike(truth, X).shape == (3000,)


def test_prial_and_its_error():
    "Its standard error is that of repeated experiments."
    rng = np.random.default_rng(0)
    plain = rng.gamma(20, 1, (2000, 50))
    ours = plain * 0.4 + rng.normal(0, 0.5, plain.shape)
    found = np.array([prial(a, b) for a, b in zip(ours, plain, strict=True)])
    assert found[:, 0].mean() == pytest.approx(60, abs=0.1)
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.1)
    assert np.isnan(prial([1.0], [2.0])[1])


def test_planted_truths():
    "Spectra, unit variances, positive definiteness, seeds, and the covariance of what is drawn."
    np.testing.assert_allclose(np.linalg.eigvalsh(spectrum_covariance([1, 2, 5], 4)), [1, 2, 5])
    for density in (0.02, 0.3, 1.0):
        P = sparse_precision(25, density, random_state=1)
        np.testing.assert_allclose(np.linalg.inv(P).diagonal(), 1)
        assert np.linalg.eigvalsh(P)[0] > 0
    assert (factor_covariance(5, random_state=1) == factor_covariance(5, random_state=1)).all()
    truth = factor_covariance(4)
    for freedom in (np.inf, 5.0):
        S = np.cov(draw_returns(truth, 200000, freedom=freedom), rowvar=False)
        np.testing.assert_allclose(S, truth, atol=0.05 * truth.max())
    with pytest.raises(DataError, match="freedom"):
        draw_returns(truth, 10, freedom=2)
    with pytest.raises(ShapeError):
        draw_returns(np.ones((2, 3)), 10)


def test_labels_survive():
    "A frame in gives its names out."
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 3)), columns=["KO", "XOM", "AAPL"])
    frame = CovarianceEstimator().fit(X).to_frame()
    assert list(frame.index) == list(frame.columns) == ["KO", "XOM", "AAPL"]
