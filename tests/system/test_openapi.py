# SPDX-License-Identifier: Apache-2.0
"""docs/openapi.yaml against the program: its table of routes, and what it answers."""
import os
import re

import pytest
import yaml

import apilib
from agentlib import Device
from apilib import Api, config, create, csr
from keeperlib import ROOT

with open(os.path.join(ROOT, "docs", "openapi.yaml")) as file:
    SPEC = yaml.safe_load(file)
METHODS = ("get", "put", "post", "delete")
ROUTE = re.compile(r'^\t\{ (\w+), "(\w+)", (.*?), HF_API_\w+, HF_API_\w+, (\w+), \S+, (\d+), ', re.M)
RIGHTS = {"ALL": "nobody", "CERT": "cert", "MOD": "module", "ROOT": "admin"}


def resolve(node):
    while "$ref" in node:
        found = SPEC
        for part in node["$ref"][2:].split("/"):
            found = found[part]
        node = found
    return node


def operations():
    for path, item in SPEC["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def table():
    with open(os.path.join(ROOT, "src", "agent", "api.c")) as f:
        text = f.read()
    words = dict(re.findall(r'^#define (\w+)\s+"([^"]*)"$', text, re.M))
    for socket, method, pattern, right, code in ROUTE.findall(text):
        pattern = "".join(words[p] if p in words else p.strip('"') for p in pattern.split())
        yield words[socket], method.lower(), pattern, RIGHTS[right], code


def test_every_route_is_described_and_nothing_else():
    described = {(o["x-socket"], method, re.sub(r"\{\w+\}", "{}", path), o["x-right"])
                 for path, method, o in operations()}
    there = {row[:4] for row in table()}
    assert len(there) == 26 and described == there
    codes = {(row[1], row[2]): row[4] for row in table()}
    for path, method, o in operations():
        good = [c for c in o["responses"] if c.startswith("2")]
        assert not good or codes[method, re.sub(r"\{\w+\}", "{}", path)] in good, path


def check(value, schema, where):
    """As far as our schemas go; members that are not in one are not allowed, unless it is open."""
    schema = resolve(schema)
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    assert type(value) is kinds[schema["type"]], (where, value)
    assert "enum" not in schema or value in schema["enum"], (where, value)
    if schema["type"] == "array":
        for i, element in enumerate(value):
            check(element, schema["items"], "%s[%d]" % (where, i))
    if schema["type"] == "object":
        assert set(schema.get("required", [])) <= set(value), (where, sorted(value))
        for name, child in schema["properties"].items():
            if name in value:
                check(value[name], child, where + "." + name)


def check_answer(answer, path, method, code):
    responses = SPEC["paths"][path][method]["responses"]
    assert answer.code == code, answer.body
    content = resolve(responses.get(str(code)) or responses["default"]).get("content")
    if content is None:
        assert not answer.body
        return
    if answer.headers["content-type"].startswith("text/plain"):
        assert "text/plain" in content
        return
    check(answer.json, content["application/json"]["schema"], method + " " + path)


@pytest.mark.parametrize("keys", ["csr", "token", "returned"])
def test_answers_are_as_described(keys):
    with Device(config(keys)) as d:
        api, more = Api(d), {"csr": csr()} if keys == "csr" else {}
        seen = set()

        def see(answer, path, method, code=200):
            check_answer(answer, path, method, code)
            seen.add((path, method))

        server = "/modules/{module}/genid/{generation}/certificate/server"
        identity = "/modules/{module}/certificate/identity"
        see(api.server("m", **more), server, "post", 201)
        see(api.workload("GET", "/modules/m/genid/1/certificate/server"), server, "get")
        see(api.workload("GET", "/modules/none/genid/1/certificate/server"), server, "get", 404)
        see(api.identity("m", **more), identity, "post", 201)
        see(api.workload("GET", "/modules/m/certificate/identity"), identity, "get")
        alias = "/modules/{module}/genid/{generation}/certificate/identity"
        see(api.workload("POST", "/modules/m/genid/7/certificate/identity", more or None), alias, "post", 201)
        now = api.workload("GET", "/modules/m/genid/7/certificate/identity")
        see(now, alias, "get")
        assert now.json == api.workload("GET", "/modules/m/certificate/identity").json
        see(api.workload("DELETE", "/modules/m/genid/7/certificate/identity"), alias, "delete", 204)
        see(api.identity("m", **more), identity, "post", 201)
        see(api.workload("DELETE", "/modules/m/genid/1/certificate/server"), server, "delete", 204)
        see(api.workload("DELETE", "/modules/m/certificate/identity"), identity, "delete", 204)
        see(create(api, "x"), "/certificates", "post", 201)
        see(api.certd("POST", "/certificates", {"certId": "x"}), "/certificates", "post", 422)
        see(api.certd("GET", "/certificates/x"), "/certificates/{certId}", "get")
        see(api.certd("GET", "/certificates/y"), "/certificates/{certId}", "get", 400)
        see(api.certd("PUT", "/certificates/x", create(api, "x").json), "/certificates/{certId}",
            "put", 201)
        see(api.certd("DELETE", "/certificates/x"), "/certificates/{certId}", "delete", 204)
        own = "/holdfast/v1/"
        see(api.certd("POST", own + "certificates", {"id": "x", "csr": csr(), "issuer": "edge-ca",
                                                     "days": 3}), own + "certificates", "post", 201)
        see(api.certd("GET", own + "status"), own + "status", "get")
        see(api.certd("POST", own + "clock/accept"), own + "clock/accept", "post")
        see(api.certd("GET", own + "modules"), own + "modules", "get")
        for verb in ("renew", "reset"):
            see(api.certd("POST", own + "credentials/edge-ca/" + verb),
                own + "credentials/{id}/" + verb, "post")
        see(api.certd("GET", "/metrics"), "/metrics", "get")
        for path in ("/trust-bundle", "/manifest-trust-bundle"):
            see(api.workload("GET", path), path, "get")
        see(api.workload("GET", "/modules"), "/modules", "get", 400)
        for verb in ("sign", "encrypt", "decrypt"):
            see(api.workload("POST", "/modules/m/genid/1/" + verb, {}),
                "/modules/{module}/genid/{generation}/" + verb, "post", 400)
        assert seen == {(path, method) for path, method, _ in operations()}
        assert apilib.WORKLOAD.split("=")[1] in resolve(
            {"$ref": "#/components/parameters/workloadVersion"})["schema"]["enum"]
