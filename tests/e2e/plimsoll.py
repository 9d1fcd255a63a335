"""What the end-to-end tests share: the program, a fresh data directory, a server."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("PLIMSOLL_BIN", str(ROOT / "build/plimsoll"))
DATA = pathlib.Path(os.environ.get("PLIMSOLL_TEST_DATA", ROOT.parent / "shared/data"))
CACHE = pathlib.Path(os.environ.get("PLIMSOLL_CACHE", pathlib.Path.home() / ".cache/plimsoll"))
MODELS = CACHE / "models"


def has_model(name):
    return any(MODELS.glob(name + "*"))


class DataDirTest(unittest.TestCase):
    """Each test has a data directory of its own."""

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="plimsoll-e2e-"))
        self.data = self.dir / "data"
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def run_program(self, *arguments, timeout=300, **options):
        environment = dict(os.environ, PLIMSOLL_DATA=str(self.data), **options.pop("env", {}))
        return subprocess.run(
            [PROGRAM, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment,
            **options,
        )

    def ok(self, *arguments, **options):
        done = self.run_program(*arguments, **options)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stderr or done.stdout}")
        return done.stdout

    def json(self, *arguments, **options):
        return json.loads(self.ok(*arguments, "--json", **options))

    def refused(self, code, *arguments, **options):
        """It fails with this exit code and a sentence on standard error; returns the sentence."""
        done = self.run_program(*arguments, **options)
        self.assertEqual(done.returncode, code, f"{arguments}: {done.stdout} {done.stderr}")
        self.assertRegex(done.stderr, r"plimsoll: .{10,}")
        return done.stderr

    def write(self, name, content):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    @contextlib.contextmanager
    def server(self, *options):
        """A running server; yields its base URL."""
        log = open(self.dir / "server.log", "w+", encoding="utf-8")
        process = subprocess.Popen(
            [PROGRAM, "serve", "--listen", "127.0.0.1:0", "--data", str(self.data), *options],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            line = process.stdout.readline()
            match = re.match(r"listening on (http://\S+)", line)
            if match is None:
                log.seek(0)
                self.fail(f"the server said {line!r}: {log.read()}")
            self.server_process = process
            yield match.group(1)
        finally:
            process.terminate()
            self.server_exit = process.wait(timeout=30)
            process.stdout.close()
            log.close()
