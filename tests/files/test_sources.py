"""What typed addresses mean, and names that servers give."""

from __future__ import annotations

import pytest

from app.files.contents import Content
from app.files.download_names import disposition_name, name_in_repository, safe_name
from app.files.sources import (
    CivitaiModel,
    CivitaiVersion,
    Hosts,
    HubFiles,
    Meaning,
    PlainAddress,
    hub_address,
    source_of,
)
from app.schema.errors import InvalidField


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("ann/style", HubFiles("ann/style")),
        (" ann/style\n", HubFiles("ann/style")),
        ("ann/style@v2", HubFiles("ann/style", "v2")),
        ("ann/style/a b.safetensors", HubFiles("ann/style", "main", "a b.safetensors")),
        ("ann/style/sub/a.ckpt", HubFiles("ann/style", "main", "sub/a.ckpt")),
        ("https://huggingface.co/ann/style", HubFiles("ann/style")),
        ("https://huggingface.co/ann/style/tree/dev", HubFiles("ann/style", "dev")),
        ("https://huggingface.co/ann/style/blob/main/a.pt", HubFiles("ann/style", "main", "a.pt")),
        (
            "https://hf.co/ann/style/resolve/refs%2Fpr%2F1/x/a%20b.pt?download=true",
            HubFiles("ann/style", "refs/pr/1", "x/a b.pt"),
        ),
        ("https://mirror.example/hub/ann/style/resolve/main/a.pt", HubFiles("ann/style", "main", "a.pt")),
        ("https://civitai.com/models/12", CivitaiModel("12")),
        ("https://civitai.com/models/12/some-name?modelVersionId=34", CivitaiVersion("34")),
        ("https://civitai.green/models/12?modelVersionId=34", CivitaiVersion("34")),
        ("https://civitai.com/api/download/models/34", CivitaiVersion("34")),
        ("https://civitai.com/api/download/models/34?type=Model&fp=fp16", CivitaiVersion("34", "type=Model&fp=fp16")),
        ("https://example.org/a.safetensors#part", PlainAddress("https://example.org/a.safetensors")),
        ("https://huggingface.co/datasets/a/b", PlainAddress("https://huggingface.co/datasets/a/b")),
        ("https://notcivitai.com/models/12", PlainAddress("https://notcivitai.com/models/12")),
    ],
)
def test_an_address_means(text: str, meaning: Meaning) -> None:
    assert source_of(text, Hosts(hub="https://mirror.example/hub")).meaning == meaning


@pytest.mark.parametrize(
    "text",
    [
        "",
        "style",
        "ann/style/readme.txt",
        "ann/../a.ckpt",
        "ann/style/../../a.ckpt",
        "file:///etc/passwd",
        "ftp://example.org/a",
        "http://",
        "http://[broken/a",
        "https://example.org:port/a",
        "a\x00/b",
        "x" * 5000,
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidField):
        source_of(text)


def test_secrets_are_taken_out_of_an_address() -> None:
    source = source_of("https://civitai.com/api/download/models/34?token=abc&fp=fp16")
    assert (source.token, source.text) == ("abc", "https://civitai.com/api/download/models/34?fp=fp16")
    source = source_of("https://ann:p%40ss@example.org/a.pt")
    assert (source.login, source.text) == ("ann:p@ss", "https://example.org/a.pt")


def test_a_file_of_the_hub_is_asked_for_at_the_mirror() -> None:
    address = hub_address(HubFiles("ann/style", "refs/pr/1", "x/ä b.pt"), Hosts(hub="https://mirror.example"))
    assert address == "https://mirror.example/ann/style/resolve/refs%2Fpr%2F1/x/%C3%A4%20b.pt"


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("a.safetensors", "a.safetensors"),
        ("../../etc/cron.d/a.safetensors", "a.safetensors"),
        ("..\\..\\a.safetensors", "a.safetensors"),
        ("/root/.bashrc", "bashrc.safetensors"),
        ("....", "download.safetensors"),
        ("", "download.safetensors"),
        ("con.safetensors", "_con.safetensors"),
        ("a\x00\r\nb?.ckpt", "a___b_.safetensors"),
        ("evil\u202esrotcenapes.exe", "evilsrotcenapes.exe.safetensors"),
        ("水墨 画 🎨.safetensors", "水墨 画 🎨.safetensors"),
        ("a.safetensors.exe", "a.safetensors.exe.safetensors"),
    ],
)
def test_names_are_made_safe(said: str, name: str) -> None:
    assert safe_name(said, Content.SAFETENSORS) == name


def test_the_ending_follows_the_content_and_long_names_keep_it() -> None:
    assert safe_name("a.safetensors", Content.PICKLE) == "a.ckpt"
    assert safe_name("a.pt", Content.ZIP) == "a.pt"
    long = safe_name("画" * 300 + ".safetensors", Content.SAFETENSORS)
    assert len(long.encode()) <= 220
    assert long.endswith("画.safetensors")


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="a b.pt"', "a b.pt"),
        ("attachment; filename*=UTF-8''%E6%B0%B4.pt", "水.pt"),
        ("attachment", ""),
        ("", ""),
    ],
)
def test_the_name_in_a_content_disposition(header: str, name: str) -> None:
    assert disposition_name(header) == name


def test_names_that_say_nothing_become_the_repository_s() -> None:
    assert name_in_repository("ann/style", "sub/pytorch_lora_weights.safetensors") == "style.safetensors"
    assert name_in_repository("ann/style", "sub/ink.safetensors") == "ink.safetensors"
