"""The starter model: the small world it is taught, its training from nothing, and its examination."""

from app.starter.examination import QUESTIONS, Draw, Marks, Question, examine, mark, prompt_of, questions
from app.starter.judge import Verdict, judge
from app.starter.scenes import draw_scene
from app.starter.world import Scene

__all__ = [
    "QUESTIONS",
    "Draw",
    "Marks",
    "Question",
    "Scene",
    "Verdict",
    "draw_scene",
    "examine",
    "judge",
    "mark",
    "prompt_of",
    "questions",
]
