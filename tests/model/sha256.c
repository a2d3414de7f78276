// sha256.c: the compression function as the standard writes it. The round constants are the first
// 32 bits of the fractional parts of the cube roots of the first 64 primes, and computing them is
// shorter than a table that nobody can proof-read.

#include "tests/model/sha256.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint32_t constants[64];
static uint32_t initial[8];

static uint32_t fraction(long double x)
{
    return (uint32_t)((x - floorl(x)) * 4294967296.0L);
}

static void setup(void)
{
    size_t n = 0;
    for (unsigned p = 2; n < 64; p++) {
        unsigned d = 2;
        while (d * d <= p && p % d != 0) {
            d++;
        }
        if (d * d > p) {
            constants[n] = fraction(cbrtl((long double)p));
            if (n < 8) {
                initial[n] = fraction(sqrtl((long double)p));
            }
            n++;
        }
    }
}

static uint32_t rotr(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

// One round with the words a … h standing at -k, 1-k … modulo 8.
static inline void step(uint32_t v[8], int k, uint32_t input)
{
    uint32_t a = v[(8 - k) & 7], b = v[(9 - k) & 7], c = v[(10 - k) & 7], e = v[(12 - k) & 7];
    uint32_t choose = (e & v[(13 - k) & 7]) ^ (~e & v[(14 - k) & 7]);
    uint32_t most = (a & b) ^ (a & c) ^ (b & c);
    uint32_t sum = v[(15 - k) & 7] + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + choose + input;
    v[(11 - k) & 7] += sum;
    v[(15 - k) & 7] = sum + (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + most;
}

static void compress(uint32_t h[8], const uint8_t *p)
{
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++) {
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
               (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    }
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (rotr(a, 7) ^ rotr(a, 18) ^ a >> 3) + w[i - 7] +
               (rotr(b, 17) ^ rotr(b, 19) ^ b >> 10);
    }
    memcpy(v, h, sizeof v);
    for (int i = 0; i < 64; i += 8) {    // instead of moving the eight words along, rename them
        for (int k = 0; k < 8; k++) {
            step(v, k, constants[i + k] + w[i + k]);
        }
    }
    for (int i = 0; i < 8; i++) {
        h[i] += v[i];
    }
}

void sha256_hex(const void *data, size_t len, char out[65])
{
    setup();
    uint32_t h[8];
    memcpy(h, initial, sizeof h);
    const uint8_t *p = data;
    size_t left = len;
    for (; left >= 64; left -= 64, p += 64) {
        compress(h, p);
    }
    uint8_t tail[128] = {0};
    size_t blocks = left + 9 <= 64 ? 1 : 2;
    memcpy(tail, p, left);
    tail[left] = 0x80;
    for (size_t i = 0; i < 8; i++) {
        tail[blocks * 64 - 1 - i] = (uint8_t)((uint64_t)len * 8 >> (8 * i));
    }
    for (size_t i = 0; i < blocks; i++) {
        compress(h, tail + 64 * i);
    }
    for (int i = 0; i < 8; i++) {
        (void)snprintf(out + 8 * i, 9, "%08x", h[i]);
    }
}
