"""What prompts name becomes files when a job is submitted: found, missing or refused, with their hashes later."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from app.files import CHECKPOINT, EMBEDDING, HYPERNETWORK, LORA, Folders, ModelLibrary
from app.files.hashes import addnet_hash
from app.jobs import LibraryWords, Resolver
from app.jobs.networks import hashed, network_entries
from app.language import Reading, Timing, Tokenizer, count_tokens
from app.schema.errors import BrokenModelFile, InvalidPrompt, UnsupportedModel
from app.schema.request import GenerationRequest, NetworkUse
from tests.files.making import SD1, embedding, picture, write_safetensors

NAME = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"


def lora(path: Path, width: int = 768, title: str = "") -> Path:
    tensors = {f"{NAME}.lora_down.weight": (2, width), f"{NAME}.lora_up.weight": (4, 2)}
    write_safetensors(path, tensors, metadata={"ss_output_name": title} if title else {})
    return path


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    folders = Folders.of(data_dir=tmp_path / "data", program_dir=tmp_path / "program")
    folders.create()
    write_safetensors(folders.of_kind(CHECKPOINT)[0] / "model.safetensors", SD1)
    return folders


@pytest.fixture
def resolve(folders: Folders) -> Resolver:
    return Resolver(ModelLibrary(folders), precision=lambda wanted: "fp32")


def uses(resolve: Resolver, prompt: str, negative_prompt: str = "") -> list[NetworkUse]:
    request = GenerationRequest(prompt=prompt, negative_prompt=negative_prompt, seed=1)
    return list(resolve(request).networks)


def test_tags_become_files_with_their_strengths_in_the_order_of_the_prompt(resolve: Resolver, folders: Folders) -> None:
    a, b = (lora(folders.of_kind(LORA)[0] / f"{name}.safetensors") for name in ("a", "b"))
    found = uses(resolve, "a cat <lora:b:0.5:0.25:4> on a mat <lyco:a:-1>")
    assert [(use.kind, use.name, use.file.path) for use in found] == [("lora", "b", str(b)), ("lora", "a", str(a))]
    assert [(use.text, use.unet, use.rank) for use in found] == [(0.5, 0.25, 4), (-1, -1, None)]
    assert found[0].file.size == b.stat().st_size


def test_names_that_no_file_answers_to_are_left_out_and_told(resolve: Resolver, folders: Folders) -> None:
    lora(folders.of_kind(LORA)[0] / "a.safetensors")
    resolved = resolve(GenerationRequest(prompt="<lora:none:1><hypernet:nothing:1><wild:x><lora:a>", seed=1))
    assert [use.name for use in resolved.networks] == ["a"]
    assert resolved.missing_networks == ("none", "nothing")


def test_a_request_may_have_its_tags_ignored_while_words_still_count(resolve: Resolver, folders: Folders) -> None:
    lora(folders.of_kind(LORA)[0] / "a.safetensors")
    write_safetensors(folders.of_kind(EMBEDDING)[0] / "cat.safetensors", {"emb_params": (1, 768)})
    request = GenerationRequest(prompt="a cat <lora:a:1> <lora:none:1>", seed=1, ignore_network_tags=True)
    resolved = resolve(request)
    assert [use.name for use in resolved.networks] == ["cat"]
    assert resolved.missing_networks == ()
    assert resolved.request.prompt == "a cat <lora:a:1> <lora:none:1>"


def test_the_trainers_name_counts_while_only_one_file_bears_it(resolve: Resolver, folders: Folders) -> None:
    place = folders.of_kind(LORA)[0]
    lora(place / "file.safetensors", title="Title")
    assert [use.file.path for use in uses(resolve, "<lora:Title:1>")] == [str(place / "file.safetensors")]
    lora(place / "other.safetensors", title="Title")
    resolve.library.refresh()
    assert resolve(GenerationRequest(prompt="<lora:Title:1>", seed=1)).missing_networks == ("Title",)
    assert [use.file.path for use in uses(resolve, "<lora:other:1>")] == [str(place / "other.safetensors")]


def test_tags_of_the_negative_prompt_are_ordinary_text(resolve: Resolver, folders: Folders) -> None:
    lora(folders.of_kind(LORA)[0] / "a.safetensors")
    assert uses(resolve, "a cat", "<lora:a:1>") == []


def test_another_family_a_broken_file_and_a_strength_that_is_no_number_are_refused_at_once(
    resolve: Resolver, folders: Folders
) -> None:
    place = folders.of_kind(LORA)[0]
    lora(place / "xl.safetensors", width=2048)
    lora(place / "a.safetensors")
    (place / "broken.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(UnsupportedModel, match="The LoRA xl was made for SDXL; model is of the family SD1"):
        uses(resolve, "<lora:xl:1>")
    with pytest.raises(BrokenModelFile, match="broken"):
        uses(resolve, "<lora:broken:1>")
    with pytest.raises(InvalidPrompt, match="strength of “much”, which is not a number"):
        uses(resolve, "<lora:a:much>")


def test_embeddings_are_found_by_token_ids_in_both_prompts_the_longest_first(
    resolve: Resolver, folders: Folders
) -> None:
    place = folders.of_kind(EMBEDDING)[0]
    for name in ("easy", "easynegative", "sharp"):
        write_safetensors(place / f"{name}.safetensors", {"emb_params": (2, 768)})
    write_safetensors(place / "wide.safetensors", {"emb_params": (2, 1024)})
    found = uses(resolve, "a (SHARP:1.2) cat, wide angle [sharp:dull:3]", "EasyNegative2, blurry")
    assert [(use.kind, use.name) for use in found] == [("embedding", "sharp"), ("embedding", "easynegative")]


def test_an_embedding_in_a_picture_is_called_by_the_name_stored_in_it(resolve: Resolver, folders: Folders) -> None:
    path = picture(folders.of_kind(EMBEDDING)[0] / "file.png", embedding(2, 768))
    assert [(use.kind, use.name, use.file.path) for use in uses(resolve, "a cat")] == [("embedding", "cat", str(path))]
    assert uses(resolve, "a file") == []


def test_an_embedding_that_no_chunk_can_hold_is_refused(resolve: Resolver, folders: Folders) -> None:
    write_safetensors(folders.of_kind(EMBEDDING)[0] / "long.safetensors", {"emb_params": (76, 768)})
    with pytest.raises(InvalidPrompt, match="The embedding long takes 76 tokens"):
        uses(resolve, "a long cat")


def test_infotexts_name_networks_with_a1111s_hashes(resolve: Resolver, folders: Folders) -> None:
    file = lora(folders.of_kind(LORA)[0] / "a.safetensors")
    word = folders.of_kind(EMBEDDING)[0] / "sharp.safetensors"
    write_safetensors(word, {"emb_params": (2, 768)})
    found = [hashed(use, resolve.library) for use in uses(resolve, "sharp <lora:a:0.5>", "sharp")]
    assert network_entries(found) == [
        ("Lora hashes", f"a: {addnet_hash(file)[:12]}"),
        ("TI hashes", f"sharp: {hashlib.sha256(word.read_bytes()).hexdigest()[:12]}"),
    ]


def test_hypernetworks_are_found_by_the_name_in_their_tag(resolve: Resolver, folders: Folders) -> None:
    state = {f"linear.{n}.{part}": torch.zeros(2, 2) for n in (0, 1) for part in ("weight", "bias")}
    torch.save({32: (state, state), "layer_structure": [1, 2, 1]}, folders.of_kind(HYPERNETWORK)[0] / "style.pt")
    (found,) = uses(resolve, "a cat <hypernet:style:0.7>")
    assert (found.kind, found.name, found.unet) == ("hypernet", "style", 0.7)


def test_the_counter_counts_an_embeddings_vectors(resolve: Resolver, folders: Folders) -> None:
    tokenizer, words = Tokenizer(), LibraryWords(resolve.library, Tokenizer())

    def counted() -> int:
        return count_tokens("a easynegative cat", tokenizer, Reading(Timing(1)), find_word=words.find).tokens

    spelt = len(tokenizer.encode("a easynegative cat"))
    assert counted() == spelt
    write_safetensors(folders.of_kind(EMBEDDING)[0] / "easynegative.safetensors", {"emb_params": (9, 768)})
    resolve.library.refresh(EMBEDDING)
    assert counted() == 2 + 9
