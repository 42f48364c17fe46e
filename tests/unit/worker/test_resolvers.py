"""Which name servers of the machine a sandbox can ask."""

from pathlib import Path

from lambent.worker.sandbox.resolvers import machine_nameservers, resolver_configuration


def test_name_servers_on_loopback_and_of_ipv6_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(
        "# of the network\nsearch example.com\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\n"
        "nameserver\nnameserver 10.0.0.3 # the other\nnameserver 10.0.0.3; accept\noptions edns0\n"
    )
    assert machine_nameservers([str(file)]) == ["10.0.0.2", "10.0.0.3"]


def test_the_first_file_that_is_there_counts(tmp_path: Path) -> None:
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("nameserver 127.0.0.53\n")
    assert machine_nameservers([str(real), str(stub)]) == []
    real.write_text("nameserver 10.0.0.2\n")
    assert machine_nameservers([str(real), str(stub)]) == ["10.0.0.2"]
    assert machine_nameservers([]) == []


def test_a_network_with_name_servers_of_its_own_asks_those() -> None:
    assert resolver_configuration({"nameservers": ["10.0.0.9", "10.0.0.8"]}) == (
        "nameserver 10.0.0.9\nnameserver 10.0.0.8\n"
    )
