"""Downloads arrive whole and where they belong, whatever the server does; nothing else appears in the folders."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from app.files import CHECKPOINT, EMBEDDING, LORA, Download, Downloads, Folders, ModelLibrary
from app.files.addresses import Reach
from app.files.download_records import DownloadRecords
from app.files.patience import Patience
from app.files.sources import Hosts
from app.schema.errors import DownloadFailed, DownloadNotFound, InvalidField
from tests.files.file_server import FileServer, Route, serving
from tests.files.making import lora, write_safetensors

QUICK = Patience(connect=2, answer=5, silence=2, window=5, tries=3, pause=0.001)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as found:
        yield found


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    folders = Folders.of(data_dir=tmp_path / "data", program_dir=tmp_path / "program")
    folders.create()
    return folders


Open = Callable[..., Downloads]


@pytest.fixture
def opened(folders: Folders, server: FileServer) -> Iterator[Open]:
    """Opens services, as processes after one another would."""
    library = ModelLibrary(folders)
    services: list[Downloads] = []

    def open_(**options: object) -> Downloads:
        environ = options.pop("environ", {})
        hosts = Hosts(hub=f"{server.address}/hub", civitai=server.address)
        values = {"environ": environ, "hosts": hosts, "patience": QUICK, **options}
        services.append(Downloads(folders, library, **values))  # type: ignore[arg-type]
        return services[-1]

    yield open_
    for service in services:
        service.close()
    library.close()


@pytest.fixture
def lora_file(tmp_path: Path) -> bytes:
    return write_safetensors(tmp_path / "made.safetensors", lora(768)).read_bytes()


def finished(downloads: Downloads, download: Download) -> Download:
    while not (now := downloads.get(download.id)).over:
        downloads.wait(download.id, 5)
    return now


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def files_in(folders: Folders) -> list[str]:
    """All files below the model folders, quarantine included."""
    return sorted(path.relative_to(folders.models).as_posix() for path in folders.models.rglob("*") if path.is_file())


def test_a_file_goes_to_the_folder_that_its_content_asks_for(
    opened: Open, server: FileServer, folders: Folders, lora_file: bytes
) -> None:
    server.routes["/some/style.safetensors"] = Route(lora_file)
    downloads = opened()
    found = finished(downloads, downloads.start(f"{server.address}/some/style.safetensors"))
    assert (found.state, found.kind, found.received, found.sha256) == ("done", LORA, len(lora_file), sha256(lora_file))
    assert files_in(folders) == ["Lora/style.safetensors"]
    assert Path(found.path).read_bytes() == lora_file


def test_the_library_lists_it_with_its_hash(opened: Open, server: FileServer, lora_file: bytes) -> None:
    server.routes["/style.safetensors"] = Route(lora_file)
    downloads = opened()
    finished(downloads, downloads.start(f"{server.address}/style.safetensors"))
    listed = downloads._library.list(LORA)
    assert [(file.name, file.sha256) for file in listed] == [("style.safetensors", sha256(lora_file))]
    weights = lora_file[8 + int.from_bytes(lora_file[:8], "little") :]
    assert listed[0].title == f"style.safetensors [{sha256(weights)[:12]}]"


def test_a_connection_that_breaks_off_is_taken_up_where_it_ended(
    opened: Open, server: FileServer, lora_file: bytes
) -> None:
    server.routes["/a.safetensors"] = Route(lora_file, headers={"ETag": '"one"'}, breaks=[1000, 500])
    downloads = opened()
    found = finished(downloads, downloads.start(f"{server.address}/a.safetensors"))
    assert (found.state, found.sha256) == ("done", sha256(lora_file))
    ranges = [(headers.get("range"), headers.get("if-range")) for _, headers in server.asked]
    assert ranges == [(None, None), ("bytes=1000-", '"one"'), ("bytes=1500-", '"one"')]


def test_a_server_that_ignores_ranges_sends_it_again_from_the_start(
    opened: Open, server: FileServer, lora_file: bytes
) -> None:
    server.routes["/a.safetensors"] = Route(lora_file, headers={"ETag": '"one"'}, breaks=[1000], ranges=False)
    downloads = opened()
    found = finished(downloads, downloads.start(f"{server.address}/a.safetensors"))
    assert (found.state, found.sha256) == ("done", sha256(lora_file))


def test_a_file_that_changed_meanwhile_is_not_mixed_with_what_came_before(
    opened: Open, server: FileServer, lora_file: bytes
) -> None:
    route = server.routes["/a.safetensors"] = Route(b"\1" * len(lora_file), headers={"ETag": '"old"'}, breaks=[9000])
    first = opened()
    route.breaks = [9000, 0, 0]
    assert finished(first, first.start(f"{server.address}/a.safetensors")).received == 9000
    first.close()
    server.routes["/a.safetensors"] = Route(lora_file, headers={"ETag": '"new"'})
    second = opened()
    found = finished(second, second.start(f"{server.address}/a.safetensors"))
    assert (found.state, found.sha256) == ("done", sha256(lora_file))


def test_without_a_mark_of_the_file_s_state_nothing_is_joined(
    opened: Open, server: FileServer, lora_file: bytes
) -> None:
    server.routes["/a.safetensors"] = Route(lora_file, breaks=[1000])
    downloads = opened()
    found = finished(downloads, downloads.start(f"{server.address}/a.safetensors"))
    assert found.state == "done"
    assert [headers.get("range") for _, headers in server.asked] == [None, None]


def test_a_server_that_goes_on_at_the_wrong_place_is_asked_from_the_start(
    opened: Open, server: FileServer, lora_file: bytes
) -> None:
    """It answers every wish for a range with the range from 0 on."""
    server.routes["/a.safetensors"] = Route(lora_file, status=206, headers={"ETag": '"one"'}, breaks=[1000])
    downloads = opened()
    found = finished(downloads, downloads.start(f"{server.address}/a.safetensors"))
    assert (found.state, found.sha256) == ("done", sha256(lora_file))
    assert [headers.get("range") for _, headers in server.asked] == [None, "bytes=1000-", None]


@pytest.mark.parametrize("difference", [-1, 1, 10**12])
def test_another_size_than_the_hub_tells_is_refused_at_once(
    opened: Open, server: FileServer, lora_file: bytes, difference: int
) -> None:
    headers = {"Location": "/cdn", "X-Linked-Size": str(len(lora_file) + difference)}
    server.routes["/hub/ann/style/resolve/main/a.safetensors"] = Route(status=302, headers=headers)
    server.routes["/cdn"] = Route(lora_file)
    downloads = opened()
    found = finished(downloads, downloads.start("ann/style/a.safetensors"))
    assert (found.state, found.received, len(server.asked)) == ("failed", 0, 2)
    assert f"sends {len(lora_file):,}" in found.message


def test_fewer_bytes_than_promised_are_no_file(
    opened: Open, server: FileServer, folders: Folders, lora_file: bytes
) -> None:
    server.routes["/a.safetensors"] = Route(lora_file, length=len(lora_file) + 10, headers={"ETag": '"one"'})
    downloads = opened()
    found = finished(downloads, downloads.start(f"{server.address}/a.safetensors"))
    assert (found.state, found.code) == ("failed", "download_failed")
    assert [name for name in files_in(folders) if not name.startswith(".downloads/")] == []


def test_a_packed_answer_is_refused(opened: Open, server: FileServer, lora_file: bytes) -> None:
    server.routes["/a.safetensors"] = Route(gzip.compress(lora_file), headers={"Content-Encoding": "gzip"})
    downloads = opened()
    found = finished(downloads, downloads.start(f"{server.address}/a.safetensors"))
    assert "packed form" in found.message


def test_more_bytes_than_promised_are_not_read(opened: Open, server: FileServer, lora_file: bytes) -> None:
    promised = len(lora_file) - 16
    server.routes["/a.safetensors"] = Route(lora_file, length=promised)
    downloads = opened()
    found = finished(downloads, downloads.start(f"{server.address}/a.safetensors"))
    assert (found.state, found.code) == ("failed", "broken_model_file")
    assert "downloaded in part" in found.message


def test_a_stream_without_a_length_ends_at_the_limit(opened: Open, server: FileServer, folders: Folders) -> None:
    server.routes["/a.safetensors"] = Route(b"\x80\x02" + bytes(100_000), length=-1)
    downloads = opened(largest=50_000)
    found = finished(downloads, downloads.start(f"{server.address}/a.safetensors"))
    assert found.state == "failed"
    assert "50,000" in found.message
    assert sum((folders.models / name).stat().st_size for name in files_in(folders)) == 0


def test_a_wanted_checksum_is_held_against_what_came(
    opened: Open, server: FileServer, folders: Folders, lora_file: bytes
) -> None:
    server.routes["/a.safetensors"] = Route(lora_file)
    downloads = opened()
    found = finished(downloads, downloads.start(f"{server.address}/a.safetensors", sha256="0" * 64))
    assert (found.state, found.received) == ("failed", 0)
    assert sha256(lora_file) in found.message
    assert files_in(folders) == []


def test_a_killed_download_goes_on_with_the_same_command(
    opened: Open, server: FileServer, folders: Folders, lora_file: bytes
) -> None:
    server.routes["/a.safetensors"] = Route(lora_file, headers={"ETag": '"one"'})
    records = DownloadRecords(folders)
    killed = Download("0123456789abcdef", f"{server.address}/a.safetensors", state="running", received=5000)
    records.keep(replace(killed, total=len(lora_file), validator='"one"', name="a.safetensors"))
    records.part(killed.id).parent.mkdir(parents=True)
    # The last bytes were never flushed: they are not trusted.
    records.part(killed.id).write_bytes(lora_file[:5000] + b"garbage")
    downloads = opened()
    assert downloads.get(killed.id).state == "waiting"
    found = finished(downloads, downloads.start(f"{server.address}/a.safetensors"))
    assert (found.id, found.state, found.sha256) == (killed.id, "done", sha256(lora_file))
    assert server.asked[0][1]["range"] == "bytes=5000-"


def test_a_server_goes_on_with_what_was_left(opened: Open, server: FileServer, lora_file: bytes) -> None:
    gate = threading.Event()
    server.routes["/a.safetensors"] = Route(lora_file, headers={"ETag": '"one"'}, gate=gate)
    first = opened()
    download = first.start(f"{server.address}/a.safetensors")
    assert server.halfway.wait(5)
    while first.get(download.id).received == 0:
        first.wait(download.id, 1)
    first.close()
    assert first.get(download.id).state == "waiting"
    gate.set()
    second = opened()
    second.go_on()
    assert finished(second, download).state == "done"
    assert server.asked[1][1]["range"].startswith("bytes=")


def test_what_a_command_left_waits_for_the_command(opened: Open, server: FileServer, lora_file: bytes) -> None:
    server.routes["/a.safetensors"] = Route(lora_file, gate=threading.Event())
    first = opened()
    download = first.start(f"{server.address}/a.safetensors", lasting=False)
    assert server.halfway.wait(5)
    first.close()
    second = opened()
    second.go_on()
    assert (second.get(download.id).state, second._queue) == ("waiting", deque())


def test_two_processes_do_not_fetch_the_same_file(
    opened: Open, server: FileServer, folders: Folders, lora_file: bytes
) -> None:
    server.routes["/a.safetensors"] = Route(lora_file, gate=threading.Event())
    first, second = opened(), opened()
    download = first.start(f"{server.address}/a.safetensors")
    assert server.halfway.wait(5)
    with pytest.raises(DownloadFailed, match="Another Easel process"):
        second.start(f"{server.address}/a.safetensors")
    with pytest.raises(DownloadFailed, match="Another Easel process"):
        second.cancel(download.id)
    assert second.get(download.id).state == "running"


def test_a_new_file_under_the_hub_s_old_name_is_fetched_from_its_start(
    opened: Open, server: FileServer, lora_file: bytes
) -> None:
    other = lora_file[:-1] + b"x"
    linked = server.routes["/hub/ann/style/resolve/main/a.safetensors"] = Route(
        status=302, headers={"Location": "/cdn", "X-Linked-Etag": f'"{sha256(other)}"'}
    )
    server.routes["/cdn"] = Route(other, breaks=[5000, 0, 0])
    first = opened()
    assert finished(first, first.start("ann/style/a.safetensors")).received == 5000
    linked.headers["X-Linked-Etag"] = f'"{sha256(lora_file)}"'
    server.routes["/cdn"] = Route(lora_file)
    second = opened()
    found = finished(second, second.start("ann/style/a.safetensors"))
    assert (found.state, found.sha256) == ("done", sha256(lora_file))


def test_a_file_without_checksum_that_is_there_in_the_same_state_is_not_fetched_again(
    opened: Open, server: FileServer, lora_file: bytes
) -> None:
    server.routes["/a.safetensors"] = Route(lora_file, headers={"ETag": '"one"'})
    downloads = opened()
    finished(downloads, downloads.start(f"{server.address}/a.safetensors"))
    server.routes["/a.safetensors"].gate = threading.Event()
    again = finished(downloads, downloads.start(f"{server.address}/a.safetensors"))
    assert (again.state, again.message, again.name) == ("done", "It was there already.", "a.safetensors")


def test_cancelling_ends_a_silent_connection_at_once_and_leaves_nothing(
    opened: Open, server: FileServer, folders: Folders, lora_file: bytes
) -> None:
    server.routes["/a.safetensors"] = Route(lora_file, gate=threading.Event())
    downloads = opened()
    download = downloads.start(f"{server.address}/a.safetensors")
    assert server.halfway.wait(5)
    downloads.cancel(download.id)
    assert finished(downloads, download).state == "cancelled"
    assert files_in(folders) == []
    downloads.cancel(download.id)
    with pytest.raises(DownloadNotFound):
        downloads.get(download.id)


def test_another_file_of_the_same_name_stays(
    opened: Open, server: FileServer, folders: Folders, lora_file: bytes
) -> None:
    folders.loras[0].joinpath("style.safetensors").write_bytes(b"mine")
    server.routes["/style.safetensors"] = Route(lora_file)
    downloads = opened()
    found = finished(downloads, downloads.start(f"{server.address}/style.safetensors"))
    assert found.name == f"style-{sha256(lora_file)[:8]}.safetensors"
    assert folders.loras[0].joinpath("style.safetensors").read_bytes() == b"mine"


def test_the_same_file_is_there_once(opened: Open, server: FileServer, folders: Folders, lora_file: bytes) -> None:
    server.routes["/style.safetensors"] = Route(lora_file)
    downloads = opened()
    for _ in range(2):
        finished(downloads, downloads.start(f"{server.address}/style.safetensors"))
    assert files_in(folders) == ["Lora/style.safetensors"]


def test_what_the_library_has_is_not_fetched_again(opened: Open, server: FileServer, lora_file: bytes) -> None:
    server.routes["/style.safetensors"] = Route(lora_file)
    downloads = opened()
    address = f"{server.address}/style.safetensors"
    finished(downloads, downloads.start(address))
    server.routes["/style.safetensors"] = Route(lora_file, breaks=[0])
    again = finished(downloads, downloads.start(address, sha256=sha256(lora_file)))
    assert (again.state, again.message) == ("done", "It was there already.")


def test_a_web_page_is_no_model_and_says_so(opened: Open, server: FileServer, folders: Folders) -> None:
    page = b"<!DOCTYPE html><html>Log in" + b" " * 10_000
    server.routes["/a.safetensors"] = Route(page, headers={"Content-Type": "text/html", "ETag": '"page"'})
    downloads = opened()
    found = finished(downloads, downloads.start(f"{server.address}/a.safetensors"))
    assert found.state == "failed"
    assert "page" in found.message
    assert "token" in found.hint
    assert sum((folders.models / name).stat().st_size for name in files_in(folders)) == 0


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (401, {}, "asks for a login"),
        (403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted."}, "accept its licence"),
        (404, {}, "has no such file"),
        (429, {"Retry-After": "3600"}, "Try again in 60 minutes"),
        (503, {}, "has trouble"),
        (418, {}, "status 418"),
    ],
)
def test_refusals_say_what_to_do(
    opened: Open, server: FileServer, status: int, headers: dict[str, str], words: str
) -> None:
    server.routes["/a.safetensors"] = Route(b"no", status, headers)
    downloads = opened()
    found = finished(downloads, downloads.start(f"{server.address}/a.safetensors"))
    assert found.state == "failed"
    assert words in f"{found.message} {found.hint}"


def test_a_pickle_that_would_run_code_never_leaves_quarantine(
    opened: Open, server: FileServer, folders: Folders
) -> None:
    server.routes["/a.ckpt"] = Route(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")
    downloads = opened()
    found = finished(downloads, downloads.start(f"{server.address}/a.ckpt", kind=CHECKPOINT))
    assert (found.state, found.code) == ("failed", "unsafe_model_file")
    assert files_in(folders) == []


def test_content_that_is_not_known_waits_for_a_word_and_is_not_fetched_twice(
    opened: Open, server: FileServer, folders: Folders, tmp_path: Path
) -> None:
    strange = write_safetensors(tmp_path / "made.safetensors", {"strange.weight": (3, 3, 3), "more": (2,)})
    server.routes["/a.safetensors"] = Route(strange.read_bytes(), headers={"ETag": '"one"'})
    downloads = opened()
    found = finished(downloads, downloads.start(f"{server.address}/a.safetensors"))
    assert found.code == "unsupported_model"
    found = finished(downloads, downloads.start(f"{server.address}/a.safetensors", kind="upscaler"))
    assert (found.state, found.kind) == ("done", "upscaler")
    assert files_in(folders) == ["ESRGAN/a.safetensors"]
    assert len(server.asked) == 1


def test_the_user_s_kind_goes_before_the_content_s(
    opened: Open, server: FileServer, folders: Folders, lora_file: bytes
) -> None:
    server.routes["/a.safetensors"] = Route(lora_file)
    downloads = opened()
    found = finished(downloads, downloads.start(f"{server.address}/a.safetensors", kind=CHECKPOINT))
    assert (found.state, found.kind) == ("done", CHECKPOINT)
    assert found.message == "It is a LoRA, not a checkpoint: it belongs in models/Lora."


def test_a_redirect_is_followed_without_the_token(opened: Open, server: FileServer, lora_file: bytes) -> None:
    with serving() as other:
        other.routes["/signed"] = Route(lora_file, headers={"Content-Disposition": 'attachment; filename="b.pt"'})
        server.routes["/a"] = Route(status=302, headers={"Location": f"{other.address}/signed"})
        downloads = opened()
        found = finished(downloads, downloads.start(f"{server.address}/a", token="secret"))
        assert (found.state, found.name) == ("done", "b.safetensors")
        assert server.asked[0][1]["authorization"] == "Bearer secret"
        assert "authorization" not in other.asked[0][1]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/a", "//", "http://[broken/"])
def test_redirects_lead_to_the_web_alone(opened: Open, server: FileServer, target: str) -> None:
    server.routes["/a"] = Route(status=302, headers={"Location": target})
    downloads = opened()
    found = finished(downloads, downloads.start(f"{server.address}/a"))
    assert (found.state, found.received) == ("failed", 0)


def test_redirects_in_a_circle_end(opened: Open, server: FileServer) -> None:
    server.routes["/a"] = Route(status=302, headers={"Location": "/a"})
    downloads = opened()
    found = finished(downloads, downloads.start(f"{server.address}/a"))
    assert "more than 10 times" in found.message


def test_a_public_host_does_not_lead_into_the_private_network(
    opened: Open, server: FileServer, lora_file: bytes
) -> None:
    """The public host is 127.0.0.2 here; what it redirects to is as private as 127.0.0.1 is."""
    rules = Reach(False, lambda host, port: ("127.0.0.1",), lambda address: address != "127.0.0.1")
    server.routes["/inner"] = Route(lora_file)
    for inner in (f"http://localhost:{server.port}/inner", "http://10.1.2.3/inner", "http://2130706433/inner"):
        server.routes["/a"] = Route(status=302, headers={"Location": inner})
        downloads = opened(reach=rules)
        found = finished(downloads, downloads.start(f"http://models.example:{server.port}/a"))
        assert "private network" in found.message
    assert {path for path, _ in server.asked} == {"/a"}


def test_a_public_name_with_a_private_address_is_not_asked(opened: Open, server: FileServer) -> None:
    downloads = opened(reach=Reach(False, lambda host, port: ("127.0.0.1", "::1")))
    found = finished(downloads, downloads.start(f"http://models.example:{server.port}/a"))
    assert "private network" in found.message
    assert server.asked == []


@pytest.fixture
def silent() -> Iterator[tuple[str, list[socket.socket]]]:
    """A server that takes connections and says nothing; what it took."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take() -> None:
            with suppress(OSError):
                while True:
                    taken.append(listener.accept()[0])

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", taken
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in taken:
        connection.close()


def test_a_server_that_never_answers_is_given_up(opened: Open, silent: tuple[str, list[socket.socket]]) -> None:
    downloads = opened(patience=replace(QUICK, answer=0.05, silence=30, tries=2))
    found = finished(downloads, downloads.start(f"{silent[0]}/a.safetensors"))
    assert (found.state, len(silent[1])) == ("failed", 2)
    assert "did not answer within 0.05 seconds" in found.message


def test_a_server_whose_headers_drip_is_given_up(opened: Open, silent: tuple[str, list[socket.socket]]) -> None:
    over = threading.Event()
    greeted: list[socket.socket] = []

    def drip() -> None:
        while not over.wait(0.01):
            for connection in silent[1]:
                with suppress(OSError):
                    connection.send(b"HTTP/1.1 200 OK\r\n" if connection not in greeted else b"X")
                    greeted.append(connection)

    downloads = opened(patience=replace(QUICK, answer=0.2, silence=30, tries=1))
    dripping = threading.Thread(target=drip, daemon=True)
    dripping.start()
    found = finished(downloads, downloads.start(f"{silent[0]}/a.safetensors"))
    over.set()
    dripping.join()
    assert "did not answer within 0.2 seconds" in found.message


def test_a_body_that_drips_is_given_up(opened: Open, server: FileServer, lora_file: bytes) -> None:
    server.routes["/a.safetensors"] = Route(lora_file, headers={"ETag": '"one"'})
    downloads = opened(patience=replace(QUICK, window=0, slowest=1e15, tries=1))
    found = finished(downloads, downloads.start(f"{server.address}/a.safetensors"))
    assert "sends next to nothing" in found.message


def test_no_room_is_told_before_the_first_byte_is_written(opened: Open, server: FileServer, folders: Folders) -> None:
    server.routes["/a.safetensors"] = Route(b"x", length=10**15)
    downloads = opened(largest=10**18)
    found = finished(downloads, downloads.start(f"{server.address}/a.safetensors"))
    assert found.code == "disk_full"


def test_of_a_repository_the_only_model_is_taken_with_the_hub_s_checksum(
    opened: Open, server: FileServer, folders: Folders, lora_file: bytes
) -> None:
    listing = {
        "id": "ann/nice-style",
        "siblings": [
            {"rfilename": "README.md", "size": 10},
            {"rfilename": "optimizer.pt", "size": 10},
            {"rfilename": "pytorch_lora_weights.bin", "size": 10},
            {
                "rfilename": "pytorch_lora_weights.safetensors",
                "size": len(lora_file),
                "lfs": {"size": len(lora_file), "sha256": sha256(lora_file), "pointerSize": 130},
            },
        ],
    }
    server.routes["/hub/api/models/ann/nice-style/revision/main?blobs=true"] = Route(json.dumps(listing).encode())
    resolve = "/hub/ann/nice-style/resolve/main/pytorch_lora_weights.safetensors"
    server.routes[resolve] = Route(
        status=302, headers={"Location": "/cdn", "X-Linked-Etag": f'"{sha256(lora_file)}"', "ETag": '"git"'}
    )
    server.routes["/cdn"] = Route(lora_file, headers={"ETag": '"cdn"'})
    downloads = opened()
    assert [file.path for file in downloads.files_in("ann/nice-style")] == ["pytorch_lora_weights.safetensors"]
    found = finished(downloads, downloads.start("ann/nice-style", token="hf_secret"))
    assert (found.state, found.name, found.kind) == ("done", "nice-style.safetensors", LORA)
    assert server.asked[-2][1]["authorization"] == "Bearer hf_secret"
    assert "hf_secret" not in "".join(path.read_text() for path in (folders.state / "downloads").glob("*.json"))


def test_of_several_models_one_must_be_named(opened: Open, server: FileServer, lora_file: bytes) -> None:
    listing = {"id": "ann/two", "siblings": [{"rfilename": "a.safetensors"}, {"rfilename": "b.safetensors"}]}
    server.routes["/hub/api/models/ann/two/revision/main?blobs=true"] = Route(json.dumps(listing).encode())
    server.routes["/hub/ann/two/resolve/main/b.safetensors"] = Route(lora_file)
    downloads = opened()
    found = finished(downloads, downloads.start("ann/two"))
    assert (found.code, found.hint) == ("invalid_field", "There are: a.safetensors, b.safetensors.")
    assert finished(downloads, downloads.start("ann/two", file="b.safetensors")).name == "b.safetensors"


def test_a_file_whose_checksum_the_hub_tells_is_not_fetched_when_another_is_wanted(
    opened: Open, server: FileServer, lora_file: bytes
) -> None:
    headers = {"Location": "/cdn", "X-Linked-Etag": f'"{sha256(lora_file)}"'}
    server.routes["/hub/ann/style/resolve/main/a.safetensors"] = Route(status=302, headers=headers)
    server.routes["/cdn"] = Route(lora_file)
    downloads = opened()
    found = finished(downloads, downloads.start("ann/style/a.safetensors", sha256="1" * 64))
    assert (found.state, found.received) == ("failed", 0)
    assert "as wanted" in found.message


def test_a_page_of_civitai_becomes_its_download_with_the_checksum(
    opened: Open, server: FileServer, lora_file: bytes
) -> None:
    entry = {"name": "pretty.safetensors", "primary": True, "hashes": {"SHA256": sha256(lora_file).upper()}}
    server.routes["/api/v1/model-versions/77"] = Route(json.dumps({"files": [entry]}).encode())
    server.routes["/api/download/models/77"] = Route(
        lora_file, headers={"Content-Disposition": "attachment; filename*=UTF-8''other.safetensors"}
    )
    downloads = opened(environ={"CIVITAI_TOKEN": "civ"})
    found = finished(downloads, downloads.start(f"{server.address}/models/5/pretty?modelVersionId=77"))
    assert (found.state, found.name) == ("done", "pretty.safetensors")
    assert [headers.get("authorization") for _, headers in server.asked] == ["Bearer civ", "Bearer civ"]


def test_civitai_s_login_page_is_told_as_such(opened: Open, server: FileServer) -> None:
    server.routes["/api/download/models/77"] = Route(status=307, headers={"Location": "/login?returnUrl=/models/5"})
    downloads = opened()
    found = finished(downloads, downloads.start(f"{server.address}/api/download/models/77"))
    assert "logging in" in found.message
    assert "CIVITAI_TOKEN" in found.hint


def test_a_user_who_is_offline_stays_so(opened: Open, server: FileServer) -> None:
    downloads = opened(environ={"HF_HUB_OFFLINE": "1"})
    found = finished(downloads, downloads.start("ann/style/a.safetensors"))
    assert "HF_HUB_OFFLINE" in found.message
    with pytest.raises(DownloadFailed):
        downloads.files_in("ann/style")
    assert server.asked == []


def test_wrong_wishes_are_refused_before_anything_begins(opened: Open) -> None:
    downloads = opened()
    for values in ({"kind": "poem"}, {"sha256": "abc"}):
        with pytest.raises(InvalidField):
            downloads.start("ann/style/a.safetensors", **values)  # type: ignore[arg-type]
    assert list(downloads.list()) == []


def test_a_token_in_an_address_is_not_written_down(
    opened: Open, server: FileServer, folders: Folders, lora_file: bytes
) -> None:
    server.routes["/a.safetensors"] = Route(lora_file)
    downloads = opened()
    address = f"http://ann:secret@127.0.0.1:{server.port}/a.safetensors"
    assert finished(downloads, downloads.start(address)).state == "done"
    assert server.asked[0][1]["authorization"].startswith("Basic ")
    assert "secret" not in "".join(path.read_text() for path in (folders.state / "downloads").glob("*.json"))


def test_an_embedding_is_found_by_content_too(
    opened: Open, server: FileServer, folders: Folders, tmp_path: Path
) -> None:
    made = write_safetensors(tmp_path / "made.safetensors", {"emb_params": (4, 768)}).read_bytes()
    server.routes["/word.safetensors"] = Route(made)
    downloads = opened()
    found = finished(downloads, downloads.start(f"{server.address}/word.safetensors"))
    assert (found.kind, Path(found.path)) == (EMBEDDING, folders.embeddings[0] / "word.safetensors")


def test_a_start_of_the_program_does_not_wait_for_what_speaks_http() -> None:
    words = "import sys, app.files; print({'httpx2', 'huggingface_hub', 'filelock'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True).stdout == "set()\n"
