"""Errors that are the caller's fault or a stated refusal: AWS's modelled errors, as exceptions.

An error's class is named as the service model names the shape; the server attaches status, headers and body once,
from that name and the model. A function's own failure is not an exception here: it is an outcome
(`lambent.core.invocation`). A fault of ours is an ordinary exception and becomes ServiceException at the server.
"""

from typing import ClassVar


class ModelledError(Exception):
    """An answer of AWS's error model.

    `code` is the wire name of the error; `members` are further members of its shape (such as `Type`, `Reason`).
    """

    code: ClassVar[str]
    fault: ClassVar[str] = "User"

    def __init__(self, message: str | None = None, **members: object) -> None:
        super().__init__(message)
        self.message = message
        self.members: dict[str, object] = {"Type": self.fault, **members}


class ResourceNotFoundException(ModelledError):
    code = "ResourceNotFoundException"


class ResourceConflictException(ModelledError):
    code = "ResourceConflictException"


class ResourceInUseException(ModelledError):
    code = "ResourceInUseException"


class InvalidParameterValueException(ModelledError):
    code = "InvalidParameterValueException"


class PreconditionFailedException(ModelledError):
    code = "PreconditionFailedException"


class AccessDeniedException(ModelledError):
    code = "AccessDeniedException"


class RequestTooLargeException(ModelledError):
    code = "RequestTooLargeException"


class RequestEntityTooLargeException(ModelledError):
    code = "RequestEntityTooLargeException"


class InvalidRequestContentException(ModelledError):
    code = "InvalidRequestContentException"


class RecursiveInvocationException(ModelledError):
    code = "RecursiveInvocationException"


class TooManyRequestsException(ModelledError):
    code = "TooManyRequestsException"


class PolicyLengthExceededException(ModelledError):
    code = "PolicyLengthExceededException"


class PublicPolicyException(ModelledError):
    code = "PublicPolicyException"


class CodeVerificationFailedException(ModelledError):
    code = "CodeVerificationFailedException"


class CodeStorageExceededException(ModelledError):
    code = "CodeStorageExceededException"


class CodeSigningConfigNotFoundException(ModelledError):
    code = "CodeSigningConfigNotFoundException"


class KMSNotFoundException(ModelledError):
    code = "KMSNotFoundException"


class ProvisionedConcurrencyConfigNotFoundException(ModelledError):
    code = "ProvisionedConcurrencyConfigNotFoundException"


class SnapStartException(ModelledError):
    code = "SnapStartException"


class SnapStartNotReadyException(ModelledError):
    code = "SnapStartNotReadyException"


class SnapStartRegenerationFailureException(ModelledError):
    code = "SnapStartRegenerationFailureException"


class SnapStartTimeoutException(ModelledError):
    code = "SnapStartTimeoutException"


class ServiceException(ModelledError):
    code = "ServiceException"
    fault = "Service"


class ValidationException(ModelledError):
    """A constraint of the model is broken. Framework errors of AWS carry no `Type`."""

    code = "ValidationException"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.members = {}


class NotImplementedException(ModelledError):
    """An operation that AWS has and Lambent has not, yet: HTTP 501, naming `docs/compatibility.md`."""

    code = "NotImplementedException"
    fault = "Service"
