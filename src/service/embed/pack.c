#include "embed/pack.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/size.h"

static uint32_t group_of(enum packed_precision precision)
{
	return precision == PACKED_F32 ? 1 : precision == PACKED_BF16 ? 2 : 4;
}

struct pack_parts pack_matrix_parts(enum packed_precision precision, uint32_t n)
{
	size_t vector = size_round_up((size_t)n * sizeof(float), PACKED_ALIGN);
	if (precision == PACKED_INT8)
		return (struct pack_parts){vector, 2 * vector, 3 * vector};
	return (struct pack_parts){0, 0, vector};
}

size_t pack_matrix_bytes(enum packed_precision precision, uint32_t n, uint32_t k)
{
	/* Every precision stores 4 bytes for each channel and group of inputs. */
	size_t panels = (size_t)n * (k / group_of(precision)) * 4;
	return pack_matrix_parts(precision, n).panels + size_round_up(panels, PACKED_ALIGN);
}

uint16_t pack_bf16(float value)
{
	uint32_t bits;
	memcpy(&bits, &value, sizeof(bits));
	if ((bits & 0x7fffffff) > 0x7f800000) /* rounding must not turn a NaN into an infinity */
		return (uint16_t)(bits >> 16 | 0x40);
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float pack_query_scale(uint32_t head_size)
{
	return 1.44269504088896341f / sqrtf((float)head_size);
}

/* Where input i of channel c lies in the panels, counted in elements. */
static size_t panel_index(uint32_t c, uint32_t i, uint32_t k, uint32_t group)
{
	size_t panel = c / PACKED_PANEL, column = c % PACKED_PANEL;
	return ((panel * (k / group) + i / group) * PACKED_PANEL + column) * group + i % group;
}

/* Symmetric per channel: the largest weight becomes 127. Returns the sum of the s8. */
static float quantise_row(const float *row, uint32_t k, float *ret_scale, uint32_t c,
			  int8_t *panels)
{
	float top = 0;
	int32_t sum = 0;
	for (uint32_t i = 0; i < k; i++)
		top = fmaxf(top, fabsf(row[i]));
	float inverse = top > 0 ? 127.0f / top : 0;
	for (uint32_t i = 0; i < k; i++) {
		int32_t q = (int32_t)lrintf(row[i] * inverse);
		panels[panel_index(c, i, k, 4)] = (int8_t)q;
		sum += q;
	}
	*ret_scale = top / 127.0f;
	return (float)sum;
}

void pack_matrix(enum packed_precision precision, uint32_t n, uint32_t k, const float *rows,
		 const float *bias, void *out)
{
	ASSERT(n > 0 && n % PACKED_PANEL == 0);
	ASSERT(k > 0 && k % PACKED_PANEL == 0);
	struct pack_parts parts = pack_matrix_parts(precision, n);
	unsigned char *blob = out;
	memset(blob, 0, parts.panels); /* the holes that alignment leaves must not vary */
	memcpy(blob, bias, n * sizeof(float));
	unsigned char *panels = blob + parts.panels;
	for (uint32_t c = 0; c < n; c++) {
		const float *row = rows + (size_t)c * k;
		if (precision == PACKED_INT8) {
			float scale, sum = quantise_row(row, k, &scale, c, (int8_t *)panels);
			memcpy(blob + parts.scale + c * sizeof(float), &scale, sizeof(scale));
			memcpy(blob + parts.sum + c * sizeof(float), &sum, sizeof(sum));
			continue;
		}
		for (uint32_t i = 0; i < k; i++) {
			size_t at = panel_index(c, i, k, group_of(precision));
			uint16_t narrow = pack_bf16(row[i]);
			if (precision == PACKED_BF16)
				memcpy(panels + at * 2, &narrow, 2);
			else
				memcpy(panels + at * 4, &row[i], 4);
		}
	}
}
