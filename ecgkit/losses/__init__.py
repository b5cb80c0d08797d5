"""Losses of self-supervised pretraining: pure functions of embeddings, and the monitors of their collapse."""

from ecgkit.losses.contrastive import (
    cmlc,
    cmsc,
    cmsmlc,
    cosine_similarity,
    cpc,
    gather_ranks,
    guided,
    lead_segment_loss,
    masked_log_softmax_loss,
    nt_xent,
    pclr,
    supcon,
    three_kg,
    view_pair_loss,
)
from ecgkit.losses.monitors import alignment, effective_rank, knn_accuracy, uniformity
from ecgkit.losses.noncontrastive import barlow_twins, byol, moco_v3, vicreg

__all__ = ["alignment", "barlow_twins", "byol", "cmlc", "cmsc", "cmsmlc", "cosine_similarity", "cpc",
           "effective_rank", "gather_ranks", "guided", "knn_accuracy", "lead_segment_loss", "masked_log_softmax_loss",
           "moco_v3", "nt_xent", "pclr", "supcon", "three_kg", "uniformity", "vicreg", "view_pair_loss"]
