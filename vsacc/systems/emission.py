"""Where the mean of a policy comes from, in RAM and DRAM: two ways.

:class:`Dense` is a linear layer on the state, as both papers have it. :class:`Spatial` is the expectation over a map of
what is seen coarsely, as the saccader has it: it moves with the image from the first step on, and so a reward for one
place teaches all places at once.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..vrnn import cell_centres

GAIN = 0.1  # of the dense layer, see Dense


class Dense(nn.Module):
    """tanh(GAIN (W h + b)): state (B, D) -> mean place (B, 2).

    The gain is this project's: Adam takes steps of full length on the noise that REINFORCE is at first, and walks the
    mean into a corner, where tanh has no gradient left, unless a step is short against tanh's range.
    """

    def __init__(self, hidden: int):
        super().__init__()
        self.linear = nn.Linear(hidden, 2)

    def forward(self, state: Tensor) -> Tensor:
        with torch.autocast(state.device.type, enabled=False):  # bfloat16 would round places to 5 pixels in 2528
            return (GAIN * self.linear(state.to(self.linear.weight.dtype))).tanh()


class Spatial(nn.Module):
    """sum_ij softmax(saliency(relu(map + ask(h))))_ij place_ij: map (B, F, M, M), state (B, D) -> mean place (B, 2), in
    coordinates where the map is [-1, 1] on each axis."""

    def __init__(self, hidden: int, features: int, cells: int):
        super().__init__()
        self.ask, self.saliency = nn.Linear(hidden, features), nn.Conv2d(features, 1, 1)
        self.register_buffer("grid", cell_centres(cells).flatten(0, 1), persistent=False)  # (M * M, 2)

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        logits = self.saliency(F.relu(features + self.ask(state)[:, :, None, None]))
        share = logits.flatten(1).to(self.grid.dtype).softmax(-1)
        return (share.unsqueeze(-1) * self.grid).sum(1)
