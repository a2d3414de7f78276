// ifbench_text.c: the readings of a text that several of IFBench's families share.
#include "verifier/checks/ifbench_text.h"

bool ifbench_is_edge(uint32_t c)
{
    return c == ' ' || py_ispunct(c);
}

struct pyspan ifbench_strip_edges(struct pyspan s)
{
    return pyspan_strip_class(s, ifbench_is_edge);
}

struct pyspan ifbench_depunct(struct scratch *a, struct pyspan s)
{
    return pytext_without_class(a, s, py_ispunct);
}

struct pylist ifbench_bare_words(struct scratch *a, struct pyspan s)
{
    return pytext_split(a, ifbench_depunct(a, s));
}

struct pyspan ifbench_filled(const struct check *c, size_t arg, const char *name)
{
    if (c->args[arg].text.n == 0) {
        scratch_fail(c->scratch, ERR_INVALID, "%s: empty", name);
    }
    return c->args[arg].text;
}

size_t ifbench_ordinal(const struct check *c, size_t arg, const char *name)
{
    if (c->args[arg].integer == 0) {
        scratch_fail(c->scratch, ERR_INVALID, "%s: 0, expected 1 or more", name);
    }
    return (size_t)c->args[arg].integer;
}
