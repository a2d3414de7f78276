// emoji.h: is this one code point an emoji by itself?
//
// The code points that Unicode lists as emoji, text-default ones and skin tones among them; not
// digits, and not regional indicators, which are emoji only in pairs.
#ifndef CARAVAN_VERIFIER_TEXT_EMOJI_H
#define CARAVAN_VERIFIER_TEXT_EMOJI_H

#include <stdbool.h>
#include <stdint.h>

bool emoji_is_single(uint32_t c);

#endif
