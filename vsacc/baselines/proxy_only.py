"""What the proxy alone tells: the saccader's crop network on the 32 x 32 proxy, and no glimpse at all."""

from torch import Tensor

from ..classifier import PooledLikelihood, crop_network
from ..model import Config, Model, Output
from ..sampler import Images, proxy


class ProxyOnly(Model):
    """A convolutional classifier of the proxy c. Its sizes are a saccader's, so what it lacks are the glimpses.

    Args:
        config: ``channels``, ``proxy`` and the sizes of the crop network are taken from it.
        classes: K.
    """

    def __init__(self, config: Config, classes: int):
        super().__init__()
        self.side = config.proxy
        self.read = crop_network(config.channels, config.proxy, config.crop_widths, config.crop_depth, config.features)
        self.likelihood = PooledLikelihood(config.features, classes)

    def forward(self, images: Tensor | Images) -> Output:
        features = self.read(proxy(images, self.side))  # (B, F)
        return Output(self.likelihood(features.unsqueeze(1)), None, None, {})
