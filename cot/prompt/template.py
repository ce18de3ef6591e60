"""A template: front matter and body, ready to be rendered.

In: the text of a template, and inputs. Out: a `Rendered` prompt. Undefined names, unknown inputs, wrong
kinds and outputs beyond `MAX_RENDERED_CHARACTERS` are errors. It asks no model and knows no strategy.
"""

import dataclasses
import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2

from cot.errors import CotError, PromptError, reason
from cot.image import LoadedImage
from cot.prompt.matter import FrontMatter, read_matter, split_source
from cot.prompt.sandbox import IMAGES, MAX_RENDERED_CHARACTERS, Body, Resolve, compile_body

OpenImage = Callable[[str], LoadedImage]
"""Path of an example's image, as the template has it -> the image. Raises CotError."""

QUESTION: Final = "question"
"""A template that takes it must not be rendered to nothing: the model would answer another question, or none."""

# Drawn anew by each process, so that no input can be taken for it.
_MARK: Final = f"\ufdd0{secrets.token_hex(16)}\ufdd1"


@dataclass(frozen=True)
class Shot:
    """One example as it is sent: a turn of the user, and the answer to it."""

    before: str
    text: str
    images: tuple[LoadedImage, ...]
    output: str


@dataclass(frozen=True)
class Rendered:
    """A prompt, ready to send: the examples, then `before`, the question's images, and `text`.

    template_sha256: of the template file's bytes, and of what it includes and shows. sha256: of the transcript.
    """

    text: str
    template: str
    template_sha256: str
    sha256: str
    max_tokens: int
    before: str = ""
    stop: tuple[str, ...] = ()
    examples: tuple[Shot, ...] = ()

    @property
    def transcript(self) -> str:
        """The whole prompt for people; only the text where there are no examples and nothing before the images."""
        return _transcript(self.before, self.text, self.examples)

    def behind(self, shots: Sequence[Shot]) -> "Rendered":
        """The same prompt with more examples, which come behind its own."""
        examples = (*self.examples, *shots)
        return dataclasses.replace(self, examples=examples, sha256=_digest(self.before, self.text, examples))


@dataclass(frozen=True)
class Template:
    """A loaded template. language: that of its file. path: None if it was not read from a file."""

    matter: FrontMatter
    sha256: str
    body: Body
    language: str = "en"
    path: Path | None = None
    shots: tuple[Shot, ...] = ()

    def render(self, /, **inputs: Any) -> Rendered:
        """Fill the template in. Raises PromptError for missing, unknown or wrong inputs, or a failing template."""
        before, text = self.fill(inputs)
        matter = self.matter
        digest = _digest(before, text, self.shots)
        return Rendered(text, matter.name, self.sha256, digest, matter.max_tokens, before, matter.stop, self.shots)

    def shot(self, inputs: dict[str, Any], images: tuple[LoadedImage, ...], output: str) -> Shot:
        """An example in the words of this template. Raises PromptError."""
        before, text = self.fill(inputs)
        return Shot(before, text, images, output)

    def fill(self, inputs: dict[str, Any]) -> tuple[str, str]:
        """The text before the images and the text behind them. Raises PromptError."""
        values = self.checked(inputs)
        pieces: list[str] = []
        length = 0
        try:
            for piece in self.body.compiled.generate(**values, **{IMAGES: _MARK}):
                length += len(piece)
                if length > MAX_RENDERED_CHARACTERS:
                    raise PromptError(
                        f"{self.matter.name}: rendered text exceeds {MAX_RENDERED_CHARACTERS:,} characters;"
                        " shorten its inputs or its loops"
                    )
                pieces.append(piece)
        except PromptError:
            raise
        except Exception as error:  # a template can make any operation fail
            raise PromptError(f"{self.matter.name}: {reason(error)}") from error
        texts = [text.strip() for text in "".join(pieces).split(_MARK)]
        if len(texts) > 2:
            raise PromptError(f"{self.matter.name}: got {{{{ {IMAGES} }}}} {len(texts) - 1} times; expected it once")
        if values.get(QUESTION) and not any(texts):
            raise _without_question(self.matter.name, "rendered text")
        return (texts[0], texts[1]) if len(texts) == 2 else ("", texts[0])

    def checked(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """A value for each input, its default where none is given. Raises PromptError."""
        known = self.matter.inputs
        if unknown := sorted(set(inputs) - set(known)):
            raise PromptError(f"{self.matter.name}: unknown inputs {unknown}; known: {sorted(known)}")
        values = {}
        for name, spec in known.items():
            if name not in inputs and spec.required:
                raise PromptError(f"{self.matter.name}: input {name!r} ({spec.kind}) is missing")
            value = inputs.get(name, spec.default)
            if name in inputs and not spec.fits(value):
                raise PromptError(f"{self.matter.name}: input {name!r} must be a {spec.kind}, got {value!r:.200}")
            values[name] = value
        return values


def parse_template(
    source: str,
    *,
    name: str,
    resolve: Resolve | None = None,
    open_image: OpenImage | None = None,
    language: str = "en",
    path: Path | None = None,
) -> Template:
    """Read a template from its text. Raises PromptError, naming the template.

    resolve, open_image: what finds includes and the images of examples; without them neither is allowed.
    """
    head, text = split_source(source)
    if head is None:
        raise PromptError(f"{name}: expected YAML front matter between two `---` lines at the top")
    matter = read_matter(head, name=name)
    if QUESTION in matter.inputs and not text.strip():
        raise _without_question(name, "body")
    body = build_body(text, name=name, resolve=resolve)
    digest = hashlib.sha256(source.encode())
    for other in body.files.values():
        digest.update(b"\0" + other.encode())
    template = Template(matter, "", body, language, path)
    shots = tuple(_shot(template, index, open_image or _no_images) for index in range(len(matter.examples)))
    for shot in shots:
        digest.update(b"".join(b"\0" + image.sha256.encode() for image in shot.images))
    return dataclasses.replace(template, sha256=digest.hexdigest(), shots=shots)


def build_body(text: str, *, name: str, resolve: Resolve | None = None) -> Body:
    """Compile a body. Raises PromptError, naming the template and the line."""
    try:
        return compile_body(text, resolve or _no_includes)
    except jinja2.TemplateSyntaxError as error:
        line = f"line {error.lineno} of " if error.lineno else ""
        raise PromptError(f"{name}: {line}{error.name or 'its body'}: {error.message}") from error
    except PromptError as error:
        raise PromptError(f"{name}: {error}") from error
    except (RecursionError, ValueError, ArithmeticError) as error:
        raise PromptError(f"{name}: its body cannot be read: {error}") from error


def _without_question(name: str, empty: str) -> PromptError:
    return PromptError(
        f"{name}: its {empty} is empty, so the question would not be sent; write {{{{ {QUESTION} }}}} in it"
    )


def _shot(template: Template, index: int, open_image: OpenImage) -> Shot:
    example = template.matter.examples[index]
    try:
        return template.shot(example.inputs, (open_image(example.image),) if example.image else (), example.output)
    except CotError as error:
        raise PromptError(f"{template.matter.name}: example {index + 1}: {error}") from error


def _digest(before: str, text: str, examples: tuple[Shot, ...]) -> str:
    return hashlib.sha256(_transcript(before, text, examples).encode("utf-8", "surrogatepass")).hexdigest()


def _transcript(before: str, text: str, examples: tuple[Shot, ...]) -> str:
    if not before and not examples:
        return text
    turns = []
    for shot in examples:
        images = (f"[image {image.sha256[:8]}]" for image in shot.images)
        turns.append("user: " + "\n".join(filter(None, (shot.before, *images, shot.text))))
        turns.append(f"assistant: {shot.output}")
    turns.append("user: " + "\n".join(filter(None, (before, "[images]", text))))
    return "\n".join(turns)


def _no_includes(name: str) -> str:
    raise PromptError(f"got an include of {name!r}; expected none: a template that is no file has no search path")


def _no_images(path: str) -> LoadedImage:
    raise PromptError(f"got the image {path!r}; expected none: a template that is no file has no folder")
