"""``/docs``: the description as one page. It holds all that it needs, asks no other host, and runs no script."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from html import escape
from typing import Any

Document = dict[str, Any]

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); --mono: ui-monospace,
SFMono-Regular, Menlo, monospace; }
body { font: 16px/1.55 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 2rem 1.25rem 6rem; }
h1 { font-size: 1.9rem; margin: 0; } h2 { margin: 3rem 0 .5rem; } h3 { margin: 0; font-size: 1rem; }
code, pre, .path { font-family: var(--mono); font-size: .875rem; }
pre { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; padding: .75rem 1rem; }
details { border: 1px solid var(--line); border-radius: 8px; margin: .6rem 0; padding: .6rem 1rem; }
details details { border-style: dashed; } summary { cursor: pointer; }
.method { display: inline-block; min-width: 4.2rem; font-weight: 700; }
table { border-collapse: collapse; width: 100%; margin: .75rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .75rem .35rem 0; text-align: left;
vertical-align: top; overflow-wrap: anywhere; }
.lesser { opacity: .75; }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
"""Headers of the page: it loads nothing and has no style but its own."""


def page(document: Document) -> str:
    """The description as HTML."""
    info = document["info"]
    calls = [
        _operation(path, method, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    schemas = [_schema(name, schema) for name, schema in document["components"]["schemas"].items()]
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(info['title'])}</h1><p class='lesser'>version {escape(info['version'])}, ",
            'for programs: <a href="/openapi.json">/openapi.json</a></p>',
            f"<p>{_prose(info['description'])}</p>",
            "<h2>Calls</h2>",
            *calls,
            "<h2>Documents</h2>",
            *schemas,
            "</body></html>",
        ]
    )


def _operation(path: str, method: str, operation: Document) -> str:
    return "".join(
        [
            f'<details id="{escape(operation["operationId"])}"><summary><span class="method">{method.upper()}</span>',
            f'<span class="path">{escape(path)}</span> &ensp;{escape(operation["summary"])}</summary>',
            f"<p>{_prose(operation['description'])}</p>",
            f"<pre>{escape(_curl(path, method, operation))}</pre>",
            _table(("parameter", "in", "form", ""), map(_parameter, operation["parameters"])),
            *(_content("Body", content) for content in operation.get("requestBody", {}).get("content", {}).values()),
            *(_response(status, response) for status, response in operation["responses"].items()),
            "</details>",
        ]
    )


def _curl(path: str, method: str, operation: Document) -> str:
    lines = [f'curl -sS -X {method.upper()} "$URL{path.replace("{app_id}", "$APP_ID")}"']
    if operation["security"]:
        lines.append('  -H "Authorization: Bearer $TOKEN"')
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        lines += [f"  -H 'Content-Type: {kind}'", f"  -d '{json.dumps(content['example'])}'"]
    return " \\\n".join(lines)


def _parameter(parameter: Document) -> tuple[str, ...]:
    return (
        f"<code>{escape(parameter['name'])}</code>",
        escape(parameter["in"]),
        _form(parameter["schema"]),
        _prose(parameter.get("description", "")),
    )


def _response(status: str, response: Document) -> str:
    contents = "".join(_content("", content) for content in response["content"].values())
    rows = ((f"<code>{escape(name)}</code>",) for name in response["headers"])
    return (
        f"<details><summary><strong>{escape(status)}</strong> {_prose(response['description'])}</summary>"
        f"{contents}{_table(('header',), rows)}</details>"
    )


def _content(title: str, content: Document) -> str:
    examples = [content["example"]] if "example" in content else []
    examples += [example["value"] for example in content.get("examples", {}).values()]
    shown = "".join(f"<pre>{escape(_json(example))}</pre>" for example in examples)
    return f"<p>{escape(title)} {_form(content['schema'])}</p>{shown}"


def _schema(name: str, schema: Document) -> str:
    required = schema.get("required", ())
    rows = [
        (
            f"<code>{escape(field)}</code>{'' if field in required else ' <span class=lesser>optional</span>'}",
            _form(described),
            _prose(described.get("description", "")),
        )
        for field, described in schema.get("properties", {}).items()
    ]
    listed = _table(("field", "form", ""), rows) if rows else f"<p>{_form(schema)}</p>"
    about = _prose(schema.get("description", ""))
    return f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{about}</p>{listed}'


def _form(schema: Document) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[-1])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(filter(None, map(_form, schema["anyOf"])))
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    form = escape(str(schema.get("format", schema.get("type", "any"))))
    if schema.get("type") == "array":
        form = f"list of {_form(schema['items'])}"
    bounds = [f"{text} {schema[key]}" for text, key in (("from", "minimum"), ("to", "maximum")) if key in schema]
    return " ".join([form, *bounds])


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    titles = "".join(f"<th>{title}</th>" for title in head)
    return f"<table><tr>{titles}</tr>{body}</table>" if body else ""


def _prose(text: str) -> str:
    """Text in which backquotes mark code."""
    parts = escape(text.replace("``", "`")).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
