"""The flags of a start: what is served, what is refused and why, what A1111 itself ignores; LaunchOptions holds them.

A served flag is a field of LaunchOptions that carries a Flag; serving one more means moving its line up there.
Knows nothing of argument lists: the command line reads those by this table.
"""

from __future__ import annotations

import types
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

Status = Literal["served", "always so", "ignored", "not yet", "never"]
Places = tuple[Path, ...]
Kind = Literal["switch", "value", "values", "repeated"]


class Flag(NamedTuple):
    """How a served flag shows itself. value: what stands for its value in the help, "" for a switch."""

    help: str
    value: str = ""


class FlagRow(NamedTuple):
    """One line of the whole table.

    words: what a served flag does, what is so anyway, or what to do instead of a refused one.
    status 'always so': accepted, since what it asks for is how this program works. 'ignored': accepted without effect,
    as in A1111. 'not yet' and 'never': refused with the words.
    """

    name: str
    kind: Kind
    status: Status
    words: str
    default: Any = None
    choices: tuple[str, ...] = ()
    value: str = ""


class LaunchOptions(BaseModel):
    """What a start was told. Names are the flags' with underscores; None stands for 'not said'.

    Folders are absolute. Passwords are SecretStr, so that neither a log nor a traceback shows them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    port: Annotated[int | None, Field(ge=1, le=65535), Flag("port of the server [7860; with --nowebui 7861]", "N")] = (
        None
    )
    listen: Annotated[bool, Flag("answer other machines of the network too, not this one alone")] = False
    server_name: Annotated[str | None, Flag("address or host name to listen at", "HOST")] = None
    share: Annotated[bool, Flag("a public link through Gradio's tunnel")] = False
    api: Annotated[bool, Flag("serve A1111's HTTP interface under /sdapi/v1")] = False
    nowebui: Annotated[bool, Flag("serve the HTTP interfaces only, without the page")] = False
    api_auth: Annotated[SecretStr | None, Flag("logins for /sdapi/v1, separated by commas", "USER:PASSWORD[,...]")] = (
        None
    )
    gradio_auth: Annotated[
        SecretStr | None, Flag("logins for the page, separated by commas", "USER:PASSWORD[,...]")
    ] = None
    gradio_auth_path: Annotated[Path | None, Flag("file of logins for the page, one a line or by commas", "FILE")] = (
        None
    )
    cors_allow_origins: Annotated[
        tuple[str, ...], Flag("web pages that may call the HTTP interface, separated by commas", "ORIGIN[,...]")
    ] = ()
    theme: Annotated[
        Literal["light", "dark"] | None, Flag("colours of the page; as the browser wishes if not said")
    ] = None
    enable_insecure_extension_access: Annotated[
        bool, Flag("let the administrator install extensions although other machines reach the server")
    ] = False
    autolaunch: Annotated[bool, Flag("open the browser also where --listen, --share or --nowebui would not")] = False
    no_browser: Annotated[bool, Flag("do not open the browser")] = False

    data_dir: Annotated[Path | None, Flag("folder of everything that is yours [the program's folder]", "FOLDER")] = None
    models_dir: Annotated[Path | None, Flag("folder of the model folders [models in the data folder]", "FOLDER")] = None
    ckpt_dir: Annotated[Places, Flag("one more folder of checkpoints; may be given again", "FOLDER")] = ()
    lora_dir: Annotated[Places, Flag("folder of LoRA files; may be given again [models/Lora]", "FOLDER")] = ()
    vae_dir: Annotated[Places, Flag("one more folder of VAE files; may be given again", "FOLDER")] = ()
    embeddings_dir: Annotated[Places, Flag("folder of embeddings; may be given again [embeddings]", "FOLDER")] = ()
    hypernetwork_dir: Annotated[
        Places, Flag("folder of hypernetworks; may be given again [models/hypernetworks]", "FOLDER")
    ] = ()
    gfpgan_models_path: Annotated[
        Path | None, Flag("folder of GFPGAN's file and the face detector's [models/GFPGAN]", "FOLDER")
    ] = None
    styles_file: Annotated[
        Places,
        Flag("table of styles; may be given again, with * and ? in its name [styles.csv]", "FILE"),
    ] = ()

    device: Annotated[str | None, Flag("device to draw on, as torch names it: cuda, cuda:1, mps, cpu", "NAME")] = None
    device_id: Annotated[int | None, Field(ge=0), Flag("number of the CUDA device to draw on", "N")] = None
    use_cpu: Annotated[tuple[str, ...], Flag("all: draw on the CPU", "PART")] = ()
    precision: Annotated[
        Literal["autocast", "full", "half", "fp32", "bf16", "fp16"],
        Flag("numbers of the model; autocast: what suits the device, full: fp32, half: fp16"),
    ] = "autocast"
    no_half: Annotated[bool, Flag("the model in fp32")] = False
    no_half_vae: Annotated[bool, Flag("the VAE in fp32")] = False
    medvram: Annotated[bool, Flag("on the graphics card one part of a model at a time; slower")] = False
    medvram_sdxl: Annotated[bool, Flag("the same for SDXL only")] = False
    lowvram: Annotated[bool, Flag("on the graphics card one block of the U-Net at a time; much slower")] = False
    lowram: Annotated[bool, Flag("models go from the graphics card to the disk, not to the machine's memory")] = False
    unet_in_fp8_e4m3fn: Annotated[bool, Flag("the U-Net's weights stored in 8 bits, computed with in full")] = False
    unet_in_fp8_e5m2: Annotated[bool, Flag("the same in a format that reaches further and is coarser")] = False
    xformers: Annotated[bool, Flag("attention by xformers, where its kernel works on the device")] = False

    no_hashing: Annotated[bool, Flag("do not compute sha256 of checkpoints")] = False
    loglevel: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] | None, Flag("how much is logged [INFO]")
    ] = None
    skip_install: Annotated[bool, Flag("install nothing, whatever is missing")] = False
    reinstall_torch: Annotated[bool, Flag("install torch anew, by TORCH_INDEX_URL or TORCH_COMMAND if set")] = False

    @field_validator("loglevel", mode="before")
    @classmethod
    def _upper_case(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level

    @field_validator("cors_allow_origins", mode="before")
    @classmethod
    def _by_commas(cls, text: object) -> object:
        return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text

    @field_validator("use_cpu")
    @classmethod
    def _whole_models_only(cls, parts: tuple[str, ...]) -> tuple[str, ...]:
        parts = tuple(part.lower() for part in parts)
        for part in parts:
            if part not in ("all", "sd"):
                raise ValueError(f"{part!r} alone cannot be moved to the CPU yet; 'all' moves everything")
        return parts

    @field_validator("gradio_auth", "api_auth")
    @classmethod
    def _readable_logins(cls, text: SecretStr | None) -> SecretStr | None:
        if text is not None:
            read_logins(text.get_secret_value())
        return text

    @field_validator("data_dir", "models_dir", "gfpgan_models_path", "gradio_auth_path")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    @field_validator("ckpt_dir", "lora_dir", "vae_dir", "embeddings_dir", "hypernetwork_dir", "styles_file")
    @classmethod
    def _all_absolute(cls, paths: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(path.expanduser().absolute() for path in paths)

    @property
    def thrift(self) -> Literal["", "medvram", "medvram-sdxl", "lowvram"]:
        """How sparingly the graphics card is used; the most sparing flag counts, and none leaves it to the card."""
        if self.lowvram:
            return "lowvram"
        if self.medvram:
            return "medvram"
        return "medvram-sdxl" if self.medvram_sdxl else ""

    @property
    def unet_in_fp8(self) -> Literal["", "e4m3fn", "e5m2"]:
        """The 8-bit format that the U-Net's weights are stored in, "" for none."""
        if self.unet_in_fp8_e4m3fn:
            return "e4m3fn"
        return "e5m2" if self.unet_in_fp8_e5m2 else ""

    @property
    def host(self) -> str:
        """Address to bind."""
        return self.server_name or ("0.0.0.0" if self.listen else "127.0.0.1")

    @property
    def wanted_port(self) -> int:
        """The port asked for, or the usual one, which may be moved on from when it is taken."""
        return self.port or (7861 if self.nowebui else 7860)

    @property
    def opens_browser(self) -> bool:
        """Whether a browser is to be opened: by default where the page is for the person at this machine."""
        if self.no_browser:
            return False
        return self.autolaunch or not (self.listen or self.server_name or self.share or self.nowebui)

    @property
    def wanted_precision(self) -> Literal["auto", "fp32", "bf16", "fp16"]:
        """The precision flags in the words of a request; auto leaves it to the device and the model."""
        if self.no_half or self.precision in ("full", "fp32"):
            return "fp32"
        if self.precision == "bf16":
            return "bf16"
        return "fp16" if self.precision in ("half", "fp16") else "auto"

    @property
    def wanted_device(self) -> str | None:
        """The device flags as one of torch's names; None leaves it to the machine."""
        if self.use_cpu:
            return "cpu"
        return self.device or (None if self.device_id is None else f"cuda:{self.device_id}")


class Login(NamedTuple):
    """One user of the page or the interface."""

    user: str
    password: str


def read_logins(text: str) -> tuple[Login, ...]:
    """`user:password` pairs separated by commas or lines, as A1111 writes them.

    Raises ValueError that says which pair is wrong by its place, never by its text.
    """
    logins = []
    pairs = [pair.strip() for line in text.splitlines() for pair in line.split(",")]
    for number, pair in enumerate(filter(None, pairs), start=1):
        user, colon, password = pair.partition(":")
        if not (user and colon and password):
            raise ValueError(f"login {number} is not of the form user:password")
        logins.append(Login(user, password))
    if not logins:
        # Taken for "no login wanted", an empty text would open the server.
        raise ValueError("it names no login")
    return tuple(logins)


class _Line(NamedTuple):
    """A flag that is not served: several names may share its words."""

    names: str
    words: str
    kind: Kind = "switch"


_ALWAYS_SO = (
    _Line("--opt-sdp-attention --opt-sdp-no-mem-attention", "attention is torch's scaled dot product"),
    _Line("--no-download-sd-model", "no model is ever downloaded unasked"),
    _Line("--skip-torch-cuda-test --skip-version-check --skip-python-version-check", "a start makes no such test"),
    _Line("--skip-prepare-environment", "nothing is installed when everything is there"),
    _Line("--skip-load-model-at-start", "a model is loaded when a picture wants it"),
    _Line("--no-progressbar-hiding", "the progress bar is never hidden"),
)

_IGNORED_AS_IN_A1111 = (
    _Line("--deepdanbooru --always-batch-cond-uncond --show-negative-prompt --gradio-queue --unload-gfpgan", ""),
    _Line("--add-stop-route --enable-console-prompts", ""),
    _Line("--max-batch-count --gradio-img2img-tool --gradio-inpaint-tool --ngrok-region", "", "value"),
)

_NEVER = (
    _Line(
        "--disable-safe-unpickle",
        "A checkpoint that carries code can take over the machine that opens it, so none is ever run; "
        "pickled files are read without their code. Leave the flag out",
    ),
    _Line("--allow-code", "Code sent through the page is never run. Write an extension instead"),
)

_MEMORY = "leave it out: memory is given by what the card has"
_ATTENTION = "leave it out: attention is torch's scaled dot product, which needs no flag"
_FOLDER = "put or link the files into the folder of that name below --models-dir"
_SETTINGS = "leave it out: settings are kept in the data folder (--data-dir)"

_NOT_YET = (
    _Line("--force-enable-xformers --xformers-flash-attention", _ATTENTION),
    _Line("--opt-sub-quad-attention --opt-split-attention --opt-split-attention-v1", _ATTENTION),
    _Line("--opt-split-attention-invokeai --disable-opt-split-attention --opt-channelslast", _ATTENTION),
    _Line("--sub-quad-q-chunk-size --sub-quad-kv-chunk-size --sub-quad-chunk-threshold", _ATTENTION, "value"),
    _Line("--upcast-sampling", "use --no-half, or --precision bf16 where the card knows it"),
    _Line("--disable-nan-check", "leave it out: a picture with NaN is tried again in a higher precision"),
    _Line("--ckpt", "choose the checkpoint on the page, or in a request", "value"),
    _Line("--vae-path", "choose the VAE on the page, or in a request", "value"),
    _Line("--config", "leave it out: a checkpoint's architecture is read from the file itself", "value"),
    _Line("--lyco-dir-backcompat", "use --lora-dir, or models/LyCORIS", "value"),
    _Line("--esrgan-models-path --realesrgan-models-path --swinir-models-path --scunet-models-path", _FOLDER, "value"),
    _Line("--ldsr-models-path --dat-models-path --codeformer-models-path", _FOLDER, "value"),
    _Line("--clip-models-path --bsrgan-models-path", _FOLDER, "value"),
    _Line("--textual-inversion-templates-dir --localizations-dir", "leave it out", "value"),
    _Line("--ui-config-file --ui-settings-file", _SETTINGS, "value"),
    _Line("--hide-ui-dir-config --freeze-settings", _SETTINGS),
    _Line("--freeze-settings-in-sections --freeze-specific-settings", _SETTINGS, "value"),
    _Line("--subpath", "serve it at the root of a host name of its own", "value"),
    _Line("--ngrok --ngrok-options", "use --share, or start the tunnel yourself and point it at the port", "value"),
    _Line("--tls-keyfile --tls-certfile", "put a web server that speaks TLS in front", "value"),
    _Line("--disable-tls-verify", "put a web server that speaks TLS in front"),
    _Line("--cors-allow-origins-regex", "name the origins with --cors-allow-origins", "value"),
    _Line("--disable-all-extensions --disable-extra-extensions --update-all-extensions", "leave it out"),
    _Line("--api-log", "use --loglevel DEBUG"),
    _Line("--api-server-stop", "stop the process where it was started"),
    _Line("--use-textbox-seed --ui-debug-mode --test-server --no-gradio-queue", "leave it out"),
    _Line("--log-startup", "use --loglevel DEBUG"),
    _Line("--dump-sysinfo", "use `python3 webui.py doctor`"),
    _Line("--reinstall-xformers --update-check --no-prompt-history", "leave it out"),
    _Line("--unix-filenames-sanitization --disable-console-progressbars", "leave it out"),
    _Line("--filenames-max-length --timeout-keep-alive", "leave it out", "value"),
    _Line("--gradio-allowed-path", "leave it out: pictures are served from the data folder", "value"),
    _Line("--cuda-malloc --cuda-stream --pin-shared-memory --always-gpu --always-high-vram", _MEMORY),
    _Line("--always-normal-vram --always-low-vram --always-no-vram --always-cpu", _MEMORY),
    _Line("--attention-split --attention-quad --attention-pytorch", _ATTENTION),
    _Line("--text-encoder-dir --forge-ref-a1111-home", "use --models-dir and the folder flags", "value"),
)


def _served() -> list[FlagRow]:
    rows = []
    for name, info in LaunchOptions.model_fields.items():
        flag = next(extra for extra in info.metadata if isinstance(extra, Flag))
        kind: Kind = "value"
        if info.annotation is bool:
            kind = "switch"
        elif name == "use_cpu":
            kind = "values"
        elif info.annotation == Places:
            kind = "repeated"
        rows.append(
            FlagRow(
                f"--{name.replace('_', '-')}",
                kind,
                "served",
                flag.help,
                info.default,
                _choices(info.annotation),
                flag.value,
            )
        )
    return rows


def _choices(annotation: Any) -> tuple[str, ...]:
    """The words of a Literal, also of one that may be None."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(word for part in get_args(annotation) for word in _choices(part))
    return ()


def _lines(status: Status, lines: tuple[_Line, ...]) -> list[FlagRow]:
    return [FlagRow(name, line.kind, status, line.words) for line in lines for name in line.names.split()]


FLAGS: tuple[FlagRow, ...] = (
    *_served(),
    *_lines("always so", _ALWAYS_SO),
    *_lines("ignored", _IGNORED_AS_IN_A1111),
    *_lines("not yet", _NOT_YET),
    *_lines("never", _NEVER),
)
