"""Amazon Resource Names of functions, and the forms in which callers name a function.

Source of the forms: the Lambda API reference, `FunctionName` of any operation: `name`, `name:qualifier`,
`account:function:name[:qualifier]`, and the full ARN, qualified or not.
"""

from lambent.core.function import FunctionName


def partition_of(region: str) -> str:
    """The partition that a region is in, from the prefix of its name."""
    if region.startswith("cn-"):
        return "aws-cn"
    if region.startswith("us-gov-"):
        return "aws-us-gov"
    return "aws"


def function_arn(function: FunctionName, qualifier: str | None = None) -> str:
    arn = f"arn:{partition_of(function.region)}:lambda:{function.region}:{function.account}:function:{function.name}"
    return arn if qualifier is None else f"{arn}:{qualifier}"
