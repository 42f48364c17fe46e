"""The hostile probes: what a function may try, as data, by theme."""

from hostile import files, identity, kernel_interfaces, namespaces, network, processes, resources
from hostile.probe import Probe

THEMES: dict[str, tuple[Probe, ...]] = {
    "Files": files.PROBES,
    "/proc, /sys and other processes": processes.PROBES,
    "Kernel interfaces": kernel_interfaces.PROBES,
    "Namespaces and mounts": namespaces.PROBES,
    "Identity and rights": identity.PROBES,
    "Network and shared memory": network.PROBES,
    "Resources": resources.PROBES,
}
PROBES = tuple(probe for probes in THEMES.values() for probe in probes)
