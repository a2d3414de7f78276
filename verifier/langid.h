// langid.h: in which language is this text written?
//
// Made to agree with langdetect 1.0.9, the program behind the language checks of IFEval: same
// 55 codes, same view of a text (addresses are skipped, few Latin letters beside another script do
// not count, words in capitals count by their first and last letters), and the same best guess in
// about 99 of 100 replies. Where that program answers by chance, nobody agrees with it.
//
// One thread, the worker's (the first call unpacks the tables, 128 KiB). Only the first
// LANGID_CHARS_MAX characters are looked at, as in the original. No allocation, linear time.
#ifndef CARAVAN_VERIFIER_LANGID_H
#define CARAVAN_VERIFIER_LANGID_H

#include <stdbool.h>

#include "verifier/pytext.h"

#define LANGID_CHARS_MAX 10000

// "en", "pt", "zh-cn", …: a static string. NULL where nothing in the text tells a language: no
// letters, or only those of scripts that none of the 55 languages uses.
const char *langid_detect(struct pyspan text);
// Whether langid_detect can ever answer `code`.
bool langid_known(struct pyspan code);

#endif
