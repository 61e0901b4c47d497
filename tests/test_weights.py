"""Weights and their cards: a round trip, and one sentence for each way they can be wrong."""

from dataclasses import asdict

import pytest
import torch

from conftest import fingerprint, noise
from vsacc.local.paths import UserError
from vsacc.training.jobs import build, make_job
from vsacc.training.weights import job_of, load, read_card, save_weights

JOB = make_job("one_digit", "quick", config={"hidden": 8, "features": 8, "proxy_widths": (4, 4), "crop_widths": (4, 8)})


@pytest.fixture
def saved(tmp_path):
    model, path = build(JOB), tmp_path / "one.safetensors"
    save_weights(model, asdict(JOB), path)
    return model, path


def test_round_trip(saved):
    model, path = saved
    loaded = load(path)
    assert fingerprint(loaded) == fingerprint(model)
    assert not loaded.training and loaded(noise(2, 1, 100, 100)).logits.shape == (2, 10)
    assert (loaded.task, loaded.classes) == ("one_digit", tuple("0123456789"))
    assert loaded.card == read_card(path) and job_of(loaded.card) == JOB


def test_halved_weights_are_loaded_in_the_models_own_precision(saved):
    model, path = saved
    whole = path.stat().st_size
    save_weights(model, asdict(JOB), path, torch.bfloat16)
    assert path.stat().st_size < 0.7 * whole
    for name, value in load(path).state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=2**-8, atol=0)


def of_another_version(path):
    card = read_card(path)
    save_weights(build(JOB), card | {"config": card["config"] | {"eyes": 2}}, path)
    assert job_of(read_card(path)) is None


NOT_THESE = "does not hold this model's weights"


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda path: save_weights(torch.nn.Linear(2, 2), read_card(path), path), NOT_THESE),
        (lambda path: path.write_bytes(b""), NOT_THESE),
        (lambda path: path.write_bytes(b"\x00" * 7), NOT_THESE),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), NOT_THESE),
        (lambda path: path.with_suffix(".json").unlink(), r"has no card one\.json"),
        (lambda path: path.with_suffix(".json").write_text("{"), "not a readable card"),
        (of_another_version, r"another version .*eyes"),
    ],
)
def test_what_is_wrong_is_one_sentence(saved, harm, sentence):
    harm(saved[1])
    with pytest.raises(UserError, match=sentence):
        load(saved[1])
