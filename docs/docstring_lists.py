"""For the API pages: lines such as `trials: the number of ...` in a docstring become items of a list.

Our docstrings say what a field means in this way, which Markdown would run together into one paragraph.
"""

import re
from typing import Any

import griffe

_ITEM = re.compile(r"^([a-z_]\w*(?:, [a-z_]\w*)*): (?=\S)")


class DocstringLists(griffe.Extension):
    """Applied to every docstring that mkdocstrings reads."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = listed(obj.docstring.value)


def listed(text: str) -> str:
    """The same text with `name: meaning` at the left margin as items, and a blank line before the first."""
    lines: list[str] = []
    in_list = False
    for line in text.splitlines():
        item = _ITEM.match(line)
        if item:
            if not in_list and lines and lines[-1]:
                lines.append("")
            names = ", ".join(f"`{name}`" for name in item[1].split(", "))
            lines.append(f"- {names}: {line[item.end() :]}")
        elif in_list and line and not line.startswith(" "):
            lines += ["", line]
        else:
            lines.append(line)
        in_list = bool(item) or (in_list and line.startswith(" "))
    return "\n".join(lines)
