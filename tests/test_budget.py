"""A budget's rows mean the same for every system."""

from dataclasses import replace

import pytest
import torch

from vsacc.saccader import Given
from vsacc.studies import budget
from vsacc.tasks import mnist, open_split
from vsacc.training.evaluation import centres_of
from vsacc.training.weights import load

pytestmark = pytest.mark.skipif(
    not all((mnist.FOLDER / name).exists() for name in mnist.FILES),
    reason="MNIST is not here, vsacc prepare mnist fetches it",
)


def test_whoever_reads_a_digit_reads_it_enlarged(monkeypatch):
    """The committed weights on the same canvases at 100 and at 300 pixels: nobody's frames shrink on what they show."""
    monkeypatch.setattr(budget, "SIDES", (100, 300))
    monkeypatch.setattr(budget, "GLIMPSES", ())
    monkeypatch.setattr(budget, "IMAGES", 200)
    monkeypatch.setattr(budget, "ROUNDS", 1)
    monkeypatch.setattr(budget, "STOPPED", 100)
    found = {}
    rows = list(budget.measure_task("one_digit", "cpu"))
    stopped = {row["stop"]: row for row in budget.part_of(rows, "stopping") if row["stop"]}
    assert 1 <= stopped[0.5]["looks"] <= stopped[0.99]["looks"] <= stopped[0.99]["glimpses"]
    for row in budget.part_of(rows, "sides"):
        assert row["images"] == 200
        found.setdefault(row["model"], {})[row["side"]] = row["accuracy"]
    assert found.keys() >= {"saccader", "attention_sampling", "ram", "dram"}
    for name, by_side in found.items():
        assert by_side[300] > by_side[100] - 0.05, name


@pytest.mark.parametrize("side", [300, 800])
def test_an_oracle_that_is_told_the_places_reads_as_well_at_any_side(side):
    model, split = load("one_digit-laptop-seed0"), open_split("one_digit", "test")

    @torch.no_grad()
    def right(split):
        found = []
        for batch in split.fixed(100):
            places = centres_of(batch.boxes)  # (B, 1, 2)
            where = torch.cat([torch.full_like(places[..., :1], 0.28), places], -1).expand(-1, 2, 3)
            found.append(model(batch.images, 2, policy=Given(where)).logits.argmax(-1) == batch.labels)
        return torch.cat(found).float().mean().item()

    assert right(replace(split, side=side)) >= right(split) - 0.02 > 0.93
