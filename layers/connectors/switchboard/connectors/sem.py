"""Oracle Social Engagement and Monitoring: posts an agent's answer to the network the post came from.

Known of its API are `/engage/v1/messages`, `/engage/v1/messages/{id}` (GET, PUT, DELETE) and
`/engage/v1/messages/{messageId}/activities/{id}` (GET), and that a key or token is asked for; all of it at
second hand (developers.linkapi.solutions/docs/oraclesocialcloud, which cites
docs.oracle.com/en/cloud/saas/social/cxsrr).

UNVERIFIED, hence in `settings/social.engagement` where it can be: that a PUT of the message with a reply
posts that reply, the reply's member names, that a reply shows as an activity under the id we gave it, and how
the token is sent (as a Bearer token; an `apiKey` in the secret goes out as X-Api-Key).
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from switchboard.breaker import PATIENT_THRESHOLD, Gate
from switchboard.http import ConnectorClient, url_path
from switchboard.secrets import Secret
from switchboard.settings.social import Engagement

if TYPE_CHECKING:
    import httpx


def _key(secret: Secret) -> Any:
    token = secret.get("token")
    api_key = None if token else secret["apiKey"]

    def authenticate(request: "httpx.Request") -> "httpx.Request":
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        else:
            request.headers["X-Api-Key"] = api_key or ""
        return request

    return authenticate


class Sem:
    """The engagement platform."""

    def __init__(self, client: ConnectorClient) -> None:
        self._client = client

    def reply(self, message_id: str, reply_id: str, text: str, agent_id: str, *, how: Engagement) -> None:
        """Answer a message on the network it came from. It may have been done when this raises AnswerLost.

        Args:
            message_id: the platform's id of the post, which is what it pushes as `uniqueId`.
            reply_id: ours; the same for each attempt.
            text: what is said.
            agent_id: who says it.
            how: the parts of the wire format that nobody has verified.
        """
        reply = {how.id_field: reply_id, how.text_field: text, how.agent_field: agent_id}
        path = _filled(how.reply_path, message_id, reply_id)
        self._client.request(how.reply_method, path, json={how.reply_field: reply}, idempotent=False)

    def has_reply(self, message_id: str, reply_id: str, *, how: Engagement) -> bool:
        """Whether the platform has this reply already."""
        answer = self._client.get(_filled(how.activity_path, message_id, reply_id), accept=(404,))
        return answer.status_code != 404


def _filled(path: str, message_id: str, reply_id: str) -> str:
    return path.replace("{messageId}", url_path(message_id)).replace("{replyId}", url_path(reply_id))


@cache
def sem() -> Sem:
    """The process's client."""
    return Sem(ConnectorClient("sem", auth=_key, gate=Gate("sem", threshold=PATIENT_THRESHOLD)))
