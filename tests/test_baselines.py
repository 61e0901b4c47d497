"""The baselines against naive twins: slices of the image through the same network, crop by crop."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, ResNet

from conftest import noise
from vsacc.reading import Question
from vsacc.saccader import Config
from vsacc.sampler import build_pyramid, proxy
from vsacc.systems import resnet
from vsacc.systems.proxy_only import ProxyOnly
from vsacc.systems.resnet import CropsConfig, CropsResNet, WholeConfig, WholeResNet, crop_grid

FIVE = Question(torch.arange(5), tuple("abcde"))
IMAGES = noise(2, 1, 32, 32)
MAKES = pytest.mark.parametrize(
    ("make", "config"), [(CropsResNet, CropsConfig), (WholeResNet, WholeConfig), (ProxyOnly, Config)]
)


@pytest.fixture
def few(monkeypatch):
    """3 x 3 crops, a third of the image and more along an axis, and half the blocks: the same code in less time."""
    monkeypatch.setattr(resnet, "GRID", 3)
    monkeypatch.setattr(resnet, "CROP", 900)
    monkeypatch.setattr("torchvision.models.resnet18", partial(ResNet, BasicBlock, [1, 1, 1, 1]))


def crops_model(chunk: int | None, channels: int = 1) -> CropsResNet:
    """Float64, in evaluation, with the running statistics of some images."""
    torch.manual_seed(0)
    model = CropsResNet(CropsConfig(channels, None), FIVE).double()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    model(noise(2, channels, 32, 32))
    for norm in norms:
        norm.momentum = 0.1
    model.config = CropsConfig(channels, chunk)
    return model.eval()


def gradients(model: nn.Module) -> list[torch.Tensor]:
    F.cross_entropy(model(IMAGES).logits, torch.arange(2)).backward()
    return [parameter.grad for parameter in model.parameters()]


@MAKES
def test_every_parameter_is_trained_and_nothing_told_of_places(few, make, config):
    torch.manual_seed(0)
    model = make(config(), FIVE)
    assert all(grad.abs().sum() > 0 for grad in gradients(model))
    assert model(IMAGES)[1:] == (None, None, {}, None, None)


@pytest.mark.parametrize("chunk", [None, 8, 5, 1])
def test_crops_are_slices_summed(few, chunk):
    """Eq. 8, crop by crop, on an image whose sides differ."""
    model, images, total = crops_model(chunk, channels=3), noise(2, 3, 40, 52), 0
    with torch.no_grad():
        for top in (0, 12, 25):  # crops of 15 x 19, their corners spread evenly over 25 and 33 pixels
            for left in (0, 16, 33):
                total = total + model.crop(images[:, :, top : top + 15, left : left + 19].double() / 255)
        torch.testing.assert_close(model(images).logits, model.head(total))


@pytest.mark.parametrize(("chunk", "training"), [(8, False), (18, False), (18, True)])
def test_checkpointed_is_naive(few, chunk, training):
    """In training only where one chunk holds all: batch norm takes the statistics of what it sees at once."""
    naive, checkpointed = (crops_model(some).train(training) for some in (None, chunk))
    if not training:
        torch.testing.assert_close(checkpointed(IMAGES).logits, naive(IMAGES).logits, rtol=1e-9, atol=1e-12)
    for one, other in zip(gradients(checkpointed), gradients(naive), strict=True):
        assert one.abs().sum() > 0
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    for (name, one), other in zip(checkpointed.named_buffers(), naive.buffers(), strict=True):
        if "running" in name:
            torch.testing.assert_close(one, other, msg=name)


def test_recomputation_leaves_running_statistics_alone(few):
    model = crops_model(4).train()
    output = model(IMAGES)
    before = copy.deepcopy(dict(model.named_buffers()))
    output.logits.sum().backward()
    for name, buffer in model.named_buffers():
        if "running" in name:
            assert torch.equal(buffer, before[name]), name
    assert all(module.momentum == 0.1 for module in model.modules() if isinstance(module, nn.BatchNorm2d))


class Counted:
    """Images that write down how many pixels were asked for at once, and that cannot be read whole."""

    def __init__(self, images: torch.Tensor):
        self.pyramid, self.asked = build_pyramid(images), []
        self.sizes, self.shape = self.pyramid.sizes, self.pyramid.shape

    def level(self, index):
        raise AssertionError("the whole level was read")

    def pick(self, level, row, col):
        self.asked.append(row.numel() * col.shape[-1])
        return self.pyramid.pick(level, row, col)


def test_a_chunk_reads_no_more_than_its_crops(few):
    counted = Counted(IMAGES)
    crops_model(9)(counted)  # 2 images: 4 crops of each at once, 12 x 12 pixels
    assert counted.asked == [8 * 144, 8 * 144, 2 * 144]


@pytest.mark.parametrize("side", [12, 28, 100, 316, 1000, 2528])
def test_grid_covers_the_image(side):
    rows, cols = crop_grid(side, 2 * side)
    assert len(rows) == len(cols) == 144
    covered = torch.zeros(side, 2 * side, dtype=torch.bool)
    for row, col in zip(rows, cols, strict=True):
        covered[row[0] : row[-1] + 1, col[0] : col[-1] + 1] = True
    assert covered.all()


def test_the_papers_sizes():
    """Crops of 224 pixels, and Table 1's parameters: 11.4 M with crops, 11 M on the full image."""
    rows, cols = crop_grid(2528, 2528)
    assert rows.shape == cols.shape == (144, 224) and rows[-1, -1] == cols[-1, -1] == 2527
    pairs = Question(torch.arange(55), tuple(map(str, range(55))))
    models = CropsResNet(CropsConfig(3), pairs), WholeResNet(WholeConfig(3), pairs)
    crops, whole = (sum(p.numel() for p in model.parameters()) for model in models)
    assert 11.35e6 < crops < 11.45e6 and 11.15e6 < whole < 11.25e6


def test_the_whole_image_is_read_at_its_own_size():
    images, model = noise(2, 3, 96, 96), WholeResNet(WholeConfig(3), FIVE).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(build_pyramid(images)).logits, model.net(images / 255))


def test_proxy_only_sees_nothing_but_the_proxy():
    torch.manual_seed(0)
    model, images = ProxyOnly(Config(), FIVE).eval(), noise(2, 1, 64, 64)  # two pixels to a proxy pixel
    other = images.clone()
    other[..., ::2, ::2], other[..., 1::2, 1::2] = images[..., 1::2, 1::2], images[..., ::2, ::2]  # same 2 x 2 averages
    assert not torch.equal(images, other)
    torch.testing.assert_close(proxy(images), proxy(other))
    torch.testing.assert_close(model(images).logits, model(other).logits)
    torch.testing.assert_close(model(images).logits.exp().sum(1), torch.ones(2))
