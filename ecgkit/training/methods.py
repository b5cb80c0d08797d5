"""The methods of pretraining by name: the views that each compares, its heads, its loss, and the encoder it is for."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from ecgkit import losses
from ecgkit.errors import EcgkitError
from ecgkit.models.windowed import Embedder
from ecgkit.physiology import COLUMNS
from ecgkit.training import views
from ecgkit.training.measured import measured_loss
from ecgkit.training.views import NO_AUGMENT, Augment, Batch, PretrainSettings

# Learners are an embedder and the heads that a method puts on it and later throws away; each is made of an embedder,
# the settings and the number of steps of the whole training.

def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two layers with batch normalisation and a rectifier between (SimCLR's and BYOL's heads)."""
    return nn.Sequential(nn.Linear(inputs, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True),
                         nn.Linear(hidden, outputs))


class Siamese(nn.Module):
    """Every view goes through the same encoder and projector."""

    def __init__(self, embedder: Embedder, settings: PretrainSettings, n_steps: int = 1) -> None:
        super().__init__()
        self.embedder = embedder
        self.projector = mlp(embedder.n_features, embedder.n_features, settings.projection)

    def forward(self, views: Tensor) -> Any:
        """Map views `(n, *views, 12, crop_len)` in mV to projections `(n, *views, projection)`."""
        return self.projector(self.embedder(views.flatten(0, -3))).unflatten(0, views.shape[:-2])


class Physiologist(nn.Module):
    """A linear head on an encoder that names measurements, `(n_targets,)`, and a projector for contrast."""

    def __init__(self, embedder: nn.Module, n_features: int, n_targets: int, projection: int) -> None:
        super().__init__()
        self.embedder = embedder
        self.head = nn.Sequential(nn.LayerNorm(n_features), nn.Linear(n_features, n_targets))
        self.projector = nn.Sequential(nn.Linear(n_features, n_features), nn.ReLU(inplace=True),
                                       nn.Linear(n_features, projection))

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Map views `(n, views, 12, crop_len)` in mV to measurements `(n, n_targets)` and projections `(n, views, d)`.

        An ECG's measurements are the mean of what its views say.
        """
        features = self.embedder(views.flatten(0, 1))
        named = self.head(features).unflatten(0, views.shape[:2]).mean(dim=1)
        return named, self.projector(features).unflatten(0, views.shape[:2])


class Streams(nn.Module):
    """Every lead group of every view has a projection of its own; the projector is shared. The encoder has streams."""

    def __init__(self, embedder: Embedder, settings: PretrainSettings, n_steps: int = 1) -> None:
        super().__init__()
        _check_has(embedder, "streams", "lead groups", "dual_stream, or leave out dual-stream")
        self.embedder = embedder
        width = embedder.n_features // cast(int, embedder.encoder.n_groups)
        self.projector = mlp(width, width, settings.projection)

    def forward(self, views: Tensor) -> Tensor:
        """Map views `(n, *views, 12, crop_len)` in mV to projections `(n, *views, groups, projection)`."""
        windows = self.embedder.windows(views.flatten(0, -3)).flatten(0, 1)
        streams = cast(Any, self.embedder.encoder).streams(windows)
        return self.projector(streams.flatten(0, 1)).unflatten(0, (*views.shape[:-2], streams.shape[1]))


class Predictive(nn.Module):
    """Linear predictors of an encoder's future steps from the context (van den Oord et al. 2018, equation 3)."""

    def __init__(self, embedder: Embedder, settings: PretrainSettings, n_steps: int = 1) -> None:
        super().__init__()
        _check_has(embedder, "steps", "steps in time", "cpc or s4d")
        self.embedder, self.horizon = embedder, settings.horizon
        encoder = cast(Any, embedder.encoder)
        self.predictors = nn.Linear(encoder.context_features, settings.horizon * encoder.step_features, bias=False)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Map `(n, 12, crop_len)` in mV to predictions `(n, steps, horizon, d)` and the steps' `(n, steps, d)`."""
        encoder = cast(Any, self.embedder.encoder)
        steps = encoder.steps(self.embedder.windows(views).flatten(0, 1))
        return self.predictors(encoder.context(steps)).unflatten(-1, (self.horizon, -1)), steps


def _check_has(embedder: Embedder, what: str, meaning: str, choose: str) -> None:
    if not hasattr(embedder.encoder, what):
        name = cast(dict[str, Any], embedder.encoder.config)["name"]
        raise EcgkitError(f"the encoder {name} has no {meaning}; choose {choose}")


def momentum_at(start: float, step: int, n_steps: int) -> float:
    """Share of itself that the target keeps: from `start` to 1 by a cosine (BYOL, Grill et al. 2020, section 3.2)."""
    return 1 - (1 - start) * (math.cos(math.pi * step / n_steps) + 1) / 2


class Target(nn.Module):
    """A copy of a network that follows it slowly, for `n_steps` steps, and learns nothing by itself.

    It is in training mode as the network is, so batch normalisation uses the statistics of the batch, as in both
    papers' code. The count of steps is a buffer, so a resumed run goes on with the momentum where it stopped.
    """

    step: Tensor

    def __init__(self, network: nn.Module, momentum: float, n_steps: int) -> None:
        super().__init__()
        self.network = deepcopy(network).requires_grad_(False)
        self.momentum, self.n_steps = momentum, n_steps
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def follow(self, network: nn.Module) -> None:
        """Move every parameter towards the network's: t <- m t + (1 - m) o."""
        keep = momentum_at(self.momentum, int(self.step), self.n_steps)
        for own, other in zip(self.network.parameters(), network.parameters(), strict=True):
            own.lerp_(other, 1 - keep)
        self.step += 1

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Give what the slow network makes of `x`, without a gradient."""
        return self.network(x)


class Momentum(Siamese):
    """Online network with a predictor, and its slow target (MoCo v3, Chen, Xie & He 2021; BYOL, Grill et al. 2020).

    The target follows at the start of a training step, which is where it stands after the step before.
    """

    def __init__(self, embedder: Embedder, settings: PretrainSettings, n_steps: int = 1) -> None:
        super().__init__(embedder, settings)
        self.predictor = mlp(settings.projection, embedder.n_features, settings.projection)
        self.target = Target(self._online(), settings.momentum, n_steps)

    def forward(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Map views `(n, views, 12, crop_len)` in mV to predictions and targets, `(n, views, projection)` each."""
        if self.training:
            self.target.follow(self._online())
        projections = super().forward(views)
        predictions = self.predictor(projections.flatten(0, -2)).view_as(projections)
        return predictions, self.target(views.flatten(0, -3)).view_as(projections)

    def _online(self) -> nn.Sequential:
        return nn.Sequential(self.embedder, self.projector)


#: What a loss gets: the learner's outputs, the batch, the temperature, and a generator for draws of its own.
Loss = Callable[[Any, Batch, float, torch.Generator], Tensor]


@dataclass(frozen=True)
class Method:
    """One way to learn without labels: what it is `about`, with its paper.

    `views` makes of a batch, the settings and a generator views `(n, ..., 12, crop_len)` in mV; `learner`, of an
    embedder, the settings and the number of steps, the module that maps views to what the `loss` compares. Batches are
    drawn from `items`; `encoder`, `temperature` and `augment` are those of its paper, or what it is made for.
    """

    about: str
    views: Callable[[Batch, PretrainSettings, torch.Generator], Tensor]
    loss: Loss
    learner: Callable[[Any, PretrainSettings, int], nn.Module] = Siamese
    items: Literal["recordings", "patients", "simulated patients"] = "recordings"
    encoder: str = "xresnet1d18"
    temperature: float = 0.1
    augment: Augment = NO_AUGMENT
    needs_labels: bool = False
    needs_measurements: bool = False


@dataclass(frozen=True)
class SimulatorTask:
    """Supervised learning from the simulator's own truth, which `ecgkit.training.simulated` does."""

    about: str
    encoder: str = "xresnet1d18"


#: Ingredients of `utah` that an ablation may leave out.
INGREDIENTS = ("vcg", "blanking", "inter-lead", "inter-segment", "patients", "dual-stream", "guided")


def utah(without: Collection[str] = ()) -> Method:
    """The recipe of Dade et al. 2026 (10.1016/j.hroo.2026.01.016), whole or without some of its ingredients.

    Two adjacent segments are turned and stretched as heart vectors (with the residual kept) and partially blanked,
    each with its own draw; the limb leads and the chest leads of each go through a stream of their own, and pairs that
    differ in the group of leads, or in the segment, are contrasted over the patients of the batch. The recipe's code
    is not public: sizes and strengths are ours, and so is one projector shared by both streams.

    One ingredient is ours: "guided" adds the soft targets of `ecgkit.losses.guided`, so that ECGs whose measurements
    are alike are not pushed apart; without it the recipe is that of the paper.

    What stays is trained on the same windows. Without "inter-lead" there is one embedding per segment, of all leads;
    without "inter-segment" groups are contrasted within each segment only; without "patients" another recording of the
    same patient is a negative; without "dual-stream" one network sees each group with the other leads set to zero.
    """
    unknown = [name for name in without if name not in INGREDIENTS]
    if unknown:
        raise EcgkitError(f"utah has no ingredient {unknown[0]!r} to leave out; it has {', '.join(INGREDIENTS)}")
    if {"inter-lead", "inter-segment"} <= set(without):
        raise EcgkitError("utah without both inter-lead and inter-segment contrasts nothing; leave out one of them")
    dual, by_group, by_measurement = (name not in without for name in ("dual-stream", "inter-lead", "guided"))
    return Method(
        "VCG augmentation, partial blanking, contrast of lead groups and segments (Dade et al. 2026)",
        views.groups_of_segments if by_group and not dual else views.two_segments,
        partial(_group_segment_loss, by_group=by_group, by_segment="inter-segment" not in without,
                by_patient="patients" not in without, by_measurement=by_measurement),
        needs_measurements=by_measurement,
        learner=Streams if by_group and dual else Siamese,
        encoder="dual_stream" if dual else "xresnet1d18",
        augment=without_ingredients(Augment(mask=0, blank=0.5, fewest=4), without))


def without_ingredients(augment: Augment, without: Collection[str]) -> Augment:
    """Leave out the augmentations that an ablation of `utah` names."""
    if "vcg" in without:
        augment = replace(augment, angle=0, scale=1)
    return replace(augment, blank=0) if "blanking" in without else augment


def _group_segment_loss(z: Tensor, batch: Batch, temperature: float, generator: torch.Generator, *, by_group: bool,
                        by_segment: bool, by_patient: bool, by_measurement: bool) -> Tensor:
    """Contrast `(n, segments, groups, d)`, or `(n, segments, d)` where there are no groups."""
    guidance = losses.guided(z.flatten(1, -2), cast(Tensor, batch.measured), temperature) if by_measurement else 0.0
    z = z.transpose(1, 2) if by_group else z[:, None]
    patients = batch.patients if by_patient else None
    parts = [z] if by_segment else z.split(1, dim=2)
    return torch.stack([losses.lead_segment_loss(part, patients, temperature) for part in parts]).mean() + guidance


#: Ingredients of `physiology` that an ablation may leave out: what is known of an ECG, and what is done with it.
TEACHERS = ("measurements", "rules", "naming", "contrast")
#: Weight of the contrast beside the naming.
GUIDANCE = 0.3
#: Weak, so that what an ECG measures stays to be seen: a little noise, and a lead lost now and then.
SLIGHT = Augment(angle=0, scale=1, noise=0.02, mask=0.2)


def physiology(without: Collection[str] = ()) -> Method:
    """Our recipe in which the house teaches: an encoder names what `measure` and `judge` say of the same ECG.

    Two crops of an ECG each name its measurements and rule margins ("naming", smooth L1 distance to the mean of both),
    and are contrasted with soft targets: ECGs are alike as far as their measurements are ("contrast",
    `ecgkit.losses.guided`). No diagnosis is used. Without "measurements" only the rules teach, and the other way round.
    """
    unknown = [name for name in without if name not in TEACHERS]
    if unknown:
        raise EcgkitError(f"physiology has no ingredient {unknown[0]!r} to leave out; it has {', '.join(TEACHERS)}")
    if {"measurements", "rules"} <= set(without) or {"naming", "contrast"} <= set(without):
        raise EcgkitError("physiology needs measurements or rules, and naming or contrast; leave out one of two")
    first, last = (len(COLUMNS) if "measurements" in without else 0), (len(COLUMNS) if "rules" in without else None)

    def loss(out: tuple[Tensor, Tensor], batch: Batch, temperature: float, generator: torch.Generator) -> Tensor:
        known, (named, z) = cast(Tensor, batch.measured)[:, first:last], out
        naming = 0.0 if "naming" in without else measured_loss(named[:, first:last], known)
        contrast = 0.0 if "contrast" in without else GUIDANCE * losses.guided(z, known, temperature)
        return cast(Tensor, naming + contrast)

    return Method("crops name the measurements and rule margins of their ECG, and are alike as far as these are",
                  views.two_crops, loss, learner=lambda embedder, settings, n_steps: Physiologist(
                      embedder, embedder.n_features, views.N_TARGETS, settings.projection),
                  augment=SLIGHT, needs_measurements=True)


#: Where views are leads, each step draws some, the same for the whole batch, and averages over all pairs of the views
#: that they give; the encoder sees the recording with all other leads set to zero (see `leads_per_step`).
METHODS: dict[str, Method | SimulatorTask] = {
    "simclr": Method(
        "NT-Xent of two augmented crops (SimCLR, Chen et al. 2020)", views.two_crops,
        lambda z, batch, t, g: losses.nt_xent(z, t), augment=Augment()),
    "cmsc": Method(
        "adjacent segments of a patient are alike (CLOCS, Kiyasseh et al. 2021)", views.two_segments,
        lambda z, batch, t, g: losses.cmsc(z, batch.patients, t)),
    "cmlc": Method(
        "leads of a patient are alike (CLOCS, Kiyasseh et al. 2021)", views.leads_of_crop,
        lambda z, batch, t, g: losses.cmlc(z, batch.patients, t)),
    "cmsmlc": Method(
        "leads and adjacent segments of a patient are alike (CLOCS, Kiyasseh et al. 2021)", views.leads_of_segments,
        lambda z, batch, t, g: losses.cmsmlc(z.transpose(1, 2), batch.patients, t)),
    "pclr": Method(
        "two ECGs of a patient are alike, segments where there is one ECG (PCLR, Diamant et al. 2022)",
        views.patient_pairs, lambda z, batch, t, g: losses.pclr(z, batch.patients, t), items="patients"),
    "3kg": Method(
        "leads of two turned and stretched heart vectors are alike (3KG, Gopal et al. 2021)",
        views.leads_of_augmentations, lambda z, batch, t, g: losses.three_kg(z, temperature=t),
        augment=Augment(keep_residual=False, mask=0, blank=0.5)),
    "supcon": Method(
        "recordings are alike as far as their labels overlap (SupCon, Khosla et al. 2020)", views.two_crops,
        lambda z, batch, t, g: losses.supcon(z, cast(Tensor, batch.labels), t), augment=Augment(), needs_labels=True),
    "poly_window": Method(
        "NT-Xent of several windows of an ECG at once (arXiv 2508.15225)", views.several_crops,
        lambda z, batch, t, g: losses.nt_xent(z, t), augment=Augment()),
    "guided": Method(
        "crops are alike as far as the measurements of their ECGs are (soft targets; Beat-SSL 2026, CLEF 2025)",
        views.two_crops, lambda z, batch, t, g: losses.guided(z, cast(Tensor, batch.measured), t),
        augment=Augment(), needs_measurements=True),
    "physiology": physiology(),
    "moco_v3": Method(
        "each crop finds the other's slow embedding (MoCo v3, Chen, Xie & He 2021)", views.two_crops,
        lambda out, batch, t, g: losses.moco_v3(out[0][:, 0], out[0][:, 1], out[1][:, 0], out[1][:, 1], t),
        learner=Momentum, temperature=0.2, augment=Augment()),
    "byol": Method(
        "each crop predicts the other's slow embedding (BYOL, Grill et al. 2020)", views.two_crops,
        lambda out, batch, t, g: losses.byol(*out[0].unbind(1), *out[1].unbind(1)), learner=Momentum,
        augment=Augment()),
    "barlow": Method(
        "the crops' correlation matrix is the identity (Barlow Twins, Zbontar et al. 2021)", views.two_crops,
        lambda z, batch, t, g: losses.barlow_twins(*z.unbind(1)), augment=Augment()),
    "vicreg": Method(
        "like crops, features that vary and differ (VICReg, Bardes, Ponce & LeCun 2022)", views.two_crops,
        lambda z, batch, t, g: losses.vicreg(*z.unbind(1)), augment=Augment()),
    "cpc": Method(
        "the context tells the steps to come (CPC, van den Oord et al. 2018; Mehari & Strodthoff 2022)",
        views.one_crop, lambda out, batch, t, g: losses.cpc(out[0], out[1], temperature=t, generator=g),
        learner=Predictive, encoder="cpc", temperature=1.0),
    "utah": utah(),
    "simulator": SimulatorTask("severities, intervals and clean beats of endless simulated ECGs, supervised"),
    "simulator_contrast": Method(
        "two visits of a simulated patient are alike (PCLR's contrast without a recording)", views.patient_pairs,
        lambda z, batch, t, g: losses.nt_xent(z, t), items="simulated patients"),
}
