"""Code that a request names by S3 bucket and key, from a real S3 server that the settings name for an account."""

import base64
import hashlib
import http.server
import json
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from aws_services import AwsServices, aws_services, free_port
from lambda_api import (
    ACCOUNT,
    ARNS,
    OTHER_ACCOUNT,
    Refusal,
    clients,
    invalid,
    make_function,
    refusal,
    role_of,
    settle,
    status,
    unique,
    zipped,
)
from layer_archives import archive

from lambent.service_clients import SILENCE_S

UNSIGNED = "777788889999"
SILENT = "222233334444"
TROUBLED = "111111111111"
TWO = "def handler(event, context):\n    return 2\n"
ONE = "def handler(event, context):\n    return 1\n"
LARGE = 262_144_000


def fixed(account: str) -> dict[str, str]:
    """The other members of a creation."""
    return {"Runtime": "python3.11", "Role": role_of(account), "Handler": "app.handler"}


FIXED = fixed(ACCOUNT)


class TroublesomeS3(http.server.BaseHTTPRequestHandler):
    """An S3 that is not well, or whose objects are larger than a function may be, whether it says so before or not."""

    served = 0
    asked = threading.Event()
    released = threading.Event()

    def do_GET(self) -> None:
        if "held" in self.path:
            self._answer_when_released()
            return
        if "unwell" in self.path:
            self.send_error(503)
            return
        self.send_response(200)
        if "broken" in self.path:
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"not all of it")
            return
        if "slow" in self.path:
            self._answer_slowly()
            return
        if "honest" in self.path:
            self.send_header("Content-Length", str(LARGE))
        self.send_header("Connection", "close")
        self.end_headers()
        chunk = b"\0" * (1 << 20)
        try:
            for _ in range(2 * LARGE // len(chunk)):
                self.wfile.write(chunk)
                type(self).served += len(chunk)
        except OSError:
            pass  # the reader has had enough

    def _answer_when_released(self) -> None:
        package = zipped()
        self.asked.set()
        assert self.released.wait(60)
        self.send_response(200)
        self.send_header("Content-Length", str(len(package)))
        self.end_headers()
        self.wfile.write(package)

    def _answer_slowly(self) -> None:
        """A byte now and then, or none, until the reader has gone."""
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.connection.settimeout(0.2)
        while True:
            self.asked.set()
            try:
                if not self.connection.recv(1):
                    return
            except TimeoutError:
                if "bytes" in self.path:
                    self.wfile.write(b"x")
            except OSError:
                return

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def troublesome() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), TroublesomeS3)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsServices]:
    with aws_services(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(scope="module")
def lambent(server: Any, s3: AwsServices, troublesome: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server whose accounts have S3s of different kinds, and other accounts none."""
    directory = tmp_path_factory.mktemp("s3-settings")
    config = directory / "lambent.toml"
    keys = 's3_access_key_id = "owner"\ns3_secret_access_key = "secret"\n'
    config.write_text(
        f'[accounts.{ACCOUNT}]\ns3_endpoint = "{s3.url}"\n{keys}'
        f'[accounts.{UNSIGNED}]\ns3_endpoint = "{s3.url}"\n'
        f'[accounts.{SILENT}]\ns3_endpoint = "http://127.0.0.1:{free_port()}"\n{keys}'
        f'[accounts.{TROUBLED}]\ns3_endpoint = "{troublesome}"\n{keys}'
    )
    # Whatever of AWS the server's own environment has is not for its customers.
    ambient = {"AWS_PROFILE": "not-there", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}
    # On disk: /tmp may be a tmpfs.
    with tempfile.TemporaryDirectory(prefix="lambent-test-", dir="/var/tmp") as disk:
        running = type(server)(Path(disk) / "data", ("--config", str(config)), ambient).start()
        yield running
        assert running.stop() == 0


@pytest.fixture(scope="module")
def api(lambent: Any) -> Any:
    return clients(lambent)


@pytest.fixture(scope="module")
def bucket(s3: AwsServices) -> str:
    name = f"code-{uuid.uuid4().hex}"
    s3.client("s3").create_bucket(Bucket=name)
    s3.client("s3").put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def put(s3: AwsServices, bucket: str, body: bytes, key: str = "app.zip") -> str:
    """The version that the object then has."""
    return str(s3.client("s3").put_object(Bucket=bucket, Key=key, Body=body)["VersionId"])


def result(api: Any, name: str) -> Any:
    return json.loads(api.invoke(FunctionName=name)["Payload"].read())


def test_a_function_is_created_and_updated_from_objects_and_their_versions(
    api: Any, s3: AwsServices, bucket: str
) -> None:
    name, package = unique("from-s3"), zipped(ONE)
    first = put(s3, bucket, package)
    created = api.create_function(FunctionName=name, Code={"S3Bucket": bucket, "S3Key": "app.zip"}, **FIXED)
    assert status(created) == 201
    assert created["CodeSha256"] == base64.b64encode(hashlib.sha256(package).digest()).decode()
    assert created["CodeSize"] == len(package)
    settle(api, name)
    assert result(api, name) == 1
    second = put(s3, bucket, zipped(TWO))
    api.update_function_code(FunctionName=name, S3Bucket=bucket, S3Key="app.zip")
    settle(api, name)
    assert result(api, name) == 2
    shown = api.update_function_code(
        FunctionName=name, S3Bucket=bucket, S3Key="app.zip", S3ObjectVersion=first, DryRun=True
    )
    assert shown["CodeSha256"] == created["CodeSha256"]
    assert result(api, name) == 2
    for version, returned in ((first, 1), (second, 2)):
        api.update_function_code(
            FunctionName=name, S3Bucket=bucket, S3Key="app.zip", S3ObjectVersion=version, S3ObjectStorageMode="COPY"
        )
        settle(api, name)
        assert result(api, name) == returned


KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/k"


def test_how_code_was_to_be_kept_is_told(api: Any, s3: AwsServices, bucket: str) -> None:
    version = put(s3, bucket, zipped(ONE))
    code = {"S3Bucket": bucket, "S3Key": "app.zip", "S3ObjectVersion": version, "S3ObjectStorageMode": "REFERENCE"}
    resolved = {"S3Bucket": bucket, "S3Key": "app.zip", "S3ObjectVersion": version}
    make_function(api, name := unique("kept"), Code={**code, "SourceKMSKeyArn": KEY})
    assert result(api, name) == 1

    def kept(**qualifier: str) -> dict[str, Any]:
        shown = dict(api.get_function(FunctionName=name, **qualifier)["Code"])
        assert shown.pop("RepositoryType") == "S3"
        assert shown.pop("Location")
        return shown

    assert kept() == {"ResolvedS3Object": resolved, "SourceKMSKeyArn": KEY}
    assert api.publish_version(FunctionName=name)["Version"] == "1"
    # What is told is of the code: other code has wishes of its own, and a version those that it was published with.
    api.update_function_code(FunctionName=name, ZipFile=zipped(ONE), SourceKMSKeyArn=KEY)
    settle(api, name)
    assert kept() == {"SourceKMSKeyArn": KEY}
    assert api.publish_version(FunctionName=name)["Version"] == "2"
    api.update_function_code(FunctionName=name, S3Bucket=bucket, S3Key="app.zip", S3ObjectStorageMode="COPY")
    settle(api, name)
    assert kept() == {}
    assert kept(Qualifier="2") == {"SourceKMSKeyArn": KEY}
    assert kept(Qualifier="1") == {"ResolvedS3Object": resolved, "SourceKMSKeyArn": KEY}
    assert result(api, name) == 1


def test_where_a_layer_was_to_be_kept_is_told(api: Any, s3: AwsServices, bucket: str) -> None:
    version = put(s3, bucket, archive({"said": "word"}), "layer.zip")
    resolved = {"S3Bucket": bucket, "S3Key": "layer.zip", "S3ObjectVersion": version}
    layer = api.publish_layer_version(LayerName=unique("l"), Content={**resolved, "S3ObjectStorageMode": "REFERENCE"})
    assert layer["Content"]["ResolvedS3Object"] == resolved
    read = api.get_layer_version_by_arn(Arn=layer["LayerVersionArn"])["Content"]
    assert read["ResolvedS3Object"] == resolved


def test_a_layer_is_published_from_an_object(api: Any, s3: AwsServices, bucket: str) -> None:
    content = archive({"python/said.py": "WORD = 'from a layer'\n"})
    put(s3, bucket, content, "layer.zip")
    layer = api.publish_layer_version(LayerName=unique("l"), Content={"S3Bucket": bucket, "S3Key": "layer.zip"})
    assert layer["Content"]["CodeSha256"] == base64.b64encode(hashlib.sha256(content).digest()).decode()
    text = "import said\ndef handler(event, context):\n    return said.WORD\n"
    make_function(api, name := unique("layered"), Code={"ZipFile": zipped(text)}, Layers=[layer["LayerVersionArn"]])
    assert result(api, name) == "from a layer"


def get_object(text: str) -> Refusal:
    return invalid(f"Error occurred while GetObject. S3 Error Code: {text}")


def test_what_s3_says_of_an_object_that_is_not_there_is_passed_on(api: Any, s3: AwsServices, bucket: str) -> None:
    put(s3, bucket, zipped())
    make_function(api, name := unique("kept"))
    before = api.get_function_configuration(FunctionName=name)
    no_bucket = get_object("NoSuchBucket. S3 Error Message: The specified bucket does not exist")
    no_key = get_object("NoSuchKey. S3 Error Message: The specified key does not exist.")
    no_version = get_object("NoSuchVersion. S3 Error Message: The specified version does not exist.")
    for members, expected in (
        ({"S3Bucket": "never-made-bucket", "S3Key": "app.zip"}, no_bucket),
        ({"S3Bucket": bucket, "S3Key": "never.zip"}, no_key),
        ({"S3Bucket": bucket, "S3Key": "app.zip", "S3ObjectVersion": str(uuid.uuid4())}, no_version),
    ):
        assert refusal(api.create_function, FunctionName="x", Code=members, **FIXED) == expected
        assert refusal(api.update_function_code, FunctionName=name, **members) == expected
        assert refusal(api.publish_layer_version, LayerName="x", Content=members) == expected
    assert api.get_function_configuration(FunctionName=name)["RevisionId"] == before["RevisionId"]


def test_an_object_that_the_accounts_credentials_may_not_read_is_denied(
    lambent: Any, s3: AwsServices, bucket: str
) -> None:
    put(s3, bucket, zipped(), "private.zip")
    code = {"S3Bucket": bucket, "S3Key": "private.zip"}
    unsigned = clients(lambent, account=UNSIGNED)
    denied = refusal(unsigned.create_function, FunctionName="x", Code=code, **fixed(UNSIGNED))
    assert (denied.status, denied.code) == (403, "AccessDeniedException")
    assert denied.message.startswith(
        "Your access has been denied by S3, please make sure your request credentials have permission to GetObject for "
        f"{bucket}/private.zip. S3 Error Code: "
    )
    s3.client("s3").put_object_acl(Bucket=bucket, Key="private.zip", ACL="public-read")
    assert status(unsigned.create_function(FunctionName="x", Code=code, **fixed(UNSIGNED))) == 201


def test_an_account_without_s3_and_one_whose_s3_is_silent_are_told_so(lambent: Any) -> None:
    code = {"S3Bucket": "bucket", "S3Key": "key"}
    without = clients(lambent, account=OTHER_ACCOUNT)
    told = invalid(
        f"Code can not be read from S3: the setting s3_endpoint names none for account {OTHER_ACCOUNT}. "
        "See docs/settings.md."
    )
    assert refusal(without.create_function, FunctionName="x", Code=code, **fixed(OTHER_ACCOUNT)) == told
    assert refusal(without.publish_layer_version, LayerName="x", Content=code) == told
    silent = refusal(clients(lambent, account=SILENT).create_function, FunctionName="x", Code=code, **fixed(SILENT))
    assert (silent.status, silent.code, silent.fault) == (500, "ServiceException", "Service")
    assert silent.message.startswith("S3 did not answer as it should, at http://127.0.0.1:")


@pytest.mark.parametrize("key", ["honest", "endless"])
def test_an_object_larger_than_a_function_may_be_is_not_read_to_its_end(lambent: Any, key: str) -> None:
    TroublesomeS3.served = 0
    greedy = clients(lambent, account=TROUBLED)
    code = {"S3Bucket": "bucket", "S3Key": key}
    refused = refusal(greedy.create_function, FunctionName="x", Code=code, **fixed(TROUBLED))
    assert refused == invalid(f"Unzipped size must be smaller than {LARGE} bytes")
    assert TroublesomeS3.served < 1.2 * LARGE
    packages: Path = lambent.data_dir / "packages"
    assert list((packages / "incoming").iterdir()) == []


@pytest.mark.parametrize("key", ["unwell", "broken"])
def test_an_s3_that_fails_is_not_the_callers_fault_and_leaves_nothing(lambent: Any, key: str) -> None:
    code = {"S3Bucket": "bucket", "S3Key": key}
    failed = refusal(clients(lambent, account=TROUBLED).create_function, FunctionName="x", Code=code, **fixed(TROUBLED))
    assert (failed.status, failed.code, failed.fault) == (500, "ServiceException", "Service")
    assert list((lambent.data_dir / "packages" / "incoming").iterdir()) == []


def test_an_archive_that_comes_when_an_image_has_taken_the_name_is_refused(lambent: Any) -> None:
    api, name = clients(lambent, account=TROUBLED), unique("swapped")
    make_function(api, name)
    held = {"FunctionName": name, "S3Bucket": "bucket", "S3Key": "held"}
    with ThreadPoolExecutor(1) as caller:
        refused = caller.submit(refusal, api.update_function_code, **held)
        assert TroublesomeS3.asked.wait(60)
        api.delete_function(FunctionName=name)
        image = {"ImageUri": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/app:v1"}
        api.create_function(FunctionName=name, Role=role_of(TROUBLED), PackageType="Image", Code=image)
        with pytest.raises(botocore.exceptions.WaiterError, match="terminal failure"):
            settle(api, name)
        TroublesomeS3.released.set()
        assert refused.result(60) == invalid("Please provide ImageUri when updating a function with packageType Image.")
    shown = api.get_function(FunctionName=name)
    assert (shown["Code"]["ImageUri"], shown["Configuration"]["CodeSize"]) == (image["ImageUri"], 0)


@pytest.mark.parametrize("key", ["slow-bytes", "slow-silence"])
def test_a_server_that_leaves_does_not_wait_for_an_object(
    data_dir: Path, server: Any, troublesome: str, key: str
) -> None:
    config = data_dir.parent / "lambent.toml"
    config.write_text(f'[accounts.{TROUBLED}]\ns3_endpoint = "{troublesome}"\n')
    leaving = type(server)(data_dir, ("--config", str(config), "--shutdown-grace-s", "1")).start()
    TroublesomeS3.asked.clear()
    creation = partial(
        clients(leaving, account=TROUBLED).create_function,
        FunctionName="x",
        Code={"S3Bucket": "bucket", "S3Key": key},
        **fixed(TROUBLED),
    )
    with ThreadPoolExecutor(1) as caller:
        unanswered = caller.submit(creation)
        assert TroublesomeS3.asked.wait(60)
        began = time.monotonic()
        assert leaving.stop() == 0
        assert time.monotonic() - began < SILENCE_S / 2
        assert unanswered.exception(60) is not None
    assert list((data_dir / "packages").iterdir()) == []


def test_an_object_is_checked_as_an_archive_that_was_sent_is(api: Any, s3: AwsServices, bucket: str) -> None:
    could_not = "Could not unzip uploaded file. Please check your file, then try to upload again."
    for body, told in ((b"no archive", could_not), (b"", "Uploaded file must be a non-empty zip")):
        put(s3, bucket, body, "bad.zip")
        code = {"S3Bucket": bucket, "S3Key": "bad.zip"}
        assert refusal(api.create_function, FunctionName="x", Code=code, **FIXED) == invalid(told)
        make_function(api, name := unique("kept"))
        assert refusal(api.update_function_code, FunctionName=name, DryRun=True, **code) == invalid(told)


def test_an_object_is_held_to_code_signing_as_an_archive_that_was_sent_is(
    api: Any, s3: AwsServices, bucket: str
) -> None:
    put(s3, bucket, zipped())
    profile = f"arn:aws:signer:us-east-1:{ACCOUNT}:/signing-profiles/p/0123456789"
    config = api.create_code_signing_config(
        AllowedPublishers={"SigningProfileVersionArns": [profile]},
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"},
    )["CodeSigningConfig"]["CodeSigningConfigArn"]
    code = {"S3Bucket": bucket, "S3Key": "app.zip"}
    refused = refusal(api.create_function, FunctionName="x", Code=code, CodeSigningConfigArn=config, **FIXED)
    assert refused.code == "CodeVerificationFailedException"
    assert f"{ARNS}x" in refused.message
    make_function(api, name := unique("signed"))
    api.put_function_code_signing_config(FunctionName=name, CodeSigningConfigArn=config)
    assert refusal(api.update_function_code, FunctionName=name, **code).code == "CodeVerificationFailedException"


def test_an_object_counts_with_the_layers_of_its_function(api: Any, s3: AwsServices, bucket: str) -> None:
    half = archive({"half": b"\0" * 140_000_000})
    put(s3, bucket, half, "half.zip")
    code = {"S3Bucket": bucket, "S3Key": "half.zip"}
    layer = api.publish_layer_version(LayerName=unique("half"), Content=code)["LayerVersionArn"]
    refused = refusal(api.create_function, FunctionName="x", Code=code, Layers=[layer], **FIXED)
    assert refused == invalid(
        f"Function code combined with layers exceeds the maximum allowed size of {LARGE} bytes. "
        "The actual size is 280000000 bytes."
    )


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"S3Bucket": "bucket"}, "S3Bucket and S3Key are needed together."),
        ({"S3Key": "key"}, "S3Bucket and S3Key are needed together."),
        ({"S3Bucket": "bucket", "S3Key": "key", "ZipFile": zipped()}, "other FunctionCode parameters"),
    ],
)
def test_a_source_that_is_no_whole_one_is_refused(api: Any, members: dict[str, Any], told: str) -> None:
    refused = refusal(api.create_function, FunctionName="x", Code=members, **FIXED)
    assert refused.status == 400
    assert told in refused.message
