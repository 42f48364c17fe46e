import botocore.session

from lambent.core import limits


def test_every_runtime_of_the_service_model_is_current_or_retired_or_known_to_be_neither() -> None:
    model = botocore.session.get_session().get_service_model("lambda")
    known = set(limits.RUNTIMES) | limits.RETIRED_RUNTIMES
    announced = {"nodejs26.x", "python3.15", "ruby4.0", "java8.al2023", "java11.al2023", "java17.al2023", "custom"}
    assert set(model.shape_for("Runtime").enum) - known <= announced
    assert not set(limits.RUNTIMES) & limits.RETIRED_RUNTIMES
    assert set(limits.RUNTIMES_RUN) <= set(limits.RUNTIMES)
