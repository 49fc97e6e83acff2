"""The root page: what this server is, and its routes."""

import html
from typing import Any


def render(openapi: dict[str, Any]) -> str:
    """The page, from the application's OpenAPI description."""
    rows = "".join(
        f"<tr><td>{method.upper()}</td><td><code>{html.escape(path)}</code></td>"
        f"<td>{html.escape(operation.get('description', '').splitlines()[0])}</td></tr>"
        for path, operations in openapi["paths"].items()
        for method, operation in operations.items()
    )
    info = openapi["info"]
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{html.escape(info['title'])}</title>"
        f"<h1>{html.escape(info['title'])}</h1><p>{html.escape(info['description'])}</p>"
        f"<table>{rows}</table><p><a href='/docs'>/docs</a> to try them out, <a href='/health'>/health</a></p></html>"
    )
