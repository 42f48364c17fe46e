"""The table of operations in docs/compatibility.md, from the service models and from what is registered.

Run as a program it writes the table; test_compatibility.py fails when the table is not what this would write.
"""

import sys
from collections.abc import Set
from pathlib import Path

import botocore.session

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
BEGIN = "<!-- The table from here on is written by tests/acceptance/compatibility.py -->"
END = "<!-- to here -->"

SERVICES = {"lambda": "AWS Lambda", "logs": "CloudWatch Logs", "iam": "IAM", "sts": "STS"}


def registered() -> Set[tuple[str, str]]:
    """The operations that Lambent answers, as service and operation name."""
    from lambent.assembly import operations

    return operations()


def table(answered: Set[tuple[str, str]]) -> str:
    """The operations of each service, first those that are answered. What no model has is refused."""
    session = botocore.session.get_session()
    parts = []
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


def written(page: str, content: str) -> str:
    """The page with the table replaced."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"{PAGE} has lost the marks of its table"
    return f"{before}{BEGIN}\n\n{content}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(), table(registered())))
    sys.stdout.write(f"wrote {PAGE}\n")
