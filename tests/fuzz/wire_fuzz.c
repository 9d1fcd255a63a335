/* A child that says anything at all: frames or a refusal, never more than there is. The first byte
 * says how much of the pipe is read at once. */
#include "base/assert.h"
#include "base/size.h"
#include "base/utf8.h"
#include "doc/wire.h"
#include "fuzz.h"

static bool take_frames(struct wire_reader *r)
{
	for (bool found = true; found;) {
		struct wire_frame frame;
		struct fault fault = {0};
		if (wire_next(r, &found, &frame, &fault) != ST_OK)
			return false;
		if (found && frame.kind == WIRE_CHUNK) {
			ASSERT(utf8_is_valid(frame.chunk.text));
			ASSERT(utf8_is_valid(frame.chunk.heading));
			ASSERT(frame.chunk.start <= frame.chunk.end);
		}
		if (found && frame.kind == WIRE_END)
			return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	CLEANUP(mem_scope_closep)
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "wire", 0);
	struct wire_reader r;
	ASSERT(wire_reader_init(&r, scope, NULL) == ST_OK);
	for (size_t at = 1; at < size && take_frames(&r);) {
		size_t room;
		char *into = wire_room(&r, &room);
		size_t bytes = size_min(size_min(room, (size_t)data[0] + 1), size - at);
		ASSERT(room > 0);
		memcpy(into, data + at, bytes);
		wire_filled(&r, bytes);
		at += bytes;
	}
	(void)take_frames(&r);
	return 0;
}
