"""Losses of two networks or two views without a contrast of patients: MoCo v3, BYOL, Barlow Twins, VICReg."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ecgkit.errors import EcgkitError
from ecgkit.losses.contrastive import _at_least_single, cosine_similarity, masked_log_softmax_loss


def moco_v3(query_a: Tensor, query_b: Tensor, key_a: Tensor, key_b: Tensor, temperature: float = 0.2) -> Tensor:
    """MoCo v3 (Chen, Xie & He 2021): each query finds its record's key of the other view among the batch's keys.

    Parameters
    ----------
    query_a, query_b : Tensor, shape (n, d)
        Predictor's output for the two views.
    key_a, key_b : Tensor, shape (n, d)
        Momentum encoder's output; no gradient flows into it.

    Returns
    -------
    Tensor, scalar
        2T CE(q_a, k_b) + 2T CE(q_b, k_a), where CE is the cross-entropy of cosines over T. 0 for a batch of one.
    """
    _check(query_a, query_b, key_a, key_b)
    own = torch.eye(len(query_a), dtype=torch.bool, device=query_a.device)
    halves = [masked_log_softmax_loss(cosine_similarity(query, key.detach()), own, ~own, temperature)
              for query, key in ((query_a, key_b), (query_b, key_a))]
    return 2 * temperature * (halves[0] + halves[1])


def byol(prediction_a: Tensor, prediction_b: Tensor, target_a: Tensor, target_b: Tensor) -> Tensor:
    """BYOL (Grill et al. 2020, equation 2): predict the other view's target embedding.

    Parameters
    ----------
    prediction_a, prediction_b : Tensor, shape (n, d)
        Predictor's output for the two views.
    target_a, target_b : Tensor, shape (n, d)
        Target network's output; no gradient flows into it.

    Returns
    -------
    Tensor, scalar
        Mean of 2 - 2 cos(p_a, t_b), plus the same for p_b and t_a: from 0 to 8.
    """
    _check(prediction_a, prediction_b, target_a, target_b)
    halves = [functional.cosine_similarity(_at_least_single(prediction), _at_least_single(target.detach()))
              for prediction, target in ((prediction_a, target_b), (prediction_b, target_a))]
    return (4 - 2 * (halves[0] + halves[1])).mean()


def barlow_twins(a: Tensor, b: Tensor, redundancy: float = 5e-3) -> Tensor:
    """Barlow Twins (Zbontar et al. 2021, equation 1): the two views' correlation matrix is made the identity.

    Parameters
    ----------
    a, b : Tensor, shape (n, d)
        Embeddings of the two views, not normalised.
    redundancy : float
        Weight of the elements off the diagonal.

    Returns
    -------
    Tensor, scalar
        sum_i (1 - C_ii)^2 + redundancy * sum_{i != j} C_ij^2, with C = A^T B / n of the standardised embeddings.

    Raises
    ------
    EcgkitError
        For a batch of one, which has no correlation.
    """
    _check(a, b, least=2)
    correlation = _standardised(a).T @ _standardised(b) / len(a)
    diagonal = correlation.diagonal()
    return (1 - diagonal).square().sum() + redundancy * (correlation.square().sum() - diagonal.square().sum())


def vicreg(a: Tensor, b: Tensor, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0) -> Tensor:
    """VICReg (Bardes, Ponce & LeCun 2022, algorithm 1): like views, features that vary, features that differ.

    Parameters
    ----------
    a, b : Tensor, shape (n, d)
        Embeddings of the two views, not normalised.
    invariance, variance, covariance : float
        Weights of the three terms.

    Returns
    -------
    Tensor, scalar
        invariance * MSE(a, b) + variance * (v(a) + v(b)) + covariance * (c(a) + c(b)), where v is the mean over the
        features of relu(1 - sqrt(var + 1e-4)), and c the sum of the squared covariances off the diagonal over d.

    Raises
    ------
    EcgkitError
        For a batch of one, which has no variance.
    """
    _check(a, b, least=2)
    a, b = _at_least_single(a), _at_least_single(b)
    return (invariance * functional.mse_loss(a, b) + variance * (_too_narrow(a) + _too_narrow(b))
            + covariance * (_off_diagonal_covariance(a) + _off_diagonal_covariance(b)))


def _too_narrow(z: Tensor) -> Tensor:
    return functional.relu(1 - (z.var(dim=0) + 1e-4).sqrt()).mean()


def _off_diagonal_covariance(z: Tensor) -> Tensor:
    centred = z - z.mean(dim=0)
    matrix = centred.T @ centred / (len(z) - 1)
    return (matrix.square().sum() - matrix.diagonal().square().sum()) / z.shape[1]


def _standardised(z: Tensor) -> Tensor:
    z = _at_least_single(z)
    # The small number keeps a feature that has died from dividing by zero.
    return (z - z.mean(dim=0)) * (z.var(dim=0, correction=0) + 1e-5).rsqrt()


def _check(*embeddings: Tensor, least: int = 1) -> None:
    shapes = {tuple(z.shape) for z in embeddings}
    if len(shapes) != 1 or embeddings[0].ndim != 2:
        raise EcgkitError(f"embeddings of shapes {sorted(shapes)}; expected (n, d), the same for all")
    if len(embeddings[0]) < least:
        raise EcgkitError(f"a batch of {len(embeddings[0])} has no variance; give at least {least} records")
