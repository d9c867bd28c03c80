"""A model of our own for agents of OpenClaw: an endpoint in the manner of
OpenAI's chat completions, streamed or whole. To what contains "question WORD"
it says "answer WORD"; to anything else, that it was asked nothing."""

import http.server
import json
import re
import threading
import time

QUESTION = re.compile(r"\bquestion ([\w-]+)")
OPEN = threading.Event()
OPEN.set()
HOLD_MAX = 300  # seconds, should a test forget it


def text_of(message):
    """What a message says: its content is a text, or pieces of one."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(piece.get("text", "") for piece in content
                     if isinstance(piece, dict))


def questions(messages):
    """What was asked since the last answer, each once, in their order."""
    asked = []
    for message in messages:
        if message.get("role") == "assistant":
            asked = []
        elif message.get("role") == "user":
            asked += QUESTION.findall(text_of(message))
    return list(dict.fromkeys(asked))


class ModelServer:
    NAME = "scripted-1"

    def __init__(self):
        self.asked = []  # the bodies of all requests
        self.held = {}   # word: not answered before this is set
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.whole(200, {"object": "list", "data": [
                    {"id": server.NAME, "object": "model"}]})

            def do_POST(self):
                size = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(size) or b"{}")
                server.asked.append(body)
                if not self.path.endswith("/chat/completions"):
                    self.whole(404, {"error": {"message": self.path}})
                    return
                words = questions(body.get("messages", []))
                for word in words:
                    server.held.get(word, OPEN).wait(HOLD_MAX)
                text = " and ".join(f"answer {word}" for word in words)
                text = text or "I was asked nothing."
                if body.get("stream"):
                    self.stream(text)
                else:
                    self.whole(200, server.completion(
                        "chat.completion", message={
                            "role": "assistant", "content": text}))

            def whole(self, status, document):
                data = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def stream(self, text):
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                words = re.findall(r"\S+\s*", text)
                for delta in [{"role": "assistant", "content": ""},
                              *({"content": word} for word in words)]:
                    self.event(server.completion(
                        "chat.completion.chunk", None, delta=delta))
                self.event(server.completion(
                    "chat.completion.chunk", delta={}))
                self.wfile.write(b"data: [DONE]\n\n")
                self.close_connection = True

            def event(self, document):
                self.wfile.write(
                    b"data: " + json.dumps(document).encode() + b"\n\n")
                self.wfile.flush()

            def log_message(self, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(
            target=self._server.serve_forever, daemon=True).start()

    def hold(self, word):
        """The answer to it comes when the event that this gives is set."""
        self.held[word] = threading.Event()
        return self.held[word]

    def was_asked(self, word):
        return any(f"question {word}" in json.dumps(body)
                   for body in self.asked)

    def completion(self, kind, finish="stop", **choice):
        return {"id": f"c{len(self.asked)}", "object": kind,
                "created": int(time.time()), "model": self.NAME,
                "choices": [{"index": 0, "finish_reason": finish, **choice}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1,
                          "total_tokens": 2}}

    def config(self):
        """The `models` of an openclaw.json that has no other model."""
        return {"mode": "merge", "providers": {"scripted": {
            "baseUrl": self.url, "apiKey": "none is needed",
            "api": "openai-completions", "models": [{
                "id": self.NAME, "name": "Scripted",
                "contextWindow": 128000, "maxTokens": 4096}]}}}

    @property
    def model(self):
        """Its name in an openclaw.json."""
        return f"scripted/{self.NAME}"

    def close(self):
        for event in self.held.values():
            event.set()
        self._server.shutdown()
        self._server.server_close()
