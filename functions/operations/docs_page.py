"""The page at /docs: Swagger UI as Powertools brings it, with our document in it; nothing from a CDN."""

from functools import cache
from pathlib import Path

from aws_lambda_powertools.event_handler.openapi import swagger_ui

_ASSETS = Path(swagger_ui.__file__).parent


@cache
def render(openapi: str) -> str:
    """The page as HTML."""
    script = (_ASSETS / "swagger-ui-bundle.min.js").read_text()
    style = (_ASSETS / "swagger-ui.min.css").read_text()
    # A `</script>` inside a description would end the element that carries the document.
    document = openapi.replace("</", "<\\/")
    return swagger_ui.generate_swagger_html(document, script, style, "", None, False)
