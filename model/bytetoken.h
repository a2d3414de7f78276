// bytetoken.h: the tokens "<0x00>" to "<0xFF>" by which SentencePiece models write single bytes.
#ifndef CARAVAN_MODEL_BYTETOKEN_H
#define CARAVAN_MODEL_BYTETOKEN_H

#include <stddef.h>

static inline int bytetoken_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// The byte, or -1: it is none of them. Digits are upper case, as the models have them.
static inline int bytetoken_value(const char *text, size_t len)
{
    if (len != 6 || text[0] != '<' || text[1] != '0' || text[2] != 'x' || text[5] != '>') {
        return -1;
    }
    int high = bytetoken_digit(text[3]), low = bytetoken_digit(text[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

#endif
