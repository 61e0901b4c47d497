"""The control of the glimpses: what the proxy alone tells, read by the saccader's crop network."""

from torch import Tensor

from ..reading import PooledLikelihood, Question
from ..saccader import Config, Model, Output, make_crop_network
from ..sampler import Images, proxy
from . import GREY, System
from .noise import Corruption
from .saccader import CHANGES, SIZES


class ProxyOnly(Model):
    """A convolutional classifier of the proxy c. Its sizes are a saccader's, so what it lacks are the glimpses."""

    def __init__(self, config: Config, question: Question):
        super().__init__()
        self.config, self.noise = config, Corruption(config.noise, 0.0, config.noise_level)
        self.read = make_crop_network(config, config.proxy)
        self.likelihood = PooledLikelihood(config.features, len(question.classes), question.many)

    def forward(self, images: Tensor | Images, glimpses: int | None = None) -> Output:
        c = self.noise(proxy(images, self.config.proxy), self.training)  # (B, C, J, J)
        features = self.read(c)  # (B, F)
        return Output(self.likelihood(features.unsqueeze(1)), None, None, {})


PROXY_ONLY = System(
    name="proxy_only",
    label="proxy only",
    says="A classifier of the proxy, without any glimpse.",
    reads="coarse view",
    colour=GREY,
    marker="v",
    config=Config,
    make=ProxyOnly,
    sizes=SIZES,
    changes=CHANGES,
)
