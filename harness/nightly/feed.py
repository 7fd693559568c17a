"""What nights told, as an Atom feed (RFC 4287): one entry a message, newest first. Pure."""

from collections.abc import Sequence
from uuid import NAMESPACE_URL, uuid5
from xml.etree.ElementTree import Element, SubElement, tostring

from harness.analyse.history.found import NightFound
from harness.render.words import clean

ATOM = "http://www.w3.org/2005/Atom"
FILE = "feed.atom"
MOST_ENTRIES = 50


def feed(nights: Sequence[NightFound], title: str) -> bytes:
    """The feed's file.

    Args:
        nights: oldest first.
    """
    updated = nights[-1].ended if nights else "1970-01-01T00:00:00Z"
    told = {message.id: (night.ended, message) for night in nights for message in night.messages}
    root = Element("feed", xmlns=ATOM)
    SubElement(root, "id").text = _id(title)
    SubElement(root, "title").text = title
    SubElement(root, "updated").text = updated
    SubElement(SubElement(root, "author"), "name").text = "bench"
    for ended, message in list(reversed(told.values()))[:MOST_ENTRIES]:
        entry = SubElement(root, "entry")
        SubElement(entry, "id").text = _id(message.id)
        SubElement(entry, "title").text = clean(message.title)
        SubElement(entry, "updated").text = ended
        SubElement(entry, "content", type="text").text = "\n".join(map(clean, message.text.splitlines()))
    body: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return body + b"\n"


def _id(name: str) -> str:
    """Stays the same, so that a reader shows an entry once."""
    return f"urn:uuid:{uuid5(NAMESPACE_URL, f'bench:{name}')}"
