"""Videos: clips of F frames behind the sampler's protocol, so that glimpse i is cut from frame i.

The paper's section 3 ends with x and c becoming sets {x_i, c_i}: step i of a model is shown the proxy c_i and cuts its
glimpse from x_i. For everything that reads pixels through the sampler this is a matter of the images alone:
``proxy(video, J)`` is (B, F, C, J, J), and ``glimpse(video, where, L)`` reads row i of ``where`` in frame i.
"""

from typing import NamedTuple

from torch import Tensor

from ..sampler import Pyramid, build_pyramid, level_tables


class Video(NamedTuple):
    """Every level of every frame of B clips in one buffer, so that one gather serves all glimpses.

    flat: uint8 (B, F, C, N), of each frame its levels one after another, as in a :class:`Pyramid`.
    sizes: (H_l, W_l) of each level.
    """

    flat: Tensor
    sizes: tuple[tuple[int, int], ...]

    @property
    def shape(self) -> tuple[int, int]:
        """(B, C)."""
        return self.flat.shape[0], self.flat.shape[2]

    def level(self, index: int) -> Tensor:
        """Level ``index`` of all frames as uint8 (B, F, C, H_l, W_l), a view."""
        return Pyramid(self.flat.flatten(0, 1), self.sizes).level(index).unflatten(0, self.flat.shape[:2])

    def pick(self, level: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """Pixels of frame i at row x col i of a level: long (B, T, 1), (B, T, L), (B, T, L) -> uint8 (B, C, T, L, L).

        Raises ValueError where there are more looks than frames.
        """
        frames, steps, channels = self.flat.shape[1], row.shape[1], self.flat.shape[2]
        if steps > frames:
            raise ValueError(f"{steps} glimpses do not fit a video of {frames} frames: each frame is looked at once")
        offset, _, widths = (table[level] for table in level_tables(self.sizes, level.device))  # (B, T, 1)
        index = (offset + row * widths).unsqueeze(-1) + col.unsqueeze(-2)  # (B, T, L, L)
        flat = index.flatten(2).unsqueeze(2).expand(-1, -1, channels, -1)  # (B, T, C, L * L)
        return self.flat.gather(3, flat).view(*flat.shape[:3], *index.shape[2:]).transpose(1, 2)

    def prefetch(self, where: Tensor, size: int) -> None:
        """Nothing to fetch: it lies in memory."""


def build_video(frames: Tensor, smallest: int = 32) -> Video:
    """The pyramids of uint8 (B, F, C, H, W), see :func:`~vsacc.sampler.build_pyramid`."""
    pyramid = build_pyramid(frames.flatten(0, 1), smallest)
    return Video(pyramid.flat.unflatten(0, frames.shape[:2]), pyramid.sizes)


def still(images: Pyramid, frames: int) -> Video:
    """A video in which nothing moves."""
    return Video(images.flat.unsqueeze(1).expand(-1, frames, -1, -1), images.sizes)


def face(where: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Glimpse i against the boxes of frame i alone, as pairs of one glimpse and D boxes.

    (B, T, 3), (B, F, D, 4) -> (B, T, 1, 3), (B, T, D, 4); of F frames the first T, which were looked at.
    """
    return where.unsqueeze(2), boxes[:, : where.shape[1]]
