"""Tools by name: `read_text`, and the functions that installed packages offer under the entry point group `cot.tools`.

In: a name. Out: a `Tool`. A package offers one so:

    [project.entry-points."cot.tools"]
    tide_height = "my_package.tides:height"

Loading runs that package's code, so none is loaded before it is asked for by its name.
"""

from importlib.metadata import EntryPoint, entry_points
from typing import Final

from cot.errors import ToolError, reason
from cot.tools.read_text import read_text_tool
from cot.tools.tool import Tool, as_tool

GROUP: Final = "cot.tools"
TAKEN: Final = ("calculate", "read_text", "zoom")
"""Names that no package's tool can have. Strategies that ship use the first and the last; no step can name those."""


def find_tool(name: str) -> Tool:
    """The tool of this name.

    Raises ToolError if there is none, if two packages offer it, or if what it needs is not installed or fails.
    """
    if name == "read_text":
        return read_text_tool()
    points = [point for point in entry_points(group=GROUP) if point.name == name and name not in TAKEN]
    if not points:
        raise ToolError(f"no tool {name!r}; known: {', '.join(tool_names())}")
    if len(points) > 1:
        raise ToolError(f"two packages offer the tool {name!r}; remove one of them")
    return _load(points[0])


def tool_names() -> tuple[str, ...]:
    """Names of all tools that a step may use: those that ship, then the installed ones. None is loaded."""
    return ("read_text", *sorted({point.name for point in entry_points(group=GROUP)} - set(TAKEN)))


def _load(point: EntryPoint) -> Tool:
    try:
        function = point.load()
    except Exception as error:  # a package can fail in any way
        raise ToolError(
            f"tool {point.name} cannot be loaded from {point.value}: {reason(error)}; update or remove its package"
        ) from error
    version = f"{point.dist.name} {point.dist.version}" if point.dist else ""
    return as_tool(point.name, function, version=version)
