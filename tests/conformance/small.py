"""An OpenAPI document of our own, with everything in it that Neon's has."""

from __future__ import annotations

from tests.conformance.schemas import Json

_REF = "#/components/schemas/"


def _json(schema: Json) -> Json:
    return {"content": {"application/json": {"schema": schema}}}


DOCUMENT: Json = {
    "openapi": "3.0.3",
    "info": {"title": "small", "version": "1"},
    "paths": {
        "/auth": {
            "get": {"responses": {"200": _json({"$ref": f"{_REF}Auth"}), "default": {"$ref": "#/answers/error"}}}
        },
        "/things": {
            "get": {
                "parameters": [
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 400}},
                    {"name": "deep", "in": "query", "schema": {"type": "boolean"}},
                    {"name": "org", "in": "query", "required": True, "schema": {"type": "string"}},
                    {"name": "ids", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
                ],
                "responses": {"200": _json({"$ref": f"{_REF}Things"}), "default": {"$ref": "#/answers/error"}},
            },
            "post": {
                "requestBody": {
                    "required": True,
                    **_json({"allOf": [{"$ref": f"{_REF}ThingRequest"}, {"$ref": f"{_REF}Labels"}]}),
                },
                "responses": {"201": _json({"$ref": f"{_REF}Things"}), "default": {"$ref": "#/answers/error"}},
            },
        },
        "/things/{thing_id}": {
            "parameters": [
                {
                    "name": "thing_id",
                    "in": "path",
                    "required": True,
                    "schema": {"type": "string", "pattern": "^[a-z]+$"},
                }
            ],
            "delete": {"responses": {"204": {"description": "gone"}, "default": {"$ref": "#/answers/error"}}},
            "get": {"responses": {"200": _json({"$ref": f"{_REF}Thing"}), "default": {"$ref": "#/answers/error"}}},
        },
        "/things/count": {
            "get": {"responses": {"200": _json({"$ref": f"{_REF}Count"}), "default": {"$ref": "#/answers/error"}}}
        },
    },
    "answers": {"error": _json({"$ref": f"{_REF}GeneralError"})},
    "components": {
        "schemas": {
            "Auth": {"type": "object", "required": ["account_id"], "properties": {"account_id": {"type": "string"}}},
            "GeneralError": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {"code": {"type": "string", "default": ""}, "message": {"type": "string"}},
            },
            "Count": {"type": "object", "required": ["count"], "properties": {"count": {"type": "integer"}}},
            "Level": {"type": "string", "enum": ["low", "high"]},
            "Thing": {
                "type": "object",
                "required": ["id", "made_at"],
                "properties": {
                    "id": {"type": "string"},
                    "made_at": {"type": "string", "format": "date-time"},
                    "ended_at": {"type": "string", "format": "date-time", "nullable": True},
                    "level": {"type": "string", "allOf": [{"$ref": f"{_REF}Level"}], "nullable": True},
                    "bytes": {"type": "integer", "format": "int64", "minimum": 0},
                    # Beside a reference nothing counts (OpenAPI 3.0.3, 4.7.23).
                    "other": {"$ref": f"{_REF}Level", "description": "a reference", "maxLength": 1},
                },
            },
            "Things": {
                "type": "object",
                "required": ["things"],
                "properties": {"things": {"type": "array", "items": {"$ref": f"{_REF}Thing"}}},
            },
            "ThingRequest": {
                "type": "object",
                "required": ["thing"],
                "properties": {
                    "thing": {
                        "type": "object",
                        "properties": {
                            "name": {"type": "string", "minLength": 1},
                            "until": {"type": "string", "format": "date-time", "nullable": True},
                            "anything": {"type": "object"},
                        },
                    }
                },
            },
            "Labels": {
                "type": "object",
                "properties": {
                    "labels": {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "string"}}
                },
            },
        }
    },
}
