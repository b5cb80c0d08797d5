"""The download against a server on this machine that breaks off, corrupts, ignores ranges and lies."""

from __future__ import annotations

import hashlib
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from ecgkit.datasets.download import SUMS, download
from ecgkit.errors import EcgkitError

FILES = {"RECORDS": b"a\nb\n", "records100/00000/a.dat": bytes(range(256)) * 40,
         "records100/00000/a b#1.hea": b"a 12\n", "records500/b.dat": os.urandom(300_000), "empty.txt": b""}


class Server(ThreadingHTTPServer):
    """Serves `files`; `behave[name]` is a list of faults, one per request, before it behaves."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = dict(FILES)
        self.behave: dict[str, list[str]] = {}
        self.seen: list[tuple[str, str | None]] = []
        self.sums = "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in FILES.items())
        self.url = f"http://127.0.0.1:{self.server_port}/ptb-xl/1.0.3"

    def ranges(self, name):
        return [header for seen, header in self.seen if seen == name]

    def handle_error(self, request, client_address):
        pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        from urllib.parse import unquote
        name = unquote(self.path).removeprefix("/ptb-xl/1.0.3/")
        header = self.headers.get("Range")
        self.server.seen.append((name, header))
        faults = self.server.behave.get(name, [])
        fault = faults.pop(0) if faults else ""
        body = self.server.sums.encode() if name == SUMS else self.server.files.get(name)
        if fault.isdigit() or body is None:
            self.answer(int(fault or 404), b"sorry")
        elif fault == "hang up":
            self.close_connection = True
        elif fault == "html":
            self.answer(200, b"<html>please log in</html>")
        else:
            start = int(header[6:-1]) if header and fault != "ignore range" else 0
            if start and start >= len(body):
                self.answer(416, b"")
                return
            status, part = (206, body[start:]) if start else (200, body)
            if fault == "corrupt":
                part = part[:-1] + bytes([part[-1] ^ 1])
            if fault == "another range":
                part = body[1:]
            sent = part[:len(part) // 2] if fault == "break off" else part
            said = f"bytes {start}-{len(body) - 1}/{len(body)}" if status == 206 else None
            self.answer(status, sent, len(part), said)

    def answer(self, status, body, length=None, content_range=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        self.wfile.write(body)
        if length not in (None, len(body)):
            self.close_connection = True


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def fetch(server, tmp_path):
    def call(**options):
        return download("ptbxl", tmp_path / "ptb", base_url=server.url, **({"backoff": 0.001, "retries": 3} | options))

    return call


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_arrives(server, fetch):
    folder = fetch()
    assert contents(folder) == FILES | {SUMS: server.sums.encode()}


def test_second_call_fetches_only_the_list(server, fetch):
    fetch()
    server.seen.clear()
    fetch()
    assert server.seen == [(SUMS, None)]


@pytest.mark.parametrize("faults", [["break off"], ["break off"] * 4, ["hang up"], ["500", "503", "429"], ["corrupt"],
                                    ["corrupt", "break off", "500"], ["break off", "corrupt"],
                                    ["break off", "another range"],
                                    ["break off", "hang up", "break off", "hang up", "hang up", "break off"]])
def test_passing_faults_are_survived(server, fetch, faults):
    server.behave["records500/b.dat"] = list(faults)
    assert contents(fetch()) == FILES | {SUMS: server.sums.encode()}
    assert server.behave["records500/b.dat"] == []  # every fault was met


def test_goes_on_where_it_broke_off(server, fetch):
    server.behave["records500/b.dat"] = ["break off", "break off"]
    fetch()
    whole, first, second = server.ranges("records500/b.dat")
    assert whole is None
    assert 130_000 < int(first[6:-1]) <= 150_000
    assert 200_000 < int(second[6:-1]) <= 225_000


def test_a_server_that_knows_no_ranges_costs_no_extra_request(server, fetch):
    server.behave["records500/b.dat"] = ["break off", "ignore range"]
    fetch()
    assert len(server.ranges("records500/b.dat")) == 2


def test_a_later_run_goes_on(server, fetch, tmp_path):
    server.behave["records500/b.dat"] = ["break off", "404"]
    with pytest.raises(EcgkitError, match=r"b\.dat: the server answered 404.*1 of 5 files not fetched; run it again"):
        fetch()
    found = contents(tmp_path / "ptb")
    kept = found.pop("records500/b.dat.part")
    assert 130_000 < len(kept) <= 150_000
    assert SUMS not in found
    assert {name: body for name, body in FILES.items() if name != "records500/b.dat"} == \
        {name: body for name, body in found.items() if not name.endswith(".part")}
    server.seen.clear()
    assert contents(fetch()) == FILES | {SUMS: server.sums.encode()}
    assert server.seen == [(SUMS, None), ("records500/b.dat", f"bytes={len(kept)}-")]


def test_a_stale_part_is_not_taken_for_whole(server, fetch, tmp_path):
    part = tmp_path / "ptb" / "records500" / "b.dat.part"
    part.parent.mkdir(parents=True)
    for stale in (b"x" * 100, b"x" * 300_000, b"x" * 400_000, FILES["records500/b.dat"]):
        (tmp_path / "ptb" / "records500" / "b.dat").unlink(missing_ok=True)
        part.write_bytes(stale)
        assert contents(fetch()) == FILES | {SUMS: server.sums.encode()}


def test_a_file_that_is_always_wrong_never_gets_its_name(server, fetch, tmp_path):
    server.files["records500/b.dat"] = b"another"
    with pytest.raises(EcgkitError, match=r"b\.dat: its SHA-256 is not the one listed, 4 times"):
        fetch()
    assert not (tmp_path / "ptb" / "records500" / "b.dat").exists()
    assert not (tmp_path / "ptb" / SUMS).exists()


def test_wrong_and_broken_by_turns_comes_to_an_end(server, fetch):
    server.behave["records500/b.dat"] = ["break off", "corrupt"] * 50
    with pytest.raises(EcgkitError, match="SHA-256"):
        fetch()
    assert len(server.ranges("records500/b.dat")) <= 8


def test_a_users_file_is_not_overwritten(server, fetch, tmp_path):
    own = tmp_path / "ptb" / "RECORDS"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    with pytest.raises(EcgkitError, match=r"RECORDS: is there with other contents than published; nothing is over"):
        fetch()
    assert own.read_bytes() == b"mine"
    assert [name for name, _ in server.seen] == [SUMS]


def test_parts_may_be_skipped(server, fetch):
    folder = fetch(skip=["records500/"])
    assert contents(folder) == {name: body for name, body in FILES.items() if not name.startswith("records500")}


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", "/tmp/outside", "..\\outside", "http://host/x", "x/",
                                  "RECORDS.part"])
def test_a_list_that_leads_out_is_refused_before_anything_is_fetched(server, fetch, tmp_path, name):
    server.sums += f"{'0' * 64}  {name}\n"
    with pytest.raises(EcgkitError, match=SUMS):
        fetch()
    assert [seen for seen, _ in server.seen] == [SUMS]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".part"] == []


def test_a_linked_folder_that_leads_out_is_refused(server, fetch, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "ptb").mkdir()
    (tmp_path / "ptb" / "records500").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EcgkitError, match="outside"):
        fetch()
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("text", ["", "\n", "<html>\n</html>", "abc  file\n"])
def test_a_list_that_is_none(server, fetch, text):
    server.sums = text
    with pytest.raises(EcgkitError, match=SUMS):
        fetch()


@pytest.mark.parametrize(("faults", "match"), [(["404"], "answered 404"), (["500"] * 9, r"answered 500 .*, 4 times"),
                                               (["hang up"] * 9, "4 times"), (["html"], "not a SHA-256")])
def test_a_list_that_cannot_be_had(server, fetch, faults, match):
    server.behave[SUMS] = faults
    with pytest.raises(EcgkitError, match=match):
        fetch()


def test_a_dead_server_is_given_up_soon(server, fetch):
    for k in range(60):
        server.sums += f"{'0' * 64}  missing/{k}\n"
    with pytest.raises(EcgkitError, match="files not fetched before stopping; run it again"):
        fetch(workers=2)
    assert sum(name.startswith("missing/") for name, _ in server.seen) < 30


def test_no_server(tmp_path):
    with pytest.raises(EcgkitError, match=r"SHA256SUMS\.txt: .*, 2 times"):
        download("ptbxl", tmp_path, base_url="http://127.0.0.1:9", retries=1, backoff=0.001)


def test_unknown_source(tmp_path):
    with pytest.raises(EcgkitError, match="known are ptbxl, ludb, challenge"):
        download("ptb", tmp_path)


def test_a_second_download_into_the_folder_waits_for_nothing_and_breaks_nothing(server, fetch, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / "ptb").mkdir()
    with (tmp_path / "ptb" / ".download.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(EcgkitError, match="another download into this folder is running"):
            fetch()
    assert server.seen == []
    assert contents(fetch()) == FILES | {SUMS: server.sums.encode()}


def test_what_arrives_can_be_loaded(server, fetch):
    """The layout survives: a NumPy file written at the source loads at the destination."""
    array = np.arange(12.0)
    path = fetch() / "x.npy"
    np.save(path, array)
    server.files["x.npy"] = path.read_bytes()
    server.sums += f"{hashlib.sha256(server.files['x.npy']).hexdigest()} *./x.npy\n"
    path.unlink()
    np.testing.assert_array_equal(np.load(fetch() / "x.npy"), array)
