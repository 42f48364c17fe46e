"""The tables in docs/compatibility.md, from the service models and from what is registered.

Run as a program it writes them; test_compatibility.py fails when the page is not what this would write.
"""

import sys
from collections.abc import Set
from pathlib import Path

import botocore
import botocore.session

from lambent.control.operations import operations as control_operations
from lambent.core.limits import RUNTIMES, RUNTIMES_RUN
from lambent.identity.operations import iam_operations, sts_operations
from lambent.invoke.operations import operations as invoke_operations
from lambent.observe.operations import operations as logs_operations

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
BEGIN = "<!-- {}: from here on written by tests/acceptance/compatibility.py -->"
END = "<!-- {}: to here -->"

SERVICES = {"lambda": "AWS Lambda", "logs": "CloudWatch Logs", "iam": "IAM", "sts": "STS"}


def registered() -> Set[tuple[str, str]]:
    """The operations that Lambent answers, as service and operation name."""
    unused = object()  # what the operations would be bound to, were they called
    names = {
        "lambda": control_operations(unused) | invoke_operations(unused),
        "logs": logs_operations(unused),
        "iam": iam_operations(unused),
        "sts": sts_operations(),
    }
    return {(service, name) for service in SERVICES for name in names[service]}


def table(answered: Set[tuple[str, str]]) -> str:
    """The operations of each service, first those that are answered. What no model has is refused."""
    session = botocore.session.get_session()
    parts = [f"Of the service models of botocore {botocore.__version__}.", ""]
    for service, title in SERVICES.items():
        modelled = session.get_service_model(service).operation_names
        ours = sorted(name for of, name in answered if of == service)
        unknown = set(ours) - set(modelled)
        if unknown:
            raise ValueError(f"{service} has no operation {', '.join(sorted(unknown))}")
        missing = [name for name in sorted(modelled) if name not in ours]
        parts += [f"### {title}: {len(ours)} of {len(modelled)}", "", "| operation | |", "| --- | --- |"]
        parts += [f"| `{name}` | answered |" for name in ours]
        parts += ["", f"Not yet: {', '.join(f'`{name}`' for name in missing)}.", ""]
    return "\n".join(parts)


def runtimes() -> str:
    """The runtimes that AWS has, and which of them Lambent runs."""
    rows = [f"| `{name}` | {'runs' if name in RUNTIMES_RUN else 'not yet'} |" for name in RUNTIMES]
    return "\n".join(["| runtime | |", "| --- | --- |", *rows, ""])


def written(page: str) -> str:
    """The page with its tables replaced by what is true now."""
    for name, content in (("runtimes", runtimes()), ("operations", table(registered()))):
        before, begin, rest = page.partition(BEGIN.format(name))
        _, end, after = rest.partition(END.format(name))
        assert end, f"{PAGE} has lost the marks around its {name}"
        page = f"{before}{begin}\n\n{content}\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
    sys.stdout.write(f"wrote {PAGE}\n")
