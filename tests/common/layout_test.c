// layout_test.c: the arrows between folders point only downwards, and each outside library has one
// home.
//
// Reads every .c, .h and .cu file of the source folders and judges each #include line. Run from the
// source root, as ctest does.

#include "tests/common/check.h"

#include <dirent.h>
#include <sys/stat.h>

#include "common/fs.h"

// A folder may include itself and what stands behind it. Nothing includes cli.
static const struct {
    const char *folder;
    const char *may_include[8];
} arrows[] = {
    {"common", {"common"}},
    {"proto", {"common", "proto"}},
    {"kernels", {"common", "kernels"}},
    {"model", {"common", "kernels", "model"}},
    {"actor", {"common", "proto", "kernels", "model", "actor"}},
    {"verifier", {"common", "proto", "verifier"}},
    {"learner", {"common", "proto", "kernels", "model", "learner"}},
    {"cli", {"common", "proto", "kernels", "model", "actor", "verifier", "learner", "cli"}},
};

// Files whose path begins so are the only ones that know the library.
static const struct {
    const char *header;
    const char *homes[2];
} libraries[] = {
    {"nng/", {"proto/bus.c", "proto/bus_"}},
    {"proto/bus_", {"proto/bus.c", "proto/bus_"}},    // headers that show NNG's types
    {"msgpack", {"proto/pack.c"}},
    {"microhttpd.h", {"proto/http.c", "proto/http_post."}},
    {"sqlite3.h", {"learner/", "cli/"}},
    {"seccomp.h", {"verifier/"}},
};

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool in_folder(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return strncmp(path, folder, len) == 0 && path[len] == '/';
}

static bool is_folder_of_ours(const char *path)
{
    for (size_t i = 0; i < ARRAY_LEN(arrows); i++) {
        if (in_folder(path, arrows[i].folder)) {
            return true;
        }
    }
    return in_folder(path, "tests");
}

static bool own_include_allowed(const char *file, const char *header)
{
    if (!is_folder_of_ours(header)) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(arrows); i++) {
        for (size_t k = 0; in_folder(file, arrows[i].folder) && arrows[i].may_include[k]; k++) {
            if (in_folder(header, arrows[i].may_include[k])) {
                return true;
            }
        }
    }
    return false;
}

static bool library_allowed(const char *file, const char *header)
{
    for (size_t i = 0; i < ARRAY_LEN(libraries); i++) {
        if (begins(header, libraries[i].header)) {
            bool home = begins(file, libraries[i].homes[0]);
            return home || (libraries[i].homes[1] != NULL && begins(file, libraries[i].homes[1]));
        }
    }
    return true;
}

// Judges one line of a file. Not an #include: allowed.
static bool line_allowed(const char *file, const char *line)
{
    line += strspn(line, " \t");
    if (*line != '#') {
        return true;
    }
    line += 1 + strspn(line + 1, " \t");
    if (!begins(line, "include")) {
        return true;
    }
    line += strlen("include");
    line += strspn(line, " \t");
    if (*line != '"' && *line != '<') {
        return true;
    }
    char header[256];
    size_t len = strcspn(line + 1, "\">\n");
    (void)snprintf(header, sizeof header, "%.*s", (int)len, line + 1);
    if (strstr(header, "../") != NULL) {
        return false;    // a way around the rules
    }
    return own_include_allowed(file, header) && library_allowed(file, header);
}

static void the_judge_tells_right_from_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *file, *line;
        bool allowed;
    } cases[] = {
        {"common/a.c", "#include \"common/err.h\"", true},
        {"common/a.c", "#include \"proto/bus.h\"", false},
        {"kernels/cpu/a.c", "#include \"proto/bus.h\"", false},
        {"model/a.c", "  #  include \"kernels/dev.h\"", true},
        {"kernels/a.c", "#include \"model/a.h\"", false},
        {"actor/a.c", "#include \"learner/a.h\"", false},
        {"learner/a.c", "#include \"verifier/a.h\"", false},
        {"verifier/checks/a.c", "#include \"model/a.h\"", false},
        {"cli/a.c", "#include \"learner/a.h\"", true},
        {"learner/a.c", "#include \"cli/a.h\"", false},
        {"actor/a.c", "#include \"tests/common/check.h\"", false},
        {"actor/a.c", "#include \"../learner/a.h\"", false},
        {"actor/a.c", "#include <nng/nng.h>", false},
        {"proto/bus.c", "#include <nng/protocol/reqrep0/req.h>", true},
        {"proto/bus_server.c", "#include \"proto/bus_nng.h\"", true},
        {"actor/a.c", "#include \"proto/bus_nng.h\"", false},
        {"proto/bus.h", "#include <nng/nng.h>", false},
        {"proto/msg.c", "#include <msgpack.h>", false},
        {"proto/pack.c", "#include <msgpack/pack.h>", true},
        {"learner/status.c", "#include <microhttpd.h>", false},
        {"learner/ledger.c", "#include <sqlite3.h>", true},
        {"cli/samples.c", "#include <sqlite3.h>", true},
        {"actor/a.c", "#include <sqlite3.h>", false},
        {"verifier/sandbox.c", "#include <seccomp.h>", true},
        {"common/a.c", "#include <seccomp.h>", false},
        {"common/a.c", "// #include \"cli/a.h\"", true},
        {"common/a.c", "#include <stdio.h>", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (line_allowed(cases[i].file, cases[i].line) != cases[i].allowed) {
            fail_msg("%s: %s: judged wrongly", cases[i].file, cases[i].line);
        }
    }
}

struct tour {
    int n_files, n_bad;
};

static void judge_file(struct tour *t, const char *path)
{
    char *text = NULL;
    size_t len = 0;
    struct why why = {{0}};
    if (fs_read_file(path, 64 << 20, &text, &len, &why) != ERR_OK) {
        fail_msg("%s", why.text);
    }
    t->n_files++;
    int number = 1;
    for (char *line = text; line != NULL; number++) {
        char *end = strchr(line, '\n');
        if (end != NULL) {
            *end = '\0';
        }
        if (!line_allowed(path, line)) {
            print_error("%s:%d: %s\n", path, number, line);
            t->n_bad++;
        }
        line = end != NULL ? end + 1 : NULL;
    }
    free(text);
}

static bool is_source(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot != NULL && (strcmp(dot, ".c") == 0 || strcmp(dot, ".h") == 0 ||
                           strcmp(dot, ".cu") == 0 || strcmp(dot, ".inc") == 0);
}

static void tour_folder(struct tour *t, const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        fail_msg("cannot read %s: run this from the source root", path);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        char *child = fs_path("%s/%s", path, entry->d_name);
        struct stat st;
        assert_non_null(child);
        if (lstat(child, &st) == 0 && S_ISDIR(st.st_mode)) {
            tour_folder(t, child);
        } else if (is_source(entry->d_name)) {
            judge_file(t, child);
        }
        free(child);
    }
    closedir(dir);
}

static void every_include_follows_the_arrows(void **state)
{
    (void)state;
    struct tour t = {0};
    for (size_t i = 0; i < ARRAY_LEN(arrows); i++) {
        tour_folder(&t, arrows[i].folder);
    }
    assert_true(t.n_files > 20);
    assert_int_equal(t.n_bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_judge_tells_right_from_wrong),
        cmocka_unit_test(every_include_follows_the_arrows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
