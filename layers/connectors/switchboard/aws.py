"""The AWS clients, one of each in a process, made when first used.

Time-outs are short because every caller has a queue or a partner waiting: three tries take less than a
function's 20 seconds, so that it can still say what is wrong.
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
def dynamodb() -> "DynamoDBClient":
    """The process's DynamoDB client."""
    import boto3

    return boto3.client("dynamodb", config=_config())


@cache
def dynamodb_streams() -> Any:
    """The process's client of DynamoDB's streams."""
    import boto3

    return boto3.client("dynamodbstreams", config=_config())


@cache
def sqs() -> "SQSClient":
    """The process's SQS client."""
    import boto3

    return boto3.client("sqs", config=_config())


@cache
def eventbridge() -> "EventBridgeClient":
    """The process's EventBridge client."""
    import boto3

    return boto3.client("events", config=_config())


@cache
def s3() -> "S3Client":
    """The process's S3 client; signature 4, which presigned URLs need in every region."""
    import boto3
    from botocore.config import Config

    return boto3.client("s3", config=_config().merge(Config(signature_version="s3v4", read_timeout=30)))


@cache
def secretsmanager() -> "SecretsManagerClient":
    """The process's Secrets Manager client."""
    import boto3

    return boto3.client("secretsmanager", config=_config())


@cache
def sesv2() -> "SESV2Client":
    """The process's SES client: one attempt, but patient, since a mail goes out once."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "sesv2", config=_config().merge(Config(read_timeout=10, retries={"total_max_attempts": 1}))
    )
