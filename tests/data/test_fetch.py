import gc
import hashlib
import io
import tarfile
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from optiscope.data import Synthetic, cifar10, from_folder
from optiscope.data.fetch import ARCHIVE, ARCHIVE_MD5, fetch_cifar10
from optiscope.errors import DataError

SMALL = Synthetic(train=20, test=5)


class Server:
    """Serves one body under the archive's name on a free local port, and counts the requests.

    `announced` is the content length that it claims; a smaller body is a connection that is cut.
    """

    def __init__(self):
        server = self
        self.body, self.announced, self.status, self.requests = b"", None, 200, []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests.append(self.path)
                self.send_response(server.status)
                self.send_header("Content-Length", str(server.announced or len(server.body)))
                self.end_headers()
                self.wfile.write(server.body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/kriz"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def offer(self, body):
        """Serve `body` and return its md5."""
        self.body = body
        return hashlib.md5(body).hexdigest()

    def close(self):
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPTISCOPE_DATA_URL", raising=False)
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = cifar10.make(tmp_path_factory.mktemp("made") / "data", SMALL)
    return {f"{cifar10.FOLDER}/{path.name}": path.read_bytes() for path in sorted(folder.iterdir())}


def packed(files, *members):
    """A gzipped tar archive of `files`, then of ready-made `members`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return buffer.getvalue()


def refused(tmp_path, **arguments):
    """The one-line message with which a fetch fails that leaves its cache empty."""
    cache = tmp_path / "cache"
    with warnings.catch_warnings():
        # pooch leaves it to the garbage collector to close a response that it refused.
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(DataError) as error:
            fetch_cifar10(cache, **arguments)
        message = str(error.value)
        del error
        gc.collect()
    assert not cache.exists() or list(cache.iterdir()) == []
    assert "\n" not in message
    return message


def test_a_good_download_is_unpacked_and_reads_as_the_same_data(server, files, tmp_path):
    md5 = server.offer(packed(files))
    folder = fetch_cifar10(tmp_path / "new" / "cache", server.url, md5=md5)
    assert from_folder(folder).load().digest == SMALL.load().digest
    assert server.requests == [f"/kriz/{ARCHIVE}"]
    assert list(folder.parent.iterdir()) == [folder]


def test_a_second_fetch_asks_nobody(server, files, tmp_path):
    md5 = server.offer(packed(files))
    first = fetch_cifar10(tmp_path, server.url, md5=md5)
    assert fetch_cifar10(tmp_path, server.url, md5=md5) == first
    assert len(server.requests) == 1


def test_an_incomplete_folder_is_replaced(server, files, tmp_path):
    md5 = server.offer(packed(files))
    folder = fetch_cifar10(tmp_path, server.url, md5=md5)
    (folder / "test_batch.bin").unlink()
    (folder / "data_batch_1.bin").write_bytes(b"half")
    assert fetch_cifar10(tmp_path, server.url, md5=md5) == folder
    assert from_folder(folder).load().digest == SMALL.load().digest
    assert list(tmp_path.iterdir()) == [folder]


def test_address_and_cache_come_from_the_environment(server, files, tmp_path, monkeypatch):
    md5 = server.offer(packed(files))
    monkeypatch.setenv("OPTISCOPE_DATA_URL", server.url + "/")
    monkeypatch.setenv("OPTISCOPE_CACHE", str(tmp_path))
    assert fetch_cifar10(md5=md5) == tmp_path / cifar10.FOLDER
    assert cifar10.Cifar10().load().digest == SMALL.load().digest


def test_progress_is_told_the_size_and_the_parts(server, files, tmp_path):
    class Progress:
        total, done, closed = 0, 0, False

        def update(self, size):
            self.done += size

        def reset(self):
            self.done = 0

        def close(self):
            self.closed = True

    md5 = server.offer(packed(files))
    progress = Progress()
    fetch_cifar10(tmp_path, server.url, md5=md5, progress=progress)
    assert progress.total == progress.done == len(server.body)
    assert progress.closed


def test_a_tampered_archive_is_thrown_away(server, files, tmp_path):
    body = bytearray(packed(files))
    md5 = server.offer(bytes(body))
    body[100] ^= 1
    other = server.offer(bytes(body))
    assert f"has the md5 {other} instead of {md5}" in refused(tmp_path, base_url=server.url, md5=md5)


def test_the_official_hash_is_the_default(server, files, tmp_path):
    server.offer(packed(files))
    assert ARCHIVE_MD5 == "c32a1d4ab5d03f1284b67883e8d87530"
    assert f"instead of {ARCHIVE_MD5}" in refused(tmp_path, base_url=server.url)


def test_a_cut_connection_leaves_nothing(server, files, tmp_path):
    body = packed(files)
    md5 = server.offer(body)
    server.body, server.announced = body[:-50], len(body)
    message = refused(tmp_path, base_url=server.url, md5=md5)
    assert message.startswith(f"{server.url}/{ARCHIVE} could not be fetched (")
    assert "OPTISCOPE_DATA_URL" in message


def test_a_page_that_is_not_there_leaves_nothing(server, tmp_path):
    server.status = 404
    assert "404" in refused(tmp_path, base_url=server.url)


def test_no_server_leaves_nothing(server, tmp_path):
    server.close()
    server.close = lambda: None
    assert "could not be fetched" in refused(tmp_path, base_url=server.url)


def test_an_address_that_is_none_leaves_nothing(tmp_path):
    assert "could not be fetched (MissingSchema" in refused(tmp_path, base_url="nowhere")


def test_an_archive_without_a_file_leaves_nothing(server, files, tmp_path):
    some = {name: data for name, data in files.items() if not name.endswith("test_batch.bin")}
    md5 = server.offer(packed(some))
    assert "test_batch.bin" in refused(tmp_path, base_url=server.url, md5=md5)


@pytest.mark.parametrize(
    "body",
    [b"no archive at all", packed({"cifar-10-batches-bin/data_batch_1.bin": b"x" * 9999})[:60]],
    ids=["text", "cut short"],  # the bytes hold the time, and the workers of one test run must agree on the names
)
def test_what_is_no_archive_leaves_nothing(server, tmp_path, body):
    md5 = server.offer(body)
    assert "cannot be unpacked" in refused(tmp_path, base_url=server.url, md5=md5)


def test_members_that_would_land_elsewhere_are_not_taken(server, files, tmp_path):
    outside = tarfile.TarInfo("../../outside")
    outside.size = 3
    absolute = tarfile.TarInfo(str(tmp_path / "absolute"))
    absolute.size = 3
    beside = tarfile.TarInfo(f"{cifar10.FOLDER}/readme.html")
    beside.size = 3
    md5 = server.offer(packed(files, outside, absolute, beside))
    folder = fetch_cifar10(tmp_path / "cache", server.url, md5=md5)
    assert sorted(path.name for path in folder.iterdir()) == sorted(cifar10.FILES)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_a_member_that_is_no_file_leaves_nothing(server, files, tmp_path, kind):
    """Links are followed by some unpackers to files that the archive should not reach."""
    (tmp_path / "secret").write_text("secret")
    member = tarfile.TarInfo(f"{cifar10.FOLDER}/test_batch.bin")
    member.type, member.linkname = kind, str(tmp_path / "secret")
    some = {name: data for name, data in files.items() if not name.endswith("test_batch.bin")}
    md5 = server.offer(packed(some, member))
    assert "test_batch.bin" in refused(tmp_path, base_url=server.url, md5=md5)


def test_a_cache_that_cannot_be_made_is_named(server, files, tmp_path):
    (tmp_path / "file").write_text("")
    md5 = server.offer(packed(files))
    with pytest.raises(DataError, match=r"cannot be written to .*file.* \(.*\): make room and permission"):
        fetch_cifar10(tmp_path / "file" / "cache", server.url, md5=md5)
    assert server.requests == []


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ("tempfile.mkdtemp", PermissionError(13, "Permission denied")),
        ("pooch.HTTPDownloader.__call__", OSError(28, "No space left on device")),
        ("shutil.copyfileobj", OSError(28, "No space left on device")),
    ],
)
def test_a_disk_that_refuses_is_named_as_such(server, files, tmp_path, monkeypatch, broken, error):
    md5 = server.offer(packed(files))

    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(broken, refuse)
    message = refused(tmp_path, base_url=server.url, md5=md5)
    assert message.startswith(f"CIFAR-10 cannot be written to {tmp_path / 'cache'} ({error.strerror}): make room")
