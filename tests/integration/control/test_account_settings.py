"""GetAccountSettings as boto3 uses it, against running servers."""

from typing import Any

from lambda_api import clients, make_function, shape, unique, zipped

LIMITS = {
    "TotalCodeSize": 80530636800,
    "CodeSizeUnzipped": 262144000,
    "CodeSizeZipped": 52428800,
    "ConcurrentExecutions": 1000,
    "UnreservedConcurrentExecutions": 1000,
}


def test_usage_is_that_of_the_account_in_the_region(server: Any) -> None:
    # An account of this test's own: the server is shared.
    account = "777788889999"
    api, elsewhere = clients(server, account=account), clients(server, account=account, region="eu-west-1")

    def settings(functions: int, code_bytes: int) -> dict[str, Any]:
        return {
            "AccountLimit": LIMITS,
            "AccountUsage": {"TotalCodeSize": code_bytes, "FunctionCount": functions},
        }

    assert shape(api.get_account_settings()) == settings(0, 0)
    one, two = unique("used"), unique("used")
    small, large = zipped("# small\n"), zipped("# large" * 1000 + "\n")
    make_function(api, one, Code={"ZipFile": small})
    make_function(api, two, versions=2, Code={"ZipFile": large})
    assert shape(api.get_account_settings()) == settings(2, len(small) + 3 * len(large))
    assert shape(elsewhere.get_account_settings()) == settings(0, 0)
    api.delete_function(FunctionName=two, Qualifier="1")
    assert shape(api.get_account_settings()) == settings(2, len(small) + 2 * len(large))
    api.delete_function(FunctionName=two)
    assert shape(api.get_account_settings()) == settings(1, len(small))
    api.delete_function(FunctionName=one)
    assert shape(api.get_account_settings()) == settings(0, 0)
    layer = api.publish_layer_version(LayerName=unique("used"), Content={"ZipFile": small})
    assert shape(api.get_account_settings()) == settings(0, len(small))
    api.delete_layer_version(LayerName=layer["LayerArn"], VersionNumber=1)
    assert shape(api.get_account_settings()) == settings(0, 0)


def test_the_limit_of_concurrency_is_the_servers_and_usage_survives_kill_9(data_dir: Any, server: Any) -> None:
    crashing = type(server)(data_dir, ("--concurrency-limit", "7")).start()
    try:
        api = clients(crashing)
        make_function(api, "f")
        before = shape(api.get_account_settings())
        assert before["AccountLimit"] == {**LIMITS, "ConcurrentExecutions": 7, "UnreservedConcurrentExecutions": 7}
        assert before["AccountUsage"] == {"TotalCodeSize": len(zipped()), "FunctionCount": 1}
        crashing.kill()
        crashing.start()
        assert shape(clients(crashing).get_account_settings()) == before
    finally:
        assert crashing.stop() == 0
