"""An OpenAI-compatible endpoint with a mode for every way the other side can behave.

Prints its port, serves until its standard input ends. The first part of the path is the mode:
POST /good/v1/chat/completions, /flaky/v1/embeddings and so on.
"""
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

counts = {}
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, code, body, kind="application/json", headers=()):
        data = body if isinstance(body, bytes) else body.encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def begin_stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def event(self, delta, finish=None):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: " + json.dumps({"choices": [choice]}, ensure_ascii=False).encode() + b"\n\n"

    def stream(self, text, mode):
        self.begin_stream()
        self.chunk(b": a comment\n\n" + self.event({"role": "assistant", "content": ""}))
        data = b"".join(self.event({"content": c}) for c in text)
        if mode == "cut":
            self.chunk(data[: len(data) // 2])
            self.wfile.write(b"0\r\n\r\n")
            return
        if mode == "torn":
            self.chunk(data[: len(data) // 2])
            self.close_connection = True
            return
        if mode == "silent":
            self.chunk(data[: len(data) // 2])
            time.sleep(3)
            return
        if mode == "broken":
            self.chunk(data + b'data: {"error": {"message": "out of memory"}}\n\n')
        data += self.event({}, "length") + b'data: {"choices": [], "usage": '
        data += b'{"prompt_tokens": 11, "completion_tokens": 7}}\r\n\r\ndata: [DONE]\n\n'
        for at in range(0, len(data), 7):  # events and code points arrive in pieces
            self.chunk(data[at : at + 7])
            if mode == "drip":
                time.sleep(0.02)
        self.wfile.write(b"0\r\n\r\n")

    def chat(self, mode, body):
        text = "|".join([body["messages"][-1]["content"], str(body.get("max_tokens")),
                         str(body.get("temperature")), "+".join(body.get("stop", [])),
                         self.headers.get("Authorization", "no key"), body["model"]])
        if body.get("stream"):
            return self.stream(text, mode)
        answer = {"choices": [{"message": {"role": "assistant", "content": text},
                               "finish_reason": "stop"}],
                  "usage": {"prompt_tokens": 11, "completion_tokens": 7}}
        return self.reply(200, json.dumps(answer))

    def embeddings(self, mode, body):
        data = []
        for index, text in enumerate(body["input"]):
            vector = [float(len(text.encode())), float(text.count("a")), 1.0, 0.0]
            if mode == "short":
                vector = vector[:3]
            if mode == "zero":
                vector = [0.0] * 4
            data.append({"index": index, "embedding": vector})
        if mode == "few":
            data = data[1:]
        return self.reply(200, json.dumps({"data": data[::-1]}))

    def misbehave(self, mode):
        """True when the mode answers (or hangs up) by itself."""
        with lock:
            counts[mode] = counts.get(mode, 0) + 1
            count = counts[mode]
        if mode.startswith("flaky") and count <= 2:
            self.reply(429 if count == 1 else 503, '{"error": {"message": "slow down"}}',
                       headers=[("Retry-After", "0")])
        elif mode == "overloaded":
            self.reply(429, '{"error": {"message": "slow down"}}')
        elif mode.startswith("hangup"):
            if mode == "hangup-once" and count > 1:
                return False
            self.close_connection = True
        elif mode == "garbage":
            self.reply(200, "<html>It works!</html>", "text/html")
        elif mode == "slow":
            time.sleep(3)
            self.close_connection = True
        elif mode == "nokey":
            self.reply(401, '{"error": {"message": "Incorrect API key"}}')
        elif mode == "missing":
            self.reply(404, '{"detail": "Not Found"}')
        elif mode == "moved":
            self.reply(307, "", headers=[("Location", "/good/v1/chat/completions")])
        elif mode == "endless":
            self.begin_stream()
            try:
                while True:
                    self.chunk(b"x" * 65536)
            except OSError:
                self.close_connection = True
        else:
            return False
        return True

    def do_POST(self):
        _, mode, _, path = self.path.split("/", 3)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            if self.misbehave(mode):
                return
            self.chat(mode, body) if path == "chat/completions" else self.embeddings(mode, body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def do_GET(self):
        """How often each mode was asked."""
        with lock:
            self.reply(200, json.dumps(counts))


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
