"""Which addresses are of a private network, however they are written."""

from __future__ import annotations

import pytest

from app.files.addresses import Reach, is_private, names_private_host
from app.schema.errors import DownloadFailed


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fc00::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "not an address",
    ],
)
def test_private_addresses(address: str) -> None:
    assert is_private(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "198.18.0.7", "64:ff9b::5db8:d822"])
def test_public_addresses_and_the_stand_ins_of_proxies(address: str) -> None:
    assert not is_private(address)


@pytest.mark.parametrize(
    "host", ["localhost", "nas", "nas.local", "box.home.arpa", "127.1", "0x7f.0.0.1", "2130706433"]
)
def test_private_names(host: str) -> None:
    assert names_private_host(host)


@pytest.mark.parametrize("host", ["huggingface.co", "a.b.example.org", "8.8.8.8"])
def test_public_names(host: str) -> None:
    assert not names_private_host(host)


def test_of_several_addresses_only_public_ones_are_used() -> None:
    reach = Reach(False, lambda host, port: ("10.0.0.1", "93.184.216.34"))
    assert reach.addresses("https://example.org/a") == ("93.184.216.34",)


def test_a_proxy_looks_names_up_itself_but_private_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    reach = Reach(False, lambda host, port: pytest.fail("looked up"))
    assert reach.addresses("https://example.org/a") == ()
    with pytest.raises(DownloadFailed):
        reach.addresses("https://192.168.0.1/a")


def test_a_private_server_that_the_user_named_is_reached() -> None:
    assert Reach(True).addresses("http://nas.local/a") == ()


@pytest.mark.parametrize("private", [True, False])
def test_the_secrets_of_a_cloud_machine_are_never_asked_for(private: bool) -> None:
    with pytest.raises(DownloadFailed):
        Reach(private).addresses("http://169.254.169.254/latest/meta-data")
