"""Splits: training batches that are a function of (seed, index), and a fixed set in a fixed order."""

import pytest
import torch
from noise_photos import CLASSES, SIDE, develop, photo_list

from vsacc.images.store import open_store
from vsacc.images.store_writing import write_store
from vsacc.local.paths import UserError
from vsacc.sampler import build_pyramid
from vsacc.tasks import TEST_SEED, find_task, open_split
from vsacc.tasks.photographs import PhotoSplit

ENDLESS = pytest.mark.parametrize("task", ["identification", "moving_digit"])
PARTS = pytest.mark.parametrize("task", ["identification", "moving_digit", "identification_2528", "megapixel_easy"])


def same(batch, whole, part):
    """Whether a batch is that part of another one."""
    one, other = ((some.images.level(0), some.labels, some.boxes) for some in (batch, whole))
    return all(ours.equal(theirs[part]) for ours, theirs in zip(one, other, strict=True))


@ENDLESS
def test_an_endless_batch_is_a_function_of_seed_and_index(digits, task):
    split = open_split(task, "train")
    first = split.draw(16, 5, 2)
    assert same(split.draw(16, 5, 2), first, slice(None)) and same(
        split.draw(16, 5, 2, slice(4, 9)), first, slice(4, 9)
    )
    assert not any(same(split.draw(16, *other), first, slice(None)) for other in ((5, 3), (6, 2)))


@PARTS
def test_of_a_part_nothing_else_is_drawn_or_kept(digits, task, monkeypatch):
    """Else every process of many would draw all that the others draw too."""
    monkeypatch.setattr("vsacc.tasks.megapixel.COUNTS", {"train": 9})
    drawn = []

    def build(images):
        drawn.append(len(images))
        return build_pyramid(images)

    monkeypatch.setattr("vsacc.tasks.cluttered.build_pyramid", build)
    images = open_split(task, "train").draw(8, 0, 0, slice(2, 4)).images
    for kept in images:
        if isinstance(kept, torch.Tensor):
            assert kept.untyped_storage().nbytes() == kept.nbytes
    assert images.shape[0] == 2 and set(drawn) <= {2}


@ENDLESS
def test_the_fixed_set_of_digits_is_a_stream_of_its_own_cut_to_the_count(digits, task):
    split = open_split(task, "test")
    batches = list(split.fixed(150))
    assert [len(batch.labels) for batch in batches] == [batch.images.shape[0] for batch in batches] == [100, 50]
    assert same(batches[1], split.draw(100, TEST_SEED, 1), slice(50))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """The ten training photographs of a store of fifteen; the box of each holds its row, to know it by."""
    folder = tmp_path_factory.mktemp("store")
    write_store(folder, photo_list(15), CLASSES, SIDE, develop, "noise")
    store = open_store(folder)
    return PhotoSplit(store, store.rows("train"), torch.arange(15.0).view(-1, 1, 1).expand(-1, 1, 4))


def rows_of(*batches):
    """The rows of the photographs in batches."""
    return torch.cat([batch.boxes[:, 0, 0] for batch in batches]).long()


def test_an_epoch_shows_every_photograph_once(photographs):
    """Batches of 4 of 10 photographs: the third one is half of the first epoch, half of the second."""
    batches = [photographs.draw(4, 7, index) for index in range(5)]
    first, second = rows_of(*batches).split(10)
    assert sorted(first.tolist()) == sorted(second.tolist()) == photographs.rows.tolist()
    assert first.tolist() != second.tolist()
    assert same(photographs.draw(4, 7, 3, slice(1, 3)), batches[3], slice(1, 3))
    assert not rows_of(photographs.draw(10, 8, 0)).equal(first)


def test_pixels_and_labels_are_those_of_the_row(photographs):
    batch = photographs.draw(6, 0, 0)
    rows = rows_of(batch)
    assert batch.labels.equal(photographs.store.labels[rows])
    for image, row in zip(batch.images.level(0), rows.tolist(), strict=True):
        assert image.equal(develop(photo_list(15)[row].path))


def test_the_fixed_set_of_photographs_is_in_the_order_of_the_store(photographs):
    for count in (None, 3):
        assert rows_of(*photographs.fixed(count)).equal(photographs.rows[:count])
    assert photographs.protocol == f"noise, {SIDE} x {SIDE}, 2 classes"


def test_an_unknown_task_is_one_sentence():
    for name in ("mit6k", "nonsense:3", "megapixel:3"):
        with pytest.raises(UserError, match=rf"task '{name}' is unknown, choose one of one_digit, .*mit5k"):
            find_task(name)
