"""Reads HTML pages, and holds them to what every page of ours must keep, for tests."""

import base64
import hashlib
import html.parser
import re

HOSTILE = (
    "</title></style></script><script>document.title='owned'</script><img src=x onerror=alert(1)>\" ' \x1b[31m\u202e"
)
DATA = {"id": "data", "type": "application/json"}
"""What a browser keeps as text and does not run."""
Attributes = list[tuple[str, str | None]]
VOID = {"meta", "input", "img", "br"}
ENDED_BY_THE_NEXT = {"th", "td", "dt", "dd"}


class Structure(html.parser.HTMLParser):
    """Reads a page: its elements with attributes, its text, and whether all that is opened is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: dict[str, str] = {}
        self.data = ""
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: Attributes) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID | ENDED_BY_THE_NEXT:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: Attributes) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in ENDED_BY_THE_NEXT:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1] == ("script", DATA) and self.open[-1] == "script":
            self.data += data
            return
        place = self.open[-1] if self.open else ""
        self.texts[place] = self.texts.get(place, "") + data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == tag]


def assert_safe(page: str) -> Structure:
    """Nothing is loaded, nothing runs but what the policy names by its hash, and no text became an element."""
    found = Structure(page)
    policy = next(m["content"] for m in found.all("meta") if m.get("http-equiv") == "Content-Security-Policy") or ""
    rules = dict(rule.partition(" ")[::2] for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        text = found.texts.get(tag, "")
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == (f"'sha256-{digest}'" if text else "'none'")
        assert len([attributes for attributes in found.all(tag) if attributes != DATA]) == bool(text)
    for tag, attributes in found.elements:
        assert tag not in ("img", "iframe", "object", "embed", "link", "base", "form")
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "src")]
        assert re.match("#|data:image/(png|jpeg);base64,", attributes.get("href") or "#")
    assert not set(page) & set("\x1b\u202e\u200b\x00\r")
    return found
