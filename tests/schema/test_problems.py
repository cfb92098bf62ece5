"""What pydantic found, as people read it: at the field that was given, in words that name no kind of the code's."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from app.schema.errors import TrainingProblem
from app.schema.problems import first_problem
from app.schema.training import parse_training


class Inner(BaseModel):
    sizes: list[int] = []


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inner: Inner = Inner()
    either: int | list[int] = 0

    @model_validator(mode="after")
    def _enough(self) -> Outer:
        if self.either == 13:
            raise ValueError("There is no thirteenth")
        return self


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"inner": {"sizes": [1, "b"]}}, "inner.sizes.1", "inner.sizes.1: input should be a valid integer"),
        ({"other": 1}, "other", "other: extra inputs are not permitted."),
        ({"either": 13}, "", "There is no thirteenth."),
    ],
)
def test_the_field_is_the_one_given(values: dict[str, object], field: str, words: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Outer.model_validate(values)
    problem = first_problem(raised.value)
    assert problem.field == field
    assert problem.words.startswith(words)


@pytest.mark.parametrize(
    ("values", "field"),
    [({"method": "loras"}, "method"), ({"widths": ["a"]}, "widths"), ({"text_encoder_rate": "x"}, "text_encoder_rate")],
)
def test_a_training_names_the_input_of_the_page(values: dict[str, object], field: str) -> None:
    with pytest.raises(TrainingProblem, match=f"^{field}") as raised:
        parse_training(values)
    assert raised.value.field == field
