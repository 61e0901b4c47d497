"""A look is what the model itself does; a place chosen by hand is where the glimpse is cut, and later steps know."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from vsacc.local.paths import UserError
from vsacc.look.explorer import Explorer, nearest_latent, noise
from vsacc.look.pictures import FixedTest, Photographs, make_picture, open_folder
from vsacc.saccader import Config, Saccader
from vsacc.sampler import build_pyramid, glimpse, proxy
from vsacc.tasks.base import TEST_SEED, ClutteredSplit, PhotoSplit, kind_of
from vsacc.tasks.cluttered import TASKS, make_batch
from vsacc.vrnn import kl_normal

TINY = Config(hidden=16, features=12, proxy_widths=(4, 8), crop_widths=(8, 8), glimpses=2)
KIND = kind_of("identification")
STEPS = 4


@pytest.fixture(params=["ours", "published"])
def explorer(request, digits):
    torch.manual_seed(0)
    change = {} if request.param == "ours" else {"posterior": "dense", "inhibition": False, "likelihood": "pooled"}
    model = Saccader(replace(TINY, **change), KIND.labels).eval()
    split = ClutteredSplit(TASKS["identification"], digits)
    return Explorer(model, FixedTest(split, KIND.classes), KIND.classes, STEPS)


def test_looking_at_the_means_is_the_model(explorer):
    picture = explorer.pictures[3]
    look = explorer.look(picture)
    for t in range(1, STEPS + 1):
        with torch.no_grad():
            output = explorer.model(picture.images, glimpses=t)
        np.testing.assert_allclose(look.where[:t], output.where[0], atol=1e-5)
        np.testing.assert_allclose(look.glimpses[:t], output.glimpses[0, :, 0], atol=1e-4)
        np.testing.assert_allclose(look.posterior[t - 1], output.logits[0].softmax(-1), atol=1e-5)
        np.testing.assert_allclose(look.log_c[t - 1], output.terms["log_c"][0], rtol=1e-4)
        np.testing.assert_allclose(look.kl[t - 1], output.terms["kl"][0], rtol=1e-4)
        np.testing.assert_allclose(look.log_y[t - 1], np.log(look.posterior[t - 1, picture.truth]), atol=1e-4)
    np.testing.assert_allclose(look.mean, look.where)
    np.testing.assert_allclose(look.proxy, proxy(picture.images, 32)[0, 0], atol=1e-6)
    assert not look.placed.any()


def test_a_sample_is_the_mean_and_sigma_of_its_noise(explorer):
    picture = explorer.pictures[0]
    look, again, other = (explorer.look(picture, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(look.where, again.where)
    assert not np.allclose(look.where, other.where)
    eps = np.concatenate([noise(1, step)[:, 1:] for step in range(STEPS)])
    np.testing.assert_allclose(look.where[:, 1:], look.mean[:, 1:] + look.sigma * eps, atol=1e-5)


def test_noise_is_standard_normal():
    drawn = torch.cat([noise(seed, step) for seed in range(300) for step in range(3)])
    assert drawn.mean(0).abs().max() < 0.12 and (drawn.std(0) - 1).abs().max() < 0.1


def test_a_place_by_hand_is_looked_at_and_remembered(explorer):
    picture, place = explorer.pictures[1], (0.25, -0.4, 0.6)
    free, look = explorer.look(picture), explorer.look(picture, {1: place})
    np.testing.assert_allclose(look.where[1], place, atol=1e-6)
    np.testing.assert_allclose(look.where[0], free.where[0])
    np.testing.assert_array_equal(look.placed, [False, True, False, False])
    cut = glimpse(picture.images, torch.tensor([place]), 32)[0, 0]
    np.testing.assert_allclose(look.glimpses[1], cut, atol=1e-5)

    # By hand: the second state follows from z = the place, the others from the means.
    vrnn, c = explorer.model.vrnn, proxy(picture.images, 32)
    with torch.no_grad():
        features, state, kl = vrnn.observe(c), vrnn.start(1), 0
        for step in range(STEPS):
            q, p = vrnn.posterior(features, state), vrnn.prior(state)
            np.testing.assert_allclose(look.mean[step], vrnn.where(q.mean)[0], atol=1e-5)
            z = nearest_latent(vrnn, torch.tensor([place])) if step == 1 else q.mean
            kl += kl_normal(q, p).item()
            state = vrnn.recur(features, z, state)
    assert look.kl[-1] == pytest.approx(kl, rel=1e-4)
    assert not np.allclose(look.where[2:], free.where[2:])


def test_the_nearest_latent_is_the_inverse_of_where(explorer):
    vrnn = explorer.model.vrnn
    inside = torch.tensor([[0.22, 0.1, -1.0], [0.29, -0.9, 0.0]])
    torch.testing.assert_close(vrnn.where(nearest_latent(vrnn, inside)), inside)
    outside = torch.tensor([[0.05, 0.1, 0.2], [0.9, 0.1, 0.2]])
    scales = vrnn.where(nearest_latent(vrnn, outside))[:, 0]
    torch.testing.assert_close(scales, torch.tensor([0.2, 0.3]), atol=1e-3, rtol=0)


def test_survey_is_many_looks(explorer):
    picture = explorer.pictures[2]
    where = explorer.look(picture).where
    for step in (0, 1):
        survey = explorer.survey(picture, step, side=4)
        for row, col in [(0, 0), (1, 3), (3, 2)]:
            place = (where[step, 0], -0.75 + 0.5 * col, -0.75 + 0.5 * row)
            look = explorer.look(picture, {step: place})
            np.testing.assert_allclose(survey[row, col], look.posterior[step], atol=1e-5)


def test_the_telling_picture_is_right_and_hard_to_hit(explorer, monkeypatch):
    truths = [explorer.pictures[index].truth for index in range(3)]
    readings = {0: False, 1: True, 2: True}  # picture: read right
    elsewhere = {1: 0.7, 2: 0.3}  # picture: share of places that read it right

    def index_of(picture):
        return next(i for i in range(3) if explorer.pictures[i].title == picture.title)

    def look(self, picture):
        i, posterior = index_of(picture), np.zeros((STEPS, 55))
        posterior[1, truths[i] if readings[i] else (truths[i] + 1) % 55] = 1
        return free._replace(posterior=posterior)

    def survey(self, picture, step, side):
        i, shares = index_of(picture), np.zeros((10, 1, 55))
        right = round(10 * elsewhere[i])
        shares[:right, 0, truths[i]] = shares[right:, 0, (truths[i] + 1) % 55] = 1
        return shares

    free = explorer.look(explorer.pictures[0])
    monkeypatch.setattr(Explorer, "look", look)
    monkeypatch.setattr(Explorer, "survey", survey)
    assert explorer.first_telling() == 2
    with pytest.raises(ValueError, match="no picture"):
        replace(explorer, pictures=[explorer.pictures[0], explorer.pictures[1]]).first_telling()


def test_the_fixed_test_pictures_are_those_of_the_test_set(digits):
    task = TASKS["identification"]
    batch = make_batch(task, digits, 100, TEST_SEED, 1)
    pictures = FixedTest(ClutteredSplit(task, digits), KIND.classes)
    torch.testing.assert_close(pictures[107].images.level(0), batch.images.level(0)[7:8])
    assert pictures[107].truth == batch.labels[7] and KIND.classes[batch.labels[7]] in pictures[107].title
    assert len(pictures) == 10_000
    for index in (-1, 10_000):
        with pytest.raises(IndexError):
            pictures[index]
    large = FixedTest(pictures.split, KIND.classes, side=300)[107]
    torch.testing.assert_close(
        large.images.level(0), make_batch(task, digits, 100, TEST_SEED, 1, 300).images.level(0)[7:8], atol=1, rtol=0
    )
    assert large.shape == (300, 300) and large.small.shape == (300, 300)


def test_photographs_are_read_one_at_a_time():
    pixels = torch.arange(5, dtype=torch.uint8).mul(40).view(-1, 1, 1, 1).expand(-1, 3, 64, 64).contiguous()
    asked = []

    def images(rows):
        asked.append(rows.tolist())
        return build_pyramid(pixels[rows])

    store = SimpleNamespace(
        images=images, labels=torch.tensor([0, 1, 2, 0, 1]), sizes=((64, 64),), classes="abc", source="a stand-in"
    )
    photographs = Photographs(PhotoSplit(store, torch.tensor([4, 2, 0]), None), "abc")
    assert [(one.truth, one.small[0, 0].tolist()) for one in photographs] == [
        (1, [160] * 3),
        (2, [80] * 3),
        (0, [0] * 3),
    ]
    assert asked[:3] == [[4], [2], [0]]
    assert photographs[1].title == "stand-in 1, 64 x 64, true c" and len(photographs) == 3


def test_the_small_picture_is_the_whole_picture():
    halves = torch.zeros(1, 3, 1000, 1400, dtype=torch.uint8)
    halves[:, 0, :, 700:] = 200
    picture = make_picture(build_pyramid(halves), "red on the right")
    assert picture.shape == (1000, 1400) and picture.small.shape == (400, 400, 3)
    np.testing.assert_array_equal(picture.small[:, :195], 0)
    assert np.ptp(picture.small[:, 205:], axis=(0, 1)).max() == 0 and picture.small[0, 300].tolist() == [200, 0, 0]


def test_own_files(explorer, tmp_path):
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (40, 70, 3), dtype=np.uint8)
    Image.fromarray(colour).save(tmp_path / "b.png")
    Image.fromarray(colour[:, :, 0]).save(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("no picture")
    picture = explorer.open(str(tmp_path / "b.png"))
    grey = np.asarray(Image.fromarray(colour).convert("L"))
    np.testing.assert_array_equal(picture.images.level(0)[0, 0], grey)
    look = explorer.look(picture)
    assert picture.truth is None and np.isnan(look.log_y).all() and np.isfinite(look.posterior).all()

    folder = open_folder(str(tmp_path), channels=3)
    assert [one.title for one in folder] == ["a.png, 70 x 40", "b.png, 70 x 40"]
    np.testing.assert_array_equal(folder[1].images.level(0)[0].movedim(0, -1), colour)

    (tmp_path / "broken.png").write_bytes(b"nothing")
    for path in ("broken.png", "absent.png"):
        with pytest.raises(UserError, match=path):
            explorer.open(str(tmp_path / path))
    with pytest.raises(UserError, match="name a folder"):
        open_folder(str(tmp_path / "absent"), 1)


def test_one_pixel_wide_images_can_be_looked_at(explorer, tmp_path):
    Image.fromarray(np.full((50, 1), 90, np.uint8)).save(tmp_path / "thin.png")
    look = explorer.look(explorer.open(str(tmp_path / "thin.png")))
    np.testing.assert_allclose(look.glimpses, 90 / 255, atol=1e-6)
