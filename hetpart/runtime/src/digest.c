#include "digest.h"

#include <string.h>

enum { STRIPE = 32 };

static const uint64_t PRIME1 = 0x9E3779B185EBCA87u, PRIME2 = 0xC2B2AE3D27D4EB4Fu, PRIME3 = 0x165667B19E3779F9u,
                      PRIME4 = 0x85EBCA77C2B2AE63u, PRIME5 = 0x27D4EB2F165667C5u;

static uint64_t rotated(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

/* The machines that bundles are for are little-endian, as the digest is. */
static uint64_t word(const unsigned char *data)
{
    uint64_t value;
    memcpy(&value, data, sizeof value);
    return value;
}

static uint64_t mixed(uint64_t lane, uint64_t input)
{
    return rotated(lane + input * PRIME2, 31) * PRIME1;
}

static uint64_t merged(uint64_t hash, uint64_t lane)
{
    return (hash ^ mixed(0, lane)) * PRIME1 + PRIME4;
}

uint64_t hp_digest(const void *data, size_t bytes, uint64_t seed)
{
    const unsigned char *next = data, *end = next + bytes;
    uint64_t hash = seed + PRIME5;
    if (bytes >= STRIPE) {
        uint64_t a = seed + PRIME1 + PRIME2, b = seed + PRIME2, c = seed, d = seed - PRIME1;
        for (; end - next >= STRIPE; next += STRIPE) {
            a = mixed(a, word(next));
            b = mixed(b, word(next + 8));
            c = mixed(c, word(next + 16));
            d = mixed(d, word(next + 24));
        }
        hash = rotated(a, 1) + rotated(b, 7) + rotated(c, 12) + rotated(d, 18);
        hash = merged(merged(merged(merged(hash, a), b), c), d);
    }
    hash += bytes;
    for (; end - next >= 8; next += 8) {
        hash = rotated(hash ^ mixed(0, word(next)), 27) * PRIME1 + PRIME4;
    }
    if (end - next >= 4) {
        uint32_t half;
        memcpy(&half, next, sizeof half);
        hash = rotated(hash ^ half * PRIME1, 23) * PRIME2 + PRIME3;
        next += 4;
    }
    for (; next < end; next++) {
        hash = rotated(hash ^ *next * PRIME5, 11) * PRIME1;
    }
    hash = (hash ^ hash >> 33) * PRIME2;
    hash = (hash ^ hash >> 29) * PRIME3;
    return hash ^ hash >> 32;
}
