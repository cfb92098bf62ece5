"""The questions are those fixed before the training; right answers pass and others fail."""

from __future__ import annotations

import hashlib

import pytest
from PIL import Image

from app.starter import QUESTIONS, Marks, Scene, examine, judge, mark, prompt_of, questions
from tests.starter.conftest import Answers


def test_the_questions_are_those_fixed_before_the_training() -> None:
    asked = questions()
    text = "\n".join(f"{question.seed} {question.prompt}" for question in asked)
    golden = "796cb65965fcfd4d1483e24b6e7b1477b3659e02626ffbfa65c1396cbc49568b"
    assert hashlib.sha256(text.encode()).hexdigest() == golden
    assert len(asked) == len({question.seed for question in asked}) == QUESTIONS == 200


def test_every_question_asks_for_something_never_seen() -> None:
    assert all(question.scene.held_out and question.prompt == prompt_of(question.scene) for question in questions())
    assert questions(30) == questions()[:30]


@pytest.mark.parametrize(
    ("scene", "prompt"),
    [
        (Scene("house", "orange", "sea", "night"), "an orange house by the sea at night"),
        (Scene("star", "red", "snow", "day", "left", "pixel art"), "a red star in the snow by day, pixel art"),
        (Scene("tree", "pink", "desert", "sunset", look="sketch"), "a pink tree in the desert at sunset, sketch"),
    ],
)
def test_a_question_is_plain_words(scene: Scene, prompt: str) -> None:
    assert prompt_of(scene) == prompt


def test_drawn_answers_pass(answers: Answers) -> None:
    marks = mark(answers[:24])
    assert marks.pictures == 24
    assert min(marks.colour, marks.time, marks.ground, marks.subject, marks.look) >= 0.95
    assert min(marks.subjects.values()) >= 0.75  # of four each


def test_answers_to_other_questions_fail(answers: Answers) -> None:
    pictures = [picture for _, picture in answers]
    marks = mark((question, pictures[(number + 7) % len(answers)]) for number, (question, _) in enumerate(answers[:24]))
    assert marks.subject <= 0.1  # the things follow one another in turn
    assert marks.colour < 0.4
    assert marks.time < 0.6
    assert marks.ground < 0.5


def test_every_answer_counts_and_each_mark_is_its_own(answers: Answers) -> None:
    question, picture = answers[0]
    verdict = judge(picture)
    asked = [
        question,
        question._replace(scene=question.scene._replace(subject="boat")),
        question._replace(scene=question.scene._replace(time="night", look="sketch")),
        question._replace(scene=question.scene._replace(colour="pink", ground="sea")),
    ]
    assert (verdict.subject, verdict.colour) == (question.scene.subject, question.scene.colour) == ("house", "blue")
    subjects = {"house": 1.0, "tree": 0.0, "boat": 0.0, "balloon": 0.0, "star": 0.0, "mountain": 0.0}
    assert mark((one, picture) for one in asked) == Marks(0.75, 0.75, 0.75, 0.75, 0.75, subjects, 4)


def test_an_examination_draws_each_prompt_once_with_its_own_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, int]] = []

    def draw(prompt: str, seed: int) -> Image.Image:
        drawn.append((prompt, seed))
        return Image.new("RGB", (128, 128))

    assert examine(draw, 3).subject == 0.0
    assert drawn == [(question.prompt, question.seed) for question in questions(3)]
