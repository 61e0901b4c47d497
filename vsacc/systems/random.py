"""The control of the places: what looking anywhere tells, read by the saccader's crop network and likelihood."""

from torch import Tensor

from ..reading import Question
from ..saccader import Config, Output, Reader, random_places, seeded_by
from ..sampler import Images, proxy
from . import BLACK, System
from .saccader import CHANGES, PRACTICE, SIZES


class RandomGlimpses(Reader):
    """Looks at places that are uniform over all that keep the frame inside the image, with a saccader's sizes. The
    frames have the largest scale that a trained saccader may use, so that chance finds as much as it can. Places are
    drawn afresh in training; in evaluation they are a function of the batch."""

    def __init__(self, config: Config, question: Question):
        super().__init__()
        self.config = config
        self.add_reader(config, question)

    def forward(self, images: Tensor | Images, glimpses: int | None = None) -> Output:
        c = proxy(images, self.config.proxy)
        generator = None if self.training else seeded_by(c)
        steps = glimpses or self.config.glimpses
        where = random_places(len(c), steps, self.config.scale[1], generator, c.device)  # (B, T, 3)
        after, o = self.read(images, where)
        return Output(after[:, -1], where, o, {}, after)


RANDOM = System(
    name="random",
    label="random glimpses",
    says="The saccader's reader on glimpses at random places.",
    reads="{} glimpses",
    colour=BLACK,
    marker="x",
    config=Config,
    make=RandomGlimpses,
    sizes=SIZES,
    changes=CHANGES,
    recipes=PRACTICE,
    videos=True,
)
