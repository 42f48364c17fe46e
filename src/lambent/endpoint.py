"""Where an AWS service is that Lambent is a client of. Plain data, for the settings and for who calls the service."""

from dataclasses import dataclass, field

SERVICES = {"s3": "S3", "sqs": "SQS", "sns": "SNS", "events": "EventBridge"}
"""Those that the settings can name endpoints for: as ARNs and botocore name them, and as people do."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`url` is empty where there is no such service. An empty `region` is that of the resource which is asked for;
    without `access_key_id` requests are not signed."""

    url: str
    region: str = ""
    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)
