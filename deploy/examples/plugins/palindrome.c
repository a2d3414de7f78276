/* palindrome.c: a verifier as a C shared object: does the response read the same backwards?
 *
 *   cc -shared -fPIC -O2 -I PATH/verifier -o palindrome.so palindrome.c
 *
 * Letters and digits of ASCII count, case does not. A response without any cannot be judged.
 */
#include <ctype.h>
#include <stdio.h>

#include "plugin.h"

static int counts(char c)
{
    return isalnum((unsigned char)c);
}

static int palindrome(const struct caravan_input *in, double *value, char *why, size_t why_size)
{
    const char *text = in->response.data;
    size_t i = 0, k = in->response.len;
    int seen = 0;
    *value = 1;
    while (i < k) {
        if (!counts(text[i])) {
            i++;
        } else if (!counts(text[k - 1])) {
            k--;
        } else {
            seen = 1;
            if (tolower((unsigned char)text[i++]) != tolower((unsigned char)text[--k])) {
                *value = 0;
            }
        }
    }
    if (!seen) {
        snprintf(why, why_size, "the response has neither letters nor digits");
        return 1;
    }
    return 0;
}

static const struct caravan_check checks[] = {
    {"example:palindrome", "1.0", "the response reads the same backwards", palindrome},
};

const struct caravan_plugin *caravan_plugin(void)
{
    static const struct caravan_plugin plugin = {CARAVAN_PLUGIN_ABI, 1, checks};
    return &plugin;
}
