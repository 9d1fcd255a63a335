/* tests/fuzz/fuzz.h -- one harness: bytes in; an invariant that does not hold ends the program. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
