#!/usr/bin/env python3
"""Ingest of one big file in constant memory: peak anonymous memory of all our processes together.

big.py [--text BYTES] [--csv ROWS] [--model NAME] [--seconds S]

defaults: 1 GB, 1,000,000 rows, no model, to the end

With --seconds the ingest is stopped by SIGINT after S seconds and started again, to show that it
goes on.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
PROGRAM = str(HERE.parent / "build/plimsoll")
MIB = 1 << 20


def processes(root):
    """root and all its descendants."""
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                waiting += map(int, open(f"/proc/{pid}/task/{task}/children").read().split())
        except OSError:
            pass
    return found


def anonymous(pid):
    try:
        fields = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status"))
        return sum(int(fields[key].split()[0]) * 1024 for key in ("RssAnon", "VmSwap"))
    except (OSError, KeyError):
        return 0


def add(data, kb, path, seconds):
    process = subprocess.Popen(
        [PROGRAM, "kb", "add", kb, str(path), "--data", str(data), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    peak, began, interrupted = 0, time.time(), False
    while process.poll() is None:
        peak = max(peak, sum(anonymous(p) for p in processes(process.pid)))
        if seconds and not interrupted and time.time() - began > seconds:
            process.send_signal(signal.SIGINT)
            interrupted = True
        time.sleep(0.05)
    return json.loads(process.stdout.read()), peak, time.time() - began


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--text", type=int, default=10**9)
    parser.add_argument("--csv", type=int, default=10**6)
    parser.add_argument("--model", default="none")
    parser.add_argument("--seconds", type=float, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="plimsoll-big-") as folder:
        data = pathlib.Path(folder)
        subprocess.run([PROGRAM, "init", folder], check=True, stdout=subprocess.DEVNULL)
        for kb, kind, amount in (
            ("text", "big-text", options.text),
            ("csv", "big-csv", options.csv),
        ):
            if amount == 0:
                continue
            path = data / (kb + (".txt" if kb == "text" else ".csv"))
            subprocess.run(
                [sys.executable, str(HERE / "corpus.py"), kind, str(amount), str(path)], check=True
            )
            subprocess.run(
                [PROGRAM, "kb", "create", kb, "--model", options.model, "--data", folder],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            runs = [add(data, kb, path, options.seconds)]
            while "error" in runs[-1][0] and len(runs) < 3:
                runs.append(add(data, kb, path, 0))
            for result, peak, took in runs:
                size = path.stat().st_size
                print(
                    f"{kb}: {size / 1e6:.0f} MB, model {options.model}: peak anonymous"
                    f" {peak / MIB:.1f} MiB, {took:.1f} s, {json.dumps(result)}",
                    flush=True,
                )
            path.unlink()


if __name__ == "__main__":
    main()
