#!/usr/bin/env python3
"""Loads the contracts, validates them and every example against them, prints counts."""

import csv
import json
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit, parse_qsl

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

ROOT = Path(__file__).resolve().parent
APIS = ["cleanmail", "iq-mail", "mod-email", "apinizer-connections", "egroupware-mail"]
EXPECTED = {  # operations, examples
    "cleanmail": (93, 63),
    "iq-mail": (4, 4),
    "mod-email": (2, 7),
    "apinizer-connections": (5, 7),
    "egroupware-mail": (6, 8),
}
METHODS = ("get", "post", "put", "patch", "delete")
problems = []


def bad(*parts):
    problems.append(" ".join(str(p) for p in parts))


def resolve(spec, node):
    while isinstance(node, dict) and "$ref" in node:
        target = spec
        for part in node["$ref"].lstrip("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for v in node.values():
            yield from references(v)
    elif isinstance(node, list):
        for v in node:
            yield from references(v)


def operations(spec):
    for path, item in spec["paths"].items():
        for method in METHODS:
            if method in item:
                op = item[method]
                shared = [resolve(spec, p) for p in item.get("parameters", [])]
                own = [resolve(spec, p) for p in op.get("parameters", [])]
                yield path, method, op, shared + own


def absolute(schema, base):
    """Copies a schema with its local references turned into absolute ones."""
    if isinstance(schema, dict):
        return {
            k: (base + v if k == "$ref" and isinstance(v, str) and v.startswith("#") else absolute(v, base))
            for k, v in schema.items()
        }
    if isinstance(schema, list):
        return [absolute(v, base) for v in schema]
    return schema


def unknown_members(spec, schema, value, where):
    """Reports members of a value that no schema declares."""
    schema = resolve(spec, schema)
    if not isinstance(schema, dict):
        return
    for alt in schema.get("anyOf", []) + schema.get("allOf", []):
        if "$ref" in alt:
            unknown_members(spec, alt, value, where)
    if isinstance(value, list) and "items" in schema:
        for i, v in enumerate(value):
            unknown_members(spec, schema["items"], v, f"{where}[{i}]")
    if isinstance(value, dict) and "properties" in schema:
        for k, v in value.items():
            if k in schema["properties"]:
                unknown_members(spec, schema["properties"][k], v, f"{where}.{k}")
            elif not schema.get("additionalProperties"):
                bad("undeclared member", f"{where}.{k}")


def path_regex(template):
    return re.compile("^" + re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)) + "$")


def main():
    rows = list(csv.DictReader((ROOT / "coverage.csv").open(encoding="utf-8", newline="")))
    total = {"operations": 0, "examples": 0, "request bodies": 0, "response bodies": 0}
    try:
        from openapi_spec_validator import validate as validate_spec
    except ImportError:
        validate_spec = None
        print("openapi-spec-validator is missing: documents are only loaded")
    for api in APIS:
        spec = yaml.safe_load((ROOT / f"{api}.openapi.yaml").read_text(encoding="utf-8"))
        if validate_spec:
            try:
                validate_spec(spec)
            except Exception as exc:  # report and go on
                bad(api, "invalid OpenAPI:", str(exc).splitlines()[0])
        base = f"urn:{api}"
        registry = Registry().with_resource(base, Resource(contents=spec, specification=DRAFT202012))

        def errors(schema, value):
            return [
                f"{'/'.join(map(str, e.path))}: {e.message[:160]}"
                for e in Draft202012Validator(absolute(schema, base), registry=registry).iter_errors(value)
            ]

        for name, schema in spec["components"]["schemas"].items():
            Draft202012Validator.check_schema(schema)
        for ref in references(spec):
            try:
                resolve(spec, {"$ref": ref})
            except (KeyError, TypeError):
                bad(api, "unresolved reference", ref)
        ops = {}
        for path, method, op, params in operations(spec):
            oid = op["operationId"]
            if oid in ops:
                bad(api, "duplicate operationId", oid)
            ops[oid] = (path, method, op, params)
            if op["x-success"] not in op["responses"]:
                bad(api, oid, "x-success is not among the responses")
            declared = {p["name"] for p in params if p["in"] == "path"}
            if declared != set(re.findall(r"\{(\w+)\}", path)):
                bad(api, oid, "path parameters differ from the template")
        if api == "cleanmail":
            order = [o[2]["x-order"] for o in ops.values()]
            if sorted(order) != list(range(1, 94)):
                bad(api, "x-order is not 1..93")
            models = [s for s in spec["components"]["schemas"].values() if "x-section" in s]
            if sorted(int(s["x-section"][2:]) for s in models) != list(range(1, 64)):
                bad(api, "models are not 6.1..6.63")
            in_order = [r["operationId"] for r in rows if r["api"] == api]
            if in_order != [o for o, v in sorted(ops.items(), key=lambda kv: kv[1][2]["x-order"])]:
                bad("coverage.csv is not in document order")
        mine = {r["operationId"]: r for r in rows if r["api"] == api}
        if set(mine) != set(ops):
            bad(api, "coverage.csv and contract differ", set(mine) ^ set(ops))
        for oid, r in mine.items():
            path, method, op, _ = ops[oid]
            if (r["method"].lower(), r["path"], r["section"], r["success_status"]) != (
                method,
                path,
                op["x-section"],
                op["x-success"],
            ):
                bad(api, oid, "coverage.csv row differs from the contract")
            for code in r["error_statuses"].split():
                if code not in op["responses"]:
                    bad(api, oid, "status", code, "missing")
        files = sorted((ROOT / "examples" / api).glob("*.json"))
        seen = set()
        for f in files:
            ex = json.loads(f.read_text(encoding="utf-8"))
            where = f"{api}/{f.name}"
            oid = ex["operationId"]
            if oid not in ops:
                bad(where, "unknown operationId")
                continue
            seen.add(oid)
            path, method, op, params = ops[oid]
            req, res = ex["request"], ex["response"]
            url = urlsplit(req["path"])
            if req["method"].lower() != method or not path_regex(path).match(url.path):
                bad(where, "request line differs from the contract")
            if ex["section"] != op["x-section"]:
                bad(where, "section differs")
            known = {p["name"] for p in params if p["in"] == "query"}
            for k, _ in parse_qsl(url.query):
                if k not in known:
                    bad(where, "undeclared query parameter", k)
            for h in ("Host", "Authorization", "Content-Length", "Vary"):
                if h in req["headers"] or h in res["headers"]:
                    bad(where, "header", h, "must not be kept")
            if req["body"] is not None:
                rb = resolve(spec, op.get("requestBody"))
                if not rb:
                    bad(where, "the contract has no request body")
                else:
                    schema = next(iter(rb["content"].values()))["schema"]
                    for e in errors(schema, req["body"]):
                        bad(where, "request", e)
                    unknown_members(spec, schema, req["body"], where + " request")
                    total["request bodies"] += 1
            answer = op["responses"].get(str(res["status"]))
            if answer is None:
                bad(where, "status", res["status"], "missing")
                continue
            answer = resolve(spec, answer)
            for h in res["headers"]:
                if h in ("Location", "X-Total-Count", "WWW-Authenticate", "X-WebDAV-Status") and h not in answer.get(
                    "headers", {}
                ):
                    bad(where, "undeclared header", h)
            if res["body"] is not None:
                content = answer.get("content", {})
                if not content:
                    bad(where, "the contract has no response body")
                    continue
                media = res["headers"].get("Content-Type", "application/json")
                if media not in content:
                    bad(where, "media type", media, "missing")
                    continue
                schema = {"$ref": ex["validateAs"]} if "validateAs" in ex else content[media]["schema"]
                for e in errors(schema, res["body"]):
                    bad(where, "response", e)
                unknown_members(spec, schema, res["body"], where + " response")
                total["response bodies"] += 1
                count = res["headers"].get("X-Total-Count")
                if count is not None and int(count) != len(res["body"]):
                    bad(where, "X-Total-Count differs from the list length")
        for oid, r in mine.items():
            if (r["has_example"] == "yes") != (oid in seen):
                bad(api, oid, "has_example is wrong")
        if (len(ops), len(files)) != EXPECTED[api]:
            bad(api, "expected", EXPECTED[api], "found", (len(ops), len(files)))
        schemas = spec["components"]["schemas"]
        documented = len([s for s in schemas.values() if not s.get("x-helper") and not s.get("x-derived")])
        print(
            f"{api:22} operations {len(ops):3}  schemas {len(schemas):3} (documented {documented:2})  "
            f"examples {len(files):2}  operations with example {len(seen):2}"
        )
        total["operations"] += len(ops)
        total["examples"] += len(files)
    if len(rows) != total["operations"]:
        bad("coverage.csv has", len(rows), "rows")
    print("total: " + ", ".join(f"{v} {k}" for k, v in total.items()))
    for p in problems:
        print("PROBLEM", p)
    print("FAILED" if problems else "OK")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
