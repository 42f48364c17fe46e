"""AWS's quotas and budgets, each with its source. Nothing else in the code states one.

Where AWS lets a customer raise a quota it is a setting, and the number here is its default.
"""

# Execution environment ----------------------------------------------------------------------------------------------
# Developer guide, "Understanding the Lambda execution environment lifecycle".
INIT_BUDGET_US = 10_000_000
PROVISIONED_INIT_BUDGET_US = 130_000_000
"""Where environments are initialised ahead; or the function's timeout, if that is longer. The same page."""
RESTORE_BUDGET_US = 10_000_000
SHUTDOWN_BUDGET_US = 2_000_000

# Payloads -----------------------------------------------------------------------------------------------------------
# Developer guide, "Lambda quotas", and the figure in the error texts.
SYNC_REQUEST_BYTES = 6_291_456
SYNC_RESPONSE_BYTES = 6_291_556
EVENT_REQUEST_BYTES = 1_048_576
INVOKE_ASYNC_REQUEST_BYTES = 262_144
"""Of the deprecated operation. API reference, InvokeAsync."""
CLIENT_CONTEXT_BYTES = 3_583
LOG_TAIL_BYTES = 4_096
"""Of X-Amz-Log-Result, before its base64."""
LOG_EVENT_BYTES = 262_144
"""Of one event in CloudWatch Logs. Source: CloudWatch Logs user guide, "CloudWatch Logs quotas"."""

# Records of asynchronous invocations --------------------------------------------------------------------------------
DEAD_LETTER_ERROR_MESSAGE_BYTES = 1_024
"""Of an error message in a dead letter's attribute. Developer guide, "Capturing records of Lambda asynchronous
invocations"."""
TOPIC_MESSAGE_BYTES = 262_144
"""Of a message to SNS. API reference of Lambda, OnFailure; API reference of SNS, Publish."""
QUEUE_MESSAGE_BYTES = 1_048_576
"""Of a message to SQS. API reference of SQS, SendMessage."""
BUS_ENTRY_BYTES = 262_144
"""Of an entry for EventBridge. API reference of EventBridge, PutEvents."""

# Requests -----------------------------------------------------------------------------------------------------------
# The body's limit is the one that CreateFunction's error text names; the head's is of the Invoke operation.
REQUEST_BODY_BYTES = 70_167_211
REQUEST_HEAD_BYTES = 1_048_576

# A function's configuration -----------------------------------------------------------------------------------------
# Developer guide, "Lambda quotas". The service model's maxima of memory, time and /tmp are those of functions on
# capacity providers.
TIMEOUT_S_MAX = 900
MEMORY_MIB_MAX = 10_240
EPHEMERAL_MIB_DEFAULT = 512
EPHEMERAL_MIB_MAX = 10_240
ENVIRONMENT_BYTES = 4_096
"""Of all environment variables, measured on their JSON object."""
FUNCTION_NAME_CHARACTERS = 64
"""API reference, CreateFunction, FunctionName."""
IMAGE_CONFIG_BYTES = 16_384
"""Of all members of ImageConfig; measured on their JSON object, as environment variables are."""
LAYERS_PER_FUNCTION = 5
RESOURCE_POLICY_BYTES = 20_480
"""Of a function, version, alias or layer version, and the figure in the error text."""
TAGS_PER_RESOURCE = 50
"""Developer guide, "Using tags on Lambda functions"."""
CONCURRENCY = 1_000
"""Of an account in a region. Developer guide, "Lambda quotas"."""
REQUESTS_PER_S_PER_CONCURRENCY = 10
"""Synchronous ones, of the account, a reservation or provisioned concurrency alike. The same page."""
SCALE_OUT_PER_10_S = 1_000
"""Environments of a function. Developer guide, "Understanding Lambda function scaling", "Concurrency scaling rate"."""
UNRESERVED_CONCURRENCY_MIN = 100
"""What reservations must leave to the functions that have none. Developer guide, "Configuring reserved concurrency for
a function", and the figure in the error text."""

# Asynchronous invocations -------------------------------------------------------------------------------------------
# Developer guide, "How Lambda handles errors and retries with asynchronous invocation" and "Configuring error handling
# settings for Lambda asynchronous invocations".
RETRY_ATTEMPTS = 2
EVENT_AGE_S = 21_600
BACKOFF_S_MIN = 1
BACKOFF_S_MAX = 300
"""Between attempts that were throttled, or failed by no fault of the function."""
DEAD_LETTER_MESSAGE_CHARS = 1_024
"""Of a dead letter's ErrorMessage. Developer guide, "Adding a dead-letter queue"."""
RECURSION_MAX = 16
"""How often a chain comes by a function before it is stopped: AWS says "approximately". Developer guide, "Use Lambda
recursive loop detection to prevent infinite loops"."""

# Event source mappings ----------------------------------------------------------------------------------------------
# API reference, CreateEventSourceMapping; developer guide, "Lambda quotas" and "Control which events Lambda sends to
# your function".
FILTERS_PER_MAPPING = 5
FILTER_LEVELS = 100
"""How deep the objects of a filter pattern may nest; AWS states no number."""
FIFO_BATCH_SIZE_MAX = 10
BATCH_SIZE_WITHOUT_WINDOW_MAX = 10
"""Of queues: more needs a batching window."""
RECORD_AGE_S_MIN = 60
SQS_POLLERS_MIN = 2
POLLERS_MAX_DEFAULT = 200
KAFKA_POLLERS_MAX = 2_000
"""Of a mapping, and of all that are in one poller group."""
POLLER_GROUP_MAPPINGS_MAX = 100
BROKER_TIMEOUT_S_MAX = 840
"""Of a function that Kafka, a message broker or DocumentDB is mapped to. Source: developer guide, their pages."""

# Deployment packages ------------------------------------------------------------------------------------------------
# Developer guide, "Lambda quotas", and the figures in the error texts.
ZIPPED_BYTES = 52_428_800
UNZIPPED_BYTES = 262_144_000
CODE_STORAGE_BYTES = 80_530_636_800
"""Of an account in a region, as GetAccountSettings tells it."""
PACKAGE_ENTRIES = 65_535
"""What an archive without the Zip64 extension can hold; AWS states no number. Source: PKWARE, APPNOTE.TXT, 4.4.1.4."""

# Lists --------------------------------------------------------------------------------------------------------------
# API reference, ListFunctions: "returns a maximum of 50 items in each response, even if you set the number higher".
FUNCTIONS_PER_PAGE = 50
EVENT_SOURCE_MAPPINGS_PER_PAGE = 100
"""API reference, ListEventSourceMappings."""
CODE_SIGNING_CONFIGS_PER_PAGE = 10_000
"""Also of the functions that have one: the maximum of MaxItems in the service model. No other page size is told."""

# Runtimes -----------------------------------------------------------------------------------------------------------
# Identifiers: the enumeration `Runtime` of the service model. Which of them a function may be created with: developer
# guide, "Lambda runtimes", and the list in the error text of CreateFunction.
RUNTIMES = (
    "nodejs16.x", "nodejs18.x", "nodejs20.x", "nodejs22.x", "nodejs24.x",
    "python3.8", "python3.9", "python3.10", "python3.11", "python3.12", "python3.13", "python3.14",
    "java8.al2", "java11", "java17", "java21", "java25",
    "dotnet6", "dotnet8", "dotnet10",
    "ruby3.2", "ruby3.3", "ruby3.4",
    "provided.al2", "provided.al2023",
)  # fmt: skip
RETIRED_RUNTIMES = frozenset(
    (
        "nodejs", "nodejs4.3", "nodejs4.3-edge", "nodejs6.10", "nodejs8.10", "nodejs10.x", "nodejs12.x", "nodejs14.x",
        "python2.7", "python3.6", "python3.7",
        "java8",
        "dotnetcore1.0", "dotnetcore2.0", "dotnetcore2.1", "dotnetcore3.1",
        "ruby2.5", "ruby2.7",
        "go1.x", "provided",
    )
)  # fmt: skip
RUNTIMES_RUN = frozenset(
    (
        "nodejs18.x", "nodejs20.x", "nodejs22.x", "nodejs24.x",
        "python3.9", "python3.10", "python3.11", "python3.12", "python3.13", "python3.14",
        "provided.al2", "provided.al2023",
    )
)  # fmt: skip
"""Those that Lambent runs on a machine that has the interpreter (`docs/compatibility.md`)."""

SNAP_START_RUNTIMES = frozenset(
    (
        "java11", "java17", "java21", "java25",
        "python3.12", "python3.13", "python3.14",
        "dotnet8", "dotnet10",
    )
)  # fmt: skip
"""Those that a version can be started of from a snapshot. Source: developer guide, "Improving startup performance with
Lambda SnapStart", which takes container images as well and no /tmp that is larger than the following."""
SNAP_START_EPHEMERAL_MIB_MAX = 512
SNAP_START_OLDER_RUNTIMES = frozenset(("python3.9", "python3.10", "python3.11"))
"""Those besides that Lambent can start from snapshots, and AWS does not."""

RESERVED_VARIABLES = frozenset(
    (
        "_HANDLER", "_X_AMZN_TRACE_ID", "_AWS_XRAY_DAEMON_ADDRESS", "_AWS_XRAY_DAEMON_PORT",
        "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_METADATA_API", "AWS_LAMBDA_METADATA_TOKEN",
        "AWS_LAMBDA_MAX_CONCURRENCY", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
    )
)  # fmt: skip
"""Environment variables that a function's configuration may not set. Source: developer guide, "Using Lambda
environment variables", "Defined runtime environment variables"."""
