#!/usr/bin/env python3
"""What a server on the open net meets: broken, huge, slow and hostile requests."""

import contextlib
import http.client
import json
import os
import random
import socket
import time
import unittest
import urllib.parse

import plimsoll

TIMEOUT = 20


class BadInput(plimsoll.DataDirTest):
    def setUp(self):
        super().setUp()
        self.ok("init")
        self.ok("kb", "create", "book", "--model", "none")
        path = self.write("a.txt", "Goods can be returned within 14 days of the purchase.\n")
        self.ok("kb", "add", "book", path)
        context = self.server("--no-generate")
        self.url = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.address = ("127.0.0.1", urllib.parse.urlsplit(self.url).port)

    def tearDown(self):
        status, body = self.ask("GET", "/health")
        self.assertEqual((status, body), (200, {"status": "ok"}))

    def ask(self, method, path, body=None, headers=None):
        """(status, JSON body) of one request."""
        link = http.client.HTTPConnection(*self.address, timeout=TIMEOUT)
        with contextlib.closing(link):
            link.request(method, path, body=body, headers=headers or {})
            answer = link.getresponse()
            text = answer.read()
            if "json" in (answer.getheader("Content-Type") or ""):
                return answer.status, json.loads(text)
            return answer.status, text

    def refused(self, status, method, path, body=None, headers=None):
        got, answer = self.ask(method, path, body, headers)
        self.assertEqual(got, status, answer)
        self.assertEqual(set(answer["error"]), {"message", "type", "param", "code"})
        self.assertGreater(len(answer["error"]["message"]), 9)
        return answer["error"]["message"]

    def raw(self, data, half_close=False):
        """What the server says to these bytes, until it closes or falls silent."""
        with socket.create_connection(self.address, timeout=5) as link:
            with contextlib.suppress(OSError):
                link.sendall(data)
                if half_close:
                    link.shutdown(socket.SHUT_WR)
            answer = b""
            with contextlib.suppress(OSError):
                while piece := link.recv(65536):
                    answer += piece
            return answer

    def test_json_that_is_none(self):
        chat, search = "/v1/chat/completions", "/api/v1/kbs/book/search"
        for body in (b"", b"{", b"[]", b"null", b'{"a":1}x', b"\xff\xfe", b"{" * 100000,
                     b'{"query":"a","query":"b"}', b'{"query":"\\ud800"}', b'{"query":NaN}',
                     b"[" * 200 + b"]" * 200):
            for path in (chat, search, "/v1/embeddings", "/api/v1/kbs"):
                self.refused(400, "POST", path, body)
        for body in ({"query": 7}, {"query": ""}, {"query": None}, {"query": "x", "n": "3"},
                     {"query": "x", "n": 10**30}, {"query": "x" * 100000}):
            self.refused(400, "POST", search, json.dumps(body))

    def test_names_that_try_to_escape(self):
        (self.data / "secret.txt").write_text("secret")
        for name in ("..", "../..", "..%2f..%2fcatalogue.sqlite", "%2e%2e/%2e%2e/secret.txt",
                     "....//secret.txt", "/etc/passwd", "a.txt/../../../secret.txt", "%00",
                     "a.txt%00.md", "..%5c..%5csecret.txt", "%c0%ae%c0%ae/secret.txt", "%u002e"):
            for prefix in ("/api/v1/kbs/book/files/", "/api/v1/kbs/"):
                for method in ("GET", "DELETE"):
                    status, body = self.ask(method, prefix + name)
                    self.assertIn(status, (400, 404, 405), (method, prefix + name))
                    self.assertNotIn(b"secret", body if isinstance(body, bytes) else b"")
        self.assertEqual((self.data / "secret.txt").read_text(), "secret")
        self.assertEqual(self.ask("GET", "/api/v1/kbs/book/files/a.txt")[0], 200)

    def test_uploads_that_try_to_escape(self):
        for name in ("../x.txt", "/tmp/x.txt", "a/../../x.txt", "..", ".", "", "a\tb.txt"):
            body = (
                b'--bb\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n'
                b"hello\r\n--bb--\r\n" % name.encode()
            )
            kind = {"Content-Type": "multipart/form-data; boundary=bb"}
            status, answer = self.ask("POST", "/api/v1/kbs/book/files", body, kind)
            self.assertEqual(status, 400, (name, answer))
        self.assertEqual(os.listdir(self.data / "temp/uploads"), [])

    def test_unknown_things(self):
        self.refused(404, "GET", "/nothing")
        self.refused(404, "GET", "/api/v1/kbs/none")
        self.refused(404, "POST", "/api/v1/kbs/none/search", '{"query":"x"}')
        self.refused(404, "GET", "/api/v1/jobs/12345")
        self.refused(404, "GET", "/api/v1/jobs/99999999999999999999999")
        self.refused(405, "PATCH", "/api/v1/kbs", "{}")
        self.refused(405, "GET", "/v1/chat/completions")
        self.refused(409, "POST", "/api/v1/kbs", '{"name":"book","model":"none"}')
        self.refused(404, "POST", "/api/v1/kbs", '{"name":"x","model":"no-such-model"}')

    def test_bodies_that_are_too_large(self):
        self.assertIn("bytes", self.refused(413, "POST", "/api/v1/kbs", b"x" * (2 << 20)))
        for head in (b"Content-Length: 999999999999", b"Transfer-Encoding: chunked"):
            start = time.monotonic()
            piece = b"10000\r\n" + b"x" * 65536 + b"\r\n" if b"chunked" in head else b"x" * 65536
            answer = self.raw(
                b"POST /api/v1/kbs HTTP/1.1\r\nHost: t\r\n" + head + b"\r\n\r\n" + piece * 40
            )
            self.assertIn(b" 413 ", answer.split(b"\r\n")[0])
            self.assertIn(b'"code":"too_large"', answer)
            self.assertLess(time.monotonic() - start, 10)

    def test_lines_that_are_no_http(self):
        for data in (b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00" + b"\0" * 200,
                     b"GET / HTTP/9.9\r\nHost: t\r\n\r\n", b"GET /health HTTP/1.1\r\n\r\n",
                     b"GET /health HTTP/1.1\r\nHost: t\r\nA" + b"a" * 100000 + b": b\r\n\r\n",
                     b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: t\r\n\r\n",
                     b"POST /api/v1/kbs HTTP/1.1\r\nHost: t\r\nContent-Length: -5\r\n\r\n",
                     b"POST /api/v1/kbs HTTP/1.1\r\nHost: t\r\nContent-Length: 0x10\r\n\r\n",
                     b"POST /api/v1/kbs HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                     b"FFFFFFFFFFFFFFFFF\r\nx"):
            answer = self.raw(data, half_close=True)
            self.assertNotRegex(answer[:20], rb"^HTTP/1\.1 [25]0[01]", data[:60])

    def test_random_bytes(self):
        dice = random.Random(7)
        frames = (b"GET /health HTTP/1.1\r\nHost: t\r\n\r\n",
                  b'POST /api/v1/kbs/book/search HTTP/1.1\r\nHost: t\r\nContent-Length: 13\r\n\r\n'
                  b'{"query":"x"}')
        for _ in range(300):
            frame = bytearray(dice.choice(frames))
            for _ in range(dice.randint(1, 6)):
                frame[dice.randrange(len(frame))] = dice.randrange(256)
            with socket.create_connection(self.address, timeout=5) as link:
                link.sendall(frame[: dice.randint(1, len(frame))])

    def test_slow_clients_do_not_keep_others_waiting(self):
        with contextlib.ExitStack() as stack:
            for i in range(100):
                link = stack.enter_context(socket.create_connection(self.address, timeout=5))
                head = b"POST /api/v1/kbs/book/search HTTP/1.1\r\nHost: t\r\nContent-"
                link.sendall(head[: 9 + i])
            start = time.monotonic()
            for _ in range(20):
                self.assertEqual(self.ask("GET", "/health")[0], 200)
            self.assertLess(time.monotonic() - start, 5)

    def test_another_site_may_not_write(self):
        headers = {"Sec-Fetch-Site": "cross-site"}
        self.refused(403, "POST", "/api/v1/kbs", '{"name":"evil"}', headers)
        self.refused(403, "DELETE", "/api/v1/kbs/book", None, headers)
        self.assertEqual(self.ask("GET", "/api/v1/kbs/book")[0], 200)

    def test_originals_are_never_run_by_a_browser(self):
        page = self.write("page.html", "<script>alert(1)</script><p>A page about goods.</p>")
        self.ok("kb", "add", "book", page)
        link = http.client.HTTPConnection(*self.address, timeout=TIMEOUT)
        with contextlib.closing(link):
            link.request("GET", "/api/v1/kbs/book/files/page.html")
            answer = link.getresponse()
            answer.read()
        self.assertEqual(answer.getheader("Content-Type"), "application/octet-stream")
        self.assertEqual(answer.getheader("X-Content-Type-Options"), "nosniff")
        self.assertTrue(answer.getheader("Content-Disposition").startswith("attachment"))
        self.assertIn("sandbox", answer.getheader("Content-Security-Policy"))


if __name__ == "__main__":
    unittest.main()
