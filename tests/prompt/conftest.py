"""Folders of templates, made in a temporary place."""

import pytest

from cot.prompt.find import read_template
from cot.prompt.source import Folder, locate


class Prompts:
    """A project's and a user's folder, without the shipped one."""

    def __init__(self, root):
        self.folders = (Folder("project", root / "project"), Folder("user", root / "user"))

    def write(self, name, body, *, place="project", inputs="question: {kind: text, required: true}", more=""):
        """A template; its front matter has the last two parts of its name."""
        short = "/".join(name.split("/")[-2:])
        head = f"name: {short}\ndescription: d\ninputs: {{{inputs}}}\noutput: text\nmax_tokens: 8\n{more}"
        return self.raw(f"{name}.jinja", f"---\n{head}---\n{body}", place=place)

    def raw(self, path, text, *, place="project"):
        folder = next(folder.path for folder in self.folders if folder.origin == place)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
        return folder / path

    def locate(self, name, language="en"):
        return locate(name, language=language, folders=self.folders)

    def read(self, name, language="en"):
        return read_template(self.locate(name, language), self.folders)

    def render(self, name, **inputs):
        return self.read(name).render(**inputs).text


@pytest.fixture
def prompts(tmp_path):
    return Prompts(tmp_path)
