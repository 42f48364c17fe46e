"""The modelled errors of CloudWatch Logs. Its error shapes carry a message and nothing else."""

from lambent.core.errors import ModelledError


class LogsError(ModelledError):
    """An error of the `logs` service."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.members = {}


class ResourceNotFoundException(LogsError):
    code = "ResourceNotFoundException"


class InvalidParameterException(LogsError):
    code = "InvalidParameterException"
