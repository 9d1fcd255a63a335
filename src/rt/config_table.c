#include "rt/config_table.h"

#include "base/size.h"

enum { K = 1 << 10, M = 1 << 20, G = 1 << 30 };
#define T ((int64_t)1 << 40)
#define DAYS(n) ((int64_t)(n)*86400)

#define TEXT(text) CONFIG_TEXT, text, NULL, 0, 0
#define SECRET CONFIG_SECRET, "", NULL, 0, 0
#define CHOICE(text, choices) CONFIG_CHOICE, text, choices, 0, 0
#define BOOL(text) CONFIG_BOOL, text, NULL, 0, 0
#define INT(text, least, most) CONFIG_INT, text, NULL, least, most
#define BYTES(text, least, most) CONFIG_BYTES, text, NULL, least, most
#define SECONDS(text, least, most) CONFIG_SECONDS, text, NULL, least, most

const struct config_key config_keys[] = {
	{"server.listen", TEXT("127.0.0.1:7861"), "address:port; port 0 picks a free one",
	 "监听地址:端口;端口 0 表示自动选择"},
	{"server.workers", INT("0", 0, 1024), "threads that answer; 0: by cores and generate.*",
	 "处理请求的线程数;0 表示按核数与 generate.* 决定"},
	{"server.queue", INT("64", 1, 65536), "requests that may wait; a further one gets 503",
	 "等待队列长度,超出返回 503"},
	{"server.connections", INT("256", 1, 65536), "open connections", "最大连接数"},
	{"server.body_max", BYTES("1M", K, G), "largest JSON request", "JSON 请求体上限"},
	{"server.upload_max", BYTES("1G", K, T), "largest uploaded file", "上传文件上限"},

	{"embed.model", TEXT(""), "model of new knowledge bases; empty: multilingual-e5-small",
	 "新知识库使用的向量模型;留空为 multilingual-e5-small"},
	{"embed.precision", CHOICE("bf16", "bf16|int8|f32"),
	 "bf16, int8 (faster, less exact) or f32", "bf16、int8(更快,精度略低)或 f32"},
	{"embed.threads", INT("0", 0, 1024), "0: one per core", "0 表示每核一个"},
	{"embed.base_url", TEXT(""), "OpenAI-compatible endpoint instead of a local model",
	 "改用 OpenAI 兼容接口"},
	{"embed.api_key", SECRET, "better set as PLIMSOLL_EMBED_API_KEY",
	 "建议用环境变量 PLIMSOLL_EMBED_API_KEY"},
	{"embed.remote_model", TEXT(""), "the model's name over there", "远端模型名"},
	{"embed.remote_dim", INT("0", 0, 8192), "its dimensions; 0: ask once",
	 "向量维数;0 表示自动探测"},

	{"generate.enabled", BOOL("true"), "false: answers are quotations only",
	 "false 表示只摘录原文"},
	{"generate.model", TEXT(""), "name in models/ or path of a GGUF file; empty: what is found",
	 "models/ 中的名字或 GGUF 路径;留空自动查找"},
	{"generate.context", INT("4096", 256, 1048576), "tokens of one sequence",
	 "单个序列的上下文长度"},
	{"generate.sequences", INT("2", 1, 16), "answers written at the same time",
	 "同时生成的回答数"},
	{"generate.queue", INT("16", 1, 4096), "questions that may wait; a further one gets 503",
	 "等待队列长度,超出返回 503"},
	{"generate.threads", INT("0", 0, 1024), "0: one per core", "0 表示每核一个"},
	{"generate.kv_max", BYTES("1G", M, T),
	 "memory of all contexts together; checked before loading",
	 "全部上下文的内存上限,加载前检查"},
	{"generate.base_url", TEXT(""), "OpenAI-compatible endpoint instead of a local model",
	 "改用 OpenAI 兼容接口"},
	{"generate.api_key", SECRET, "better set as PLIMSOLL_GENERATE_API_KEY",
	 "建议用环境变量 PLIMSOLL_GENERATE_API_KEY"},
	{"generate.remote_model", TEXT(""), "the model's name over there", "远端模型名"},

	{"chunk.chars", INT("0", 0, 8192), "longest chunk in characters; 0: fits the model",
	 "文本块最大字符数;0 表示按模型自动"},

	{"history.store", TEXT("sqlite"), "sqlite, redis://host:port/db or postgresql://...",
	 "sqlite、redis://host:port/db 或 postgresql://..."},
	{"history.ttl", SECONDS("30d", 60, DAYS(36500)), "conversations expire after",
	 "会话过期时间"},
	{"history.window", INT("5", 0, 1000), "turns of the talk that enter a prompt",
	 "写入提示词的历史轮数"},

	{"memory.line", BYTES("0", 0, 1024 * T), "most memory of own allocations; 0: no line",
	 "自身内存上限;0 表示不限"},

	{"log.level", CHOICE("info", "error|warning|info|debug"), "error, warning, info or debug",
	 "error、warning、info 或 debug"},
};

const size_t config_key_count = ARRAY_COUNT(config_keys);
