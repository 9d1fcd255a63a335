#!/usr/bin/env python3
"""The official OpenAI client against our server, with the real models. time limit: 600 s"""

import base64
import math
import struct
import time
import unittest

import plimsoll

try:
    import openai
except ImportError:
    openai = None

EMBEDDER = "multilingual-e5-small"
GENERATOR = "SmolLM2-135M-Instruct"

LIGHTHOUSE = (
    "# The lighthouse\n\nThe lighthouse of Greystone was built in 1897 by Ada Marsh. Its light"
    " can be seen from thirty miles away.\n\n# The harbour\n\nThe harbour of Greystone freezes"
    " every February, and the ferry stops for three weeks.\n"
)
WARRANTY = (
    "# 保修\n\n保修期为三年，自购买之日起计算。保修期内免费更换零件。\n\n"
    "# 退货\n\n商品可在十四天内退货，需保留原包装。\n"
)


def length(vector):
    return math.sqrt(sum(x * x for x in vector))


def question(text):
    return [{"role": "user", "content": text}]


@unittest.skipIf(openai is None, "the openai package is not installed")
@unittest.skipUnless(plimsoll.has_model(EMBEDDER), "the default models are not there")
class Client(plimsoll.DataDirTest):
    def setUp(self):
        super().setUp()
        self.ok("init")
        self.ok("kb", "create", "town")
        self.ok("kb", "add", "town", self.write("lighthouse.md", LIGHTHOUSE))
        self.ok("kb", "add", "town", self.write("保修.md", WARRANTY))
        context = self.server()
        self.url = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.client = openai.OpenAI(base_url=self.url + "/v1", api_key="none", max_retries=0)
        self.addCleanup(self.client.close)

    def test_models(self):
        ids = [m.id for m in self.client.models.list()]
        self.assertIn("town", ids)
        self.assertIn(EMBEDDER, ids)
        self.assertEqual(self.client.models.retrieve("town").owned_by, "knowledge-base")
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("nowhere")

    def test_embeddings(self):
        texts = ["When was it built?", "它是什么时候建的？"]
        plain = self.client.embeddings.create(model=EMBEDDER, input=texts, encoding_format="float")
        packed = self.client.embeddings.create(model=EMBEDDER, input=texts)  # base64 on the wire
        self.assertEqual([d.index for d in plain.data], [0, 1])
        for a, b in zip(plain.data, packed.data):
            self.assertEqual(len(a.embedding), 384)
            self.assertAlmostEqual(length(a.embedding), 1, places=3)
            for x, y in zip(a.embedding, b.embedding):
                self.assertAlmostEqual(x, y, places=6)
        raw = self.client.embeddings.with_raw_response.create(
            model=EMBEDDER, input=texts[0], encoding_format="base64"
        )
        body = raw.http_response.json()["data"][0]["embedding"]
        floats = struct.unpack("<384f", base64.b64decode(body))
        self.assertAlmostEqual(floats[7], plain.data[0].embedding[7], places=6)
        short = self.client.embeddings.create(model=EMBEDDER, input=texts[0], dimensions=64)
        self.assertEqual(len(short.data[0].embedding), 64)
        self.assertAlmostEqual(length(short.data[0].embedding), 1, places=3)
        self.assertGreater(plain.usage.prompt_tokens, 5)
        self.assertEqual(plain.usage.prompt_tokens, plain.usage.total_tokens)

    def test_long_texts_are_windowed_not_an_error(self):
        long = self.client.embeddings.create(model=EMBEDDER, input="lighthouse keeper " * 1000)
        self.assertTrue(long.data[0].windowed)
        self.assertAlmostEqual(length(long.data[0].embedding), 1, places=3)

    def check_citations(self, context, kb="town"):
        self.assertGreaterEqual(len(context["citations"]), 1)
        for c in context["citations"]:
            original = {"lighthouse.md": LIGHTHOUSE, "保修.md": WARRANTY}[c["file"]].encode()
            self.assertEqual(original[c["start"] : c["end"]].decode(), c["text"])
            self.assertEqual(c["kb"], kb)

    def test_chat_quotes_with_sources(self):
        for text, wanted in (
            ("When was the lighthouse of Greystone built?", "1897"),
            ("保修期是多久？", "三年"),
        ):
            answer = self.client.chat.completions.create(
                model="town", messages=question(text), extra_body={"generate": False}
            )
            message = answer.choices[0].message
            self.assertIn(wanted, message.content)
            self.assertEqual(message.role, "assistant")
            self.assertEqual(answer.choices[0].finish_reason, "stop")
            self.assertEqual(answer.mode, "extractive")
            self.check_citations(message.context)
            for note in message.annotations:
                cited = note.url_citation
                self.assertRegex(message.content[cited.start_index : cited.end_index], r"^\[\d+\]$")
                self.assertTrue(cited.url.startswith("/api/v1/kbs/town/files/"))

    def test_what_the_knowledge_base_does_not_say(self):
        answer = self.client.chat.completions.create(
            model="town",
            messages=question("What is the boiling point of tungsten?"),
            extra_body={"generate": False},
        )
        self.assertEqual(answer.mode, "no_evidence")

    def test_chat_streams(self):
        chunks = list(
            self.client.chat.completions.create(
                model="town",
                messages=question("When was the lighthouse of Greystone built?"),
                stream=True,
                stream_options={"include_usage": True},
                extra_body={"generate": False, "session_id": "s-1"},
            )
        )
        self.assertEqual(len({(c.id, c.created, c.model) for c in chunks}), 1)
        self.assertTrue(all(c.object == "chat.completion.chunk" for c in chunks))
        first, last, usage = chunks[0], chunks[-2], chunks[-1]
        self.assertEqual(first.choices[0].delta.role, "assistant")
        self.assertEqual(first.choices[0].delta.content, "")
        self.check_citations(first.choices[0].delta.context)
        self.assertEqual(last.choices[0].finish_reason, "stop")
        self.assertIsNone(last.choices[0].delta.content)
        self.assertTrue(all(c.choices[0].finish_reason is None for c in chunks[:-2]))
        self.assertTrue(all(c.usage is None for c in chunks[:-1]))
        self.assertEqual(usage.choices, [])
        self.assertGreaterEqual(usage.usage.total_tokens, 0)
        self.assertEqual(first.session_id, "s-1")
        text = "".join(c.choices[0].delta.content or "" for c in chunks[:-1])
        self.assertIn("1897", text)

    def test_errors_have_their_classes(self):
        create = self.client.chat.completions.create
        with self.assertRaises(openai.NotFoundError) as caught:
            create(model="atlantis", messages=question("hello"))
        self.assertEqual(caught.exception.code, "model_not_found")
        self.assertEqual(caught.exception.param, "model")
        with self.assertRaises(openai.BadRequestError) as caught:
            create(model="town", messages=[{"role": "cat", "content": "meow"}])
        self.assertIn("messages[0].role must be one of", caught.exception.message)
        self.assertEqual(caught.exception.type, "invalid_request_error")
        with self.assertRaises(openai.BadRequestError):
            create(model="town", messages=[])
        with self.assertRaises(openai.BadRequestError):
            create(model="town", messages=question("x" * 40000))
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.embeddings.create(model=EMBEDDER, input=[[1, 2, 3]])
        self.assertIn("token numbers", caught.exception.message)
        with self.assertRaises(openai.NotFoundError):
            self.client.embeddings.create(model="text-embedding-ada-002", input="x")
        with self.assertRaises(openai.NotFoundError):  # before the stream begins
            list(create(model="atlantis", messages=question("hello"), stream=True))

    @unittest.skipUnless(plimsoll.has_model(GENERATOR), "no generation model")
    def test_plain_chat_with_the_generation_model(self):
        create = self.client.chat.completions.create
        answer = create(
            model=GENERATOR, messages=question("Say hello."), max_tokens=8, temperature=0
        )
        self.assertGreater(len(answer.choices[0].message.content), 0)
        self.assertIn(answer.choices[0].finish_reason, ("stop", "length"))
        self.assertLessEqual(answer.usage.completion_tokens, 8)
        self.assertGreater(answer.usage.prompt_tokens, 0)
        self.assertFalse(hasattr(answer.choices[0].message, "context"))
        pieces = [
            c.choices[0].delta.content or ""
            for c in create(
                model=GENERATOR,
                messages=question("Say hello."),
                max_tokens=8,
                temperature=0,
                stream=True,
            )
        ]
        self.assertEqual("".join(pieces), answer.choices[0].message.content)
        with self.assertRaises(openai.BadRequestError):
            create(model=GENERATOR, messages=question("x"), extra_body={"generate": False})

    @unittest.skipUnless(plimsoll.has_model(GENERATOR), "no generation model")
    def test_a_client_that_goes_frees_its_place_at_once(self):
        """Two sequences at most are written at once; four clients that leave must not hold them."""
        create = self.client.chat.completions.create
        create(model=GENERATOR, messages=question("Hi"), max_tokens=1)  # the model is loaded now
        for _ in range(4):
            stream = create(
                model=GENERATOR,
                messages=question("Write a very long story about the sea."),
                max_tokens=2000,
                stream=True,
            )
            for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    break
            stream.response.close()
        start = time.monotonic()
        create(model=GENERATOR, messages=question("Hi"), max_tokens=1)
        self.assertLess(time.monotonic() - start, 15)


if __name__ == "__main__":
    unittest.main()
