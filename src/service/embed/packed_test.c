#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "embed/pack.h"
#include "embed/packed.h"

enum { DIM = 64 };

static void test_rows__widen_exactly(void **state)
{
	(void)state;
	/* 1, -2, the smallest subnormal, the largest number, 0.333.., -0 */
	static const uint16_t halves[] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x3555, 0x8000};
	static const float f16[] = {1, -2, 0x1p-24f, 65504, 0.333251953125f, -0.0f};
	unsigned char row[1 + DIM * 2]; /* odd on purpose: rows are not aligned */
	float out[DIM];
	for (size_t i = 0; i < DIM; i++)
		memcpy(row + 1 + 2 * i, &halves[i % 6], 2);
	packed_row_read(PACKED_ROWS_F16, row + 1, DIM, out);
	for (size_t i = 0; i < DIM; i++)
		assert_memory_equal(&out[i], &f16[i % 6], sizeof(float));
	packed_row_read(PACKED_ROWS_BF16, row + 1, DIM, out);
	for (size_t i = 0; i < DIM; i++) {
		uint32_t bits;
		memcpy(&bits, &out[i], sizeof(bits));
		assert_int_equal(bits, (uint32_t)halves[i % 6] << 16);
	}
}

static void test_rows__read_blocks_of_4_and_8_bits(void **state)
{
	(void)state;
	unsigned char q4[2 * 18], q8[2 * 34];
	float out[DIM];
	for (size_t block = 0; block < 2; block++) {
		uint16_t scale = block == 0 ? 0x3c00 : 0xb800; /* 1, -0.5 */
		memcpy(q4 + block * 18, &scale, 2);
		memcpy(q8 + block * 34, &scale, 2);
		for (size_t i = 0; i < 16; i++)
			q4[block * 18 + 2 + i] = (unsigned char)(i | (15 - i) << 4);
		for (size_t i = 0; i < 32; i++)
			q8[block * 34 + 2 + i] = (unsigned char)(i * 7 - 100);
	}
	assert_int_equal(packed_row_bytes(PACKED_ROWS_Q4_0, DIM), sizeof(q4));
	assert_int_equal(packed_row_bytes(PACKED_ROWS_Q8_0, DIM), sizeof(q8));
	packed_row_read(PACKED_ROWS_Q4_0, q4, DIM, out);
	for (size_t i = 0; i < DIM; i++) {
		float nibble = (float)(i % 32 < 16 ? i % 32 : 31 - i % 32) - 8;
		assert_true(out[i] == nibble * (i < 32 ? 1.0f : -0.5f));
	}
	packed_row_read(PACKED_ROWS_Q8_0, q8, DIM, out);
	for (size_t i = 0; i < DIM; i++)
		assert_true(out[i] == ((float)(i % 32) * 7 - 100) * (i < 32 ? 1.0f : -0.5f));
}

static void test_pack_bf16__rounds_to_nearest_even(void **state)
{
	(void)state;
	assert_int_equal(pack_bf16(1.0f), 0x3f80);
	assert_int_equal(pack_bf16(1.00390625f), 0x3f80); /* halfway, down to even */
	assert_int_equal(pack_bf16(1.01171875f), 0x3f82); /* halfway, up to even */
	assert_int_equal(pack_bf16(1.004f), 0x3f81);
	assert_int_equal(pack_bf16(-3.4e38f), 0xff80);
	assert_true((pack_bf16(NAN) & 0x7fff) > 0x7f80);
}

/* A matrix is found again value by value in its panels, and int8 sums to its zero point's needs. */
static void test_pack_matrix__lays_panels_of_32_channels(void **state)
{
	(void)state;
	enum { N = 64, K = 32 };
	static float rows[N][K], bias[N];
	static unsigned char blob[N * K * 4 + 4 * N * 4];
	for (int n = 0; n < N; n++) {
		bias[n] = (float)n;
		for (int k = 0; k < K; k++)
			rows[n][k] = (float)((n * 31 + k * 17) % 255 - 127);
	}
	assert_true(pack_matrix_bytes(PACKED_F32, N, K) <= sizeof(blob));
	pack_matrix(PACKED_F32, N, K, rows[0], bias, blob);
	struct pack_parts parts = pack_matrix_parts(PACKED_F32, N);
	const float *f32 = (const float *)(const void *)(blob + parts.panels);
	assert_memory_equal(blob, bias, sizeof(bias));
	for (int n = 0; n < N; n++)
		for (int k = 0; k < K; k++)
			assert_true(f32[(n / 32 * K + k) * 32 + n % 32] == rows[n][k]);
	pack_matrix(PACKED_INT8, N, K, rows[0], bias, blob);
	parts = pack_matrix_parts(PACKED_INT8, N);
	const float *scale = (const float *)(const void *)(blob + parts.scale);
	const float *sum = (const float *)(const void *)(blob + parts.sum);
	const int8_t *s8 = (const int8_t *)(blob + parts.panels);
	for (int n = 0; n < N; n++) {
		int32_t all = 0;
		for (int k = 0; k < K; k++) {
			int8_t q = s8[((n / 32 * (K / 4) + k / 4) * 32 + n % 32) * 4 + k % 4];
			all += q;
			assert_true(fabsf((float)q * scale[n] - rows[n][k]) <= scale[n] * 0.501f);
		}
		assert_true((float)all == sum[n]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows__widen_exactly),
		cmocka_unit_test(test_rows__read_blocks_of_4_and_8_bits),
		cmocka_unit_test(test_pack_bf16__rounds_to_nearest_even),
		cmocka_unit_test(test_pack_matrix__lays_panels_of_32_channels),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
