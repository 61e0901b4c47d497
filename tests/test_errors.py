"""The causes of errors: a classifier that counts pixels, told and not told where the digits are."""

import pytest
import torch

from vsacc.saccader import Output, Reader
from vsacc.sampler import as_pyramid
from vsacc.studies.error_causes import BINS, Traces, by_distance, causes, overlap, trace
from vsacc.tasks import Batch
from vsacc.training.jobs import build, make_job

TRACES = Traces(
    right=torch.tensor([True, False, False, False, True, False]),
    told=torch.tensor([True, True, False, False, False, True]),
    distance=torch.tensor([40.0, 10.0, 13.9, 14.0, 3.0, 50.0]),
)


def test_every_error_has_one_cause():
    found = causes(TRACES)
    assert {name: which.nonzero().flatten().tolist() for name, which in found.items()} == {
        "overlap": [1, 2],
        "wrong place": [5],
        "misread": [3],
    }
    assert torch.equal(torch.stack(list(found.values())).sum(0), (~TRACES.right).long())


def test_by_distance():
    rows = by_distance(TRACES)
    assert len(rows["share"]) == len(BINS) - 1
    assert rows["share"] == pytest.approx([1 / 6, 0, 1 / 6, 1 / 3, 0, 0, 1 / 3])
    assert [rows["told"][place] for place in (0, 2, 3, 6)] == pytest.approx([0, 1, 0, 1])
    assert rows["by itself"][0] == 1


def test_lost_to_overlap():
    """Half of the images overlap; told the places, one of three is read there, and two of three elsewhere."""
    assert overlap(TRACES) == pytest.approx((0.5, 0.5 * (2 / 3 - 1 / 3)))


class LooksAway(Reader):
    """A saccader's classifier with glimpses that always show the upper left corner."""

    def __init__(self, saccader):
        super().__init__()
        self.config, self.crop, self.likelihood = saccader.config, saccader.crop, saccader.likelihood

    def forward(self, images):
        where = torch.tensor([0.28, -0.7, -0.7]).expand(images.shape[0], 2, 3)
        after, o = self.read(images, where)
        return Output(after[:, -1], where, o, {}, after)


@pytest.fixture
def saccader():
    return build(make_job("identification", "quick")).eval()


def test_trace_moves_the_glimpses_to_the_true_centres(saccader):
    """In image 0 both digits fill the corner that is looked at, so that being told changes nothing; in image 1 the
    digits are elsewhere, and what is read there is the label only to somebody who is told."""
    pixels = torch.zeros(2, 1, 100, 100, dtype=torch.uint8)
    pixels[0, :, 5:20, 5:20], pixels[1, :, 60:90, 10:30], pixels[1, :, 5:9, 5:9] = 255, 255, 90
    boxes = torch.tensor([[[-1.0, -1, -0.4, -0.4]] * 2, [[-0.9, 0.2, -0.3, 0.8], [0.1, 0.2, 0.7, 0.8]]])
    images = as_pyramid(pixels)
    centres = (boxes[..., :2] + boxes[..., 2:]) / 2
    there = torch.cat([torch.full((2, 2, 1), 0.28), centres], -1)
    with torch.no_grad():
        labels = saccader.read(images, there)[0][:, -1].argmax(-1)
        itself = LooksAway(saccader)(images).logits.argmax(-1)
    labels[0] = itself[0]
    found = trace(LooksAway(saccader), [Batch(images, labels, boxes, torch.zeros(2, 2))])
    assert found.told.tolist() == [True, True]
    assert found.right.tolist() == [True, bool(itself[1] == labels[1])]
    torch.testing.assert_close(found.distance, torch.tensor([0.0, 50.0]))


def test_a_saccader_told_where_it_looks_reads_the_same(saccader):
    """Reading is the model's own."""
    pixels = torch.randint(256, (3, 1, 100, 100), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    with torch.no_grad():
        output = saccader(pixels)
        torch.testing.assert_close(saccader.read(as_pyramid(pixels), output.where)[0], output.after)
