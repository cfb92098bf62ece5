"""A face is turned upright into the restorer's square and put back where it was, without a seam."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from app.models.face_alignment import SIDE, TEMPLATE, alignment, cut_out, put_back, soft_mask

Array = np.ndarray


def smooth(height: int, width: int) -> Array:
    """A picture without hard edges."""
    cells = np.random.default_rng(1).integers(0, 256, (height // 24, width // 24, 3), dtype=np.uint8)
    return cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)


def points(scale: float, degrees: float, shift: tuple[float, float]) -> Array:
    """The template's points as a face has them that is turned, of another size and elsewhere."""
    turn = np.exp(1j * np.radians(degrees)) * scale
    moved = turn * ((TEMPLATE[:, 0] - 256) + 1j * (TEMPLATE[:, 1] - 256)) + complex(*shift)
    return np.column_stack((moved.real, moved.imag))


@pytest.mark.parametrize("degrees", [0, 30, -75, 180])
@pytest.mark.parametrize("scale", [0.1, 1.0, 2.5])
def test_the_five_points_come_to_lie_on_the_templates(scale: float, degrees: float) -> None:
    face = points(scale, degrees, (700, 300))
    matrix = alignment(face)
    assert np.allclose(face @ matrix[:, :2].T + matrix[:, 2], TEMPLATE, atol=1e-6)
    assert np.hypot(*matrix[:, 0]) == pytest.approx(1 / scale)


def test_one_point_beside_its_place_moves_the_face_a_little_and_never_mirrors_it() -> None:
    face = points(1, 0, (256, 256))
    face[2] += (10, 0)
    matrix = alignment(face)
    assert np.linalg.det(matrix[:, :2]) > 0
    assert np.abs(face @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE).max() < 10


@pytest.mark.parametrize(("scale", "degrees"), [(0.5, 0), (0.5, 25), (1.5, -40)])
def test_a_marked_face_is_found_at_the_templates_places_in_the_square(scale: float, degrees: float) -> None:
    face = points(scale, degrees, (500, 450))
    picture = np.zeros((1000, 1100, 3), np.uint8)
    for x, y in face:
        cv2.circle(picture, (round(x), round(y)), max(round(6 * scale), 2), (255, 255, 255), -1)
    square = cut_out(picture, alignment(face))
    assert square.shape == (SIDE, SIDE, 3)
    for x, y in TEMPLATE:
        assert square[round(y), round(x)].min() > 200
    assert square[10:150].max() == 0


@pytest.mark.parametrize(("scale", "degrees"), [(0.3, 10), (1.0, 0), (1.0, 33), (1.8, -20)])
def test_a_face_that_is_put_back_as_it_was_leaves_the_picture_as_it_was(scale: float, degrees: float) -> None:
    picture = smooth(1200, 1200)
    matrix = alignment(points(scale, degrees, (600, 600)))
    result = picture.copy()
    put_back(result, cut_out(picture, matrix), matrix, 1.0)
    difference = np.abs(result.astype(int) - picture)
    assert difference.mean() < 0.5
    assert difference.max() <= 8


def test_the_new_face_shows_whole_in_the_middle_and_not_at_all_beyond_the_square() -> None:
    picture = np.full((600, 800, 3), 100, np.uint8)
    matrix = alignment(points(0.5, 0, (400, 300)))
    put_back(picture, np.full((SIDE, SIDE, 3), 200, np.uint8), matrix, 1.0)
    assert (picture[240:360, 340:460] == 200).all()
    outside = np.ones((600, 800), bool)
    outside[300 - 128 : 300 + 128, 400 - 128 : 400 + 128] = False
    assert (picture[outside] == 100).all()


def test_no_step_is_seen_at_its_border() -> None:
    picture = np.full((600, 800, 3), 100, np.uint8)
    put_back(picture, np.full((SIDE, SIDE, 3), 200, np.uint8), alignment(points(0.5, 20, (400, 300))), 1.0)
    for axis in (0, 1):
        assert np.abs(np.diff(picture.astype(int), axis=axis)).max() <= 8


@pytest.mark.parametrize(("visibility", "level"), [(0.0, 100), (0.25, 125), (0.5, 150), (1.0, 200)])
def test_visibility_mixes_old_and_new(visibility: float, level: int) -> None:
    picture = np.full((512, 512, 3), 100, np.uint8)
    put_back(picture, np.full((SIDE, SIDE, 3), 200, np.uint8), alignment(TEMPLATE), visibility)
    assert (picture[256, 256] == level).all()
    assert (picture[0, 0] == 100).all()


def test_a_face_at_the_pictures_edge_is_mirrored_beyond_it_and_put_back_as_far_as_it_is_seen() -> None:
    picture = np.full((300, 300, 3), 90, np.uint8)
    matrix = alignment(points(0.5, 0, (10, 290)))
    assert (cut_out(picture, matrix) == 90).all()
    put_back(picture, np.full((SIDE, SIDE, 3), 200, np.uint8), matrix, 1.0)
    assert (picture[290, 10] == 200).all()
    assert (picture[0, 299] == 90).all()


def test_the_mask_is_whole_in_the_middle_and_nothing_at_the_edge() -> None:
    mask = soft_mask()
    assert (mask.shape, mask.dtype) == ((SIDE, SIDE), np.float32)
    assert mask[256, 256] == mask[100, 256] == 1
    assert mask[0].max() == mask[:, -1].max() == 0
    assert np.array_equal(mask, mask[::-1, ::-1])
