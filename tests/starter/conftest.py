"""Fresh drawings for the judge to look at; neither training nor the judge's own tables use their seeds."""

from __future__ import annotations

import pytest
from PIL import Image

from app.starter import Question, draw_scene, questions

Answers = list[tuple[Question, Image.Image]]


@pytest.fixture(scope="session")
def answers() -> Answers:
    """The first 48 questions, answered by the program that drew the training pictures."""
    return [(question, draw_scene(question.scene, 5_000_000 + question.seed)) for question in questions(48)]
