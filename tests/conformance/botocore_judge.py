"""Says what botocore sends and what it reads: one JSON line per operation, for botocore_test.lua to compare with.

    python3 botocore_judge.py SERVICE STEP      every STEPth operation of the service

Arguments are made from the service's model, with every member down to a depth; the request is caught before it is
sent. The answer is made from the model too, written in the service's protocol by this file, and read by botocore.
"""
import base64
import copy
import datetime
import json
import sys
from xml.sax.saxutils import escape

import botocore.awsrequest
import botocore.parsers
import botocore.session
from botocore.config import Config

DEPTH = 4
# botocore does more than the model says, and hkrun does not: presigned copies between regions, keys of SSE-C, session
# buckets, event streams, SigV4a, templates as dictionaries; in
# GetBucketNotification, which is deprecated, two members share an element.
LEFT_OUT = {
    "ec2": {"CopySnapshot"}, "rds": {"CopyDBSnapshot", "CopyDBClusterSnapshot", "CreateDBInstanceReadReplica",
                                     "CreateDBCluster", "StartDBInstanceAutomatedBackupsReplication"},
    "s3": {"CreateSession", "GetBucketNotification", "SelectObjectContent", "WriteGetObjectResponse"},
    "events": {"PutEvents"}, "logs": {"StartLiveTail", "GetLogObject"}, "cloudformation": {"GetTemplate"},
}
LEFT_OUT_MEMBERS = {"SSECustomerKey", "SSECustomerAlgorithm", "CopySourceSSECustomerKey", "CopySourceSSECustomerAlgorithm",
                    "ContentLength", "ContentMD5", "ExpectContinue", "ChecksumAlgorithm", "ContentEncoding"}


class Maker:
    """Values for shapes, each a little different from the last."""

    def __init__(self, skip=()):
        self.count, self.skip = 0, skip

    def make(self, shape, depth=0, name="", stack=()):
        self.count += 1
        kind = shape.type_name
        if kind == "structure":
            if getattr(shape, "is_document_type", False):
                return {"any": [1, "two"]}
            if shape.name in stack:
                required = [m for m in shape.required_members]
            elif depth >= DEPTH:
                required = shape.required_members
            else:
                required = [m for m in shape.members if m not in self.skip]
            if getattr(shape, "is_tagged_union", False):
                ends = [m for m, s in shape.members.items() if s.type_name != "list" and s.name not in stack + (shape.name,)]
                required = [(ends or list(shape.members))[self.count % len(ends or [0])]]
            return {m: self.make(shape.members[m], depth + 1, m, stack + (shape.name,)) for m in required}
        if kind == "list":
            least = max(shape.metadata.get("min", 0), 2 if depth < DEPTH else 0)
            if shape.member.type_name == "structure" and shape.member.name in stack:
                least = shape.metadata.get("min", 0)
            return [self.make(shape.member, depth + 1, name, stack) for _ in range(min(least, shape.metadata.get("max", 9)))]
        if shape.serialization.get("location") == "headers":
            return {"one": "first", "Two": "second"}
        if kind == "map":
            return {self.make(shape.key, depth + 1): self.make(shape.value, depth + 1, name, stack)} if depth < DEPTH else {}
        return self.scalar(shape, kind, name)

    def scalar(self, shape, kind, name):
        n = self.count
        if kind in ("string", "character"):
            if shape.enum:
                return shape.enum[n % len(shape.enum)]
            if shape.serialization.get("location") == "header":
                return "value-%d" % n
            if name == "Bucket" and shape.name in ("BucketName", "String"):
                return "bucket-%d" % n
            text = ["v%d", "a b+%d", "x=%d&y", "k/%d", "é<%d>\"'", "%%%d,;"][n % 6] % n
            text += "z" * (shape.metadata.get("min", 0) - len(text))
            return text
        if kind in ("integer", "long"):
            return max(shape.metadata.get("min", 0), min(n, shape.metadata.get("max", n)))
        if kind in ("float", "double"):
            return max(shape.metadata.get("min", 0), min(n + 0.25, shape.metadata.get("max", n + 0.25)))
        if kind == "boolean":
            return n % 2 == 0
        if kind == "timestamp":
            return 1700000000 + n
        if kind == "blob":
            return "blob \x01 %d" % n
        raise AssertionError(kind)


class Caught(Exception):
    pass


def catch_request(client, operation, args):
    caught = {}

    def before_send(request, **_):
        caught["request"] = request
        return botocore.awsrequest.AWSResponse(request.url, 500, {}, None)

    client.meta.events.register("before-send", before_send)
    try:
        client._make_api_call(operation, copy.deepcopy(args))
    except Exception as e:  # the made-up answer is never a good one
        if "request" not in caught:
            return {"refused": str(e)}
    finally:
        client.meta.events.unregister("before-send", before_send)
    request = caught["request"]
    body = request.body or b""
    if hasattr(body, "read"):
        body = body.read()
    if isinstance(body, str):
        body = body.encode()
    headers = {k.lower(): v.decode() if isinstance(v, bytes) else v for k, v in request.headers.items()}
    return {"method": request.method, "url": request.url, "headers": headers, "body": base64.b64encode(body).decode()}


def stamp(value, kind):
    at = datetime.datetime.fromtimestamp(value, datetime.timezone.utc)
    if kind == "rfc822":
        return at.strftime("%a, %d %b %Y %H:%M:%S GMT")
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def scalar_text(shape, value, fmt="iso8601"):
    kind = shape.type_name
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "timestamp":
        fmt = shape.serialization.get("timestampFormat", fmt)
        return str(value) if fmt == "unixTimestamp" else stamp(value, fmt)
    if kind == "blob":
        return base64.b64encode(value.encode()).decode()
    return str(value)


def to_xml(shape, value, name, flat_name=None):
    kind = shape.type_name
    if kind == "structure":
        attributes, inner = "", ""
        for m, v in value.items():
            member = shape.members[m]
            if member.serialization.get("location"):
                continue
            wire = member.serialization.get("name", m)
            if member.serialization.get("xmlAttribute"):
                attributes += ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" %s="%s"' % (wire, escape(v, {'"': "&quot;"}))
            else:
                inner += to_xml(member, v, wire)
        return "<%s%s>%s</%s>" % (name, attributes, inner, name)
    if kind == "list":
        item = shape.member.serialization.get("name")
        if shape.serialization.get("flattened"):
            return "".join(to_xml(shape.member, v, item or name) for v in value)
        return "<%s>%s</%s>" % (name, "".join(to_xml(shape.member, v, item or "member") for v in value), name)
    if kind == "map":
        flat = shape.serialization.get("flattened")
        entry = name if flat else "entry"
        inner = "".join("<%s>%s%s</%s>" % (entry, to_xml(shape.key, k, shape.key.serialization.get("name", "key")),
                                           to_xml(shape.value, v, shape.value.serialization.get("name", "value")), entry)
                        for k, v in value.items())
        return inner if flat else "<%s>%s</%s>" % (name, inner, name)
    return "<%s>%s</%s>" % (name, escape(scalar_text(shape, value)), name)


def to_json(shape, value):
    kind = shape.type_name
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return value
        return {shape.members[m].serialization.get("name", m): to_json(shape.members[m], v) for m, v in value.items()
                if not shape.members[m].serialization.get("location")}
    if kind == "list":
        return [to_json(shape.member, v) for v in value]
    if kind == "map":
        return {k: to_json(shape.value, v) for k, v in value.items()}
    if kind == "timestamp":
        fmt = shape.serialization.get("timestampFormat")
        return stamp(value, fmt) if fmt in ("iso8601", "rfc822") else value
    if kind == "blob":
        return scalar_text(shape, value)
    return value


def make_response(service, protocol, op):
    shape, headers = op.output_shape, {"x-amzn-requestid": "id-1"}
    value = Maker({"EncodingType"} if service == "s3" else ()).make(shape) if shape else {}
    status, body = 200, ""
    for name, member in (shape.members.items() if shape else ()):
        place = member.serialization.get("location")
        wire = member.serialization.get("name", name)
        if place == "header" and name in value:
            if member.type_name == "list":
                headers[wire.lower()] = ",".join(scalar_text(member.member, v, "rfc822") for v in value[name])
            else:
                headers[wire.lower()] = scalar_text(member, value[name], "rfc822")
        elif place == "headers":
            headers[wire.lower() + "one"] = "first"
    if protocol in ("query", "ec2"):
        wrapper = shape.serialization.get("resultWrapper") if shape else None
        inner = to_xml(shape, value, wrapper or "Inner") if shape else ""
        if not wrapper and inner:
            inner = inner[len("<Inner>"):-len("</Inner>")] if inner != "<Inner></Inner>" else ""
        tail = "<requestId>id-1</requestId>" if protocol == "ec2" else "<ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata>"
        body = '<?xml version="1.0"?><%sResponse xmlns="urn:x">%s%s</%sResponse>' % (op.name, inner, tail, op.name)
    elif protocol == "json":
        body = json.dumps(to_json(shape, value)) if shape else "{}"
    elif shape:
        payload = shape.serialization.get("payload")
        target, what = (shape.members[payload], value.get(payload)) if payload else (shape, value)
        if target.type_name in ("blob", "string"):
            body = what or ""
        elif protocol == "rest-json":
            body = json.dumps(to_json(target, what))
        else:
            name = target.serialization.get("name", payload or op.name + "Result")
            body = '<?xml version="1.0"?>' + to_xml(target, what, name)
            if op.name == "GetBucketLocation":
                body = "<LocationConstraint>%s</LocationConstraint>" % what["LocationConstraint"]
    response = {"status_code": status, "headers": botocore.awsrequest.HeadersDict(headers), "body": body.encode()}
    parser = botocore.parsers.create_parser(protocol)
    if shape and op.has_streaming_output:
        class Raw:
            def __init__(self, data): self.data = data
        response["body"] = Raw(body)
    parsed = parser.parse(response, shape)
    parsed.pop("ResponseMetadata", None)
    if op.name == "GetBucketLocation":  # done by a handler of boto3's, from the raw answer
        parsed = value
    return {"status": status, "headers": headers, "body": body}, plain(parsed)


def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    if isinstance(value, bytes):
        return value.decode("latin-1").encode("latin-1").decode()
    if hasattr(value, "data"):
        return value.data
    assert value is None or isinstance(value, (str, int, float, bool)), value
    return value


def main():
    service, step = sys.argv[1], int(sys.argv[2])
    session = botocore.session.Session()
    client = session.create_client(
        service, region_name="us-east-1", aws_access_key_id="AK", aws_secret_access_key="SK",
        endpoint_url="http://127.0.0.1:9", config=Config(retries={"total_max_attempts": 1}, parameter_validation=True,
                                                         inject_host_prefix=False, disable_request_compression=True))
    model = client.meta.service_model
    protocol = model.resolved_protocol
    for i, name in enumerate(model.operation_names):
        if i % step or name in LEFT_OUT.get(service, ()):
            continue
        op = model.operation_model(name)
        full = Maker(LEFT_OUT_MEMBERS).make(op.input_shape) if op.input_shape else {}
        few = {m: full[m] for m in (op.input_shape.required_members if op.input_shape else ()) if m in full}
        response, parsed = make_response(service, protocol, op)
        print(json.dumps({"operation": name, "calls": [
            {"args": args, "request": catch_request(client, name, args)} for args in ([full, few] if few != full else [full])],
            "response": response, "parsed": parsed}))


main()
