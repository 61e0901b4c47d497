"""A look is what the model itself does; a place chosen by hand is where the glimpse is cut, and later steps know."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from vsacc.figures.explorer import terms
from vsacc.local.paths import UserError
from vsacc.look.explorer import Explorer, FixedTest, Folder, make_picture, open_picture, sampled
from vsacc.reading import Question
from vsacc.saccader import Config, Hand, Saccader, Turn
from vsacc.sampler import build_pyramid, glimpse, proxy
from vsacc.systems import all_systems, find_system
from vsacc.tasks import TEST_SEED, cluttered, find_task
from vsacc.tasks.photographs import PhotoSplit
from vsacc.vrnn import Normal

TINY = Config(hidden=16, features=12, proxy_widths=(4, 8), crop_widths=(8, 8), glimpses=2)
PAIRS = cluttered.IDENTIFICATION.question
STEPS = 4


@pytest.fixture(params=["ours", "published"])
def explorer(request, digits):
    torch.manual_seed(0)
    change = {} if request.param == "ours" else find_system("saccader").variants["as_published"].config
    model = Saccader(replace(TINY, **change), PAIRS).eval()
    return Explorer(model, FixedTest(cluttered.IDENTIFICATION.open("test"), PAIRS), PAIRS, STEPS)


def test_a_sample_is_the_mean_and_sigma_of_its_noise(explorer):
    picture = explorer.pictures[0]
    look, again, other = (explorer.look(picture, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(look.where, again.where)
    assert not np.allclose(look.where, other.where)
    standard = Normal(torch.zeros(1, 3), torch.ones(1, 3))
    eps = torch.cat([sampled(1)(Turn(step, standard, [])).z for step in range(STEPS)])[:, 1:]
    np.testing.assert_allclose(look.where[:, 1:], look.mean[:, 1:] + look.sigma * eps.numpy(), atol=1e-5)
    drawn = torch.cat([sampled(seed)(Turn(step, standard, [])).z for seed in range(300) for step in range(3)])
    assert drawn.mean(0).abs().max() < 0.12 and (drawn.std(0) - 1).abs().max() < 0.1


def test_a_place_by_hand_is_looked_at_and_remembered(explorer):
    picture, place = explorer.pictures[1], (0.25, -0.4, 0.6)
    free, look = explorer.look(picture), explorer.look(picture, {1: place})
    np.testing.assert_allclose(look.where[:2], [free.where[0], place], atol=1e-6)
    np.testing.assert_array_equal(look.placed, [False, True, False, False])
    cut = glimpse(picture.images, torch.tensor([place]), 32)[0, 0]
    np.testing.assert_allclose(look.glimpses[1], cut, atol=1e-5)
    output = explorer.model(picture.images, STEPS, policy=Hand({1: place}))
    np.testing.assert_allclose(look.where, output.where[0].detach(), atol=1e-5)
    terms = [output.terms[name].item() for name in ("kl", "log_c")]
    np.testing.assert_allclose([look.kl[-1], look.log_c[-1]], terms, rtol=1e-4)
    assert not np.allclose(look.where[2:], free.where[2:])
    np.testing.assert_allclose(look.mean, [look.where[0], free.where[1], *look.where[2:]], atol=1e-5)


def test_what_is_summed_at_one_z_is_not_called_the_bound(explorer):
    """It is nats higher at the mean of q than on average over q, which is what the bound is."""
    for look in (explorer.look(explorer.pictures[0]), explorer.look(explorer.pictures[0], seed=1)):
        told = terms(look, 1)
        name, value = told.splitlines()[-1][:15], float(told.split()[-1])
        assert name == "Eq. 6 at this z" and "bound" not in told
        assert value == pytest.approx(look.log_y[1] + look.log_c[1] - look.kl[1], abs=0.01)


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
    pictures = [explorer.pictures[index]._replace(title=str(index)) for index in range(3)]
    free, right, elsewhere = explorer.look(pictures[0]), (False, True, True), (0, 7, 3)  # of ten places

    def look(self, picture):
        return free._replace(said=np.full(STEPS, picture.truth + (not right[int(picture.title)])))

    def survey(self, picture, step, side):
        read_right = np.arange(10)[:, None] < elsewhere[int(picture.title)]
        return np.eye(56)[picture.truth + ~read_right]

    monkeypatch.setattr(Explorer, "look", look)
    monkeypatch.setattr(Explorer, "survey", survey)
    assert replace(explorer, pictures=pictures).first_telling() == 2
    with pytest.raises(ValueError, match="no picture"):
        replace(explorer, pictures=pictures[:2]).first_telling()


def looked_at_by(name, task):
    """A look at a task's second picture by an untrained system or a variant, such as "saccader, as_published"."""
    torch.manual_seed(0)
    name, _, variant = name.partition(", ")
    system, question = find_system(name), task.question
    change = system.variants[variant].config if variant else {}
    config = replace(system.configure(task.name, "quick"), channels=task.channels, **change)
    explorer = Explorer(system.build(config, question).eval(), FixedTest(task.open("test"), question), question, 3)
    return explorer, explorer.pictures[1], explorer.look(explorer.pictures[1])


@pytest.mark.parametrize("system", [*all_systems(), "saccader, as_published"])
def test_a_look_is_what_any_model_says_after_each_glimpse(system, digits):
    explorer, picture, look = looked_at_by(system, cluttered.IDENTIFICATION)
    with torch.no_grad():
        outputs = [explorer.model(picture.images, glimpses=t + 1) for t in range(len(look.said))]
    for t, output in enumerate(outputs):
        np.testing.assert_allclose(look.posterior[t], output.logits[0].softmax(-1), atol=1e-5)
        assert look.log_y[t] == pytest.approx(np.log(look.posterior[t, picture.truth]), abs=1e-4)
        if output.where is not None:
            np.testing.assert_allclose(look.where[: t + 1], output.where[0], atol=1e-5)
            np.testing.assert_allclose(look.glimpses[: t + 1], output.glimpses[0, :, 0], atol=1e-4)
        for term in {"log_c", "kl"} & output.terms.keys():
            np.testing.assert_allclose(getattr(look, term)[t], output.terms[term][0], rtol=1e-4)
    assert len(look.said) == (1 if outputs[0].where is None else 3) and (look.where is None) == (len(look.said) == 1)
    np.testing.assert_array_equal(look.said, look.posterior.argmax(-1))
    assert not look.placed.any()
    whole_bound = [look.proxy, look.mean, look.sigma, look.log_c, look.kl]
    assert {part is not None for part in whole_bound} == {explorer.movable}
    if explorer.movable:
        np.testing.assert_allclose(look.mean, look.where)
        np.testing.assert_allclose(look.proxy, proxy(picture.images, 32)[:, 0].expand(3, -1, -1), atol=1e-6)
        return
    for more in ({"places": {0: (0.3, 0, 0)}}, {"seed": 0}):
        with pytest.raises(UserError, match=r"chooses its places by itself, .*\.$"):
            explorer.look(picture, **more)


@pytest.mark.parametrize("system", ["saccader", "ram"])
def test_questions_of_yes_and_no_have_a_probability_each(system, digits, monkeypatch):
    monkeypatch.setattr("vsacc.tasks.megapixel.COUNTS", {"test": 3})
    explorer, picture, look = looked_at_by(system, find_task("megapixel_multi"))
    with torch.no_grad():
        logits = explorer.model(picture.images, glimpses=3).logits[0]
    np.testing.assert_allclose(look.posterior[2], logits.sigmoid(), atol=1e-5)
    np.testing.assert_array_equal(look.said, look.posterior > 0.5)
    assert picture.truth.dtype == bool and picture.truth.shape == (10,)
    np.testing.assert_allclose(look.log_y[2], np.log(np.abs(look.posterior[2] - ~picture.truth)).sum(), rtol=1e-4)
    named = ", ".join(str(k) for k in np.flatnonzero(picture.truth))
    assert picture.title == f"test image 1, 1500 x 1500, true {named}" and len(explorer.pictures) == 3


def test_a_video_is_looked_at_once_a_frame(digits):
    explorer, picture, look = looked_at_by("saccader", find_task("moving_digit"))
    frames = picture.images.level(0)[0, :, 0]
    np.testing.assert_array_equal(picture.small, frames[0])
    longer = replace(explorer, steps=9).look(picture)
    assert len(longer.said) == len(frames) == 5 and longer.proxy.shape == (5, 32, 32)
    cut = glimpse(picture.images, torch.from_numpy(longer.where)[None], 32)
    np.testing.assert_allclose(longer.glimpses, cut[0, :, 0])
    assert np.ptp(longer.proxy, axis=0).max() > 0.1 and len(look.said) == 3


def test_the_fixed_test_pictures_are_those_of_the_test_set(digits):
    split = cluttered.IDENTIFICATION.open("test")
    batch, pictures = split.draw(100, TEST_SEED, 1), FixedTest(split, PAIRS)
    torch.testing.assert_close(pictures[107].images.level(0), batch.images.level(0)[7:8])
    assert pictures[107].truth == batch.labels[7] and len(pictures) == 10_000
    assert pictures[107].title == f"test image 107, 100 x 100, true {PAIRS.classes[batch.labels[7]]}"
    with pytest.raises(IndexError):
        pictures[10_000]
    split = replace(split, side=300)
    large, same = FixedTest(split, PAIRS)[107], split.draw(100, TEST_SEED, 1).images.level(0)[7:8]
    torch.testing.assert_close(large.images.level(0), same, atol=1, rtol=0)
    assert large.shape == (300, 300) and large.small.shape == (300, 300)


def test_photographs_are_read_one_at_a_time():
    def images(rows):  # fails for more than one
        return build_pyramid(torch.full((1, 3, 64, 64), 40 * rows.item(), dtype=torch.uint8))

    labels = torch.tensor([0, 1, 2, 0, 1])
    store = SimpleNamespace(images=images, labels=labels, sizes=((64, 64),), classes="abc", source="a stand-in")
    photographs = FixedTest(PhotoSplit(store, torch.tensor([4, 2, 0])), Question(torch.arange(3), ("a", "b", "c")))
    seen = [(one.truth, one.small[0, 0].tolist()) for one in photographs]
    assert seen == [(1, [160] * 3), (2, [80] * 3), (0, [0] * 3)]
    assert photographs[1].title == "stand-in 1, 64 x 64, true c" and len(photographs) == 3


def test_the_small_picture_is_the_whole_picture():
    halves = torch.zeros(1, 3, 1000, 1400, dtype=torch.uint8)
    halves[:, 0, :, 700:] = 200
    picture = make_picture(build_pyramid(halves), "red on the right")
    assert picture.shape == (1000, 1400) and picture.small.shape == (400, 400, 3)
    np.testing.assert_array_equal(picture.small[:, :195], 0)
    assert np.ptp(picture.small[:, 205:], axis=(0, 1)).max() == 0 and picture.small[0, 300].tolist() == [200, 0, 0]


def test_own_files(explorer, tmp_path):
    colour = np.zeros((2, 3, 3), np.uint8)
    colour[0, 0], colour[0, 1], colour[1, 2] = (255, 0, 0), (0, 255, 0), (10, 20, 30)
    Image.fromarray(colour).save(tmp_path / "b.png")
    Image.fromarray(colour[:, :, 0]).save(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("no picture")
    picture = open_picture(str(tmp_path / "b.png"), 1)
    # 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601)
    assert picture.images.level(0)[0, 0].tolist() == [[76, 150, 0], [0, 0, 18]]
    look = explorer.look(picture)
    assert picture.truth is look.log_y is None and np.isfinite(look.posterior).all()

    folder = Folder(str(tmp_path), channels=3)
    assert [one.title for one in folder] == ["a.png, 3 x 2", "b.png, 3 x 2"]
    np.testing.assert_array_equal(folder[1].images.level(0)[0].movedim(0, -1), colour)
    (tmp_path / "broken.png").write_bytes(b"nothing")
    for path in (tmp_path / "broken.png", tmp_path / "absent.png", "~nobody/x.jpg", f"{tmp_path}/a\0b.png"):
        with pytest.raises(UserError, match=r"cannot be read \(.*\.$"):
            open_picture(path, 1)
    for path in (tmp_path / "absent", "~nobody"):
        with pytest.raises(UserError, match="name a folder"):
            Folder(str(path), 1)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (50, 1), (3, 900), (700, 40)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_and_aspect(tmp_path, height, width, channels):
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(tmp_path / "thin.png")
    explorer = Explorer(Saccader(replace(TINY, channels=channels), PAIRS).eval(), (), PAIRS)
    look = explorer.look(open_picture(tmp_path / "thin.png", channels))
    np.testing.assert_allclose(look.glimpses, 90 / 255, atol=1e-6)
    np.testing.assert_allclose(look.posterior.sum(-1), 1, atol=1e-5)
