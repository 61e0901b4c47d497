"""Numbers that others published, each with what it was measured on; nothing here was run by this workbook."""

from typing import NamedTuple


class Printed(NamedTuple):
    """An accuracy of the paper's Table 1. task, system: the same under this workbook's names; method: the paper's own
    name; side: of its images, pixels; accuracy: 0 .. 1; spread: what it prints behind +/-, whose unit it does not say,
    or None."""

    side: int
    task: str
    system: str
    method: str
    accuracy: float
    spread: float | None


# Ramapuram et al. 2018, Table 1, both parts, row by row. Those of RAM and DRAM it quotes from Ba et al. 2015.
PAPER = (
    Printed(2528, "mit5k", "resnet18_144", "resnet18 - 144 crops", 0.636, 0.03),
    Printed(2528, "mit5k", "saccader", "variational saccading", 0.627, 0.03),
    Printed(2528, "identification_2528", "resnet18_144", "resnet18 - 144 crops", 0.973, 0.006),
    Printed(2528, "identification_2528", "saccader", "variational saccading", 0.9523, 0.03),
    Printed(100, "sum", "resnet18", "resnet18 - full image", 0.9986, 0.01),
    Printed(100, "sum", "ram", "RAM", 0.91, None),
    Printed(100, "sum", "dram", "DRAM", 0.975, None),
    Printed(100, "sum", "saccader", "variational saccading", 0.972, 0.04),
    Printed(100, "identification", "resnet18", "resnet18 - full image", 0.974, 0.003),
    Printed(100, "identification", "ram", "RAM", 0.93, None),
    Printed(100, "identification", "dram", "DRAM", 0.95, None),
    Printed(100, "identification", "saccader", "variational saccading", 0.9542, 0.002),
)
EPOCH, BATCH = 60_000, 160  # of its cost columns: images of an epoch, of a batch
# The cost columns of its second part, 100 x 100: parameters, bytes at batch 160, seconds per epoch. Those of its first
# part, 2528 x 2528, are vsacc.studies.cost_table.PRINTED, under the same names.
PAPER_COST_100 = {"whole image": (11e6, 6.6e9, 59.27), "saccader": (7.4e6, 2.8e9, 37.0)}


class Peer(NamedTuple):
    """A published result on a task that is also one here. reads: what of the full resolution it looks at when it
    answers; task, accuracy: as in :class:`Printed`; source: where the number was read."""

    task: str
    method: str
    reads: str
    accuracy: float
    source: str


FEW, ALL = "coarse view + {} patches", "every pixel"
CURVE = "test curve in the authors' repository, idiap/attention-sampling"
IPS_RUN = "log of an independent run, 1500 x 1500, 5000 images (Riffi-Aslett et al. 2024); its scribbles are curves"
REPRINT = "table in Qinrong-NKU/DBPS"
PEERS = (
    Peer("megapixel", "attention sampling (2019)", FEW.format(10), 0.80, CURVE),
    Peer("megapixel", "iterative patch selection (2023)", ALL, 0.991, IPS_RUN),
    Peer("megapixel_max", "iterative patch selection (2023)", ALL, 0.937, IPS_RUN),
    Peer("megapixel_top", "iterative patch selection (2023)", ALL, 0.927, IPS_RUN),
    Peer("megapixel_multi", "iterative patch selection (2023)", ALL, 0.819, IPS_RUN),
    Peer("speed_limits", "random patches", "10 patches", 0.507, REPRINT),
    Peer("speed_limits", "ResNet-18, 0.3 of the side", "coarse view", 0.763, REPRINT),
    Peer("speed_limits", "ResNet-18", ALL, 0.841, REPRINT),
    Peer("speed_limits", "attention sampling (2019)", FEW.format(5), 0.911, REPRINT),
    Peer("speed_limits", "Zoom-In (2022)", FEW.format(10), 0.926, REPRINT),
    Peer("speed_limits", "differentiable patch selection (2021), pretrained", FEW.format(10), 0.972, REPRINT),
    Peer("speed_limits", "iterative patch selection (2023), pretrained", ALL, 0.986, REPRINT),
    Peer("speed_limits", "DBPS, extended (2025), pretrained", ALL, 0.993, REPRINT),
)
