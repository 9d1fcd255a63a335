#!/usr/bin/env python3
"""Anonymous memory of the server over many searches: it must be small and must not grow.

memory.py DATA KB [--searches 10000]

DATA: a data directory with a knowledge base; bench/rag.py leaves some.
"""

import argparse
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import corpus
import rag

MIB = 1 << 20


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("kb")
    parser.add_argument("--searches", type=int, default=10000)
    options = parser.parse_args()
    questions = [q["text"] for q in corpus.lines("en-newwiki/queries.jsonl")]
    server = subprocess.Popen(
        [rag.PROGRAM, "serve", "--listen", "127.0.0.1:0", "--data", options.data],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = re.match(r"listening on http://(\S+)", server.stdout.readline()).group(1)
        steps = 10
        for step in range(steps + 1):
            figures = rag.memory_of(server.pid)
            print(
                f"{step * options.searches // steps:>7} searches: anonymous"
                f" {figures['RssAnon'] / MIB:.2f} MiB, resident {figures['VmRSS'] / MIB:.1f} MiB",
                flush=True,
            )
            for i in range(options.searches // steps if step < steps else 0):
                question = questions[(step * 1000 + i) % len(questions)]
                rag.ask(address, f"/api/v1/kbs/{options.kb}/search", {"query": question, "n": 10})
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
