"""The error for a request that can not be read: its form is wrong, before any constraint of the model is looked at."""

from lambent.core.errors import ModelledError


class SerializationException(ModelledError):
    """The request can not be read as the operation's input. A framework error of AWS: it carries no `Type`."""

    code = "SerializationException"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message)
        self.members = {}
