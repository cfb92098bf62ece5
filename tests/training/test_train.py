"""train: a plan, a file at the end, the same however often it was interrupted; clear words where it cannot."""

from __future__ import annotations

import json
import math
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from app.files.free_space import bytes_within
from app.models import LoadedModel, Vae, load_checkpoint, outline_checkpoint
from app.schema.errors import DiskFull, TrainingProblem
from app.schema.training import TrainingRequest, parse_training
from app.training import (
    Copied,
    Encoded,
    Event,
    Noted,
    Prepared,
    RolledBack,
    Snapshots,
    Stepped,
    Target,
    Validated,
    autocast_dtype,
    plan,
    precision_to_load,
    train,
)
from app.training.lesson import DiffusionLesson
from tests.training.making import answer_of, asked, draw_pictures, sha256, state_hash, tiny

METHODS: dict[str, dict[str, Any]] = {
    "dreambooth": {"prior": "prediction", "average": 0.9, "steps": 4},
    "lora": {
        "steps": 4,
        "text_encoder_rate": 0.5,
        "network_dropout": 0.2,
        "optimizer": "Prodigy",
        "learning_rate": "1",
    },
    "textual_inversion": {"steps": 5, "name": "sks", "vectors": 2, "accumulation": 2, "average": 0.9, "flip": True},
    "hypernetwork": {
        "steps": 4,
        "optimizer": "Lion",
        "dropout_structure": (0, 0.2, 0),
        "accumulation": 2,
        "drop_captions": 0.2,
    },
}


class Killed(Exception):
    """The process ends here, before the step reaches a snapshot."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return tiny(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of two shapes: an epoch has a batch of two and one of one."""
    folder = draw_pictures(tmp_path_factory.mktemp("pictures") / "data", 2)
    draw_pictures(folder / "2_sks", 1, (96, 40))
    return folder


def told(request: TrainingRequest, model: LoadedModel, folder: Path, **options: Any) -> tuple[Path, list[Event]]:
    events: list[Event] = []
    path = train(request, model, folder, report=events.append, **options)
    assert path is not None
    return path, events


@pytest.mark.parametrize("method", METHODS)
def test_a_run_killed_twice_ends_in_the_same_file(model: LoadedModel, data: Path, method: str, tmp_path: Path) -> None:
    before = state_hash(model)
    request = asked(data, method, **METHODS[method])
    straight, events = told(request, model, tmp_path / "straight")
    steps = [event.step for event in events if isinstance(event, Stepped)]
    assert steps == list(range(1, request.steps + 1))
    blows = sorted(random.Random().sample(steps[1:], 2))
    for blow in blows:

        def strike(event: Event, blow: int = blow) -> None:
            if isinstance(event, Stepped) and event.step == blow:
                raise Killed

        with pytest.raises(Killed):
            train(request, model, tmp_path / "broken", report=strike)
        newest = Snapshots(tmp_path / "broken" / "snapshots").newest()
        assert newest is not None
        assert newest.step == blow - 1
    broken, _ = told(request, model, tmp_path / "broken")
    assert sha256(broken) == sha256(straight), f"killed at {blows}"
    assert state_hash(model) == before
    first, second = (Snapshots(tmp_path / name / "snapshots").newest() for name in ("straight", "broken"))
    assert first is not None
    assert second is not None
    assert first.facts == second.facts
    assert all(torch.equal(tensor, second.tensors[name]) for name, tensor in first.tensors.items())


def test_pause_samples_copies_and_validation_change_nothing(model: LoadedModel, data: Path, tmp_path: Path) -> None:
    request = asked(data, "lora", steps=4, validation_share=0.3, network_dropout=0.1)
    plain, _ = told(request, model, tmp_path / "plain")
    drawn: list[int] = []
    untrained = answer_of(model)

    def draw(step: int, target: Target) -> None:
        torch.manual_seed(step)
        with torch.inference_mode():
            # A sample is what the file will draw, to the bit: also before there is anything to it.
            assert torch.equal(answer_of(model), untrained) == (step == 0)
        assert target.parameters()
        drawn.append(step)

    watched = request.model_copy(update={"sample_every": 2, "save_every": 1, "keep_copies": 2})
    steps: list[Event] = []
    first = train(
        watched,
        model,
        tmp_path / "run",
        report=lambda event: steps.append(event) if isinstance(event, Stepped) else None,
        should_stop=lambda: len(steps) == 1,
        draw_samples=draw,
    )
    assert first is None
    path, events = told(watched, model, tmp_path / "run", draw_samples=draw)
    assert drawn == [0, 2, 4]
    assert [event.step for event in events if isinstance(event, Validated)] == [2, 4]
    assert [event.path.name for event in events if isinstance(event, Copied)] == [
        "thing-000002.safetensors", "thing-000003.safetensors",
    ]  # fmt: skip
    assert sorted(copy.name for copy in (tmp_path / "run" / "copies").iterdir()) == [
        "thing-000002.safetensors", "thing-000003.safetensors",
    ]  # fmt: skip
    with safe_open(path, "pt") as one, safe_open(plain, "pt") as other:
        for name in one.keys():  # noqa: SIM118
            assert torch.equal(one.get_tensor(name), other.get_tensor(name))


def test_the_plan_counts_everything(model: LoadedModel, data: Path, tmp_path: Path) -> None:
    request = asked(data, "lora", steps=100, learning_rate="1e-3:20, 1e-4:40", batch_size=2)
    planned = plan(request, model, tmp_path)
    assert (planned.pictures, planned.held_out, planned.shown_per_epoch, planned.batches_per_epoch) == (3, 0, 4, 2)
    assert planned.buckets == {"64x64": 2, "96x32": 1}
    assert (planned.steps, planned.epochs) == (40, 20)
    words = planned.facts().words
    assert words.startswith("3 pictures in 2 buckets, 4 shown per epoch, 40 steps (20.0 epochs); ")
    assert words.endswith(" more on the disk while it runs")
    path, events = told(request.model_copy(update={"steps": 2}), model, tmp_path)
    assert path.stat().st_size == pytest.approx(planned.room.file, rel=0.5)
    assert isinstance(events[0], Prepared)
    assert [event.done for event in events if isinstance(event, Encoded)] == [1, 2, 3, 4, 5]
    trained = Snapshots(tmp_path / "snapshots").newest()
    assert trained is not None
    weights = [tensor.numel() for name, tensor in trained.tensors.items() if name.startswith("weights.")]
    assert sum(weights) == planned.parameters


def test_the_rate_follows_its_text_to_its_early_end(model: LoadedModel, data: Path, tmp_path: Path) -> None:
    request = asked(data, "textual_inversion", steps=100, learning_rate="5e-3:2, 1e-3:4", warm_up=2)
    _, events = told(request, model, tmp_path)
    rates = [event.rate for event in events if isinstance(event, Stepped)]
    assert rates == pytest.approx([2.5e-3, 5e-3, 1e-3, 1e-3])


def test_a_rate_of_0_changes_nothing(model: LoadedModel, data: Path, tmp_path: Path) -> None:
    request = asked(data, "dreambooth", steps=2, learning_rate="0", prior="none")
    path, _ = told(request, model, tmp_path)
    again = dict(load_checkpoint(path).weights())
    assert all(torch.equal(again[name], weight) for name, weight in model.weights())


def test_the_file_tells_of_its_training(model: LoadedModel, data: Path, tmp_path: Path) -> None:
    request = asked(data, "lora", steps=2, prior="none", comment="for a test")
    path, _ = told(request, model, tmp_path)
    with safe_open(path, "pt") as file:
        facts = file.metadata()
    assert facts["ss_base_model_version"] == "sd_v1"
    assert (facts["ss_network_module"], facts["ss_network_dim"], facts["ss_network_alpha"]) == (
        "networks.lora", "2", "2.0",
    )  # fmt: skip
    assert (facts["ss_steps"], facts["ss_session_id"], facts["ss_training_comment"]) == (
        "2",
        "a training",
        "for a test",
    )
    assert json.loads(facts["ss_dataset_dirs"]) == {
        "data": {"n_repeats": 1, "img_count": 2},
        "2_sks": {"n_repeats": 2, "img_count": 1},
    }
    assert json.loads(facts["ss_tag_frequency"])["data"] == {"sks circle": 2, "white ground": 1, "grey ground": 1}
    assert json.loads(facts["ss_bucket_info"]) == {
        "buckets": {"0": {"resolution": [64, 64], "count": 2}, "1": {"resolution": [96, 32], "count": 2}}
    }
    assert (facts["ss_text_encoder_lr"], facts["ss_prior_loss_weight"]) == ("None", "0.0")
    assert facts["modelspec.architecture"] == "stable-diffusion-v1/lora"
    assert (facts["modelspec.trigger_phrase"], facts["modelspec.date"]) == ("sks", "2026-02-02T02:40:00+00:00")
    assert facts["ss_new_sd_model_hash"] == sha256(Path(str(model.file.path if model.file else "")))
    assert str(data.parent) not in json.dumps(facts)


def test_another_rate_gets_patience_of_its_own(
    model: LoadedModel, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, spoilt = DiffusionLesson.loss, {1, 3, 5, 7}
    monkeypatch.setattr(
        DiffusionLesson, "loss", lambda lesson, step: loss(lesson, step) * (math.nan if step in spoilt else 1)
    )
    request = asked(data, "textual_inversion", steps=10)
    for step in (8, 9):
        with pytest.raises(TrainingProblem, match=f"The loss of step {step} is nan"):
            train(request, model, tmp_path)
        spoilt = {step}
    assert train(request.model_copy(update={"learning_rate": "1e-5"}), model, tmp_path) is not None


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_captions_without_the_word_teach_an_embedding_nothing(
    model: LoadedModel, data: Path, tmp_path: Path, precision: str
) -> None:
    (tmp_path / "none.txt").write_text("picture\n", encoding="utf-8")
    settings = {"template": str(tmp_path / "none.txt"), "precision": precision, "save_format": "safetensors"}
    request = asked(data, "textual_inversion", steps=2, **settings)
    before = train(request.model_copy(update={"learning_rate": "0"}), model, tmp_path / "untouched")
    after = train(request, model, tmp_path / "run")
    assert before is not None
    assert after is not None
    (first,), (last,) = (load_file(path).values() for path in (before, after))
    assert torch.equal(first, last)
    assert plan(request).warnings == ("Lines of the template without [name] teach the embedding nothing.",)


def test_what_a_plan_warns_of(tmp_path: Path) -> None:
    data = draw_pictures(tmp_path / "data", 1)
    (data / "0.txt").write_text("sks facing left, on grass", encoding="utf-8")
    assert plan(asked(data, "lora", flip=True)).warnings == (
        "Captions say 'left' or 'right', and the pictures are mirrored.",
    )
    (data / "0.txt").write_text("sks circle", encoding="utf-8")
    assert plan(asked(data, "dreambooth", trigger="", class_words="")).warnings == (
        "There is no trigger word: every picture of these captions will change.",
    )
    assert plan(asked(data, "lora", trigger="dog", class_words="dog ")).warnings == (
        "The trigger word is the word for its kind: every one of its kind will change.",
    )
    (data / "more").mkdir()
    draw_pictures(data / "more", 1)
    assert "Folders whose pictures are not used: more." in plan(asked(data, "lora")).warnings[0]


def test_an_optimiser_that_cannot_be_had_is_told_of_in_the_plan(data: Path) -> None:
    with pytest.raises(TrainingProblem, match=r"bitsandbytes.*not installed|NVIDIA cards only") as caught:
        plan(asked(data, "lora", optimizer="AdamW8bit"), device=torch.device("cpu"))
    assert caught.value.field == "optimizer"
    (remark,) = plan(asked(data, "lora", optimizer="Prodigy", learning_rate="1e-4")).warnings
    assert remark.startswith("Prodigy finds its own rate")
    assert plan(asked(data, "lora", optimizer="Prodigy", learning_rate="1")).warnings == ()


def test_a_mask_that_covers_nothing_is_told_of_in_the_plan(tmp_path: Path) -> None:
    data = draw_pictures(tmp_path / "data", 1)
    (data / "masks").mkdir()
    Image.new("L", (64, 64)).save(data / "masks" / "0.png")
    with pytest.raises(TrainingProblem, match=r"The mask of 0\.png covers nothing\. Paint it white") as caught:
        plan(asked(data, "lora", masked_loss=True))
    assert caught.value.field == "masked_loss"
    assert plan(asked(data, "lora")).pictures == 1


def test_a_device_without_the_memory_is_told_of_in_the_plan(
    model: LoadedModel, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = torch.device("cpu")
    assert plan(asked(data, "lora"), model, device=cpu).warnings == ()
    monkeypatch.setattr("app.training.memory.host_memory", lambda: 1_000_000)
    (remark,) = plan(asked(data, "lora"), model, device=cpu).warnings
    assert remark.endswith("the device has 1 MB: train a LoRA, or take AdamW8bit, Adafactor or a smaller rank.")


def test_class_pictures_are_learnt_beside(model: LoadedModel, data: Path, tmp_path: Path) -> None:
    ordinary = draw_pictures(tmp_path / "ordinary", 2, word="")
    request = asked(data, "lora", steps=2, prior="pictures", class_data=str(ordinary), class_pictures=5)
    assert (plan(request).class_pictures, plan(request).class_missing) == (2, 3)
    _, events = told(request, model, tmp_path / "run")
    assert [event.total for event in events if isinstance(event, Encoded)] == [5] * 5


def test_a_batch_that_gives_no_numbers_is_left_out(
    model: LoadedModel, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = DiffusionLesson.loss

    def spoilt(lesson: DiffusionLesson, step: int) -> Tensor:
        return loss(lesson, step) * (math.nan if step == 2 else 1)

    monkeypatch.setattr(DiffusionLesson, "loss", spoilt)
    request = asked(data, "textual_inversion", steps=4)
    path, events = told(request, model, tmp_path / "a")
    assert [event for event in events if isinstance(event, RolledBack)] == [RolledBack(3, "The loss of step 3 is nan.")]
    assert [event.step for event in events if isinstance(event, Stepped)] == [1, 2, 3, 4]
    newest = Snapshots(tmp_path / "a" / "snapshots").newest()
    assert newest is not None
    assert newest.facts["skipped"] == [2]
    # Snapshots that lie further back give the same file.
    rare, _ = told(request.model_copy(update={"snapshot_seconds": 3600.0}), model, tmp_path / "b")
    assert sha256(rare) == sha256(path)
    monkeypatch.setattr(DiffusionLesson, "loss", lambda lesson, step: loss(lesson, step) * math.nan)
    with pytest.raises(TrainingProblem, match="The loss of step 4 is nan") as caught:
        train(request, model, tmp_path / "c")
    assert caught.value.field == "learning_rate"


def test_changed_settings_are_named_when_it_goes_on(model: LoadedModel, data: Path, tmp_path: Path) -> None:
    request = asked(data, "textual_inversion", steps=2)
    told(request, model, tmp_path)
    _, events = told(request.model_copy(update={"steps": 3}), model, tmp_path)
    notes = [event.text for event in events if isinstance(event, Noted)]
    assert notes == ["Changed since the last snapshot: steps. The file will not be that of one run."]
    with pytest.raises(TrainingProblem, match="belongs to a training of other weights"):
        train(request.model_copy(update={"vectors": 3}), model, tmp_path)


def test_bf16_and_fp16_learn_too(model: LoadedModel, data: Path, tmp_path: Path) -> None:
    for precision in ("bf16", "fp16"):
        request = asked(data, "hypernetwork", steps=2, precision=precision, prior="none")
        _, events = told(request, model, tmp_path / precision)
        losses = [event.loss for event in events if isinstance(event, Stepped)]
        assert len(losses) == 2
        assert all(math.isfinite(loss) for loss in losses)
        newest = Snapshots(tmp_path / precision / "snapshots").newest()
        assert newest is not None
        assert {tensor.dtype for tensor in newest.tensors.values()} == {torch.float32}
        assert ("scaler" in newest.facts) == (precision == "fp16")


def test_precision_by_device() -> None:
    cpu = torch.device("cpu")
    assert autocast_dtype("auto", cpu) is None
    assert autocast_dtype("bf16", cpu) == torch.bfloat16
    request = TrainingRequest(method="dreambooth", precision="bf16")
    loaded = precision_to_load(request, cpu)
    assert (loaded.unet, loaded.text, loaded.vae) == (torch.float32, torch.bfloat16, torch.float32)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"data": ""}, "no pictures to learn from"),
        ({"data": "/nowhere/at/all"}, "does not exist"),
        ({"learning_rate": "nan"}, "is not a number"),
        ({"learning_rate": "-1"}, "below 0"),
        ({"learning_rate": "1e-3:5, 1e-4:2"}, "do not rise"),
        ({"name": " "}, "needs a name"),
        ({"name": "a/b"}, "cannot be a file's name"),
        ({"prior": "pictures"}, "no pictures of ordinary ones"),
        ({"method": "hypernetwork", "widths": (768,)}, "No attention of this checkpoint reads 768 numbers. Take some"),
        ({"method": "hypernetwork", "activation": "nonsense"}, "activation 'nonsense' is not known"),
        ({"optimizer": "AdamW8bit"}, "bitsandbytes|NVIDIA"),
        ({"width": 36, "height": 36}, "multiples of 8"),
    ],
)
def test_what_cannot_be_done_is_said_before_it_begins(
    model: LoadedModel, data: Path, fields: dict[str, Any], words: str, tmp_path: Path
) -> None:
    request = asked(data, "lora").model_copy(update=fields)
    with pytest.raises(TrainingProblem, match=words):
        train(request, model, tmp_path)
    assert not (tmp_path / "outbox").exists()


def test_wrong_pictures_are_named(model: LoadedModel, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(TrainingProblem, match="There are no pictures in"):
        plan(asked(empty, "lora"))
    data = draw_pictures(tmp_path / "data", 2)
    (data / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    Image.new("RGB", (1, 1)).save(data / "dot.png")
    with pytest.raises(TrainingProblem, match=r"2 of the pictures.*broken.png.*dot.png"):
        plan(asked(data, "lora"))


def test_captions_in_chinese_are_read(model: LoadedModel, tmp_path: Path) -> None:
    data = draw_pictures(tmp_path / "data", 1)
    (data / "0.txt").write_text("一只紫色的圆, sks", encoding="utf-8")
    path, _ = told(asked(data, "lora", steps=1, prior="none"), model, tmp_path / "run")
    with safe_open(path, "pt") as file:
        assert "一只紫色的圆" in json.loads(file.metadata()["ss_tag_frequency"])["data"]


def test_other_kinds_of_checkpoint_are_refused(data: Path, tmp_path: Path) -> None:
    refiner = tiny(tmp_path, "SDXL refiner")
    with pytest.raises(TrainingProblem, match="refiner cannot be trained"):
        plan(asked(data, "lora"), refiner)
    inpainting = tiny(tmp_path, in_channels=9)
    with pytest.raises(TrainingProblem, match="inpainting"):
        plan(asked(data, "lora"), inpainting)


def test_a_full_disk_is_told_of_before(
    model: LoadedModel, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(DiskFull, match=r"The training needs [\d.]+ MB on the drive of .*, and 1 MB are free"):
        plan(asked(data, "dreambooth"), model, tmp_path / "not" / "yet")


def test_the_room_holds_all_that_a_run_leaves_on_the_disk(model: LoadedModel, data: Path, tmp_path: Path) -> None:
    request = asked(data, "lora", steps=4, optimizer="Prodigy", average=0.9, save_every=1, keep_copies=2, flip=True)
    room = plan(request, model).room
    told(request, model, tmp_path)
    newest = max((tmp_path / "snapshots").iterdir())
    assert bytes_within(newest) == pytest.approx(room.snapshot, rel=0.5)  # small tensors, long names
    assert bytes_within(tmp_path / "copies") + bytes_within(tmp_path / "outbox") == pytest.approx(room.copies, rel=0.4)
    assert bytes_within(tmp_path / "latents") == pytest.approx(room.latents, rel=0.2)
    assert bytes_within(tmp_path) < room.run
    room.require(tmp_path)  # what lies there already need not be free
    seen = plan(asked(data, "lora", steps=100, sample_every=10, sample_prompts="a --w 64 --h 32"), model).room
    assert seen.drawn == 12 * 64 * 32 * 2


def test_epochs_are_steps_over_all_pictures(model: LoadedModel, data: Path) -> None:
    request = asked(data, "lora", epochs=5, steps=1, accumulation=4)
    planned = plan(request)
    assert (planned.batches_per_epoch, planned.steps) == (2, 3)
    assert plan(request.model_copy(update={"epochs": 0})).steps == 1


def test_an_outline_of_a_checkpoint_plans_as_the_checkpoint_does(data: Path, tmp_path: Path) -> None:
    whole = tiny(tmp_path)
    assert whole.file is not None
    outline = outline_checkpoint(whole.file.path)
    assert {tensor.device.type for _, tensor in outline.weights()} == {"meta"}
    for method in METHODS:
        request = asked(data, method, **METHODS[method])
        assert plan(request, outline) == plan(request, whole)
    inpainting = tiny(tmp_path, in_channels=9)
    assert inpainting.file is not None
    with pytest.raises(TrainingProblem, match="inpainting"):
        plan(asked(data, "lora"), outline_checkpoint(inpainting.file.path))


def test_pictures_are_encoded_once_for_all_lives_of_a_run(
    model: LoadedModel, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked(data, "textual_inversion", steps=1)
    told(request, model, tmp_path)
    kept = sorted(path.name for path in (tmp_path / "latents").iterdir())
    assert len(kept) == 3
    encode = Vae.encode
    encoded: list[int] = []
    monkeypatch.setattr(Vae, "encode", lambda *given, **also: encoded.append(1) or encode(*given, **also))
    told(request.model_copy(update={"steps": 2}), model, tmp_path)
    assert not encoded
    (tmp_path / "latents" / kept[0]).write_bytes(b"cut off")
    told(request.model_copy(update={"steps": 3}), model, tmp_path)
    assert len(encoded) == 1


def test_a_vae_without_numbers_names_the_picture(data: Path, tmp_path: Path) -> None:
    model = tiny(tmp_path)
    with torch.no_grad():
        model.vae.module.encoder.conv_out.bias.fill_(math.nan)
    with pytest.raises(TrainingProblem, match=r"The VAE gives no valid numbers for \d\.png"):
        train(asked(data, "lora"), model, tmp_path / "run")


def test_requests_keep_their_new_fields() -> None:
    request = parse_training({"method": "lora", "name": "x", "session": "s", "created": 5, "save_precision": "bf16"})
    assert (request.session, request.created, request.save_precision) == ("s", 5, "bf16")
