"""kohya's TOMLs mean here what they mean there; what is not taken over is named, what would be another is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from app.files.kohya import read_kohya
from app.files.kohya_values import Imported
from app.schema.errors import TrainingProblem
from app.schema.training import TrainingRequest, parse_training
from app.training.data import read_material
from app.training.data.material import caption_of
from tests.training.making import draw_pictures

LORA = 'train_data_dir = "/dogs"\noutput_name = "dog"\nnetwork_module = "networks.lora"\n'
LYCORIS = LORA.replace("networks.lora", "lycoris.kohya")
DREAMBOOTH = 'train_data_dir = "/dogs"\noutput_name = "dog"\n'
EMBEDDING = f'{DREAMBOOTH}token_string = "dog"\n'


def imported(text: str, beside: Path | None = None) -> Imported:
    return read_kohya(tomllib.loads(text), beside)


def asked(text: str) -> TrainingRequest:
    return parse_training(imported(text).fields)


def left_out(text: str) -> tuple[str, ...]:
    return imported(text).left_out


def refused(text: str, beside: Path | None = None) -> TrainingProblem:
    with pytest.raises(TrainingProblem) as caught:
        imported(text, beside)
    return caught.value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('caption_extension = ".cap"', "caption_extension = .cap (.txt and .caption are read)"),
        ('caption_extention = "tags"', "caption_extention = tags (.txt and .caption are read)"),
        ("max_token_length = 225", "max_token_length = 225 (captions are read whole)"),
        ('resume = "state"', "resume"),
        ("full_bf16 = true", "full_bf16"),
        ('log_with = "wandb"', "log_with"),
        ("scale_weight_norms = 1.0", "scale_weight_norms"),
        ('loss_type = "huber"', "loss_type"),
        ('save_model_as = "ckpt"', "save_model_as = ckpt (safetensors is written)"),
    ],
)
def test_what_has_an_effect_there_and_none_here_is_named(text: str, said: str) -> None:
    assert left_out(LORA + text) == (said,)


@pytest.mark.parametrize(
    "text",
    [
        'caption_extension = ".txt"',
        'caption_extension = "caption"',
        'log_with = "tensorboard"',
        "multires_noise_iterations = 0",
        "fp8_base = false",
        "optimizer_args = []",
        "text_encoder_lr = []",
        'loss_type = "l2"\nhuber_c = 0.1\nhuber_schedule = "snr"',
        "max_timestep = 1000",
        'output_dir = "out"\ncache_latents = true\nsave_state = true',
        'save_model_as = "safetensors"',
    ],
)
def test_what_does_nothing_or_is_done_here_anyway_is_not(text: str) -> None:
    assert left_out(LORA + text) == ()


def test_limits_of_buckets_are_named_where_they_are_others_here() -> None:
    small = LORA + 'resolution = "512,512"\nenable_bucket = true\n'
    large = LORA + "resolution = 1024\nenable_bucket = true\n"
    assert left_out(f"{small}min_bucket_reso = 256\nmax_bucket_reso = 1024\nbucket_reso_steps = 64") == ()
    assert left_out(f"{small}bucket_reso_steps = 32\nmin_bucket_reso = 320\nmax_bucket_reso = 2048") == (
        "bucket_reso_steps = 32 (64 is taken)",
        "max_bucket_reso = 2048 (1024 is taken)",
        "min_bucket_reso = 320 (256 is taken)",
    )
    assert left_out(large) == ("max_bucket_reso = 1024 (2048 is taken)", "min_bucket_reso = 256 (512 is taken)")
    assert left_out(f"{large}bucket_no_upscale = true") == ()
    assert left_out(f"{LORA}resolution = 1024\nmax_bucket_reso = 512") == ()


def test_what_is_left_out_has_kohyas_meaning_and_not_ours() -> None:
    request = asked(LORA)
    assert (request.rank, request.alpha, request.lora_kind, request.conv_rank) == (4, 1.0, "LoRA", 0)
    assert (request.steps, request.epochs, request.batch_size, request.accumulation) == (1600, 0, 1, 1)
    assert (request.learning_rate, request.text_encoder_rate) == ("2e-06", 1.0)
    assert (request.optimizer, request.weight_decay, request.clip) == ("AdamW", 0.01, 1.0)
    assert (request.schedule, request.warm_up) == ("constant", 0)
    assert (request.buckets, request.upscale, request.prior) == (False, True, "none")
    assert (request.precision, request.save_precision) == ("fp32", "fp32")
    assert left_out(LORA) == ()
    assert asked(EMBEDDING).vectors == 1
    assert asked(f"{LORA}network_dim = 8\nnetwork_alpha = 0").alpha == 8.0


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('network_args = ["conv_dim=4"]', ("LoCon", 4, 1.0)),
        ('network_args = ["conv_dim=4", "conv_alpha=2"]', ("LoCon", 4, 2.0)),
        ('network_args = "conv_dim=4 conv_alpha=2"', ("LoCon", 4, 2.0)),
    ],
)
def test_a_network_of_kohyas_own_has_convolutions_where_it_says_so(text: str, fields: tuple[object, ...]) -> None:
    request = asked(LORA + text)
    assert (request.lora_kind, request.conv_rank, request.conv_alpha) == fields


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ("", ("LoCon", 8, 2.0, 0.0)),
        ('"algo=loha"', ("LoHa", 8, 2.0, 0.0)),
        ('"algo=lokr", "conv_dim=4", "conv_alpha=1"', ("LoKr", 4, 1.0, 0.0)),
        ('"algo=lora", "preset=attn-mlp", "dropout=0.1"', ("LoRA", 0, 2.0, 0.1)),
        ('"algo=locon", "conv_dim=0", "train_norm=False"', ("LoRA", 0, 2.0, 0.0)),
        ('"algo=locon", "dora_wd=True"', ("DoRA", 8, 2.0, 0.0)),
    ],
)
def test_a_lycoris_has_convolutions_of_the_ranks_of_the_rest(arguments: str, fields: tuple[object, ...]) -> None:
    text = f"{LYCORIS}network_dim = 8\nnetwork_alpha = 2\nnetwork_args = [{arguments}]"
    request = asked(text)
    assert (request.lora_kind, request.conv_rank, request.conv_alpha, request.network_dropout) == fields
    assert left_out(text) == ()


@pytest.mark.parametrize("algo", ["oft", "ia3", "full", "boft", "diag-oft", "glora", "dylora"])
def test_an_algo_that_is_not_trained_here_is_refused(algo: str) -> None:
    problem = refused(f'{LYCORIS}network_args = ["algo={algo}"]')
    assert (problem.field, f"algo '{algo}' is not served" in str(problem)) == ("lora_kind", True)
    assert "lora, locon, loha, lokr" in problem.hint


@pytest.mark.parametrize("module", ["networks.dylora", "networks.oft", "networks.lora_fa", "networks.lora_flux"])
def test_a_network_module_of_another_kind_is_refused(module: str) -> None:
    problem = refused(LORA.replace("networks.lora", module))
    assert (problem.field, f"network_module '{module}' is not served" in str(problem)) == ("lora_kind", True)


def test_arguments_of_a_network_that_nothing_here_does_are_named() -> None:
    said = [
        "rank_dropout=0.1",
        "module_dropout=0.2",
        "loraplus_lr_ratio=16",
        "block_dims=2,4,4",
        "block_alphas=1,1,1",
        "conv_block_dims=2,2,2",
        "algo=loha",
    ]
    keys = sorted(part.partition("=")[0] for part in said)
    assert left_out(f"{LORA}network_args = {said}") == tuple(f"network_args: {key}" for key in keys)
    assert left_out(f'{LORA}network_args = ["rank_dropout=0", "module_dropout=None"]') == ()
    assert left_out(f'{LYCORIS}network_args = ["algo=lokr", "dora_wd=True", "preset=attn-only"]') == (
        "network_args: dora_wd",
        "network_args: preset",
    )


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ('"cosine_with_restarts"', ("cosine_with_restarts", 1, 1.0)),
        ('"cosine_with_restarts"\nlr_scheduler_num_cycles = 3', ("cosine_with_restarts", 3, 1.0)),
        ('"polynomial"', ("polynomial", 1, 1.0)),
        ('"polynomial"\nlr_scheduler_power = 2', ("polynomial", 1, 2.0)),
        ('"constant_with_warmup"', ("constant", 1, 1.0)),
    ],
)
def test_schedules_are_kohyas(text: str, schedule: tuple[str, int, float]) -> None:
    request = asked(f"{LORA}lr_scheduler = {text}")
    assert (request.schedule, request.schedule_cycles, request.schedule_power) == schedule
    assert left_out(f"{LORA}lr_scheduler = {text}") == ()


@pytest.mark.parametrize(
    ("text", "optimizer", "decay", "said"),
    [
        ('"AdamW8bit"', "AdamW8bit", 0.01, ()),
        ('"PagedAdamW8bit"\noptimizer_args = ["weight_decay=0.1"]', "AdamW8bit", 0.1, ()),
        ('"Lion"', "Lion", 0.0, ()),
        ('"Lion8bit"', "Lion", 0.0, ("optimizer_type = Lion8bit (Lion is taken)",)),
        ('"AdamW"\noptimizer_args = ["betas=0.9,0.99"]', "AdamW", 0.01, ("optimizer_args: betas",)),
        (
            '"Adafactor"\noptimizer_args = ["scale_parameter=False"]',
            "Adafactor",
            0.0,
            ("optimizer_args: relative_step = True (False is taken)",),
        ),
        (
            '"Adafactor"\noptimizer_args = ["scale_parameter=False", "relative_step=False", "warmup_init=False"]',
            "Adafactor",
            0.0,
            (),
        ),
        ('"Prodigy"\noptimizer_args = ["use_bias_correction=True", "decouple=True"]', "Prodigy", 0.0, ()),
        ('"Prodigy"', "Prodigy", 0.0, ("optimizer_args: use_bias_correction = False (True is taken)",)),
    ],
)
def test_an_optimiser_that_is_not_the_same_is_named(
    text: str, optimizer: str, decay: float, said: tuple[str, ...]
) -> None:
    told = imported(f"{LORA}optimizer_type = {text}")
    assert (told.fields["optimizer"], told.fields["weight_decay"], told.left_out) == (optimizer, decay, said)


def test_a_warm_up_may_be_a_share_of_the_steps() -> None:
    assert asked(f"{LORA}max_train_steps = 500\nlr_warmup_steps = 50").warm_up == 50
    assert asked(f"{LORA}max_train_epochs = 5\nlr_warmup_steps = 0.1").warm_up == 0.1


@pytest.mark.parametrize(
    ("text", "rate", "share"),
    [
        ("learning_rate = 1e-4", "0.0001", 1.0),
        ("learning_rate = 1e-4\nunet_lr = 2e-4", "0.0002", 0.5),
        ("learning_rate = 1e-4\nunet_lr = 2e-4\ntext_encoder_lr = 5e-5", "0.0002", 0.25),
        ("unet_lr = 2e-4", "0.0002", 0.01),
        ("unet_lr = 1e-4\ntext_encoder_lr = [3e-5, 3e-5]", "0.0001", 0.3),
        ("unet_lr = 1e-4\ntext_encoder_lr = 0", "0.0001", None),
        ("learning_rate = 1e-4\nnetwork_train_unet_only = true", "0.0001", None),
        ("learning_rate = 0", "0", None),
    ],
)
def test_a_loras_text_encoder_has_the_rate_that_kohya_gives_it(text: str, rate: str, share: float | None) -> None:
    told = imported(LORA + text)
    assert (told.fields["learning_rate"], told.fields["text_encoder_rate"], told.left_out) == (rate, share, ())


def test_two_text_encoders_have_one_rate_here() -> None:
    told = imported(f"{LORA}unet_lr = 1e-4\ntext_encoder_lr = [5e-5, 1e-5]")
    assert told.fields["text_encoder_rate"] == 0.5
    assert told.left_out == ("text_encoder_lr = 1e-05 for the second text encoder (5e-05 is taken)",)


@pytest.mark.parametrize("text", ["unet_lr = 0\nlearning_rate = 1e-4", "network_train_text_encoder_only = true"])
def test_a_text_encoder_alone_is_refused(text: str) -> None:
    problem = refused(LORA + text)
    assert (problem.field, "The text encoder alone" in str(problem)) == ("learning_rate", True)


@pytest.mark.parametrize(
    ("text", "share", "said"),
    [
        ("", 1.0, ()),
        ("learning_rate_te = 5e-7", 0.5, ()),
        ("stop_text_encoder_training = -1", None, ()),
        ("stop_text_encoder_training = 0", None, ()),
        ("stop_text_encoder_training = 5000", 1.0, ()),
        ("stop_text_encoder_training = 300", 1.0, ("stop_text_encoder_training = 300 (it is trained to the end)",)),
        ("train_text_encoder = false", None, ()),
        ("learning_rate_te1 = 5e-7\nlearning_rate_te2 = 5e-7", None, ()),
        ("train_text_encoder = true\nlearning_rate_te1 = 5e-7\nlearning_rate_te2 = 5e-7", 0.5, ()),
        (
            "train_text_encoder = true\nlearning_rate_te1 = 5e-7",
            0.5,
            ("learning_rate_te2 = 1e-06 for the second text encoder (5e-07 is taken)",),
        ),
        ("cache_text_encoder_outputs = true", None, ()),
    ],
)
def test_a_dreambooth_trains_the_text_encoder_as_its_script_does(
    text: str, share: float | None, said: tuple[str, ...]
) -> None:
    told = imported(f"{DREAMBOOTH}learning_rate = 1e-6\n{text}")
    assert (told.fields["method"], told.fields["text_encoder_rate"], told.left_out) == ("dreambooth", share, said)


def test_class_tokens_are_the_caption_of_pictures_without_one(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "dogs", 2)
    written = {path.with_suffix(".png").name: path.read_text() for path in (tmp_path / "dogs").glob("*.txt")}
    bare = sorted(written)[-1]
    (tmp_path / "dogs" / bare).with_suffix(".txt").unlink()
    text = 'output_name = "dog"\nnetwork_dim = 4\nresolution = 64\n[[datasets]]\n[[datasets.subsets]]\n'
    told = imported(f'{text}image_dir = "dogs"\nclass_tokens = "sks girl"', tmp_path)
    assert told.left_out == ()
    request = parse_training(told.fields)
    captions = {one.sample.path.name: caption_of(one.sample, request, False) for one in read_material(request).pictures}
    assert captions == {**written, bare: "sks girl"}


def test_an_embeddings_word_is_its_files_name() -> None:
    told = imported(f'{EMBEDDING}class_tokens = "dog animal"\nsave_model_as = "safetensors"')
    assert (told.fields["method"], told.fields["fallback_caption"]) == ("textual_inversion", "dog animal")
    assert (told.fields["save_format"], told.left_out) == ("safetensors", ())
    assert asked(EMBEDDING).save_format == "auto"
    assert left_out(EMBEDDING.replace('token_string = "dog"', 'token_string = "sks"')) == (
        "token_string = sks (an embedding is called by its file's name)",
    )


def test_sample_prompts_are_read_from_a_file_beside_the_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "prompts.txt").write_text("a dog --s 5\n", encoding="utf-8")
    text = f'{LORA}sample_prompts = "prompts.txt"'
    monkeypatch.chdir(tmp_path / "runs")
    assert imported(text, tmp_path / "runs").fields["sample_prompts"] == "a dog --s 5\n"
    for beside in (tmp_path, None):
        assert refused(text, beside).field == "sample_prompts"
    whole = f'{LORA}sample_prompts = "{(tmp_path / "runs" / "prompts.txt").as_posix()}"'
    assert imported(whole).fields["sample_prompts"] == "a dog --s 5\n"
    assert imported(f'{LORA}sample_prompts = "a dog"').fields["sample_prompts"] == "a dog"
    (tmp_path / "prompts.json").write_text("[]")
    (tmp_path / "prompts.txt").write_bytes(b"\xff")
    for name in ("prompts.json", "prompts.txt"):
        assert refused(f'{LORA}sample_prompts = "{name}"', tmp_path).field == "sample_prompts"


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ('learning_rate = "x"', "learning_rate", "learning_rate 'x' is no number"),
        ('unet_lr = "x"', "unet_lr", "unet_lr 'x' is no number"),
        ('text_encoder_lr = ["x"]', "text_encoder_lr", "text_encoder_lr 'x' is no number"),
        ("learning_rate = nan", "learning_rate", "learning_rate 'nan' is no number"),
        ("max_train_epochs = inf", "max_train_epochs", "max_train_epochs 'inf' is no number"),
        ("num_repeats = 1.5", "num_repeats", "num_repeats '1.5' is no whole number"),
        ('network_dim = "x"', "network_dim", "network_dim 'x' is no number"),
        ('network_args = ["conv_dim=x"]', "network_args", "conv_dim 'x' is no number"),
        ('network_args = ["conv_dim"]', "network_args", "'conv_dim' in network_args is no 'key=value'"),
        ('optimizer_args = ["weight_decay=x"]', "optimizer_args", "weight_decay 'x' is no number"),
        ("optimizer_type = 3", "optimizer_type", "optimizer_type '3' is not served"),
        ("resolution = [[1], 2]", "resolution", "is no size"),
    ],
)
def test_a_value_that_is_none_is_refused_at_its_key(text: str, field: str, words: str) -> None:
    problem = refused(LORA + text)
    assert (problem.field, words in str(problem)) == (field, True), problem


def test_one_mask_is_enough() -> None:
    wanted: dict[str, Any] = {"masked_loss = true\nalpha_mask = false": True, "alpha_mask = true": True, "": False}
    for text, masked in wanted.items():
        assert asked(LORA + text).masked_loss is masked
