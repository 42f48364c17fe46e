"""Functions that use layers: what they are refused, and what they find at /opt."""

import json
from functools import partial
from typing import Any

import pytest
from lambda_api import (
    ACCOUNT,
    OTHER_ACCOUNT,
    REGION,
    broken_constraint,
    clients,
    invalid,
    make_function,
    reconfigure,
    refusal,
    settle,
    unique,
    zipped,
)
from layer_archives import archive

LAYERS = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:"
READS = """
import os
import sys

def handler(event, context):
    found = {}
    for directory, _, files in os.walk("/opt"):
        for name in files:
            path = os.path.join(directory, name)
            with open(path) as file:
                found[path] = file.read()
    return found
"""


@pytest.fixture
def function(api: Any) -> Any:
    name = unique("layered")
    yield name
    api.delete_function(FunctionName=name)


def publish(api: Any, files: dict[str, str | bytes], name: str = "", **links: str) -> str:
    """The version's ARN."""
    made = api.publish_layer_version(
        LayerName=name or unique("layer"), Content={"ZipFile": archive(files, links=links)}
    )
    return str(made["LayerVersionArn"])


def invoke(api: Any, name: str, **members: Any) -> Any:
    answer = api.invoke(FunctionName=name, **members)
    content = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, content
    return content


def test_layers_are_laid_over_each_other_at_opt_in_their_order(api: Any, function: str) -> None:
    first = publish(api, {"both": "first", "data/one": "1", "kind": "a file", "place/inner": "of a directory"})
    second = publish(api, {"both": "second", "data/two": "2", "kind/now": "in a directory", "place": "a file"})
    make_function(api, function, Code={"ZipFile": zipped(READS)}, Layers=[first, second])
    shown = api.get_function_configuration(FunctionName=function)
    size = len(archive({"both": "first", "data/one": "1", "kind": "a file", "place/inner": "of a directory"}))
    assert shown["Layers"][0] == {"Arn": first, "CodeSize": size}
    assert [layer["Arn"] for layer in shown["Layers"]] == [first, second]
    assert invoke(api, function) == {
        "/opt/both": "second",
        "/opt/data/one": "1",
        "/opt/data/two": "2",
        "/opt/kind/now": "in a directory",
        "/opt/place": "a file",
    }
    reconfigure(api, function, Layers=[second, first])
    assert invoke(api, function) == {
        "/opt/both": "first",
        "/opt/data/one": "1",
        "/opt/data/two": "2",
        "/opt/kind": "a file",
        "/opt/place/inner": "of a directory",
    }
    # What the update does not name stays, what it empties goes.
    reconfigure(api, function, Timeout=9)
    assert len(api.get_function_configuration(FunctionName=function)["Layers"]) == 2
    reconfigure(api, function, Layers=[])
    assert "Layers" not in api.get_function_configuration(FunctionName=function)
    assert invoke(api, function) == {}


def test_a_link_of_one_layer_leads_to_no_writing_by_another(api: Any, function: str) -> None:
    linked = publish(api, {"real/file": "kept"}, alias="real")
    over = publish(api, {"alias/file": "of its own"})
    make_function(api, function, Code={"ZipFile": zipped(READS)}, Layers=[linked, over])
    assert invoke(api, function) == {"/opt/real/file": "kept", "/opt/alias/file": "of its own"}


def test_python_imports_from_layers_and_the_functions_own_code_comes_first(api: Any, function: str) -> None:
    layer = publish(
        api, {"python/shared.py": "WHOSE = 'layer'", "python/lib/python3.11/site-packages/deep.py": "WHOSE = 'site'"}
    )
    code = "import shared, deep\ndef handler(event, context): return [shared.WHOSE, deep.WHOSE]\n"
    make_function(api, function, Code={"ZipFile": zipped(code)}, Layers=[layer])
    assert invoke(api, function) == ["layer", "site"]
    own = archive({"app.py": code, "shared.py": "WHOSE = 'function'"})
    api.update_function_code(FunctionName=function, ZipFile=own)
    settle(api, function)
    assert invoke(api, function) == ["function", "site"]


def test_node_requires_from_layers(api: Any, function: str) -> None:
    layer = publish(api, {"nodejs/node_modules/shared/index.js": "exports.whose = 'layer'"})
    code = archive({"app.js": "exports.handler = async () => require('shared').whose"})
    make_function(api, function, Runtime="nodejs20.x", Code={"ZipFile": code}, Layers=[layer])
    assert invoke(api, function) == "layer"


BOOTSTRAP = """#!/bin/sh
next=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
python=$(command -v python3)
exec "$python" - "$next" <<'EOF'
import json, subprocess, sys, urllib.request
while True:
    with urllib.request.urlopen(sys.argv[1] + "/next") as given:
        request_id = given.headers["Lambda-Runtime-Aws-Request-Id"]
    told = subprocess.run(["tool"], capture_output=True, text=True).stdout
    answer = urllib.request.Request(f"{sys.argv[1]}/{request_id}/response", json.dumps(told).encode())
    urllib.request.urlopen(answer).close()
EOF
"""


def test_a_layer_brings_the_bootstrap_of_a_provided_runtime_and_programs(api: Any, function: str) -> None:
    layer = publish(api, {"bootstrap": BOOTSTRAP, "bin/tool": "#!/bin/sh\necho from the layer\n"})
    make_function(api, function, Runtime="provided.al2023", Handler="x", Layers=[layer])
    assert invoke(api, function) == "from the layer\n"


def test_a_function_keeps_a_layer_version_that_is_deleted(api: Any, function: str) -> None:
    name = unique("layer")
    layer = publish(api, {"file": "kept"}, name)
    make_function(api, function, Code={"ZipFile": zipped(READS)}, Layers=[layer])
    version = api.publish_version(FunctionName=function)["Version"]
    api.delete_layer_version(LayerName=name, VersionNumber=1)
    assert invoke(api, function) == {"/opt/file": "kept"}
    reconfigure(api, function, Description="changed")
    assert invoke(api, function) == {"/opt/file": "kept"}
    assert invoke(api, function, Qualifier=version) == {"/opt/file": "kept"}
    assert refusal(api.update_function_configuration, FunctionName=function, Layers=[layer]) == invalid(
        f"Layer version {layer} does not exist."
    )


def test_layers_that_can_not_be_attached_are_refused_in_awss_words(server: Any, api: Any, function: str) -> None:
    name = unique("layer")
    one, two = (publish(api, {"file": text}, name) for text in "12")
    far = publish(clients(server, region="eu-west-1"), {"file": "far"})
    foreign = publish(clients(server, account=OTHER_ACCOUNT), {"file": "foreign"})
    make_function(api, function)

    def refused(*layers: str) -> Any:
        found = refusal(api.update_function_configuration, FunctionName=function, Layers=list(layers))
        assert refusal(partial(make_function, api, unique("refused")), Layers=list(layers)) == found
        return found

    assert refused(*[f"{LAYERS}a{number}:1" for number in range(6)]) == invalid("Cannot reference more than 5 layers.")
    for pair in ((one, two), (one, one)):
        assert refused(*pair) == invalid(
            "Two different versions of the same layer are not allowed to be referenced in the same function. "
            f"{pair[0]} and {pair[1]} are versions of the same layer."
        )
    for absent in (f"{LAYERS}{name}:3", f"{LAYERS}absent:1", f"{LAYERS}{name}:{'9' * 30}"):
        assert refused(absent).message.startswith("Layer version arn:aws:lambda:")
    assert refused("arn:aws:lambda:::awslayer:Amazon").message == (
        "Layer version arn:aws:lambda:::awslayer:Amazon does not exist."
    )
    assert refused(far) == invalid(
        "Layers are not in the same region as the function. Layers are expected to be in region us-east-1."
    )
    assert refused(foreign).code == "AccessDeniedException"
    broken_constraint(refused(f"{LAYERS}{name}"), "at 'layers'")
    assert "Layers" not in api.get_function_configuration(FunctionName=function)
    clients(server, account=OTHER_ACCOUNT).add_layer_version_permission(
        LayerName=foreign.split(":")[6],
        VersionNumber=1,
        StatementId="share",
        Action="lambda:GetLayerVersion",
        Principal=ACCOUNT,
    )
    reconfigure(api, function, Layers=[foreign])
    assert [layer["Arn"] for layer in api.get_function_configuration(FunctionName=function)["Layers"]] == [foreign]


def test_a_function_and_its_layers_share_the_quota_of_what_is_unpacked(api: Any, function: str) -> None:
    half = bytes(131_072_000)
    one, two, third = (publish(api, {f"file{number}": half}) for number in range(3))
    small = archive({"app.py": "def handler(event, context): return 1\n"})
    make_function(api, function, Code={"ZipFile": small}, Layers=[one])

    def update(**members: Any) -> Any:
        return refusal(api.update_function_configuration, FunctionName=function, **members)

    assert update(Layers=[one, two, third]) == invalid("Layers consume more than the available size of 262144000 bytes")
    assert update(Layers=[one, two]) == invalid(
        "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. "
        f"The actual size is {262_144_000 + 38} bytes."
    )
    large = archive({"app.py": bytes(131_072_001)})
    for dry in (True, False):
        found = refusal(api.update_function_code, FunctionName=function, ZipFile=large, DryRun=dry)
        assert found.message.endswith("The actual size is 262144001 bytes.")
    assert len(api.get_function_configuration(FunctionName=function)["Layers"]) == 1


def test_functions_find_their_layers_without_a_sandbox_too(data_dir: Any, server: Any) -> None:
    plain = type(server)(data_dir, ("--sandbox", "process")).start()
    try:
        api = clients(plain)
        layers = [
            publish(api, {"python/shared.py": "WHOSE = 'python'", "bin/tool": "#!/bin/sh\necho from the layer\n"}),
            publish(api, {"nodejs/node_modules/shared/index.js": "exports.whose = 'node'"}),
        ]
        code = "import shared\ndef handler(event, context): return shared.WHOSE\n"
        make_function(api, "python", Code={"ZipFile": zipped(code)}, Layers=layers)
        assert invoke(api, "python") == "python"
        script = archive({"app.js": "exports.handler = async () => require('shared').whose"})
        make_function(api, "node", Runtime="nodejs20.x", Code={"ZipFile": script}, Layers=layers)
        assert invoke(api, "node") == "node"
        layers = [publish(api, {"bootstrap": BOOTSTRAP}), layers[0]]
        make_function(api, "provided", Runtime="provided.al2023", Layers=layers)
        assert invoke(api, "provided") == "from the layer\n"
    finally:
        assert plain.stop() == 0


def test_layers_of_a_function_survive_kill_9(data_dir: Any, server: Any) -> None:
    crashing = type(server)(data_dir).start()
    api = clients(crashing)
    layers = [publish(api, {name: name}, name) for name in ("a", "b")]
    make_function(api, "f", Code={"ZipFile": zipped(READS)}, Layers=layers)
    crashing.kill()
    crashing.start()
    try:
        api = clients(crashing)
        assert [layer["Arn"] for layer in api.get_function_configuration(FunctionName="f")["Layers"]] == layers
        assert invoke(api, "f") == {"/opt/a": "a", "/opt/b": "b"}
    finally:
        assert crashing.stop() == 0
