"""The client of FetchBox, a self-contained download service. It needs Python 3.9 and no other package.

    import fetchbox

    client = fetchbox.Client("http://127.0.0.1:8080", token="...")
    job = client.submit({"manifest_version": "v1", "resources": [{"id": "a", "url": "https://example.com/"}]})
    print(client.wait(job["job_id"])["status"])

Requests and answers are dictionaries with the names of the HTTP API. Every method raises ``FetchBoxError``.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import random
import re
import socket
import ssl
import time
import uuid
from email.utils import parsedate_to_datetime
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, TypeVar, Union
from urllib.parse import quote, urlencode, urlsplit

__version__ = "0.2.0"
__all__ = ["Client", "FetchBoxError"]

_T = TypeVar("_T")

Json = Dict[str, Any]
"""An object of the HTTP API."""

TERMINAL = ("completed", "partial", "failed", "cancelled")

_GZIP_FROM_BYTES = 16 * 1024
_DELAY_MAX = 10.0
_POLL_FIRST = 0.1
_POLL_MAX = 2.0
# The service sends a comment every 15 s; a connection that is silent for longer is dead.
_SILENCE_MAX = 45.0
# A submission may be large, on a slow connection.
_SUBMIT_TIMEOUTS = 10
_NAME_LENGTH_MAX = 80


class FetchBoxError(Exception):
    """The one error of this module. Programs check ``code``; ``message`` is for people."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 0,
        request_id: Optional[str] = None,
        details: Iterable[Json] = (),
        retry_after: Optional[float] = None,
    ) -> None:
        super().__init__(message)
        #: A code of the API, or NETWORK_ERROR, TIMEOUT, UNEXPECTED_ANSWER or INVALID_ARGUMENT of this client.
        self.code = code
        self.message = message
        #: The HTTP status, or 0 without an answer.
        self.status = status
        #: The id that the service's log has for the request.
        self.request_id = request_id
        #: The violations of an invalid request, each with ``path`` and ``message``.
        self.details = list(details)
        #: The seconds until the service wants the next request, or None.
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Client:
    """A client of the service at ``server``, for example ``http://127.0.0.1:8080``. Threads may share it.

    ``timeout`` is the longest silence of a connection in seconds. ``retries`` is the number of repeats in a row after
    connections that fail; the first comes after ``retry_delay`` seconds, and each later one after twice the time.
    ``busy_timeout`` is the longest total wait for a busy service (429, 503). ``context`` has the certificates for TLS.
    """

    def __init__(
        self,
        server: str,
        token: Optional[str] = None,
        *,
        timeout: float = 60.0,
        retries: int = 6,
        retry_delay: float = 0.25,
        busy_timeout: float = 600.0,
        context: Optional[ssl.SSLContext] = None,
    ) -> None:
        self._scheme, self._netloc, self._prefix = _checked_server(server)
        self._token = _checked_header("token", token)
        self._timeout = timeout
        self._retries = retries
        self._retry_delay = retry_delay
        self._busy_timeout = busy_timeout
        self._context = context

    def submit(
        self,
        manifest: Mapping[str, Any],
        *,
        job_type: Optional[str] = None,
        tenant: Optional[str] = None,
        idempotency_key: Optional[str] = None,
    ) -> Json:
        """Submits a manifest and returns ``job_id``, ``status``, ``manifest_key`` and ``resource_count``.

        Repeats keep the idempotency key, so a lost answer makes no second job.
        """
        key = f"client-{uuid.uuid4()}" if idempotency_key is None else idempotency_key
        return self._submit(_json_bytes(manifest), key, job_type, tenant)

    def submit_urls(
        self,
        urls: Iterable[str],
        *,
        batch_size: int = 1000,
        template: Optional[Mapping[str, Any]] = None,
        job_type: Optional[str] = None,
        tenant: Optional[str] = None,
        on_submitted: Optional[Callable[[Json], None]] = None,
    ) -> List[Json]:
        """Submits a long list of URLs as jobs of at most ``batch_size`` URLs, in order.

        The key of a job depends on its content, so the same call submits only missing jobs after an interruption.
        ``template`` is the rest of each manifest; a change submits the URLs again, because the jobs differ.
        ``on_submitted`` is called after each job.
        """
        if batch_size < 1:
            raise FetchBoxError("INVALID_ARGUMENT", "batch_size must be at least 1")
        jobs: List[Json] = []
        for first_at, manifest in _batches(urls, batch_size, template or {}):
            body = _json_bytes(manifest)
            try:
                job = self._submit(body, f"urls-{hashlib.sha256(body).hexdigest()}", job_type, tenant)
            except FetchBoxError as error:
                raise _with_list_places(error, first_at) from error
            jobs.append(job)
            if on_submitted is not None:
                on_submitted(job)
        return jobs

    def job(self, job_id: str) -> Json:
        """The state of a job."""
        return self._json("GET", _job_path(job_id))

    def jobs(self, **filters: Any) -> Iterator[Json]:
        """The jobs, newest first. Filters: ``status``, ``job_type``, ``tenant``, ``idempotency_key``."""
        return self._rows("/operators/jobs", "jobs", filters)

    def resources(self, job_id: str, **filters: Any) -> Iterator[Json]:
        """The resources of a job with their results. Filter: ``state``."""
        return self._rows(f"{_job_path(job_id)}/resources", "resources", filters)

    def dead_letters(self, **filters: Any) -> Iterator[Json]:
        """The dead letters, newest first.

        Filters: ``code``, ``host``, ``job_id``, ``job_type``, ``tenant``, ``since``, ``until``.
        """
        return self._rows("/operators/dlq", "entries", filters)

    def follow(self, job_id: str, *, offset: int = 0, level: Optional[str] = None) -> Iterator[Json]:
        """The rows of a job's log, existing and new ones, up to the job's end. It resumes after broken connections."""
        path = f"{_job_path(job_id)}/logs{_query(offset=offset, level=level)}"
        last_id: Optional[str] = None
        failures = 0
        while True:
            try:
                for event, event_id, data in self._events(path, last_id):
                    if event == "end":
                        return
                    row = _parsed(data)
                    if not isinstance(row, dict):
                        text = f"the log of job {job_id} has a row that is not JSON"
                        raise FetchBoxError("UNEXPECTED_ANSWER", text)
                    yield row
                    last_id, failures = event_id, 0
                raise FetchBoxError("NETWORK_ERROR", f"the log of job {job_id} broke off before its end")
            except FetchBoxError as error:
                if not _is_transient(error) or failures >= self._retries:
                    raise
            time.sleep(self._backoff(failures))
            failures += 1

    def wait(self, job_id: str, timeout: Optional[float] = None) -> Json:
        """The job once it has ended, whatever its status is.

        Raises ``FetchBoxError`` with the code ``TIMEOUT`` after ``timeout`` seconds; the job continues.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _POLL_FIRST
        while True:
            job = self._json("GET", _job_path(job_id), deadline=deadline)
            if job["status"] in TERMINAL:
                return job
            if deadline is not None and time.monotonic() + pause > deadline:
                time.sleep(max(0.0, deadline - time.monotonic()))
                raise FetchBoxError("TIMEOUT", f"job {job_id} did not end within {timeout} s; it continues")
            time.sleep(pause)
            pause = min(_POLL_MAX, pause * 1.5)

    def cancel(self, job_id: str) -> Json:
        """Cancels a job. The returned job may still run; ``wait`` returns its final state."""
        return self._json("POST", f"{_job_path(job_id)}/cancel")

    def replay(self, **request: Any) -> Json:
        """Tries dead letters again, by ``task_ids`` or ``filter``, and returns ``matched`` and ``replayed``.

        ``dry_run=True`` only counts. ``rate_per_second`` and ``overrides`` are as in the API. A long replay continues
        in the background, and its ``operation`` is in the result. A lost answer is not repeated: its counts would be
        wrong.
        """
        return self._json("POST", "/operators/dlq/replay", request, repeatable=False)

    def discard(self, **request: Any) -> Json:
        """Discards dead letters, by ``task_ids`` or ``filter``, and returns ``matched`` and ``given_up``.

        ``dry_run=True`` only counts. Otherwise it works as ``replay``.
        """
        return self._json("POST", "/operators/dlq/give-up", request, repeatable=False)

    def health(self) -> Json:
        """The health of each component. An unhealthy service is a result, and no error."""

        def send() -> Json:
            status, headers, body = self._exchange("GET", "/operators/health")
            report = _parsed(body)
            if status == 503 and isinstance(report, dict) and "components" in report:
                return report
            return self._checked_json(status, headers, body)

        return self._repeated(send)

    def _submit(self, body: bytes, key: str, job_type: Optional[str], tenant: Optional[str]) -> Json:
        given = {
            "Idempotency-Key": _checked_header("idempotency_key", key),
            "X-Fetchbox-Job-Type": _checked_header("job_type", job_type),
            "X-Fetchbox-Tenant": _checked_header("tenant", tenant),
        }
        headers = {name: value for name, value in given.items() if value is not None}
        headers["Content-Type"] = "application/json"
        if len(body) >= _GZIP_FROM_BYTES:
            body = gzip.compress(body)
            headers["Content-Encoding"] = "gzip"
        timeout = self._timeout * _SUBMIT_TIMEOUTS
        return self._repeated(lambda: self._checked_json(*self._exchange("POST", "/jobs", headers, body, timeout)))

    def _json(
        self,
        method: str,
        path: str,
        request: Optional[Mapping[str, Any]] = None,
        *,
        repeatable: bool = True,
        deadline: Optional[float] = None,
    ) -> Json:
        body = None if request is None else _json_bytes(request)
        headers = {} if body is None else {"Content-Type": "application/json"}

        def send() -> Json:
            left = self._timeout if deadline is None else max(0.001, deadline - time.monotonic())
            return self._checked_json(*self._exchange(method, path, headers, body, min(left, self._timeout)))

        return self._repeated(send, repeatable=repeatable, deadline=deadline)

    def _rows(self, path: str, member: str, filters: Mapping[str, Any]) -> Iterator[Json]:
        cursor: Optional[str] = None
        while True:
            page = self._json("GET", path + _query(**{**filters, "cursor": cursor}))
            yield from page[member]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _repeated(
        self, send: Callable[[], _T], *, repeatable: bool = True, deadline: Optional[float] = None
    ) -> _T:
        """The result of a request that is repeated while that can help. ``repeatable``: it may be sent twice."""
        failures = 0
        busy = 0.0
        while True:
            try:
                return send()
            except FetchBoxError as error:
                if error.status in (429, 503) and error.retry_after is not None:
                    # A service that asks for no wait would otherwise be asked without a pause and without an end.
                    failures, pause = 0, max(error.retry_after, self._retry_delay)
                    busy += pause
                    if busy > self._busy_timeout:
                        raise
                elif repeatable and _is_transient(error) and failures < self._retries:
                    pause = self._backoff(failures)
                    failures += 1
                else:
                    raise
                if deadline is not None and time.monotonic() + pause > deadline:
                    raise FetchBoxError("TIMEOUT", f"the time is over; the last problem: {error}") from error
            time.sleep(pause)

    def _backoff(self, failures: int) -> float:
        # The random half keeps many clients from coming back at the same time.
        full = min(_DELAY_MAX, self._retry_delay * 2.0**failures)
        return full / 2 + random.random() * full / 2

    def _exchange(
        self,
        method: str,
        path: str,
        headers: Optional[Mapping[str, str]] = None,
        body: Optional[bytes] = None,
        timeout: Optional[float] = None,
    ) -> Tuple[int, http.client.HTTPMessage, bytes]:
        connection = self._connection(timeout or self._timeout)
        try:
            response = self._send(connection, method, path, headers or {}, body)
            return response.status, response.headers, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._failure(error) from None
        finally:
            connection.close()

    def _events(self, path: str, last_id: Optional[str]) -> Iterator[Tuple[str, str, str]]:
        """The events of one connection: type, id and data."""
        headers = {"Accept": "text/event-stream"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        connection = self._connection(max(self._timeout, _SILENCE_MAX))

        def open_stream() -> http.client.HTTPResponse:
            connection.close()
            try:
                response = self._send(connection, "GET", path, headers, None)
                status = response.status
                if status != 200:
                    raise self._error_of_answer(status, response.headers, response.read())
                if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                    raise FetchBoxError("UNEXPECTED_ANSWER", "the server did not answer with an event stream")
                return response
            except (OSError, http.client.HTTPException) as error:
                raise self._failure(error) from None

        try:
            # follow counts the broken connections.
            response = self._repeated(open_stream, repeatable=False)
            yield from _parsed_events(response)
        except (OSError, http.client.HTTPException) as error:
            raise self._failure(error) from None
        finally:
            connection.close()

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        if self._scheme == "http":
            return http.client.HTTPConnection(self._netloc, timeout=timeout)
        context = self._context or ssl.create_default_context()
        return http.client.HTTPSConnection(self._netloc, timeout=timeout, context=context)

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Optional[bytes],
    ) -> http.client.HTTPResponse:
        access = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        connection.request(method, self._prefix + path, body=body, headers={**headers, **access})
        return connection.getresponse()

    def _checked_json(self, status: int, headers: http.client.HTTPMessage, body: bytes) -> Json:
        """The object of a successful answer."""
        if not 200 <= status <= 299:
            raise self._error_of_answer(status, headers, body)
        value = _parsed(body)
        if not isinstance(value, dict):
            raise FetchBoxError("UNEXPECTED_ANSWER", "the server answered, but not with JSON", status=status)
        return value

    def _error_of_answer(self, status: int, headers: http.client.HTTPMessage, body: bytes) -> FetchBoxError:
        facts: Json = {"status": status, "retry_after": _retry_after(headers.get("Retry-After"))}
        error = _parsed(body)
        if not _is_error_body(error):
            text = f"the server answered {status}, but not as FetchBox does; check the URL of the service"
            if 300 <= status <= 399:
                text = "the server redirects; the client follows no redirect, so name the service itself"
            request_id = self._hidden(headers.get("X-Request-Id"))
            return FetchBoxError("UNEXPECTED_ANSWER", text, request_id=request_id, **facts)
        facts["request_id"] = self._hidden(error.get("request_id"))
        details = [{name: self._hidden(each[name]) for name in ("path", "message")} for each in error["details"]]
        places = "".join(f"; {d['path']}: {d['message']}" if d["path"] else f"; {d['message']}" for d in details)
        code, message = self._hidden(error["code"]), self._hidden(error["message"])
        return FetchBoxError(code, message + places, details=details, **facts)

    def _failure(self, error: Exception) -> FetchBoxError:
        server = f"{self._scheme}://{self._netloc}{self._prefix}"
        if isinstance(error, (TimeoutError, socket.timeout)):
            return FetchBoxError("TIMEOUT", f"{server} did not answer in time")
        # The error itself is no cause of the new one: it may contain a line of the server.
        reason = str(error) or type(error).__name__
        return FetchBoxError("NETWORK_ERROR", f"cannot reach {server}: {self._hidden(reason)}")

    def _hidden(self, text: Any) -> Any:
        """A server's text with *** in place of the token: a wrong server may repeat it. None for other values.

        JSON must be parsed before, because it may have escapes.
        """
        if not isinstance(text, str):
            return None
        return text if self._token is None else text.replace(self._token, "***")


def _checked_server(server: str) -> Tuple[str, str, str]:
    """Scheme, host with port, and path of the URL of a service."""
    try:
        url = urlsplit(server)
        is_valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or "@" in url.netloc:
        rule = "server must be a URL like http://127.0.0.1:8080, without user and password"
        raise FetchBoxError("INVALID_ARGUMENT", rule)
    return url.scheme, url.netloc, url.path.rstrip("/")


def _checked_header(name: str, value: Optional[str]) -> Optional[str]:
    """A value for a header. The error does not repeat the value, which may be a secret."""
    if value is None or re.fullmatch(r"[!-~]+", value):
        return value
    raise FetchBoxError("INVALID_ARGUMENT", f"{name} must be visible ASCII characters, without spaces and line breaks")


def _is_transient(error: FetchBoxError) -> bool:
    """True where a repeat can get another answer: broken connections, gateways, the same submission still running."""
    if error.status == 0:
        return error.code in ("NETWORK_ERROR", "TIMEOUT")
    return error.status in (502, 503, 504) or error.code == "IDEMPOTENCY_IN_PROGRESS"


def _is_error_body(body: Any) -> bool:
    if not isinstance(body, dict) or not isinstance(body.get("details"), list):
        return False
    texts = [body.get("code"), body.get("message")]
    for detail in body["details"]:
        texts += [detail.get("path"), detail.get("message")] if isinstance(detail, dict) else [None]
    return all(isinstance(text, str) for text in texts)


def _retry_after(header: Optional[str]) -> Optional[float]:
    """``Retry-After`` in seconds or as a date, in seconds; None for a missing or invalid one."""
    if header is None:
        return None
    if re.fullmatch(r"\s*\d{1,10}\s*", header, re.ASCII):
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _parsed(body: Union[bytes, str]) -> Any:
    """The value of JSON, or None for other content."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def _parsed_events(response: http.client.HTTPResponse) -> Iterator[Tuple[str, str, str]]:
    """The complete events of a stream. A comment starts with a colon, so its field has no name."""
    fields: Dict[str, str] = {}
    data: List[str] = []
    for raw in response:
        name, _, value = raw.decode("utf-8", "replace").rstrip("\r\n").partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "data":
            data.append(value)
        elif name != "":
            fields[name] = value
        elif raw.strip() == b"":
            if data:
                yield fields.get("event", "message"), fields.get("id", ""), "\n".join(data)
            fields, data = {}, []


def _batches(urls: Iterable[str], size: int, template: Mapping[str, Any]) -> Iterator[Tuple[int, Json]]:
    """The position of the first URL, from 0, and the manifest of each job. The same list gives the same manifests."""
    own: List[str] = []
    first_at = 0
    for url in urls:
        own.append(url)
        if len(own) == size:
            yield first_at, _list_manifest(own, first_at, template)
            first_at, own = first_at + size, []
    if own:
        yield first_at, _list_manifest(own, first_at, template)


def _list_manifest(urls: List[str], first_at: int, template: Mapping[str, Any]) -> Json:
    """A resource's id is its position in the list, from 1, and the end of its URL."""
    resources = [{"id": f"{first_at + at + 1:07}-{_name_of(url)}", "url": url} for at, url in enumerate(urls)]
    return {**template, "manifest_version": "v1", "resources": resources}


def _name_of(url: str) -> str:
    """The last part of a URL's path, in characters that every file system allows. The service judges invalid URLs."""
    try:
        parts = urlsplit(url)
        path = quote(parts.path, safe="/%~!$&'()*+,;=:@")
        names = [part for part in path.split("/") if part] or [parts.hostname or "invalid"]
    except ValueError:
        names = ["invalid"]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", names[-1])[-_NAME_LENGTH_MAX:]


def _with_list_places(error: FetchBoxError, first_at: int) -> FetchBoxError:
    """The same error with the places of URLs in the list, in place of those in one job."""

    def in_list(text: str) -> str:
        return re.sub(r"/resources/(\d+)/", lambda match: f"/urls/{first_at + int(match[1])}/", text)

    return FetchBoxError(
        error.code,
        in_list(error.message),
        status=error.status,
        request_id=error.request_id,
        details=[{**detail, "path": in_list(detail["path"])} for detail in error.details],
        retry_after=error.retry_after,
    )


def _job_path(job_id: str) -> str:
    return f"/operators/jobs/{quote(job_id, safe='')}"


def _query(**parameters: Any) -> str:
    given = {name: value for name, value in parameters.items() if value is not None}
    return f"?{urlencode(given)}" if given else ""


def _json_bytes(value: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
    except (TypeError, ValueError) as error:
        raise FetchBoxError("INVALID_ARGUMENT", f"the request cannot be written as JSON: {error}") from error
