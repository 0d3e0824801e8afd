"""The AWS clients, one of each in a process, made when first used.

Time-outs are short because every caller has a queue or a partner waiting: three tries take less than a
function's 20 seconds, so that it can still say what is wrong.

They are botocore's own, without boto3: it adds nothing to them, and imports S3's transfer manager with its
thread pools, a tenth of what a cold start spends on AWS.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.config import Config
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sqs import SQSClient


def _config() -> "Config":
    from botocore.config import Config

    return Config(connect_timeout=1, read_timeout=4, retries={"mode": "standard", "total_max_attempts": 3})


@cache
def _session() -> Any:
    from botocore.session import get_session

    return get_session()


def _client(service: str, config: "Config | None" = None) -> Any:
    return _session().create_client(service, config=config or _config())


@cache
def dynamodb() -> "DynamoDBClient":
    """The process's DynamoDB client."""
    client: DynamoDBClient = _client("dynamodb")
    return client


@cache
def dynamodb_streams() -> Any:
    """The process's client of DynamoDB's streams."""
    return _client("dynamodbstreams")


@cache
def sqs() -> "SQSClient":
    """The process's SQS client."""
    client: SQSClient = _client("sqs")
    return client


@cache
def eventbridge() -> "EventBridgeClient":
    """The process's EventBridge client."""
    client: EventBridgeClient = _client("events")
    return client


@cache
def s3() -> "S3Client":
    """The process's S3 client; signature 4, which presigned URLs need in every region."""
    from botocore.config import Config

    client: S3Client = _client("s3", _config().merge(Config(signature_version="s3v4", read_timeout=30)))
    return client


@cache
def secretsmanager() -> "SecretsManagerClient":
    """The process's Secrets Manager client."""
    client: SecretsManagerClient = _client("secretsmanager")
    return client


@cache
def sesv2() -> "SESV2Client":
    """The process's SES client: one attempt, but patient, since a mail goes out once."""
    from botocore.config import Config

    client: SESV2Client = _client(
        "sesv2", _config().merge(Config(read_timeout=10, retries={"total_max_attempts": 1}))
    )
    return client
