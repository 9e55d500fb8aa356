/* The digest that finds damaged files: XXH64, which is fast and no protection against somebody who means harm. */
#ifndef HP_DIGEST_H
#define HP_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/* XXH64 of `bytes` bytes (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md), as `xxhsum -H1` prints it for
 * seed 0. */
uint64_t hp_digest(const void *data, size_t bytes, uint64_t seed);

#endif
