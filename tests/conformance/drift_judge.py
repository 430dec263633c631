"""boto3 makes the calls that it reads, one JSON line each: {"service", "operation", "args"}; answers each with a line.

    python3 drift_judge.py < calls
"""
import json
import sys

import boto3
from botocore.exceptions import ClientError

clients = {}
for line in sys.stdin:
    call = json.loads(line)
    service = call["service"]
    if service not in clients:
        clients[service] = boto3.client(service)
    try:
        answer = getattr(clients[service], call["operation"])(**call["args"])
        answer.pop("ResponseMetadata", None)
        print(json.dumps({"result": answer}, default=str), flush=True)
    except ClientError as e:
        print(json.dumps({"error": str(e)}), flush=True)
