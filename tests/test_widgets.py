"""Sliders without a browser: a value that is set changes the picture and the words, and nothing else does."""

import numpy as np
import pytest
import torch
from PIL import Image

from vsacc.figures import explorer as pictures
from vsacc.figures.style import to_png
from vsacc.look.explorer import Explorer, FixedTest
from vsacc.look.widgets import GlimpseExplorer, on_grid
from vsacc.saccader import Config, Saccader
from vsacc.systems import find_system
from vsacc.tasks import find_task

TINY = Config(hidden=16, features=12, proxy_widths=(4, 8), crop_widths=(8, 8), glimpses=2)


def make_panel(model, task):
    question = task.question
    torch.manual_seed(0)
    return GlimpseExplorer(Explorer(model(question), FixedTest(task.open("test"), question), question, 4), 2)


@pytest.fixture
def panel(digits):
    return make_panel(lambda question: Saccader(TINY, question).eval(), find_task("identification"))


def shown(panel):
    return panel.image.value, panel.words.value


def test_the_step_changes_picture_words_and_sliders(panel):
    assert bytes(panel.image.value).startswith(b"\x89PNG")
    called = panel.explorer.question.classes[panel.seen.said[0]]
    assert f"says {called}, " in panel.words.value and "after 1 glimpse ·" in panel.words.value
    assert "kernel" in repr(panel) and len(repr(panel)) < 110  # ipywidgets cuts longer ones
    before = shown(panel)
    panel.step.value = 2
    assert not {*shown(panel)} & {*before}
    np.testing.assert_allclose([slider.value for slider in panel.sliders], panel.seen.where[1], atol=0.0101)
    assert "after 2 glimpses ·" in panel.words.value and "more than" not in panel.words.value
    panel.step.value = 3
    assert "more than the 2 it was trained with" in panel.words.value
    panel.step.value = 1
    assert shown(panel) == before and panel.places == {}  # stepping about leaves nothing behind


def test_it_says_where_it_would_stop(panel):
    sure = panel.seen.posterior.max(-1)
    assert sure.max() < 0.5 and "at p = 0.95 never so sure" in panel.words.value
    panel.seen = panel.seen._replace(posterior=np.eye(55)[[3, 3, 3, 3, 3, 3]] * np.array([[0.4, 0.8, 0.7, 1, 1, 1]]).T)
    assert panel.seen.stops(0.75) == 1 and panel.seen.stops(0.9) == 3 and panel.seen.stops(0.3) == 0
    panel.stop.value = 0.75
    assert "at p = 0.75 it stops after 2" in panel.words.value
    panel.step.value = 2
    assert "at p = 0.75 it stops here" in panel.words.value


def test_a_place_by_hand(panel):
    free = panel.seen
    panel.step.value = 2
    before = shown(panel)
    panel.x.value = -0.9
    np.testing.assert_allclose(panel.seen.where[1], free.where[1] * (1, 0, 1) - (0, 0.9, 0), atol=1e-6)
    assert not {*shown(panel)} & {*before} and "the place is yours" in panel.words.value
    panel.step.value = 1
    assert "the place is yours" not in panel.words.value
    panel.step.value = 2
    assert panel.x.value == -0.9
    panel.reset.click()
    assert shown(panel) == before and panel.places == {}


def test_what_a_browser_sends_back_is_no_hand(panel):
    before = shown(panel)
    for slider in panel.sliders:
        slider.value += 1e-9
    assert shown(panel) == before and panel.places == {}
    assert [on_grid(panel.x, value) for value in (0.263, 0.271, -3, 2)] == [0.26, 0.28, -1, 1]


def test_samples_differ_and_can_be_undone(panel):
    before = shown(panel)
    seen = {before[0]}
    for _ in range(2):
        panel.sample.click()
        assert "z ~ q(z)" in panel.words.value
        seen.add(panel.image.value)
    panel.reset.click()
    assert len(seen) == 3
    assert shown(panel) == before


def test_pictures_are_chosen(panel):
    first, (previous, following, any_of_them) = panel.image.value, panel.children[0].children[1:4]
    following.click()
    assert panel.index.value == 3 and "test image 3" in panel.picture.title and panel.image.value != first
    panel.index.value = 0
    previous.click()
    assert panel.index.value == 9999  # previous of the first is the last
    any_of_them.click()
    assert panel.picture.title.startswith(f"test image {panel.index.value},")


def test_own_file_and_its_errors(panel, tmp_path):
    Image.fromarray(np.eye(60, dtype=np.uint8) * 255).save(tmp_path / "own $1 $2.png")
    panel.path.value = str(tmp_path / "own $1 $2.png")
    assert panel.picture.title == "own $1 $2.png, 60 x 60" and "right" not in panel.words.value
    title = panel.panel.row[0].title
    assert title._preprocess_math(title.get_text()) == (panel.picture.title, False)
    own = panel.image.value
    for path in (str(tmp_path / "<absent>.png"), "~nobody/<absent>.png"):
        panel.path.value = path
        assert "&lt;absent&gt;.png" in panel.words.value and panel.image.value == own
    panel.index.value = 5
    assert "test image 5" in panel.picture.title


@pytest.mark.parametrize(
    ("system", "task", "steps", "words"),
    [
        ("ram", "one_digit", 4, ["</b> (p = 0.", "after 1 glimpse<", "log p(y | o) "]),
        ("proxy_only", "one_digit", 1, ["</b> (p = 0.", "log p(y | x) "]),
        ("saccader", "moving_digit", 4, ["after 1 glimpse · mean of q(z)", "KL"]),
        ("random", "megapixel_multi", 4, [", true ", "after 1 glimpse<"]),
    ],
)
def test_every_system_has_sliders_for_what_it_has(system, task, steps, words, digits, monkeypatch):
    monkeypatch.setattr("vsacc.tasks.megapixel.COUNTS", {"test": 5})
    found = find_system(system)
    panel = make_panel(lambda question: found.build(found.configure(task, "quick"), question).eval(), find_task(task))
    assert panel.step.max == steps and all(word in panel.words.value for word in words)
    panel.step.value = steps
    movable = system == "saccader"
    assert [widget.disabled for widget in (*panel.sliders, panel.sample)] == [not movable] * 4
    image, seen, blurred, _ = panel.panel.row
    assert blurred.get_visible() == movable and seen.get_visible() == (steps > 1)
    drawn = [type(patch).__name__ for patch in image.patches]
    assert drawn.count("Rectangle") == (steps if steps > 1 else 0) and drawn.count("Ellipse") == (
        steps if movable else 0
    )
    assert to_png(pictures.steps(panel.picture, panel.seen, panel.explorer.question.classes, steps))


def test_the_picture_shows_what_was_looked_at(panel):
    look, picture = panel.explorer.look(panel.picture, {1: (0.3, 0.5, -0.5)}), panel.picture
    figure = pictures.steps(picture, look, panel.explorer.question.classes, 2)
    image, seen, proxy, bars, said = figure.axes[5:10]
    frames = [patch for patch in image.patches if hasattr(patch, "get_bbox")]
    boxes = [(*frame.get_xy(), frame.get_width()) for frame in frames]
    np.testing.assert_allclose(boxes, [(x - s, y - s, 2 * s) for s, x, y in look.where[:2]], atol=1e-6)
    assert [frame.get_linestyle() for frame in frames] == ["-", "--"]
    np.testing.assert_allclose(seen.images[0].get_array(), look.glimpses[1])
    assert proxy.get_xlim() == pytest.approx((0.2, 0.8)) and proxy.get_ylim() == pytest.approx((-0.2, -0.8))
    assert [bar.get_width() for bar in bars.patches] == pytest.approx(sorted(look.posterior[1])[::-1][:10])
    words = " ".join(text.get_text() for text in said.texts)
    assert f"{look.kl[1]:.2f}" in words and f"{look.log_y[1] + look.log_c[1] - look.kl[1]:.2f}" in words
    (ellipse,) = [patch for patch in panel.panel.row[0].patches if hasattr(patch, "get_center")][1::2]
    np.testing.assert_allclose(ellipse.get_center(), panel.seen.mean[0, 1:])
    np.testing.assert_allclose([ellipse.width, ellipse.height], 4 * panel.seen.sigma[0])  # two on each side


def test_the_survey_names_each_answer_inside_its_region():
    called = np.zeros((5, 5), dtype=int)
    called[1:4, 3] = 7
    picture = type("Picture", (), {"small": np.zeros((8, 8), np.uint8), "title": "", "truth": 7})
    figure = pictures.survey(picture, np.full((1, 3), 0.3), called / 10, called, [*"abcdefgh"])
    names = {text.get_text(): text.get_position() for text in figure.axes[2].texts}
    assert names["h"] == pytest.approx((0.4, 0)) and set(names) == {"a", "h"}
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), called / 10)
