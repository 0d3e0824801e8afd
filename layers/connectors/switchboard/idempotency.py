"""`Idempotency-Key`: the same key and the same request get the first answer.

Powertools keeps the records. The partner is part of the key, so one partner's key says nothing about
another's; the request's digest is checked, so a key cannot be spent on two requests. Loaded only by a
call that brings the header.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
    IdempotencyValidationError,
)
from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import DataRecord

from switchboard.aws import dynamodb
from switchboard.errors import SwitchboardError

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

KEPT_SECONDS = 30 * 24 * 3600
"""As long as queues and dead-letter queues together can keep a message."""


@dataclass
class _Replay:
    """Whether the answer came from the record."""

    happened: bool = False

    def __call__(self, response: Any, idempotent_data: DataRecord) -> Any:
        self.happened = True
        return response


def once(
    partner_id: str, key: str, digest: str, context: "LambdaContext", execute: Callable[[], dict[str, Any]]
) -> tuple[dict[str, Any], bool]:
    """Run `execute` for the first call with this key; return its answer, and whether it was replayed.

    A call that raises leaves no record, so it may be repeated.

    Raises:
        SwitchboardError: `idempotency-key-reused` for another request, `in-progress` while the first runs.
    """
    replay = _Replay()
    config = IdempotencyConfig(
        event_key_jmespath="key",
        payload_validation_jmespath="digest",
        raise_on_no_idempotency_key=True,
        hash_function="sha256",
        expires_after_seconds=KEPT_SECONDS,
        response_hook=replay,
        lambda_context=context,
    )
    store = DynamoDBPersistenceLayer(table_name=os.environ["IDEMPOTENCY_TABLE"], boto3_client=dynamodb())

    def run(request: dict[str, str]) -> dict[str, Any]:
        return execute()

    run_once = idempotent_function(
        run, data_keyword_argument="request", persistence_store=store, config=config, key_prefix="api"
    )

    try:
        answer: dict[str, Any] = run_once(request={"key": f"{partner_id}#{key}", "digest": digest})
    except IdempotencyValidationError:
        raise SwitchboardError("idempotency-key-reused") from None
    except IdempotencyAlreadyInProgressError:
        raise SwitchboardError(
            "in-progress", "The first request with this Idempotency-Key still runs.", retry_after=2
        ) from None
    return answer, replay.happened
