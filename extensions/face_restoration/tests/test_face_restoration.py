"""Faces are restored once, in the picture that all else comes to, before it is put back where it belongs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from app.extension_api import Decode, ImagePlan, RestoreFaces, Skip, Stage
from app.recipes import Drawn, draw, with_stages
from app.schema.request import FaceFiles, FileIdentity
from extensions.face_restoration.extension import ORDER
from extensions.face_restoration.settings import FaceRestoration
from extensions.face_restoration.stage import with_restored_faces
from tests.recipes.driver import Driver, plan, resolved

FILE = FileIdentity(path="GFPGANv1.4.pth", size=1, mtime_ns=1)
FILES = FaceFiles(restorer=FILE, detector=FILE)
STAGE = ("face_restoration", Stage(ORDER, with_restored_faces))
RECIPE = with_stages(draw, [STAGE])


def restored(request: dict[str, Any] | None = None, **values: Any) -> ImagePlan:
    wanted = resolved(extensions={"face_restoration": values}, **(request or {}))
    return plan(wanted.model_copy(update={"face_restorers": {"GFPGAN": FILES}}))


def plain() -> Tensor:
    return Driver().run(RECIPE, plan(resolved())).pixels


def test_the_decoded_picture_is_restored_with_the_files_that_the_request_was_resolved_to() -> None:
    driver = Driver()
    picture = driver.run(RECIPE, restored(visibility=0.5))
    assert [type(effect) for effect, _ in driver.effects[-2:]] == [Decode, RestoreFaces]
    [asked] = driver.of(RestoreFaces)
    assert (asked.files, asked.visibility) == (FILES, 0.5)
    assert torch.equal(asked.pixels, plain())
    assert torch.equal(picture.pixels, 255 - plain())  # the driver's way to restore


def test_a_request_that_does_not_name_it_is_drawn_as_ever() -> None:
    driver = Driver()
    driver.run(RECIPE, plan(resolved()))
    assert driver.of(RestoreFaces) == []


def test_what_is_put_back_afterwards_is_put_back_over_the_restored_picture() -> None:
    def finishing(pixels: Tensor) -> Tensor:
        return pixels // 2

    def halving(inner: Any, image: Any, tools: Any, passing: Any) -> Any:
        drawn = yield from inner(image, tools, passing)
        return drawn._replace(finishing=finishing)

    recipe = with_stages(draw, [STAGE, ("halving", Stage(10, halving))])
    request = {"face_restoration": {"save_before": True}, "halving": {}}
    wanted = resolved(extensions=request).model_copy(update={"face_restorers": {"GFPGAN": FILES}})
    picture = Driver().run(recipe, plan(wanted))
    assert torch.equal(picture.pixels, (255 - plain()) // 2)
    [(name, before)] = picture.beside
    assert name == "before-face-restoration"
    assert torch.equal(before, plain() // 2)


def test_a_picture_that_another_stage_has_finished_is_restored_as_it_is() -> None:
    pixels = torch.full((3, 8, 8), 10, dtype=torch.uint8)

    def finished(inner: Any, image: Any, tools: Any, passing: Any) -> Any:
        yield from ()
        return Drawn(torch.zeros(1, 4, 1, 1), False, finishing=lambda pixels: pixels * 0, pixels=pixels)

    recipe = with_stages(draw, [STAGE, ("finished", Stage(10, finished))])
    wanted = resolved(extensions={"face_restoration": {}, "finished": {}})
    driver = Driver()
    picture = driver.run(recipe, plan(wanted.model_copy(update={"face_restorers": {"GFPGAN": FILES}})))
    assert (picture.pixels == 245).all()
    assert driver.of(Decode) == []


def test_skipped_while_faces_are_restored_it_is_the_picture_before() -> None:
    whole = Driver()
    whole.run(RECIPE, restored())
    picture = Driver().run(RECIPE, restored(), fail_at=len(whole.effects) - 1, error=Skip())
    assert picture.partial
    assert torch.equal(picture.pixels, plain())


@pytest.mark.parametrize("values", [{"visibility": 1.5}, {"visibility": float("nan")}, {"weight": 1}])
def test_values_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"visibility|weight"):
        FaceRestoration.model_validate(values)
