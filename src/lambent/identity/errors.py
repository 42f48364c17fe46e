"""The modelled errors of IAM: classes by the names of the shapes, with the codes that the query protocol sends."""

from lambent.core.errors import ModelledError


class IamError(ModelledError):
    """An error of the `iam` service. Its shapes have a message and nothing else."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.members = {}


class EntityAlreadyExistsException(IamError):
    code = "EntityAlreadyExists"


class NoSuchEntityException(IamError):
    code = "NoSuchEntity"


class DeleteConflictException(IamError):
    code = "DeleteConflict"


class MalformedPolicyDocumentException(IamError):
    code = "MalformedPolicyDocument"


class InvalidInputException(IamError):
    code = "InvalidInput"


class LimitExceededException(IamError):
    code = "LimitExceeded"
