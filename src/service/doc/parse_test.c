/* Each parser by example, and all of them fed in pieces of any size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/size.h"
#include "doc/collect_test.h"
#include "doc/dialect.h"
#include "doc/outline.h"

enum { CHARS = 20 };

struct parsed {
	struct collected c;
	struct fault fault;
	status st;
};

static struct parsed parse(enum doc_format format, const char *text, uint32_t chars)
{
	struct parsed p = {0};
	collect_open(&p.c);
	p.st = collect_parse(&p.c, format, span_of(text), strlen(text) + 1, chars, &p.fault);
	return p;
}

static void expect(const struct parsed *p, size_t index, const char *heading, const char *text)
{
	assert_true(index < p->c.count);
	const struct doc_chunk *chunk = &p->c.chunks[index];
	if (!span_equal(chunk->heading, span_of(heading)) ||
	    !span_equal(chunk->text, span_of(text)))
		fail_msg("passage %zu is <%.*s> <%.*s>", index, SPAN_ARG(chunk->heading),
			 SPAN_ARG(chunk->text));
}

static void done(struct parsed *p)
{
	collect_close(&p->c);
}

/* ---- plain text ---- */

static void test_text__knows_chapters_and_titles(void **state)
{
	(void)state;
	struct parsed p = parse(FORMAT_TEXT,
				"数据安全法\n\n第一章 总则\n\n第一条 "
				"为了规范数据处理活动，保障数据安全，制定本法。\n\n"
				"第二章 数据安全与发展\n第一节 一般规定\n第十三条 "
				"国家统筹发展和安全，坚持促进发展。\n",
				50);
	assert_int_equal(p.st, ST_OK);
	assert_true(span_equal(p.c.chunks[0].title, SPAN("数据安全法")));
	assert_int_equal(p.c.count, 2);
	assert_true(span_equal(p.c.chunks[0].heading, SPAN("第一章 总则")));
	expect(&p, 1, "第二章 数据安全与发展 > 第一节 一般规定",
	       "第二章 数据安全与发展\n第一节 一般规定\n第十三条 "
	       "国家统筹发展和安全，坚持促进发展。");
	done(&p);
}

static void test_text__takes_no_sentence_for_a_heading(void **state)
{
	(void)state;
	uint32_t level;
	assert_false(
		outline_chapter(SPAN("第三章规定的内容不适用于本节所称的情形"), false, &level));
	assert_true(outline_chapter(SPAN("第三章　附则"), false, &level));
	assert_true(outline_chapter(SPAN("Chapter 3: Limits"), true, &level));
	assert_false(outline_chapter(SPAN("Chapter three was long"), true, &level));
	assert_false(outline_chapter(SPAN("Part of the work"), true, &level));
	assert_true(outline_numbered(SPAN("（二）定义"), &level));
	assert_true(outline_numbered(SPAN("2.1 Scope of this page"), &level));
	assert_false(outline_numbered(SPAN("2. an item of a list"), &level));
	assert_false(outline_numbered(SPAN("（一）取得个人的同意；"), &level));
}

static void test_text__wrapped_lines_are_one_paragraph(void **state)
{
	(void)state;
	struct parsed p =
		parse(FORMAT_TEXT,
		      "This paragraph was wrapped by a program at some column, and so\n"
		      "its sentences run over the ends of lines without any meaning. Here\n"
		      "is another sentence that ends in the middle of a line. And one more\n"
		      "to make it long enough to be cut somewhere, which is at a sentence.\n",
		      30);
	assert_int_equal(p.st, ST_OK);
	assert_true(p.c.count > 1);
	for (size_t i = 0; i < p.c.count; i++)
		assert_true(p.c.chunks[i].text.data[p.c.chunks[i].text.bytes - 1] == '.');
	done(&p);
}

/* ---- Markdown ---- */

static void test_markdown__headings_make_the_path(void **state)
{
	(void)state;
	struct parsed p = parse(
		FORMAT_MARKDOWN,
		"---\ntitle: \"Front\"\n---\n# One\n\nText under the first heading of the page.\n\n"
		"Two\n===\n\n## **Deep** [link](http://x) ##\n\nText under the second one, as "
		"long as that.\n",
		CHARS);
	assert_int_equal(p.st, ST_OK);
	assert_true(span_equal(p.c.chunks[0].title, SPAN("Front")));
	const struct doc_chunk *last = &p.c.chunks[p.c.count - 1];
	assert_true(span_equal(last->heading, SPAN("Two > Deep link")));
	assert_true(span_starts_with(last->text, SPAN("Two\n===")));
	done(&p);
}

static void test_markdown__a_fence_hides_what_looks_like_structure(void **state)
{
	(void)state;
	struct parsed p = parse(FORMAT_MARKDOWN,
				"# T\n\n```sh\n# no heading\n\n- no list | no "
				"table\n|---|\n```\n\nBehind the code.\n",
				200);
	assert_int_equal(p.st, ST_OK);
	assert_int_equal(p.c.count, 1);
	expect(&p, 0, "",
	       "# T\n\n```sh\n# no heading\n\n- no list | no table\n|---|\n```\n\nBehind the "
	       "code.");
	done(&p);
}

static void test_markdown__tables_are_cut_by_rows(void **state)
{
	(void)state;
	struct parsed p =
		parse(FORMAT_MARKDOWN,
		      "| 名称 | 数值 |\n|---|---|\n| 第一行的名称 | 第一行的数值 |\n"
		      "| 第二行的名称 | 第二行的数值 |\n| 第三行的名称 | 第三行的数值 |\n"
		      "| 第四行的名称 | 第四行的数值 |\n\n表格之后的文字在这里，足够长的一段。\n",
		      CHARS);
	assert_int_equal(p.st, ST_OK);
	assert_true(p.c.count >= 3);
	assert_int_equal(p.c.chunks[0].context.bytes, 0);
	assert_true(span_starts_with(p.c.chunks[1].text, SPAN("| 第")));
	assert_true(span_equal(p.c.chunks[1].context, SPAN("| 名称 | 数值 |")));
	done(&p);
}

static void test_markdown__list_items_stay_whole(void **state)
{
	(void)state;
	struct parsed p = parse(FORMAT_MARKDOWN,
				"- the first item, which has some words\n  and a second line\n\n"
				"  - with a nested item below it\n"
				"- the second item, which has some words\n  1. nested as well\n",
				CHARS);
	assert_int_equal(p.st, ST_OK);
	assert_int_equal(p.c.count, 2);
	assert_true(span_starts_with(p.c.chunks[1].text, SPAN("- the second item")));
	done(&p);
}

/* ---- tables ---- */

static void test_table__rows_carry_their_columns_and_bytes(void **state)
{
	(void)state;
	const char *text = "名称,年龄,备注\r\n张三,30,\"说\"\"好\"\"，\n换行\"\r\n李四,25,\r\n";
	struct parsed p = parse(FORMAT_CSV, text, 200);
	assert_int_equal(p.st, ST_OK);
	assert_int_equal(p.c.count, 1);
	expect(&p, 0, "", "名称: 张三; 年龄: 30; 备注: 说\"好\"，\n换行\n名称: 李四; 年龄: 25");
	assert_int_equal(p.c.chunks[0].start, strlen("名称,年龄,备注\r\n"));
	assert_int_equal(p.c.chunks[0].end, strlen(text) - strlen(",\r\n"));
	done(&p);
}

static void test_table__a_question_and_its_answer_are_one_passage(void **state)
{
	(void)state;
	struct parsed p =
		parse(FORMAT_CSV, "问题,答案\n内存会增长吗,不会\n到硬线怎样,拒绝请求\n", 200);
	assert_int_equal(p.st, ST_OK);
	assert_int_equal(p.c.count, 2);
	expect(&p, 0, "", "问题: 内存会增长吗\n答案: 不会");
	expect(&p, 1, "", "问题: 到硬线怎样\n答案: 拒绝请求");
	done(&p);
}

static void test_table__guesses_how_the_file_is_written(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		char delimiter;
		bool header;
	} files[] = {
		{"a;b;c\n1,5;2;3\n2,5;3;4\n", ';', true},
		{"a\tb\n1\t2\n", '\t', true},
		{"1,2,3\n4,5,6\n", ',', false},
		{"x|y\n\"1|2\"|3\n", '|', true},
		{"name,city\n", ',', false},
		{"one\ntwo\nthree\n", ',', false},
		{"id,id\n1,2\n", ',', false},
		{"一句话，有逗号。,b\n1,2\n", ',', false},
	};
	for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
		struct dialect d;
		dialect_guess(&d, span_of(files[i].text), true, false);
		if (d.delimiter != files[i].delimiter || d.header != files[i].header)
			fail_msg("file %zu: '%c', header %d", i, d.delimiter, d.header);
	}
}

static void test_table__a_long_cell_is_cut_and_says_its_row(void **state)
{
	(void)state;
	struct collected c;
	struct buf text;
	struct fault fault;
	collect_open(&c);
	buf_init(&text, c.scope, MIB);
	buf_add_text(&text, "id,title,content\n7,the title,");
	for (int i = 0; i < 100; i++)
		buf_printf(&text, "sentence number %d of it. ", i);
	buf_add_text(&text, "\n8,next,short\n");
	assert_int_equal(collect_parse(&c, FORMAT_CSV, buf_span(&text), 7, CHARS, &fault), ST_OK);
	assert_true(c.count > 10);
	assert_true(span_starts_with(c.chunks[0].text, SPAN("id: 7; title: the title; content:")));
	for (size_t i = 1; i + 2 < c.count; i++)
		assert_true(span_starts_with(c.chunks[i].context,
					     SPAN("id: 7; title: the title; content")));
	assert_true(collect_holds(&c, "id: 8; title: next; content: short"));
	collect_close(&c);
}

/* ---- JSON ---- */

static void test_json__records_are_rendered(void **state)
{
	(void)state;
	struct parsed p = parse(FORMAT_JSON,
				"[{\"a\": \"x\\n\\u4e2d\\ud83d\\ude00\", \"b\": {\"c\": 1.5, "
				"\"d\": [true, \"y\"]}},\n"
				" {\"question\": \"q\", \"answer\": \"r\"}, \"alone\", null]",
				200);
	assert_int_equal(p.st, ST_OK);
	expect(&p, 0, "", "a: x\n中\xF0\x9F\x98\x80\nb.c: 1.5\nb.d: true, y");
	expect(&p, 1, "", "question: q\nanswer: r");
	expect(&p, 2, "", "alone");
	done(&p);
}

static void test_json__an_object_of_lists_is_cut_at_their_elements(void **state)
{
	(void)state;
	struct parsed p = parse(
		FORMAT_JSON,
		"{\"name\": \"the whole thing\", \"items\": [{\"text\": \"the first of the items "
		"in the list\"}, {\"text\": \"the second of the items in the list\"}]}",
		10);
	assert_int_equal(p.st, ST_OK);
	assert_true(collect_holds(&p.c, "items.text: the second of the items"));
	assert_true(p.c.count >= 2);
	done(&p);
}

static void test_json__refuses_what_is_none(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"{\"a\": 1", "[1,]", "{\"a\" 1}", "{a: 1}", "[1 2]", "]",           "[\"\\x\"]",
		"\"abc",     "nul",  "[1}",       "{,}",    "01a",   "\"\\u12g4\"", "{\"a\":1,}"};
	for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
		struct parsed p = parse(FORMAT_JSON, texts[i], CHARS);
		if (p.st != ST_INVALID)
			fail_msg("%s is taken", texts[i]);
		assert_non_null(strstr(p.fault.text, "line 1"));
		done(&p);
	}
}

static void test_json__a_line_may_be_a_document(void **state)
{
	(void)state;
	struct parsed p = parse(
		FORMAT_JSON_LINES,
		"{\"text\": \"第一篇的文字。\\n第二段\\u3002\", \"title\": \"题\", \"id\": "
		"\"d1\"}\n\n"
		"{\"id\": 2, \"text\": \"another text\", \"more\": [1]}\r\n"
		"{\"key\": \"value\", \"n\": 1}\n{\"id\": \"d3\", \"text\": \"no end of line\"}",
		200);
	assert_int_equal(p.st, ST_OK);
	assert_int_equal(p.c.count, 4);
	expect(&p, 0, "", "第一篇的文字。\n第二段。");
	assert_true(span_equal(p.c.chunks[0].doc_id, SPAN("d1")));
	assert_true(span_equal(p.c.chunks[0].title, SPAN("题")));
	assert_int_equal(p.c.chunks[0].start, 0);
	assert_int_equal(p.c.chunks[0].end, strlen("第一篇的文字。\n第二段。"));
	assert_true(span_equal(p.c.chunks[1].doc_id, SPAN("2")));
	expect(&p, 2, "", "key: value\nn: 1");
	assert_int_equal(p.c.chunks[2].doc_id.bytes, 0);
	assert_true(p.c.chunks[2].start > 100);
	assert_true(span_equal(p.c.chunks[3].doc_id, SPAN("d3")));
	done(&p);
	p = parse(FORMAT_JSON_LINES, "{\"id\":1,\"text\":\"good\"}\n{\"id\":", 200);
	assert_int_equal(p.st, ST_INVALID);
	assert_non_null(strstr(p.fault.text, "line 2"));
	done(&p);
}

/* ---- HTML ---- */

static void test_html__keeps_text_and_drops_the_rest(void **state)
{
	(void)state;
	struct parsed p = parse(
		FORMAT_HTML,
		"<html><head><title>The &lt;title&gt;</title><style>p{color:red}</style>"
		"<script>var x = '<p>no</p>';</script></head><body><nav>menu</nav><h1>Head &amp; "
		"more</h1>"
		"<p>&nbsp;</p><p>One <b>bo</b>ld &nbsp; word.<br>next "
		"line</p><ul><li>first</li><li>second</li></ul>"
		"<noscript>nothing</noscript><pre>a\n  "
		"b</pre><template>t</template></body></html><p>after</p>",
		200);
	assert_int_equal(p.st, ST_OK);
	assert_int_equal(p.c.count, 1);
	assert_true(span_equal(p.c.chunks[0].title, SPAN("The <title>")));
	expect(&p, 0, "Head & more",
	       "Head & more\n\nOne bold word. next line\n- first\n- second\n\na\n  b\n\nafter");
	done(&p);
}

static void test_html__tables_are_rows_with_a_header(void **state)
{
	(void)state;
	struct parsed p = parse(
		FORMAT_HTML,
		"<table><tr><th>Name</th><th>Value</th></tr>"
		"<tr><td>the first of the names</td><td><p>one</p><p>more</p></td></tr>"
		"<tr><td>the second of the names</td><td>two</td></tr>"
		"<tr><td>the third of the names</td><td>three</td></tr></table><p>Prose behind "
		"the table of three rows.</p>",
		12);
	assert_int_equal(p.st, ST_OK);
	expect(&p, 0, "", "Name | Value\nthe first of the names | one more");
	assert_true(span_equal(p.c.chunks[1].context, SPAN("Name | Value")));
	assert_true(collect_holds(&p.c, "the third of the names | three"));
	done(&p);
}

/* ---- all of them ---- */

static void test_parse__pieces_of_any_size_give_the_same(void **state)
{
	(void)state;
	static const struct {
		enum doc_format format;
		const char *text;
	} files[] = {
		{FORMAT_TEXT, "题目\r\n\r\n第一章 总则\r第一条 文字，文字。\n\n\nWrapped text that "
			      "goes on and on\r\n"},
		{FORMAT_MARKDOWN, "# 题\n\n- 项目一\n- 项目二\n\n| a | b |\n|---|---|\n| 一 | 二 "
				  "|\n\n```\ncode\n```\n"},
		{FORMAT_CSV, "名,值\r\n\"一\"\"二\",\"三\n四\"\r\n五,六\r七,八"},
		{FORMAT_JSON,
		 "[{\"键\": \"值\\u4e00\\n\", \"k\": [1.5e3, true, null]}, {\"x\": \"😀\"}]"},
		{FORMAT_JSON_LINES, "{\"id\":1,\"text\":\"文字 one\"}\n{\"a\":\"乙\"}\n"},
		{FORMAT_HTML, "<html><body><h2>题</h2><p class=\"x\">文字 &amp; "
			      "text</p></body></html>尾<p>z</BODY>"},
	};
	for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
		struct parsed whole = parse(files[i].format, files[i].text, CHARS);
		assert_int_equal(whole.st, ST_OK);
		assert_true(whole.c.count > 0);
		for (size_t step = 1; step < 30; step++) {
			struct collected c;
			struct fault fault;
			collect_open(&c);
			assert_int_equal(collect_parse(&c, files[i].format, span_of(files[i].text),
						       step, CHARS, &fault),
					 ST_OK);
			if (c.count != whole.c.count)
				fail_msg("file %zu in steps of %zu: %zu passages", i, step,
					 c.count);
			for (size_t k = 0; k < c.count; k++) {
				if (!span_equal(c.chunks[k].text, whole.c.chunks[k].text))
					fail_msg("file %zu in steps of %zu: <%.*s>", i, step,
						 SPAN_ARG(c.chunks[k].text));
				assert_true(
					span_equal(c.chunks[k].heading, whole.c.chunks[k].heading));
				assert_int_equal(c.chunks[k].start, whole.c.chunks[k].start);
				assert_int_equal(c.chunks[k].end, whole.c.chunks[k].end);
			}
			collect_close(&c);
		}
		done(&whole);
	}
}

static void test_parse__the_text_form_of_a_page_holds_its_passages(void **state)
{
	(void)state;
	const char *page = "<h1>题目</h1><p>第一段文字在这里，有一些。</p><table><tr><td>甲<p>乙</"
			   "td><td>丙</td></tr>"
			   "</table><ol><li>项<ul><li>内</ul></ol><p>Last words &copy; here, with "
			   "some more of them.";
	for (uint32_t chars = 5; chars < 60; chars += 9) {
		struct parsed p = parse(FORMAT_HTML, page, chars);
		assert_int_equal(p.st, ST_OK);
		assert_int_equal(collect_form(&p.c, FORMAT_HTML, span_of(page), 11, &p.fault),
				 ST_OK);
		collect_check_verbatim(&p.c, buf_span(&p.c.form), 2 * chars);
		done(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text__knows_chapters_and_titles),
		cmocka_unit_test(test_text__takes_no_sentence_for_a_heading),
		cmocka_unit_test(test_text__wrapped_lines_are_one_paragraph),
		cmocka_unit_test(test_markdown__headings_make_the_path),
		cmocka_unit_test(test_markdown__a_fence_hides_what_looks_like_structure),
		cmocka_unit_test(test_markdown__tables_are_cut_by_rows),
		cmocka_unit_test(test_markdown__list_items_stay_whole),
		cmocka_unit_test(test_table__rows_carry_their_columns_and_bytes),
		cmocka_unit_test(test_table__a_question_and_its_answer_are_one_passage),
		cmocka_unit_test(test_table__guesses_how_the_file_is_written),
		cmocka_unit_test(test_table__a_long_cell_is_cut_and_says_its_row),
		cmocka_unit_test(test_json__records_are_rendered),
		cmocka_unit_test(test_json__an_object_of_lists_is_cut_at_their_elements),
		cmocka_unit_test(test_json__refuses_what_is_none),
		cmocka_unit_test(test_json__a_line_may_be_a_document),
		cmocka_unit_test(test_html__keeps_text_and_drops_the_rest),
		cmocka_unit_test(test_html__tables_are_rows_with_a_header),
		cmocka_unit_test(test_parse__pieces_of_any_size_give_the_same),
		cmocka_unit_test(test_parse__the_text_form_of_a_page_holds_its_passages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
