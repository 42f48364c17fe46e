"""What has come of the settings of provisioned concurrency: read from the environments that there are."""

from dataclasses import dataclass

from lambent.core.function import FunctionName, State
from lambent.core.provisioned_concurrency import Progress
from lambent.invoke.configuration import ServingConfiguration
from lambent.invoke.dispatcher import Dispatcher


@dataclass(frozen=True, slots=True)
class ProvisionedEnvironments:
    configuration: ServingConfiguration
    dispatcher: Dispatcher

    def progress(self, function: FunctionName, qualifier: str) -> Progress:
        """Of all the versions that the qualifier means."""
        allocated = available = 0
        failure = None
        for version in self.configuration.provisioned_versions(function, qualifier):
            snapshot = self.configuration.find(function, version)
            if snapshot is None or snapshot.serving is None:
                if snapshot is not None and snapshot.current.state.value == State.FAILED:
                    failure = snapshot.current.state.reason or "The version is not in state Active."
                continue
            one = self.dispatcher.progress(snapshot.serving.pool_id)
            allocated += one.allocated
            available += one.available
            failure = failure or one.failure
        return Progress(allocated, available, failure)
