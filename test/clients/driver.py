"""Calls methods of the Python client as lines on standard input name them: MODULE OPTIONS."""

import importlib.util
import itertools
import json
import sys
import traceback

spec = importlib.util.spec_from_file_location("fetchbox", sys.argv[1])
fetchbox = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fetchbox)
options = json.loads(sys.argv[2])
client = fetchbox.Client(
    options["server"],
    options.get("token"),
    timeout=options["timeoutMs"] / 1000,
    retries=options["retries"],
    retry_delay=options["retryDelayMs"] / 1000,
    busy_timeout=options["busyTimeoutMs"] / 1000,
)


def submit(manifest, given={}):
    names = {"key": "idempotency_key", "jobType": "job_type", "tenant": "tenant"}
    return client.submit(manifest, **{names[name]: value for name, value in given.items()})


def submit_urls(urls, given={}):
    names = {"batchSize": "batch_size", "template": "template", "tenant": "tenant"}
    return client.submit_urls(iter(urls), **{names[name]: value for name, value in given.items()})


CALLS = {
    "submit": submit,
    "submitUrls": submit_urls,
    "job": client.job,
    "jobs": lambda filters={}: list(client.jobs(**filters)),
    "resources": lambda job, filters={}: list(client.resources(job, **filters)),
    "deadLetters": lambda filters={}: list(client.dead_letters(**filters)),
    "firstDeadLetters": lambda count, filters={}: list(itertools.islice(client.dead_letters(**filters), count)),
    "follow": lambda job, filters={}: list(client.follow(job, **filters)),
    "wait": lambda job, ms=None: client.wait(job, None if ms is None else ms / 1000),
    "cancel": client.cancel,
    "replay": lambda request: client.replay(**request),
    "discard": lambda request: client.discard(**request),
    "health": client.health,
    "construct": lambda given: bool(fetchbox.Client(given["server"], given.get("token"))),
}


def shown(error):
    is_ours = isinstance(error, fetchbox.FetchBoxError)
    if not is_ours:
        return {"isOurs": False, "code": type(error).__name__, "text": traceback.format_exc()}
    return {
        "isOurs": True,
        "code": error.code,
        "message": error.message,
        "status": error.status,
        "requestId": error.request_id,
        "details": error.details,
        "retryAfterMs": None if error.retry_after is None else error.retry_after * 1000,
        "text": traceback.format_exc() + repr(error) + repr(vars(error)) + repr(client),
    }


for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = {"value": CALLS[request["call"]](*request["args"])}
    except Exception as error:
        answer = {"error": shown(error)}
    print(json.dumps(answer), flush=True)
