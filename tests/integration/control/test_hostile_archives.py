"""Archives that can not be unpacked, or must not be, are refused wherever code is put, and nothing of them stays."""

import io
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from aws_services import AwsServices, aws_services
from lambda_api import ROLE, clients, invalid, make_function, refusal, settle, zipped
from live_functions import eventually
from stored_state import changes, stored_state

COULD_NOT = "Could not unzip uploaded file. Please check your file, then try to upload again."
TOO_LARGE = "Unzipped size must be smaller than 262144000 bytes"
FIXED = {"Runtime": "python3.11", "Role": ROLE, "Handler": "app.handler"}
CONTENT = b"def handler(event, context): return 1\n" * 20
FILE, LINK = stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777
CENTRAL, END = b"PK\x01\x02", b"PK\x05\x06"


def archive(*entries: tuple[str, bytes, int], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as made:
        for name, content, mode in (("app.py", CONTENT, FILE), *entries):
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = method
            made.writestr(info, content)
    return buffer.getvalue()


def changed(whole: bytes, where: int, value: bytes) -> bytes:
    return whole[:where] + value + whole[where + len(value) :]


def cut(whole: bytes, missing: int) -> bytes:
    """Without the last bytes of its only member's data, and with a directory that is where the archive says."""
    central, end = whole.index(CENTRAL), whole.index(END)
    return whole[: central - missing] + whole[central : end + 16] + (central - missing).to_bytes(4, "little") + b"\0\0"


ONE = archive()
DEFLATED = archive(method=zipfile.ZIP_DEFLATED)
CHAIN = [(f"l{number}", f"l{number + 1}".encode(), LINK) for number in range(41)]
HOSTILE: dict[str, tuple[bytes, str]] = {
    "a checksum that is not the content's": (changed(ONE, ONE.index(CONTENT), b"D"), COULD_NOT),
    "compressed data that are none": (changed(DEFLATED, 36, b"\xff" * 8), COULD_NOT),
    "data that end early": (cut(ONE, 9), COULD_NOT),
    "compressed data that end early": (cut(DEFLATED, 9), COULD_NOT),
    "an entry that is not where the directory says": (changed(ONE, 0, b"XX"), COULD_NOT),
    "an entry before the beginning": (changed(ONE, ONE.index(END) + 16, b"\xff\x0f"), COULD_NOT),
    "more content than it declares": (changed(DEFLATED, DEFLATED.index(CENTRAL) + 24, b"\x0a\0\0\0"), COULD_NOT),
    "an encrypted entry": (changed(ONE, ONE.index(CENTRAL) + 8, b"\x01"), COULD_NOT),
    "a method that nobody has": (archive(method=zipfile.ZIP_LZMA), COULD_NOT),
    "a link out of the tree": (archive(("out", b"../../etc/passwd", LINK)), COULD_NOT),
    "a link to the root": (archive(("out", b"/etc", LINK)), COULD_NOT),
    "a link out by another": (archive(("a/here", b"..", LINK), ("out", b"a/here/../x", LINK)), COULD_NOT),
    "links in a circle": (archive(("one", b"two", LINK), ("two", b"one", LINK)), COULD_NOT),
    "too many links in a row": (archive(*CHAIN), COULD_NOT),
    "a name out of the tree": (archive(("../evil", b"", FILE)), COULD_NOT),
    "a name from the root": (archive(("/evil", b"", FILE)), COULD_NOT),
    "what lies behind a link": (archive(("a", b".", LINK), ("a/b", b"", FILE)), COULD_NOT),
    "a tree that is too deep": (archive(("d/" * 101 + "x", b"", FILE)), COULD_NOT),
    "a device": (archive(("device", b"", stat.S_IFCHR | 0o666)), COULD_NOT),
    "a bomb": (archive(("zeros", bytes(262_144_000), FILE), method=zipfile.ZIP_DEFLATED), TOO_LARGE),
}


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsServices]:
    with aws_services(tmp_path_factory.mktemp("s3")) as running:
        running.client("s3").create_bucket(Bucket="code")
        yield running


@pytest.fixture(scope="module")
def from_s3(server: Any, s3: AwsServices) -> Iterator[Any]:
    """A server that reads code from that S3, and that nobody else changes."""
    keys = ("--s3-access-key-id", "owner", "--s3-secret-access-key", "secret")
    with tempfile.TemporaryDirectory(prefix="lambent-test-", dir="/var/tmp") as disk:
        running = type(server)(Path(disk) / "data", ("--s3-endpoint", s3.url, *keys)).start()
        make_function(clients(running), "kept")
        yield running
        assert running.stop() == 0


@pytest.fixture(scope="module")
def own_server(new_server: Any) -> Iterator[Any]:
    with new_server() as running:
        make_function(clients(running), "kept")
        yield running


def assert_refused(lambent: Any, code: dict[str, Any], told: str) -> None:
    """By every operation that takes code; and what the server had, in its store and on its disk, it has after."""
    api, packages = clients(lambent), lambent.data_dir / "packages"
    with stored_state(lambent.data_dir) as stored:
        rows, files = stored.at_rest(), sorted(packages.rglob("*"))
        assert refusal(api.create_function, FunctionName="x", Code=code, **FIXED) == invalid(told)
        assert refusal(api.create_function, FunctionName="x", Code=code, Publish=True, **FIXED) == invalid(told)
        for dry in (True, False):
            assert refusal(api.update_function_code, FunctionName="kept", **code, DryRun=dry) == invalid(told)
        assert refusal(api.publish_layer_version, LayerName="x", Content=code) == invalid(told)
        assert changes(rows, stored.rows()) == {}
        assert sorted(packages.rglob("*")) == files


@pytest.mark.parametrize(("content", "told"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_that_is_sent_is_refused_and_nothing_changes(
    own_server: Any, content: bytes, told: str
) -> None:
    assert_refused(own_server, {"ZipFile": content}, told)


@pytest.mark.parametrize(("content", "told"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_in_s3_is_refused_and_nothing_changes(
    from_s3: Any, s3: AwsServices, content: bytes, told: str
) -> None:
    s3.client("s3").put_object(Bucket="code", Key="hostile.zip", Body=content)
    assert_refused(from_s3, {"S3Bucket": "code", "S3Key": "hostile.zip"}, told)


def test_a_dry_run_of_good_code_keeps_nothing_of_it(own_server: Any) -> None:
    api, packages = clients(own_server), own_server.data_dir / "packages"
    before = sorted(packages.rglob("*"))
    code = zipped("def handler(event, context): return 'tried'\n")
    shown = api.update_function_code(FunctionName="kept", ZipFile=code, DryRun=True)
    assert shown["CodeSize"] == len(code)
    assert sorted(packages.rglob("*")) == before


def test_a_server_that_is_killed_while_it_unpacks_leaves_nothing_of_the_package(server: Any, data_dir: Path) -> None:
    lambent = type(server)(data_dir).start()
    try:
        api = clients(lambent)
        make_function(api, "kept")
        packages = data_dir / "packages"
        before = {path.name for path in packages.iterdir()}
        large = archive(*((f"{number}", b"", FILE) for number in range(20_000)))
        with ThreadPoolExecutor(1) as thread:
            call = thread.submit(api.create_function, FunctionName="torn", Code={"ZipFile": large}, **FIXED)
            eventually(lambda: any((packages / "incoming").glob("*/tree.*/1")), within_s=60)
            lambent.kill()
        assert isinstance(call.exception(), botocore.exceptions.BotoCoreError)
        assert {path.name for path in packages.iterdir()} == before
        lambent.start()
        assert list((packages / "incoming").iterdir()) == []
        api = clients(lambent)
        assert [one["FunctionName"] for one in api.list_functions()["Functions"]] == ["kept"]
        api.create_function(FunctionName="whole", Code={"ZipFile": large}, **FIXED)
        settle(api, "whole")
        assert api.invoke(FunctionName="whole")["Payload"].read() == b"1"
        assert lambent.stop() == 0
    finally:
        lambent.kill()
