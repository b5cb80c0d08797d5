"""What would this ECG look like if the classifier said something else: a generator trained against a discriminator."""

from ecgkit.explain.counterfactual.gan import CounterfactualGAN

__all__ = ["CounterfactualGAN"]
