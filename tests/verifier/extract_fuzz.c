// extract_fuzz.c: hostile responses to mathematical questions: whatever comes in, the candidates of
// both extractions and the string rule keep what their headers promise.
//
// A byte below 64 stands for a piece of text that means something to the extractions, the others
// for themselves: random letters would hardly ever spell \boxed.
#include <stdint.h>
#include <string.h>

#include "verifier/extract.h"
#include "verifier/mathstring.h"
#include "verifier/minerva.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const pieces[64] = {
    "\\boxed{",
    "\\boxed ",
    "\\fbox{",
    "\\framebox{",
    "{",
    "}",
    "$",
    "$$",
    "\\$",
    "\\(",
    "\\)",
    "\\[",
    "\\]",
    "\\frac",
    "frac12",
    "\\sqrt",
    "\\text{",
    "\\text{ ",
    "\\left",
    "\\right.",
    "^\\circ",
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "answer",
    "final ",
    " is ",
    ":",
    "#### ",
    " and ",
    ",",
    " or ",
    ". ",
    "\n",
    " ",
    "  ",
    "=",
    "+",
    "-",
    "/",
    "1",
    "2.5",
    "1,000",
    "x",
    "(",
    ")",
    "[",
    "a ",
    "an ",
    "the sum ",
    "percent",
    "\\begin{",
    "\\end{",
    "*",
    "`",
    "\"",
    "I hope it is correct.",
    " I hope it is correct.",
    "<|assistant|>\n",
    "Final Answer: The final answer is",
    "\\dots",
    "{.",
    "\xc2\xb2",
};

struct input {
    struct scratch *scratch;
    const uint8_t *data;
    size_t size;
};

static struct pyspan spell(const struct input *in)
{
    enum { PIECE_MAX = 40 };
    char *text = scratch_alloc(in->scratch, in->size * PIECE_MAX + 1);
    size_t n = 0;
    for (size_t i = 0; i < in->size; i++) {
        if (in->data[i] < ARRAY_LEN(pieces)) {
            size_t len = strlen(pieces[in->data[i]]);
            CHECK(len <= PIECE_MAX);
            memcpy(text + n, pieces[in->data[i]], len);
            n += len;
        } else {
            text[n++] = (char)in->data[i];
        }
    }
    return pytext_decode(in->scratch, text, n);
}

static void examine(void *arg)
{
    const struct input *in = arg;
    struct scratch *a = in->scratch;
    struct pyspan s = spell(in), answer;
    if (extract_answer(a, s, &answer)) {
        CHECK(answer.n > 0 && answer.n <= s.n && !pyspan_blank(answer));
    }
    struct minerva_answers found = minerva_extract(a, s);
    CHECK(found.n == 1 || (found.n == 2 && !found.whole));
    for (size_t i = 0; i < found.n; i++) {
        CHECK(mathstring_equal(a, found.v[i], found.v[i]));
        CHECK(mathstring_equal(a, s, found.v[i]) == mathstring_equal(a, found.v[i], s));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct scratch scratch;
    if (scratch.max_bytes == 0) {
        scratch_init(&scratch, (size_t)64 << 20);
    }
    if (size > 1024) {
        return 0;
    }
    struct input in = {&scratch, data, size};
    CHECK(scratch_run(&scratch, examine, &in, NULL) == ERR_OK);
    scratch_reset(&scratch);
    return 0;
}
