#include "rt/digest.h"

#include <fcntl.h>
#include <openssl/evp.h>

#include "base/assert.h"
#include "rt/file.h"

enum { FILE_STEP_BYTES = 64 * 1024 };

static status failed(struct fault *reterr)
{
	return fault_set(reterr, ST_OOM, "SHA-256: the crypto library refused (out of memory?)");
}

status sha256_of(struct span data, struct sha256 *ret, struct fault *reterr)
{
	struct sha256 digest;
	unsigned bytes = sizeof digest.bytes;
	if (EVP_Digest(data.data, data.bytes, digest.bytes, &bytes, EVP_sha256(), NULL) != 1)
		return failed(reterr);
	ASSERT(bytes == SHA256_BYTES);
	*ret = digest;
	return ST_OK;
}

status sha256_init(struct sha256_stream *s, struct fault *reterr)
{
	s->context = EVP_MD_CTX_new();
	if (s->context != NULL && EVP_DigestInit_ex(s->context, EVP_sha256(), NULL) == 1)
		return ST_OK;
	sha256_fini(s);
	return failed(reterr);
}

status sha256_update(struct sha256_stream *s, struct span data, struct fault *reterr)
{
	return EVP_DigestUpdate(s->context, data.data, data.bytes) == 1 ? ST_OK : failed(reterr);
}

status sha256_final(struct sha256_stream *s, struct sha256 *ret, struct fault *reterr)
{
	struct sha256 digest;
	unsigned bytes = sizeof digest.bytes;
	int done = EVP_DigestFinal_ex(s->context, digest.bytes, &bytes);
	sha256_fini(s);
	if (done != 1)
		return failed(reterr);
	*ret = digest;
	return ST_OK;
}

void sha256_fini(struct sha256_stream *s)
{
	EVP_MD_CTX_free(s->context);
	s->context = NULL;
}

status sha256_of_file(const char *path, struct sha256 *ret, uint64_t *ret_bytes,
		      struct fault *reterr)
{
	CLEANUP(fd_closep) int fd = -1;
	struct sha256_stream stream = {NULL};
	char step[FILE_STEP_BYTES];
	uint64_t sum = 0;
	status st = fd_open(path, O_RDONLY, 0, &fd, reterr);
	if (st == ST_OK)
		st = sha256_init(&stream, reterr);
	for (size_t got = sizeof step; st == ST_OK && got == sizeof step; sum += got) {
		got = 0;
		st = fd_read(fd, step, sizeof step, &got, reterr);
		if (st == ST_OK)
			st = sha256_update(&stream, (struct span){step, got}, reterr);
	}
	if (st == ST_OK)
		st = sha256_final(&stream, ret, reterr);
	else
		sha256_fini(&stream);
	if (st == ST_OK && ret_bytes != NULL)
		*ret_bytes = sum;
	return st;
}

void sha256_hex(const struct sha256 *digest, char out[SHA256_HEX_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < SHA256_BYTES; i++) {
		out[2 * i] = digits[digest->bytes[i] >> 4];
		out[2 * i + 1] = digits[digest->bytes[i] & 15];
	}
	out[SHA256_HEX_BYTES - 1] = '\0';
}

bool base64_add(struct buf *out, struct span data)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *room;
	size_t groups = data.bytes / 3 + (data.bytes % 3 != 0);
	if (groups > out->bytes_max / 4) { /* also keeps the product below from wrapping */
		out->refused = out->refused == ST_OK ? ST_LIMIT : out->refused;
		return false;
	}
	if (!buf_reserve(out, groups * 4, &room))
		return false;
	const unsigned char *in = (const unsigned char *)data.data;
	for (size_t i = 0; i < data.bytes; i += 3, room += 4) {
		size_t left = data.bytes - i;
		uint32_t three = (uint32_t)in[i] << 16;
		three |= left > 1 ? (uint32_t)in[i + 1] << 8 : 0;
		three |= left > 2 ? (uint32_t)in[i + 2] : 0;
		room[0] = digits[three >> 18];
		room[1] = digits[three >> 12 & 63];
		room[2] = left > 1 ? digits[three >> 6 & 63] : '=';
		room[3] = left > 2 ? digits[three & 63] : '=';
	}
	buf_commit(out, groups * 4);
	return true;
}
