#!/usr/bin/env python3
"""Make the texts that the benchmarks use, the same bytes every time.

corpus.py chunks N OUT.jsonl   N passages of about 100 words, sentences drawn at
                               random, at most 10,000 different ones
corpus.py queries N OUT.txt    N questions of data/retrieval, a line each
corpus.py big-text BYTES OUT   one UTF-8 text file, Chinese and English paragraphs, of that size
corpus.py big-csv ROWS OUT     a table of that many rows
"""

import json
import os
import pathlib
import random
import re
import sys

DATA = pathlib.Path(
    os.environ.get("PLIMSOLL_TEST_DATA", pathlib.Path(__file__).parents[2] / "shared/data")
)
DISTINCT = 10000


def lines(name):
    with open(DATA / "retrieval" / name, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def sentences(name, pattern):
    return [
        s.strip()
        for record in lines(name)
        for s in re.findall(pattern, record["text"])
        if len(s.strip()) > 10
    ]


def english():
    return sentences("en-newwiki/corpus.jsonl", r"[^.!?]+[.!?]")


def chinese():
    return sentences("zh-cmrc/corpus.jsonl", r"[^。！？]+[。！？]")


def chunks(count, out):
    """Beyond DISTINCT the same passages come again: embedding them is no part of a search."""
    draw, pool, texts = random.Random(7), english(), []
    while len(texts) < min(count, DISTINCT):
        words, text = 0, []
        while words < 90:
            text.append(draw.choice(pool))
            words += text[-1].count(" ") + 1
        texts.append(" ".join(text)[:1100])
    with open(out, "w", encoding="utf-8") as file:
        for i in range(count):
            record = {"id": f"doc-{i}", "title": "", "text": texts[i % len(texts)]}
            file.write(json.dumps(record) + "\n")


def queries(count, out):
    questions = [q["text"] for q in lines("en-newwiki/queries.jsonl")]
    with open(out, "w", encoding="utf-8") as file:
        file.writelines(questions[i % len(questions)] + "\n" for i in range(count))


def big_text(size, out):
    draw, pools, written = random.Random(7), (english(), chinese()), 0
    with open(out, "w", encoding="utf-8") as file:
        while written < size:
            pool = draw.choice(pools)
            text = (
                "".join(draw.choice(pool) + ("" if pool is pools[1] else " ") for _ in range(5))
                + "\n\n"
            )
            file.write(text)
            written += len(text.encode())


def big_csv(rows, out):
    draw, pool = random.Random(7), [w for s in english()[:400] for w in s.split()]
    with open(out, "w", encoding="utf-8") as file:
        file.write("id,name,department,city,amount,remark\n")
        for i in range(rows):
            words = " ".join(draw.choice(pool) for _ in range(4)).replace('"', "").replace(",", "")
            file.write(
                f"{i},员工{i % 5000},部门{i % 37},City {i % 113},{draw.randint(1, 99999)},{words}\n"
            )


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    {"chunks": chunks, "queries": queries, "big-text": big_text, "big-csv": big_csv}[sys.argv[1]](
        int(sys.argv[2]), sys.argv[3]
    )
