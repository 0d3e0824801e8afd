"""Standard Webhooks: the published vector, and the official library on what we sign."""

from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from switchboard import webhooks

BODY = b'{"test": 2432232314}'


def test_the_published_vector() -> None:
    signed = webhooks.signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_official_library_takes_what_we_sign() -> None:
    now = int(datetime.now(UTC).timestamp())
    first, second = webhooks.new_secret(), webhooks.new_secret()
    headers = webhooks.headers("msg_1", now, BODY, [first, second])
    for secret in (first, second):
        Webhook(secret).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(webhooks.new_secret()).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(first).verify(BODY + b" ", headers)
