"""What the proxy alone tells: the saccader's crop network on the 32 x 32 proxy, and no glimpse at all."""

from torch import Tensor

from ..reading import PooledLikelihood
from ..saccader import Config, Model, Output, make_crop_network
from ..sampler import Images, proxy
from .noise import Corruption


class ProxyOnly(Model):
    """A convolutional classifier of the proxy c. Its sizes are a saccader's, so what it lacks are the glimpses.

    Args:
        config: ``channels``, ``proxy``, its noise and the sizes of the crop network are taken from it.
        classes: K.
        many: they are K questions of yes or no.
    """

    def __init__(self, config: Config, classes: int, many: bool = False):
        super().__init__()
        self.side, self.noise = config.proxy, Corruption(config.noise, 0.0, config.noise_level)
        self.read = make_crop_network(config, config.proxy)
        self.likelihood = PooledLikelihood(config.features, classes, many)

    def forward(self, images: Tensor | Images) -> Output:
        c = self.noise(proxy(images, self.side), self.training)  # (B, C, J, J)
        features = self.read(c)  # (B, F)
        return Output(self.likelihood(features.unsqueeze(1)), None, None, {})
