"""XML from outside: no DTD, no entities, and bounds that the parser itself does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

_DEPTH = 64
_ATTRIBUTES = 1000
_ELEMENTS = 1_000_000


def parse(body: bytes) -> Element | None:
    """The root of a document; None for what is no XML, or none that is to be trusted.

    A document type, and with it every entity of its own, is refused as a whole. How many bytes are read at
    all is the caller's limit. defusedxml is imported with the first document.
    """
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root: Element = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        return None
    return root if _is_sane(root) else None


def _is_sane(root: Element) -> bool:
    """Neither too deep, nor with too many elements or attributes; the parser itself takes any."""
    level, depth, seen = [root], 0, 0
    while level:
        depth += 1
        seen += len(level)
        if depth > _DEPTH or seen > _ELEMENTS or any(len(element.attrib) > _ATTRIBUTES for element in level):
            return False
        level = [child for element in level for child in element]
    return True


def local_name(element: Element) -> str:
    """An element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def named(root: Element, name: str) -> Iterator[Element]:
    """The elements of this name, whatever their namespace, in the order of the document."""
    return (element for element in root.iter() if local_name(element) == name)
