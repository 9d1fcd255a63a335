#!/usr/bin/env python3
"""Retrieval and answers on the retrieval sets, default settings: `plimsoll eval` by set and arm.

quality.py [--model NAME] [--data DIR]     DIR is kept, and used again when it holds the sets

Also measures refusal: questions whose text is in the knowledge base must not be refused; questions
whose text is not (the other half of a set, another set) must be.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
PROGRAM = str(HERE.parent / "build/plimsoll")
SETS = (
    pathlib.Path(os.environ.get("PLIMSOLL_TEST_DATA", HERE.parents[1] / "shared/data"))
    / "retrieval"
)


def program(*arguments, data):
    done = subprocess.run(
        [PROGRAM, *map(str, arguments), "--data", str(data), "--json"],
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(f"{arguments}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def read(path):
    return [json.loads(line) for line in open(path, encoding="utf-8")]


def write(path, records):
    path.write_text(
        "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8"
    )
    return path


def make(data, name, corpus, model):
    if name not in {kb["name"] for kb in program("kb", "list", data=data)["kbs"]}:
        program("kb", "create", name, *(["--model", model] if model else []), data=data)
    program("kb", "add", name, corpus, data=data)


def halves(data, name, corpus, queries, by):
    """Half of the texts, the questions they hold, and the others. By "texts" every second text goes
    and other paragraphs of its article stay; by "articles" whole titles go."""
    texts = read(corpus)
    keys = [t["title"] if by == "articles" else t["id"] for t in texts]
    kept_keys = set(list(dict.fromkeys(keys))[::2])
    texts = [t for t, key in zip(texts, keys) if key in kept_keys]
    kept = {t["id"] for t in texts}
    asked = read(queries)
    inside = [q for q in asked if kept & set(q["relevant"])]
    outside = [q for q in asked if not kept & set(q["relevant"])]
    stem = f"{name}-{by}"
    return (
        write(data / f"{stem}-half.jsonl", texts),
        write(data / f"{stem}-in.jsonl", inside),
        write(data / f"{stem}-out.jsonl", outside),
    )


def refusals(data, name, by, sets, model):
    corpus, queries = (SETS / path for path in sets[name])
    half, inside, outside = halves(data, name, corpus, queries, by)
    kb = f"{name}-{by}-half"
    make(data, kb, half, model)
    other = "en-newwiki" if name == "zh-cmrc" else "zh-cmrc"
    for label, questions, absent in (
        (f"half of the {by}, there", inside, []),
        (f"half of the {by}, absent", outside, ["--absent"]),
        ("questions of " + other, SETS / sets[other][1], ["--absent"]),
    ):
        r = program("eval", kb, questions, "--answers", *absent, data=data)
        contained = r.get("answer_contained", float("nan"))
        print(f"{name + ', ' + label:<40}{contained:>10.4f}{r['refused']:>9.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="")
    parser.add_argument("--data", default="")
    options = parser.parse_args()
    data = pathlib.Path(options.data or tempfile.mkdtemp(prefix="plimsoll-quality-"))
    program("init", data=data)
    sets = {
        "zh-cmrc": ("zh-cmrc/corpus.jsonl", "zh-cmrc/queries.jsonl"),
        "en-newwiki": ("en-newwiki/corpus.jsonl", "en-newwiki/queries.jsonl"),
        "zh-to-en": ("cross-xquad/corpus.en.jsonl", "cross-xquad/queries.zh.jsonl"),
        "en-to-zh": ("cross-xquad/corpus.zh.jsonl", "cross-xquad/queries.en.jsonl"),
    }
    print(
        f"{'set':<12}{'arm':<8}{'R@1':>8}{'R@5':>8}{'R@10':>8}{'MRR@10':>8}{'nDCG@10':>9}"
        f"{'p50 ms':>8}{'p95 ms':>8}"
    )
    for name, (corpus, queries) in sets.items():
        make(data, name, SETS / corpus, options.model)
        for arm in ("vector", "text", "hybrid"):
            r = program("eval", name, SETS / queries, "--arm", arm, data=data)
            print(
                f"{name:<12}{arm:<8}{r['recall@1']:>8.4f}{r['recall@5']:>8.4f}"
                f"{r['recall@10']:>8.4f}{r['mrr@10']:>8.4f}"
                f"{r['ndcg@10']:>9.4f}{r['p50_ms']:>8.2f}{r['p95_ms']:>8.2f}",
                flush=True,
            )
    print(f"\n{'answers without a model':<40}{'contained':>10}{'refused':>9}{'characters':>11}")
    for name in ("zh-cmrc", "en-newwiki"):
        r = program("eval", name, SETS / sets[name][1], "--answers", data=data)
        print(
            f"{name + ', text is there':<40}{r['answer_contained']:>10.4f}{r['refused']:>9.4f}"
            f"{r['quote_chars_mean']:>11.0f}",
            flush=True,
        )
        for by in ("texts", "articles"):
            refusals(data, name, by, sets, options.model)


if __name__ == "__main__":
    main()
