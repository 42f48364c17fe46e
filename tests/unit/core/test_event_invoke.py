import pytest

from lambent.core.event_invoke import DESTINATIONS_ON_FAILURE, DESTINATIONS_ON_SUCCESS, is_destination


@pytest.mark.parametrize(
    ("arn", "on_success", "on_failure"),
    [
        ("arn:aws:sqs:us-east-1:111122223333:q", True, True),
        ("arn:aws:sqs:us-east-1:111122223333:q.fifo", False, False),
        ("arn:aws:sns:us-east-1:111122223333:t", True, True),
        ("arn:aws:sns:us-east-1:111122223333:t.fifo", False, False),
        ("arn:aws:lambda:us-east-1:111122223333:function:f", True, True),
        ("arn:aws:events:us-east-1:111122223333:event-bus/b", True, True),
        ("arn:aws:s3:::bucket", False, True),
        ("arn:aws:dynamodb:us-east-1:111122223333:table/t", False, False),
        ("kafka://topic", False, False),
    ],
)
def test_records_go_to_the_services_that_aws_names(arn: str, on_success: bool, on_failure: bool) -> None:
    assert is_destination(arn, DESTINATIONS_ON_SUCCESS) is on_success
    assert is_destination(arn, DESTINATIONS_ON_FAILURE) is on_failure
