"""boto3 makes the calls of moto_scenario.lua; one JSON line for each says what it got.

    python3 moto_judge.py URL < scenario.json
"""
import json
import os
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "boto3_judge"))
from values import plain  # noqa: E402


def resolve(value, named):
    if isinstance(value, dict):
        return {k: resolve(v, named) for k, v in value.items()}
    if isinstance(value, list):
        return [resolve(v, named) for v in value]
    if isinstance(value, str) and value.startswith("$"):
        name, *path = value[1:].split(".")
        found = named[name]
        for step in path:
            found = found[int(step) - 1 if step.isdigit() else step]
        return found
    return value


def main():
    session, named = boto3.session.Session("AK", "SK", region_name="us-east-1"), {}
    for service, *calls in json.load(sys.stdin):
        client = session.client(service, endpoint_url=sys.argv[1], config=Config(retries={"total_max_attempts": 1}))
        for operation, args, *name in calls:
            try:
                result = client._make_api_call(operation, resolve(args, named))
                result.pop("ResponseMetadata")
                result.pop("EncodingType", None)            # boto3 asks for it, decodes the names and leaves it there
                answer = {"result": plain(result)}
                named.update({n: result for n in name})
            except ClientError as e:
                answer = {"error": [e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"]]}
            print(json.dumps(answer))


main()
