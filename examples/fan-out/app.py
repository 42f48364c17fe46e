"""Counts words in several texts at once, by calling another function for each of them."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import boto3

# No endpoint, region or credentials: what Lambent puts into the environment is enough.
functions = boto3.client("lambda")


def handler(event, context):
    with ThreadPoolExecutor(max_workers=8) as pool:
        counts = list(pool.map(count_words, event["texts"]))
    print(f"{os.environ['COUNTER']} counted {len(counts)} texts")
    return {"counts": counts, "total": sum(counts)}


def count_words(text):
    answer = functions.invoke(FunctionName=os.environ["COUNTER"], Payload=json.dumps({"text": text}))
    result = json.load(answer["Payload"])
    if "FunctionError" in answer:
        raise RuntimeError(f"{os.environ['COUNTER']} failed: {result.get('errorMessage')}")
    return result["words"]
