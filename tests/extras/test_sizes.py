"""How large Extras makes a picture, and what it writes of that."""

from __future__ import annotations

import pytest
from PIL import Image

from app.extras.sizes import cut_to_size, enlarged_size, facts_of
from app.schema.errors import InvalidField
from app.schema.extras import ExtrasRequest


@pytest.mark.parametrize(
    ("size", "wish", "expected"),
    [
        ((256, 256), {"factor": 2}, (512, 512)),
        ((100, 60), {"factor": 2}, (200, 120)),
        ((101, 67), {"factor": 1}, (96, 64)),
        ((1, 1), {"factor": 4}, (4, 4)),
        ((1, 1), {"factor": 1}, (1, 1)),
        ((1000, 10), {"factor": 0.05}, (48, 1)),
        ((256, 128), {"factor": 4, "most_side": 512}, (512, 256)),
        ((256, 128), {"factor": 2, "most_side": 512}, (512, 256)),
        ((256, 128), {"factor": 4, "most_side": 0}, (1024, 512)),
        ((256, 256), {"resize": "to", "width": 304, "height": 200}, (304, 304)),
        ((256, 256), {"resize": "to", "width": 300, "height": 200, "crop": False}, (296, 296)),
        ((256, 256), {"resize": "to", "width": 300, "height": 200}, (300, 300)),
        ((20000, 3), {"resize": "to", "width": 64, "height": 64}, (426664, 64)),
    ],
)
def test_sizes_are_multiples_of_eight_as_in_a1111_unless_that_leaves_a_border(
    size: tuple[int, int], wish: dict[str, object], expected: tuple[int, int]
) -> None:
    assert enlarged_size(size, ExtrasRequest.model_validate(wish)) == expected


def test_a_result_beyond_all_measure_is_refused_in_words() -> None:
    with pytest.raises(InvalidField, match="160000 x 160000 pixels") as caught:
        enlarged_size((20000, 20000), ExtrasRequest(factor=8))
    assert caught.value.field == "factor"


def test_what_covers_the_size_is_cut_in_its_middle() -> None:
    request = ExtrasRequest(resize="to", width=4, height=2)
    picture = Image.frombytes("L", (6, 4), bytes(range(24)))
    assert cut_to_size(picture, request).tobytes() == bytes([7, 8, 9, 10, 13, 14, 15, 16])


def test_the_words_are_a1111s_in_its_order() -> None:
    by = ExtrasRequest(factor=4, most_side=512, upscaler_1="A", upscaler_2="B", upscaler_2_visibility=0.5)
    assert facts_of((256, 256), by) == (
        ("Postprocess upscale by", "4.0"),
        ("Max side length", "512"),
        ("Postprocess upscaler", "A"),
        ("Postprocess upscaler 2", "B"),
    )
    to = ExtrasRequest(resize="to", width=300, height=200, upscaler_1="A", upscaler_2="B")
    assert facts_of((256, 256), to) == (
        ("Postprocess upscale to", "300x200"),
        ("Postprocess crop to", "300x200"),
        ("Postprocess upscaler", "A"),
    )
    assert facts_of((256, 256), ExtrasRequest()) == ()
