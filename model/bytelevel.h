// bytelevel.h: the alphabet in which byte-level BPE vocabularies are written: every byte is one
// printable character (GPT-2, 2019).
//
// Bytes 21..7E, A1..AC and AE..FF stand for the code point of the same number; the other 68, in
// order, for U+0100..U+0143. So 20 is written "Ġ" (U+0120) and 0A "Ċ" (U+010A), and the two bytes
// of "é" are "Ã©".
#ifndef CARAVAN_MODEL_BYTELEVEL_H
#define CARAVAN_MODEL_BYTELEVEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { BYTELEVEL_MAX_CHAR = 2 };    // UTF-8 bytes of one letter

// Alphabet text to bytes; out holds len bytes. False if the text has a character outside the
// alphabet or is not UTF-8 (out is then undefined).
MUST_CHECK bool bytelevel_decode(const char *text, size_t len, uint8_t *out, size_t *n);
// Bytes to alphabet text, not NUL-terminated; out holds BYTELEVEL_MAX_CHAR * n bytes. Returns the
// length.
size_t bytelevel_encode(const uint8_t *bytes, size_t n, char *out);

#endif
