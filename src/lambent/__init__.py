"""Lambent: AWS Lambda on machines you own.

`ARCHITECTURE.md` walks one invocation through the packages; `lambent.assembly` is where they meet.
"""

__version__ = "0.1.0"
