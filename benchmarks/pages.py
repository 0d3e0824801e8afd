"""The sandbox's QuestionPro with responses that differ, and with its pages rendered once and kept."""

import argparse
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from sandbox.application import create_application
from sandbox.vendors.questionpro import QuestionPro, Survey, response

SURVEY = "3154843"
_WORDS = (
    *("the", "a", "service", "was", "quick", "slow", "friendly", "helpful", "agent", "answered", "call"),
    *("again", "twice", "never", "app", "price", "bill", "network", "problem", "solved", "waiting"),
    *("minutes", "hours", "thank", "you", "Müller", "Ünal", "naïve", "would", "recommend", "to", "friends"),
)


def customer_of(place: int) -> str:
    """The address of a customer whom responses name."""
    return f"customer.{place}@example.com"


class _Varied(Survey):
    """Responses whose answers, texts and addresses are their own, the same in each run.

    Args:
        count: how many.
        every: each so many-th names a customer; none when 0.
        customers: how many of them take turns.
    """

    def __init__(self, count: int, every: int, customers: int) -> None:
        super().__init__(SURVEY, bulk=count)
        self._every, self._customers = every, customers

    def _made(self, index: int) -> dict[str, Any]:
        lot = random.Random(index)  # noqa: S311 - data of a benchmark
        moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=index)
        made = response(
            self.number,
            10_000_000 + index,
            moment,
            scale=lot.randrange(4),
            text=" ".join(lot.choices(_WORDS, k=lot.randrange(3, 40))),
            custom=self._names(index),
        )
        made["ipAddress"] = f"198.51.{lot.randrange(256)}.{lot.randrange(256)}"
        made["timeTaken"] = lot.randrange(10, 900)
        return made

    def _names(self, index: int) -> dict[str, str] | None:
        if not self._every or index % self._every:
            return None
        return {"custom3": customer_of(index // self._every % self._customers)}


class PreparedQuestionPro(QuestionPro):
    """Each page is rendered when it is first asked for."""

    def __init__(self, count: int, every: int = 0, customers: int = 1) -> None:
        self._survey = (count, every, customers)
        self._pages: dict[str, bytes] = {}

    def reset(self) -> None:
        """The survey is there, without limits."""
        super().reset()
        self._per_minute = 10**9
        self.surveys = {SURVEY: _Varied(*self._survey)}

    async def _responses(self, request: web.Request) -> web.Response:
        query = request.query_string
        if query not in self._pages:
            rendered = await super()._responses(request)
            body = rendered.body
            assert isinstance(body, bytes)  # noqa: S101 - json_response makes bytes
            self._pages[query] = body
        return web.Response(body=self._pages[query], content_type="application/json")


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("--known", type=int, nargs=2, default=(0, 1), metavar=("EVERY", "CUSTOMERS"))
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    application = create_application([PreparedQuestionPro(arguments.count, *arguments.known)])
    web.run_app(application, host="127.0.0.1", port=arguments.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
