"""Siebel's Assignment Manager."""

from dataclasses import dataclass

from switchboard.connectors.siebel.rest import Rest
from switchboard.errors import VendorError
from switchboard.observability import logger
from switchboard.settings.siebel import Assignment as AssignmentSettings


@dataclass(frozen=True, slots=True)
class Assignment:
    """Has Siebel's own rules find an owner."""

    rest: Rest
    settings: AssignmentSettings

    def assign(self, object_name: str, row_id: str) -> bool:
        """Whether Siebel's Assignment Manager took it; one that refuses costs no customer his case."""
        if not self.settings.enabled:
            return False
        try:
            self.rest.call(self.settings.method, {"AsgnObjName": object_name, "ObjRowId": row_id})
        except VendorError as error:
            if error.error.retryable and error.code != "remote-auth":
                raise
            logger.warning("the assignment manager refused", code=error.code, detail=error.detail)
            return False
        return True
