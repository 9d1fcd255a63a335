#!/usr/bin/env python3
"""The command line from an empty folder to an answer with sources, and back."""

import json
import os
import random
import signal
import subprocess
import time
import unittest

import plimsoll

GUIDE = plimsoll.ROOT / "docs/guide"


class TextOnly(plimsoll.DataDirTest):
    """Knowledge bases without a model: what does not need one."""

    def setUp(self):
        super().setUp()
        self.ok("init")
        self.ok("kb", "create", "book", "--model", "none")

    def kb_folders(self):
        return sorted(p.name for p in (self.data / "kb").iterdir() if p.name != ".lock")

    def test_a_file_goes_in_is_found_and_goes_out(self):
        text = (
            "# 保修\n\n保修期为三年，自购买之日起计算。\n\n# Returns\n\nGoods can be returned"
            " within 14 days.\n"
        )
        path = self.write("terms.md", text)
        added = self.json("kb", "add", "book", path)
        self.assertEqual((added["added"], added["failed"]), (1, 0))
        self.assertEqual(self.json("kb", "add", "book", path)["skipped"], 1)
        hit = self.json("search", "book", "保修期多久")["hits"][0]
        self.assertIn("三年", hit["text"])
        self.assertEqual(hit["file"], "terms.md")
        self.assertEqual(text.encode()[hit["start"] : hit["end"]].decode(), hit["text"])
        self.assertEqual(
            {"rank", "score", "chunk_id", "doc_id", "title", "page", "vector_score", "text_score"}
            - set(hit),
            set(),
        )
        self.ok("kb", "rm", "book", "terms.md")
        self.assertEqual(self.json("search", "book", "保修期多久")["hits"], [])
        self.assertEqual(self.json("kb", "files", "book")["files"], [])
        self.assertFalse((self.data / "kb/book/content/terms.md").exists())

    def test_a_changed_file_replaces_the_old_one(self):
        path = self.write("a.txt", "The meeting room is called Greenwich.\n")
        self.ok("kb", "add", "book", path)
        path.write_text("The meeting room is called Valparaiso.\n")
        self.ok("kb", "add", "book", path)
        self.assertEqual(self.json("search", "book", "Greenwich")["hits"], [])
        self.assertIn("Valparaiso", self.json("search", "book", "Valparaiso")["hits"][0]["text"])
        self.assertEqual(len(self.json("kb", "files", "book")["files"]), 1)

    def test_one_bad_file_does_not_stop_the_others(self):
        folder = self.dir / "mixed"
        self.write("mixed/good.txt", "A sentence about lighthouses.\n")
        self.write("mixed/empty.txt", "")
        self.write("mixed/picture.txt", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8)
        done = self.run_program("kb", "add", "book", folder, "--json")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(json.loads(done.stdout)["added"], 1)
        self.assertTrue(self.json("search", "book", "lighthouses")["hits"])

    def test_traditional_finds_simplified(self):
        self.ok("kb", "add", "book", self.write("z.txt", "资料库管理系统的说明。\n"))
        self.assertTrue(self.json("search", "book", "資料庫")["hits"])

    def test_encodings(self):
        for name, encoding in (("gbk", "gb18030"), ("utf16", "utf-16"), ("big5", "big5")):
            words = (
                "繁體中文的說明書，內容關於船舶的載重線，請仔細閱讀。"
                if encoding == "big5"
                else "简体中文的说明书，内容关于船舶的载重线，请仔细阅读。"
            )
            self.ok("kb", "add", "book", self.write(f"{name}.txt", (words * 20).encode(encoding)))
        found = {h["file"] for h in self.json("search", "book", "船舶的载重线")["hits"]}
        self.assertEqual(found, {"gbk.txt", "utf16.txt", "big5.txt"})

    def test_jsonl_lines_are_documents(self):
        records = [
            {"id": f"r{i}", "title": f"T{i}", "text": f"Record {i} speaks of topic{i}."}
            for i in range(50)
        ]
        self.ok(
            "kb", "add", "book", self.write("r.jsonl", "\n".join(json.dumps(r) for r in records))
        )
        self.assertEqual(self.json("search", "book", "topic17")["hits"][0]["doc_id"], "r17")

    def test_mistakes_get_a_sentence_and_an_exit_code(self):
        self.refused(2, "kb", "create")
        self.refused(2, "nonsense")
        self.refused(2, "search", "book", "x", "-n", "0")
        self.refused(2, "search", "book", "x", "--arm", "left")
        self.refused(1, "kb", "create", "../evil")
        self.refused(1, "kb", "create", "book")
        self.refused(1, "kb", "show", "nobody")
        self.refused(1, "kb", "delete", "nobody")
        self.refused(1, "kb", "rm", "book", "../../../etc/passwd")
        self.refused(1, "search", "nobody", "x")
        self.refused(1, "kb", "rollback", "book")
        self.refused(1, "kb", "list", "--set", "server.lisen=1")
        self.refused(1, "eval", "book", "/nonexistent.jsonl")
        self.refused(1, "model", "info", "no-such-model")
        self.refused(1, "model", "import", "/nonexistent")
        self.assertIn(
            "error", json.loads(self.run_program("kb", "show", "nobody", "--json").stdout)
        )
        self.assertEqual(
            self.run_program("kb", "add", "book", "/nonexistent/file.txt").returncode, 1
        )
        self.assertEqual(self.kb_folders(), ["book"])

    def test_common_options_may_stand_before_the_verb(self):
        listed = self.ok("--json", "--data", self.data, "kb", "list")
        self.assertEqual(json.loads(listed)["kbs"][0]["name"], "book")
        self.ok("-d", self.data, "search", "book", "x", "--json")

    def test_help_and_completion(self):
        for verb in ("init", "serve", "kb add", "search", "ask", "eval", "model pull"):
            self.assertIn("usage: plimsoll " + verb, self.ok(*verb.split(), "--help"))
        script = self.ok("completion", "bash") + "\ncomplete -p plimsoll\n"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=20)
        self.assertIn("_plimsoll", done.stdout, done.stderr)

    def test_unknown_key_in_the_configuration_names_its_line(self):
        config = self.data / "plimsoll.yaml"
        config.write_text(config.read_text() + "\nserver:\n  lisen: 1\n")
        self.assertRegex(self.refused(1, "kb", "list"), r"plimsoll\.yaml")

    def test_export_and_import(self):
        self.ok(
            "kb", "add", "book", self.write("a.txt", "The harbour master lives in the tower.\n")
        )
        archive = self.dir / "book.tar"
        self.ok("kb", "export", "book", "-o", archive)
        self.ok("kb", "import", "copy", "-i", archive)
        self.assertIn("tower", self.json("search", "copy", "harbour master")["hits"][0]["text"])
        self.refused(1, "kb", "import", "copy", "-i", archive)
        self.refused(
            1, "kb", "import", "other", "-i", self.write("broken.tar", archive.read_bytes()[:2000])
        )
        self.assertEqual(self.kb_folders(), ["book", "copy"])

    def test_killed_at_random_moments_nothing_is_lost_or_torn(self):
        draw = random.Random(5)
        big = self.write(
            "big.txt",
            "".join(f"Paragraph {i} mentions item{i} of the long list.\n\n" for i in range(20000)),
        )
        self.ok("kb", "add", "book", self.write("first.txt", "The anchor document stays.\n"))
        for _ in range(12):
            process = subprocess.Popen(
                [plimsoll.PROGRAM, "kb", "add", "book", str(big), "--json"],
                env=dict(os.environ, PLIMSOLL_DATA=str(self.data)),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(draw.uniform(0.01, 0.6))
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.assertTrue(self.json("search", "book", "anchor document")["hits"])
            ready = {f["file"]: f["status"] for f in self.json("kb", "files", "book")["files"]}
            if ready.get("big.txt") != "ready":
                self.assertEqual(self.json("search", "book", "item19999")["hits"], [])
        self.ok("kb", "add", "book", big)
        self.assertTrue(self.json("search", "book", "item19999")["hits"])
        names = {p.name for p in (self.data / "kb/book/content").iterdir()}
        self.assertEqual(names, {"first.txt", "big.txt"})


@unittest.skipUnless(
    plimsoll.has_model("multilingual-e5-small"), "skipped: no embedding model in the cache"
)
class WithModels(plimsoll.DataDirTest):
    def setUp(self):
        super().setUp()
        self.ok("init")

    def test_the_guide_answers_in_both_languages(self):
        self.ok("kb", "create", "guide")
        self.ok("kb", "add", "guide", GUIDE)
        for question, wanted in (
            ("为什么内存不会增长？", "账户"),
            ("Why can the memory not grow?", "account"),
            ("账户达到硬线时会发生什么？", "503"),
            ("What happens at an account's hard line?", "503"),
        ):
            answer = self.json("ask", "guide", question, "--no-generate")
            self.assertEqual(answer["mode"], "extractive", answer)
            self.assertIn(wanted, answer["answer"])
            citation = answer["citations"][0]
            original = (GUIDE / citation["file"].split("/")[-1]).read_bytes()
            self.assertEqual(
                original[citation["start"] : citation["end"]].decode(), citation["text"]
            )
        for question in ("公司的年终奖什么时候发？", "Who won the football world cup in 1998?"):
            answer = self.json("ask", "guide", question, "--no-generate")
            self.assertEqual((answer["mode"], answer["citations"]), ("no_evidence", []), answer)

    def test_rebuild_switches_and_rolls_back(self):
        self.ok("kb", "create", "guide")
        self.ok("kb", "add", "guide", GUIDE)
        before = self.json("kb", "show", "guide")
        self.ok("kb", "rebuild", "guide", "--chunk-chars", "120")
        after = self.json("kb", "show", "guide")
        self.assertEqual(after["generation"], before["generation"] + 1)
        self.assertGreater(after["chunks"], before["chunks"])
        self.ok("kb", "rollback", "guide")
        self.assertEqual(self.json("kb", "show", "guide")["chunks"], before["chunks"])


if __name__ == "__main__":
    unittest.main()
