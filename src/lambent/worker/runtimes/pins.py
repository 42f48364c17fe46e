"""The versions of what functions are given beside their own code: the official runtime client and boto3.

A kit is named after the hash of its pins, so a change here makes a new kit and leaves the old one to older servers.
Newer versions drop older interpreters, hence more than one list. `docs/runtimes.md` tells how to renew them.
"""

_PYTHON_3_9 = (
    "awslambdaric==4.0.4",
    "boto3==1.42.97",
    "botocore==1.42.97",
    "jmespath==1.1.0",
    "python-dateutil==2.9.0.post0",
    "s3transfer==0.16.1",
    "simplejson==4.3.0",
    "six==1.17.0",
    "snapshot-restore-py==1.0.0",
    "urllib3==2.6.3",
)

_PYTHON_3_10 = (
    "awslambdaric==4.2.2",
    "boto3==1.44.5",
    "botocore==1.44.5",
    "jmespath==1.1.0",
    "python-dateutil==2.9.0.post0",
    "s3transfer==0.19.3",
    "simplejson==4.3.0",
    "six==1.17.0",
    "snapshot-restore-py==1.0.0",
    "urllib3==2.8.0",
)


def python_requirements(minor: int) -> tuple[str, ...]:
    """Every package of the kit for Python 3.`minor`, dependencies included."""
    return _PYTHON_3_9 if minor == 9 else _PYTHON_3_10
