"""Links out of docs/ (recipes, benchmarks, sources) lead into the repository on the built site."""

from __future__ import annotations

import posixpath
import re
from typing import Any

LINK = re.compile(r"\]\(((?:\.\./)+[^)#\s]+)(#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """The page's text with links to files outside docs/ replaced by their addresses."""
    folder = posixpath.dirname(posixpath.join("docs", page.file.src_uri))

    def replaced(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[1]))
        if target.startswith("docs/"):
            return link[0]
        return f"]({config.repo_url}/blob/main/{target}{link[2] or ''})"

    return LINK.sub(replaced, markdown)
