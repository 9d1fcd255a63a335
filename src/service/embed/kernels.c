#include "embed/kernels.h"

#include <string.h>

#include "base/assert.h"
#include "base/size.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* Leaf 7, part 1, EAX: what __builtin_cpu_supports() does not name in all our compilers. */
enum { CPU_AVX_VNNI = 1 << 4, CPU_AVX512_BF16 = 1 << 5 };

static bool leaf7_has(unsigned bit)
{
	unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
	return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && eax >= 1 &&
	       __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & bit) != 0;
}

/* __builtin_cpu_supports() also asks (by XGETBV) whether the system saves the wide registers; the
 * bits of leaf 7 part 1 therefore count only together with one of its answers. */
static void kinds_fill(struct kernels_kind *kinds)
{
	__builtin_cpu_init();
	bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
	bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
	bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
	kinds[0] = (struct kernels_kind){"avx512bf16", kernels_avx512bf16,
					 vnni && leaf7_has(CPU_AVX512_BF16)};
	kinds[1] = (struct kernels_kind){"avx512vnni", kernels_avx512vnni, vnni};
	kinds[2] = (struct kernels_kind){"avx512", kernels_avx512, avx512};
	kinds[3] = (struct kernels_kind){"avx2vnni", kernels_avx2vnni,
					 avx2 && leaf7_has(CPU_AVX_VNNI)};
	kinds[4] = (struct kernels_kind){"avx2", kernels_avx2, avx2};
	kinds[5] = (struct kernels_kind){"neon", NULL, false};
}
#else
static void kinds_fill(struct kernels_kind *kinds)
{
	static const char *const names[] = {"avx512bf16", "avx512vnni", "avx512", "avx2vnni",
					    "avx2"};
	for (size_t i = 0; i < ARRAY_COUNT(names); i++)
		kinds[i] = (struct kernels_kind){names[i], NULL, false};
#if defined(__aarch64__)
	kinds[5] = (struct kernels_kind){"neon", kernels_neon, true};
#else
	kinds[5] = (struct kernels_kind){"neon", NULL, false};
#endif
}
#endif

void kernels_list(struct kernels_kind ret_kinds[KERNELS_KINDS])
{
	kinds_fill(ret_kinds);
	ret_kinds[KERNELS_KINDS - 1] = (struct kernels_kind){"plain", kernels_plain, true};
}

status kernels_choose(const char *name, enum packed_precision precision,
		      const struct kernels **ret_kernels, struct fault *reterr)
{
	ASSERT(precision <= PACKED_F32);
	struct kernels_kind kinds[KERNELS_KINDS];
	kernels_list(kinds);
	for (size_t i = 0; i < KERNELS_KINDS; i++) {
		if (name != NULL && strcmp(name, kinds[i].name) != 0)
			continue;
		if (kinds[i].available) {
			*ret_kernels = &kinds[i].by_precision[precision];
			return ST_OK;
		}
		if (name != NULL)
			return fault_set(reterr, ST_UNSUPPORTED,
					 "this CPU has not what kernel '%s' needs", name);
	}
	return fault_set(reterr, ST_UNSUPPORTED, "there is no kernel '%s'",
			 name != NULL ? name : "");
}

size_t kernels_attention_bytes(const struct kernels *k, uint32_t rows, uint32_t head_size)
{
	size_t padded = size_round_up(rows, PACKED_PANEL);
	return padded * head_size * k->act_bytes * 2 +
	       padded * sizeof(float) * KERNELS_TILE_ROWS_MAX;
}
