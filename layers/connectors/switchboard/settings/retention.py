"""`settings/retention`: how long what partners sent is kept after its work has ended."""

from typing import Annotated

from pydantic import Field

from switchboard.models import ApiModel


class RetentionSettings(ApiModel):
    """The area `retention`. A payload is removed so many days after its entry's last move; its hash stays."""

    payload_days: Annotated[int, Field(ge=1, le=365)] = 30
