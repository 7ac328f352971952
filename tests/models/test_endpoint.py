"""The client against a real server on loopback that misbehaves in every way it can."""

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from eutectic.context import Context
from eutectic.errors import InputError, WorkError
from eutectic.models import endpoint
from eutectic.models.endpoint import Budget, Endpoint, Failure, Reply, Request


class Server(ThreadingHTTPServer):
    """Answers a chat by echoing its last message; `faults(number of the attempt, text)` may say what goes wrong instead."""

    daemon_threads = True

    def __init__(self, faults=lambda attempt, text: ""):
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults, self.attempts, self.bodies, self.keys, self.lock = faults, Counter(), [], [], threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][-1]["content"]
        with self.server.lock:
            self.server.attempts[text] += 1
            attempt = self.server.attempts[text]
            self.server.bodies.append(body)
            self.server.keys.append(self.headers.get("Authorization"))
        fault = self.server.faults(attempt, text)
        if fault == "slow":
            time.sleep(1.5)
        if fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"choices": [')
            self.wfile.flush()
            self.connection.close()
            return
        reply = {
            "choices": [{"message": {"content": f"echo {text}"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5},
        }
        content = {"garbage": b"<html>", "none": b'{"choices": []}', "empty": b'{"choices": [{"message": {"content": ""}}]}'}.get(
            fault, json.dumps(reply).encode()
        )
        status = int(fault) if fault.isdigit() else 200
        self.send_response(status)
        if fault == "429":
            self.send_header("Retry-After", "0.2")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def serve():
    servers = []

    def start(faults=lambda attempt, text: ""):
        servers.append(Server(faults))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(endpoint, "FIRST_WAIT", 0.01)


def asked(count):
    return [Request(messages=({"role": "user", "content": f"q{n}"},)) for n in range(count)]


def client(server, tmp_path, **settings):
    return Endpoint(server.url, "m", tmp_path / "replies", **{"timeout": 0.5, **settings})


def test_every_fault_is_survived_and_nothing_is_lost(serve, tmp_path):
    kinds = ["slow", "cut", "429", "500", "503", "garbage", "none", "empty", ""]
    server = serve(lambda attempt, text: kinds[int(text[1:]) % len(kinds)] if attempt <= 2 else "")
    model = client(server, tmp_path)
    found = dict(model.ask(asked(45), Context()))
    assert {n: reply.text for n, reply in found.items()} == {n: f"echo q{n}" for n in range(45)}
    assert (model.totals.asked, model.totals.failed) == (45, 0)
    assert model.totals.retries == 2 * 40
    assert model.totals.prompt_tokens == 450


def test_a_request_that_never_succeeds_is_told_with_its_reason(serve, tmp_path):
    server = serve(lambda attempt, text: "500" if text == "q1" else "")
    model = client(server, tmp_path, attempts=3)
    found = dict(model.ask(asked(3), Context()))
    assert found[1] == Failure("status 500", 3)
    assert isinstance(found[0], Reply)
    assert server.attempts["q1"] == 3
    assert model.totals.failed == 1


def test_a_restart_asks_nothing_twice(serve, tmp_path):
    server = serve(lambda attempt, text: "500" if text == "q2" and attempt == 1 else "")
    first = client(server, tmp_path, attempts=1)
    assert isinstance(dict(first.ask(asked(4), Context()))[2], Failure)
    again = client(server, tmp_path)
    found = dict(again.ask(asked(4), Context()))
    assert [found[n].kept for n in range(4)] == [True, True, False, True]
    assert server.attempts == {"q0": 1, "q1": 1, "q2": 2, "q3": 1}


def test_other_sampling_is_another_request(serve, tmp_path):
    model = client(serve(), tmp_path)
    one, other = (
        Request(messages=({"role": "user", "content": "q"},)),
        Request(messages=({"role": "user", "content": "q"},), temperature=0.5),
    )
    assert model.digest(one) != model.digest(other)


def test_a_retry_waits_as_long_as_the_server_asks(serve, tmp_path):
    server = serve(lambda attempt, text: "429" if attempt == 1 else "")
    begun = time.monotonic()
    list(client(server, tmp_path).ask(asked(1), Context()))
    assert time.monotonic() - begun >= 0.2


def test_the_budget_stops_and_what_was_answered_is_kept(serve, tmp_path):
    server = serve()
    with pytest.raises(WorkError, match=r"budget of m is used up: \d+ tokens"):
        list(client(server, tmp_path, concurrency=1, budget=Budget(tokens=40)).ask(asked(20), Context()))
    assert 3 <= len(list((tmp_path / "replies").glob("*.json"))) <= 4
    with pytest.raises(WorkError, match="in money"):
        list(
            client(server, tmp_path, concurrency=1, budget=Budget(money=20e-6, prompt_price=1.0, completion_price=2.0)).ask(
                asked(20), Context()
            )
        )
    found = dict(client(server, tmp_path).ask(asked(20), Context()))
    assert len(found) == 20
    assert max(server.attempts.values()) == 1


@pytest.mark.parametrize("status", ["401", "404", "400"])
def test_a_refused_request_is_not_tried_again(serve, tmp_path, status):
    server = serve(lambda attempt, text: status)
    with pytest.raises(InputError, match=f"refuses the request \\({status}\\)"):
        list(client(server, tmp_path, concurrency=1).ask(asked(3), Context()))
    assert server.attempts["q0"] == 1


def test_a_server_that_is_not_there(tmp_path):
    model = Endpoint("http://127.0.0.1:9/v1", "m", tmp_path)
    with pytest.raises(InputError, match=r"no server answers at http://127\.0\.0\.1:9/v1"):
        list(model.ask(asked(2), Context()))


def test_the_key_comes_from_the_environment_and_stays_there(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_KEY", "secret-123")
    server = serve()
    model = client(server, tmp_path, key_variable="LAB_KEY")
    list(model.ask(asked(1), Context()))
    assert server.keys == ["Bearer secret-123"]
    assert "secret-123" not in repr(model)
    assert all("secret-123" not in path.read_text() for path in (tmp_path / "replies").iterdir())


def test_a_schema_is_sent(serve, tmp_path):
    server = serve()
    list(client(server, tmp_path).ask([Request(messages=({"role": "user", "content": "q"},), schema={"type": "object"})], Context()))
    assert server.bodies[0]["response_format"]["json_schema"]["schema"] == {"type": "object"}
