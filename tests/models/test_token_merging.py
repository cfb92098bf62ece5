"""Token merging: the most alike are averaged, everyone gets an answer back, and nothing is left behind."""

import pytest
import torch

from app.models import load_checkpoint
from app.models.token_merging import Merge, merged_tokens
from tests.models.checkpoints import write_tiny_checkpoint


def random_tokens(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_of_each_square_of_four_one_stays_and_the_share_of_all_is_merged_away():
    merge = Merge.of(random_tokens(2, 24, 5), 0.5, 4, 6)
    assert merge.staying.tolist() == [0, 2, 4, 12, 14, 16]
    assert merge.merged.shape == (2, 12)
    assert merge.alone.shape == (2, 6)
    assert merge.shrunk(random_tokens(2, 24, 5)).shape == (2, 12, 5)


def test_no_more_are_merged_than_do_not_stay():
    assert Merge.of(random_tokens(1, 16, 3), 0.9, 4, 4).merged.shape == (1, 12)


def test_a_row_or_column_too_many_is_merged_but_never_merged_into():
    merge = Merge.of(random_tokens(1, 15, 3), 0.1, 3, 5)
    assert merge.staying.tolist() == [0, 2]


def test_the_most_alike_go_first_and_into_the_one_they_are_like():
    tokens = torch.tensor([[[1.0, 0.0], [0.9, 0.1], [-1.0, 1.0], [0.0, 3.0]]])  # one square of four, 0 stays
    merge = Merge.of(tokens, 0.25, 2, 2)
    assert merge.merged.tolist() == [[1]]
    shrunk = merge.shrunk(tokens)
    assert torch.allclose(shrunk[0, -1], torch.tensor([0.95, 0.05]))


def test_what_was_merged_gets_the_answer_of_the_mean_and_the_others_their_own():
    tokens = random_tokens(2, 16, 3)
    merge = Merge.of(tokens, 0.4, 4, 4)
    restored = merge.restored(merge.shrunk(tokens))
    for row in range(2):
        alone = merge.alone[row]
        assert torch.equal(restored[row, alone], tokens[row, alone])
        for place, into in zip(merge.merged[row].tolist(), merge.into[row].tolist(), strict=True):
            assert torch.equal(restored[row, place], restored[row, merge.staying[into]])


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    return load_checkpoint(write_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny.safetensors")).unet


def answer(unet):
    with torch.inference_mode():
        return unet(
            random_tokens(1, 4, 8, 8), torch.tensor([500]), random_tokens(1, 77, 32, seed=1), return_dict=False
        )[0]


def test_a_unet_merges_inside_and_is_as_before_outside(unet):
    plain = answer(unet)
    with merged_tokens(unet, 0.5, 8, 8):
        merged = answer(unet)
    assert merged.shape == plain.shape
    assert not torch.allclose(merged, plain, atol=1e-4)
    assert torch.equal(answer(unet), plain)


def test_tokens_that_are_all_alike_make_no_difference(unet):
    with merged_tokens(unet, 0.0, 8, 8):
        assert torch.equal(answer(unet), answer(unet))


def test_only_the_largest_attention_merges(unet):
    seen = []
    blocks = [module for module in unet.modules() if hasattr(module, "attn1") and hasattr(module, "norm1")]
    hooks = [
        block.attn1.to_q.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
        for block in blocks
    ]
    with merged_tokens(unet, 0.5, 8, 8):
        answer(unet)
    for hook in hooks:
        hook.remove()
    assert sorted(set(seen)) == [1, 4, 16, 32]
    assert 64 not in seen
