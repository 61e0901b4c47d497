"""Splits: training batches that are a function of (seed, index), and a fixed set in a fixed order."""

import pytest
import torch
from noise_photos import CLASSES, SIDE, develop, photo_list

from vsacc.images.store_read import open_store
from vsacc.images.store_write import write_store
from vsacc.local.paths import UserError
from vsacc.tasks.base import TEST_SEED, ClutteredSplit, PhotoSplit, kind_of
from vsacc.tasks.cluttered import TASKS


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """The ten training photographs of a store of fifteen; the box of each holds its row, to know it by."""
    folder = tmp_path_factory.mktemp("store")
    write_store(folder, photo_list(15), CLASSES, SIDE, develop, "noise")
    store = open_store(folder)
    rows = store.rows("train")
    return PhotoSplit(store, rows, rows[:, None, None].expand(-1, 1, 4).float())


def drawn(split, size, seed, indices):
    """The rows of the photographs in batches of a stream."""
    return torch.cat([split.draw(size, seed, index).boxes[:, 0, 0] for index in indices]).long()


def test_an_epoch_shows_every_photograph_once(photographs):
    """Batches of 4 of 10 photographs: the third one is half of the first epoch, half of the second."""
    rows = drawn(photographs, 4, 7, range(5))
    first, second = rows[:10], rows[10:]
    assert sorted(first.tolist()) == sorted(second.tolist()) == photographs.rows.tolist()
    assert first.tolist() != second.tolist()


def test_a_batch_is_a_function_of_seed_and_index(photographs):
    assert drawn(photographs, 4, 7, [3]).equal(drawn(photographs, 4, 7, range(5))[12:16])
    assert not drawn(photographs, 10, 7, [0]).equal(drawn(photographs, 10, 8, [0]))


def test_pixels_and_labels_are_those_of_the_row(photographs):
    batch = photographs.draw(6, 0, 0)
    rows = batch.boxes[:, 0, 0].long()
    assert batch.labels.equal(photographs.store.labels[rows])
    for image, row in zip(batch.images.level(0), rows.tolist(), strict=True):
        assert image.equal(develop(photo_list(15)[row].path))


def test_the_fixed_set_is_in_the_order_of_the_store(photographs):
    for count in (None, 3):
        batches = list(photographs.fixed(count))
        assert torch.cat([batch.boxes[:, 0, 0] for batch in batches]).long().equal(photographs.rows[:count])
    assert photographs.protocol == f"noise, {SIDE} x {SIDE}, 2 classes"


def test_the_fixed_set_of_digits_is_a_stream_of_its_own_cut_to_the_count(digits):
    split = ClutteredSplit(TASKS["identification"], digits)
    batches = list(split.fixed(150))
    assert [len(batch.labels) for batch in batches] == [batch.images.shape[0] for batch in batches] == [100, 50]
    whole = split.draw(100, TEST_SEED, 1)
    assert batches[1].labels.equal(whole.labels[:50]) and batches[1].boxes.equal(whole.boxes[:50])
    assert batches[1].images.level(0).equal(whole.images.level(0)[:50])


def test_an_unknown_task_is_one_sentence():
    with pytest.raises(UserError, match=r"task 'mit6k' is unknown, choose one of one_digit, .*mit5k"):
        kind_of("mit6k")
