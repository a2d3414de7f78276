// ledger_audit.c: the check that nothing was lost, consumed twice or made up; and that can fail.
//
// The ledger records the same history in several ways that are written by different code: the state
// of a sample, its row of transitions, its membership in a step or an evaluation, the
// acknowledgement its actor was given, the chain of versions. Each relation below is one query
// whose rows are violations, as text for people; an honest ledger gives none. The tests break every
// relation by hand and see its name come up. Reading the whole ledger takes about 30 ms per
// thousand samples, so tools and tests do it, the learner at work does not.
#include "learner/ledger_internal.h"

#define LIVE "('generating', 'received', 'scored')"

static const struct relation {
    const char *name;
    const char *sql;    // one text column
} relations[] = {
    // From the transitions alone: what went in, less what came out, is what is alive now.
    {"balance",
     "SELECT printf('issued %d = consumed %d + dropped %d + live %d does not hold', i, c,\n"
     "  d, v) FROM (SELECT (SELECT count(*) FROM transitions\n"
     "  WHERE from_state IS NULL) AS i,\n"
     "  (SELECT total(to_state = 'consumed') - total(from_state = 'consumed')\n"
     "  FROM transitions) AS c,\n"
     "  (SELECT total(to_state = 'dropped') - total(from_state = 'dropped')\n"
     "  FROM transitions) AS d, (SELECT count(*) FROM samples WHERE state IN " LIVE ") AS v)\n"
     "  WHERE i != c + d + v"},
    {"state_counts",
     "WITH flow AS (SELECT to_state AS state, 1 AS n FROM transitions\n"
     "UNION ALL SELECT from_state, -1 FROM transitions\n"
     "  WHERE from_state IS NOT NULL), net AS (SELECT state, sum(n) AS n FROM flow\n"
     "  GROUP BY state), seen AS (SELECT state, count(*) AS n FROM samples\n"
     "  GROUP BY state) SELECT printf('%d samples are %s, transitions leave %d there',\n"
     "  coalesce(seen.n, 0), k.state, coalesce(net.n, 0)) FROM (SELECT state\n"
     "  FROM net UNION SELECT state FROM seen) k LEFT JOIN net USING(state)\n"
     "  LEFT JOIN seen USING(state) WHERE coalesce(net.n, 0) != coalesce(seen.n, 0)"},
    {"issued_once",
     "SELECT printf('sample %d: issued %d times', s.sample_id, total(t.from_state IS NULL\n"
     "  AND t.seq IS NOT NULL)) FROM samples s LEFT JOIN transitions t USING(sample_id)\n"
     "  GROUP BY s.sample_id HAVING total(t.from_state IS NULL AND t.seq IS NOT NULL) != 1\n"
     "UNION ALL SELECT printf('transition %d: sample %d does not exist', t.seq,\n"
     "  t.sample_id) FROM transitions t WHERE t.sample_id NOT IN (SELECT sample_id\n"
     "  FROM samples)"},
    {"last_transition",
     "SELECT printf('sample %d: state %s, last transition to %s', s.sample_id, s.state,\n"
     "  t.to_state) FROM samples s JOIN (SELECT sample_id, to_state, max(seq)\n"
     "  FROM transitions GROUP BY sample_id) t USING(sample_id) WHERE s.state != t.to_state"},
    {"transition_chain",
     "SELECT printf('sample %d: transition %d leaves %s, but the sample was %s',\n"
     "  sample_id, seq, coalesce(from_state, 'nothing'), coalesce(before, 'nothing'))\n"
     "  FROM (SELECT *, lag(to_state) OVER (PARTITION BY sample_id ORDER BY seq) AS before\n"
     "  FROM transitions) WHERE from_state IS NOT before"},
    {"transition_kind",
     "SELECT printf('sample %d: transition %d from %s to %s is not one', sample_id, seq,\n"
     "  coalesce(from_state, 'nothing'), to_state) FROM transitions\n"
     "  WHERE coalesce(from_state, '-') || '>' || to_state NOT IN ('->generating',\n"
     "  'generating>generating', 'generating>received', 'received>received',\n"
     "  'received>scored', 'scored>consumed', 'generating>dropped', 'received>dropped',\n"
     "  'scored>dropped') AND NOT (from_state = 'consumed' AND to_state = 'dropped'\n"
     "  AND reason = 'rolled_back')"},
    {"drop_reason", "SELECT printf('sample %d: dropped without a reason', sample_id) FROM samples\n"
                    "  WHERE (state = 'dropped') != (reason IS NOT NULL)"},
    {"consumed_once",
     "SELECT printf('sample %d: consumed %d times', sample_id, count(*)) FROM transitions\n"
     "  WHERE to_state = 'consumed' GROUP BY sample_id HAVING count(*) > 1"},
    {"step_membership",
     "SELECT printf('sample %d: consumed, but in no finished step', s.sample_id)\n"
     "  FROM samples s JOIN groups g USING(group_id)\n"
     "  LEFT JOIN step_samples m USING(sample_id) LEFT JOIN steps p USING(branch, step)\n"
     "  WHERE s.state = 'consumed' AND g.purpose = 'train' AND coalesce(p.state,\n"
     "  '-') NOT IN ('done', 'passed')\n"
     "UNION ALL SELECT printf('sample %d: %s, but a member of step %d, which is %s',\n"
     "  s.sample_id, s.state, p.step, p.state) FROM step_samples m\n"
     "  JOIN samples s USING(sample_id) JOIN steps p USING(branch, step)\n"
     "  WHERE NOT CASE p.state WHEN 'committed' THEN s.state = 'scored' WHEN 'abandoned'\n"
     "  THEN s.state = 'dropped' AND s.reason = 'rolled_back' ELSE s.state = 'consumed' END\n"
     "UNION ALL SELECT printf('sample %d: of an evaluation, but a member of step %d',\n"
     "  m.sample_id, m.step) FROM step_samples m JOIN samples USING(sample_id)\n"
     "  JOIN groups g USING(group_id) WHERE g.purpose = 'eval'\n"
     "UNION ALL SELECT printf('sample %d: member of step %d, which is not recorded',\n"
     "  m.sample_id, m.step) FROM step_samples m LEFT JOIN steps p USING(branch, step)\n"
     "  WHERE p.step IS NULL"},
    {"consuming_step", "SELECT printf('sample %d: consumed by step %d in its transitions, member "
                       "of step %d', t.sample_id, t.step, m.step)\n"
                       "  FROM transitions t JOIN step_samples m USING(sample_id)\n"
                       "  WHERE t.to_state = 'consumed' AND t.step IS NOT m.step"},
    {"step_size",
     "SELECT printf('step %d of branch %d: %d samples committed, %d recorded', p.step,\n"
     "  p.branch, p.n_samples, count(m.sample_id)) FROM steps p\n"
     "  LEFT JOIN step_samples m USING(branch, step) GROUP BY p.branch, p.step\n"
     "  HAVING p.n_samples != count(m.sample_id)"},
    {"step_order",
     "SELECT printf('step %d of branch %d follows step %s', step, branch, coalesce(before,\n"
     "  'nothing'))\n"
     "  FROM (SELECT p.branch, p.step, b.fork_step, lag(p.step) OVER (PARTITION BY p.branch\n"
     "  ORDER BY p.step) AS before FROM steps p JOIN branches b USING(branch))\n"
     "  WHERE step != coalesce(before, fork_step) + 1\n"
     "UNION ALL SELECT printf('step %d of branch %d: unfinished, but not the last',\n"
     "  p.step, p.branch) FROM steps p WHERE p.state = 'committed' AND EXISTS(SELECT 1\n"
     "  FROM steps q WHERE q.branch >= p.branch AND (q.branch, q.step) > (p.branch, p.step))"},
    {"eval_membership",
     "SELECT printf('sample %d: consumed, but its evaluation %d is %s', s.sample_id,\n"
     "  g.eval_id, coalesce(e.state, 'not recorded')) FROM samples s\n"
     "  JOIN groups g USING(group_id) LEFT JOIN evals e USING(eval_id)\n"
     "  WHERE g.purpose = 'eval' AND s.state = 'consumed' AND coalesce(e.state,\n"
     "  '-') != 'done'\n"
     "UNION ALL SELECT printf('sample %d: %s, but its evaluation %d is %s', s.sample_id,\n"
     "  s.state, g.eval_id, e.state) FROM samples s JOIN groups g USING(group_id)\n"
     "  JOIN evals e USING(eval_id) WHERE e.state != 'running' AND s.state IN " LIVE "\n"
     "UNION ALL SELECT printf('evaluation %d: %d scored, %d consumed', e.eval_id,\n"
     "  e.n_scored, count(s.sample_id)) FROM evals e LEFT JOIN groups g USING(eval_id)\n"
     "  LEFT JOIN samples s ON s.group_id = g.group_id AND s.state = 'consumed'\n"
     "  WHERE e.state = 'done' GROUP BY e.eval_id HAVING e.n_scored != count(s.sample_id)"},
    {"acknowledged",
     "SELECT printf('sample %d: acknowledged with payload %s, the ledger holds %s',\n"
     "  a.sample_id, a.payload, coalesce(s.payload, 'none')) FROM acks a\n"
     "  LEFT JOIN samples s USING(sample_id)\n"
     "  WHERE a.status = 'ok' AND s.payload IS NOT a.payload\n"
     "UNION ALL SELECT printf('sample %d: acknowledged, but it has no completion',\n"
     "  a.sample_id) FROM acks a LEFT JOIN completions c USING(sample_id)\n"
     "  WHERE a.status = 'ok' AND c.sample_id IS NULL\n"
     "UNION ALL SELECT printf('sample %d: acknowledged, but still generating',\n"
     "  a.sample_id) FROM acks a JOIN samples s USING(sample_id)\n"
     "  WHERE a.status = 'ok' AND s.state = 'generating'\n"
     "UNION ALL SELECT printf('sample %d: has a completion, but was never acknowledged',\n"
     "  c.sample_id) FROM completions c WHERE NOT EXISTS(SELECT 1 FROM acks a\n"
     "  WHERE a.sample_id = c.sample_id AND a.status = 'ok')\n"
     "UNION ALL SELECT printf('sample %d: %d payloads acknowledged', sample_id, count(*))\n"
     "  FROM acks WHERE status = 'ok' GROUP BY sample_id HAVING count(*) > 1"},
    {"completion",
     "SELECT printf('sample %d: %s, but it has no completion', s.sample_id, s.state)\n"
     "  FROM samples s LEFT JOIN completions c USING(sample_id)\n"
     "  WHERE s.state IN ('received', 'scored', 'consumed') AND c.sample_id IS NULL\n"
     "UNION ALL SELECT printf('sample %d: %d tokens, %d bytes of ids and %d of log-probs',\n"
     "  s.sample_id, s.n_tokens, length(c.tokens), length(c.logprobs)) FROM samples s\n"
     "  JOIN completions c USING(sample_id)\n"
     "  WHERE s.n_tokens IS NULL OR s.n_tokens < 1 OR length(c.tokens) != 4 * s.n_tokens\n"
     "  OR length(c.logprobs) != 4 * s.n_tokens OR length(c.segments) % 12 != 0\n"
     "  OR length(c.segments) = 0\n"
     "UNION ALL SELECT printf('sample %d: %s, but it has no reward', sample_id, state)\n"
     "  FROM samples\n"
     "  WHERE state IN ('scored', 'consumed') AND (reward IS NULL OR outcome IS NULL)"},
    {"groups",
     "SELECT printf('group %d: %d samples issued, %d recorded', g.group_id, g.n_samples,\n"
     "  count(s.sample_id)) FROM groups g LEFT JOIN samples s USING(group_id)\n"
     "  GROUP BY g.group_id HAVING g.n_samples != count(s.sample_id)\n"
     "UNION ALL SELECT\n"
     "  printf('sample %d: place %d of group %d, which starts at sample %d', s.sample_id,\n"
     "  s.idx, g.group_id, g.first_sample) FROM samples s JOIN groups g USING(group_id)\n"
     "  WHERE s.sample_id != g.first_sample + s.idx\n"
     "UNION ALL SELECT printf('sample %d: its group %d is not recorded', s.sample_id,\n"
     "  s.group_id) FROM samples s WHERE s.group_id NOT IN (SELECT group_id FROM groups)"},
    {"versions",
     "SELECT printf('step %d of branch %d: made version %d with weights %s, table versions says "
     "%s', p.step, p.branch, p.new_version, p.weights_hash, coalesce(v.weights_hash, 'nothing'))\n"
     "  FROM steps p\n"
     "  LEFT JOIN versions v ON v.version = p.new_version AND v.parent = p.version\n"
     "  AND v.step = p.step AND v.branch = p.branch\n"
     "  WHERE (p.state = 'done' OR (p.state = 'abandoned' AND p.weights_hash IS NOT NULL))\n"
     "  AND v.weights_hash IS NOT p.weights_hash\n"
     "UNION ALL SELECT printf('version %d: parent %d is not recorded', version, parent)\n"
     "  FROM versions WHERE parent != 0 AND parent NOT IN (SELECT version FROM versions)\n"
     "UNION ALL SELECT printf('version %d: its parent %d is not older', version, parent)\n"
     "  FROM versions WHERE parent >= version\n"
     "UNION ALL SELECT\n"
     "  printf('sample %d: decoded under version %d, which is not recorded', sample_id, v)\n"
     "  FROM (SELECT sample_id, oldest_version AS v FROM samples\n"
     "  WHERE oldest_version IS NOT NULL UNION SELECT sample_id, newest_version FROM samples\n"
     "  WHERE newest_version IS NOT NULL) WHERE v NOT IN (SELECT version FROM versions)"},
    {"fresh",
     "SELECT printf('sample %d: fresh in step %d from version %d, but decoded under %d to %d', "
     "s.sample_id, m.step, p.version, s.oldest_version, s.newest_version)\n"
     "  FROM step_samples m JOIN steps p USING(branch, step) JOIN samples s USING(sample_id)\n"
     "  WHERE m.fresh AND (s.oldest_version != p.version OR s.newest_version != p.version)\n"
     "UNION ALL SELECT printf('sample %d: trained at version %d, but decoded under %d',\n"
     "  s.sample_id, p.version, s.newest_version) FROM step_samples m\n"
     "  JOIN steps p USING(branch, step) JOIN samples s USING(sample_id)\n"
     "  WHERE s.newest_version > p.version"},
    {"foreign_keys",
     "SELECT printf('table %s row %s: no such row in %s', \"table\", coalesce(rowid, '?'),\n"
     "  parent) FROM pragma_foreign_key_check"},
    {"database", "SELECT integrity_check FROM pragma_integrity_check(100)\n"
                 "  WHERE integrity_check != 'ok'"},
};

static enum err check_relation(struct ledger *l, const struct relation *r, ledger_violation_fn *fn,
                               void *arg, uint64_t *violations, struct why *why)
{
    enum { REPORTED = 100 };
    sqlite3_stmt *s = NULL;
    enum err e = ledger_prepare(l, r->sql, &s, why);
    if (e != ERR_OK) {
        return why_prefix(why, e, "relation %s", r->name);
    }
    uint64_t n = 0;
    int rc = sqlite3_step(s);
    for (; rc == SQLITE_ROW; rc = sqlite3_step(s), n++) {
        if (n < REPORTED && fn != NULL) {
            fn(arg, r->name, ledger_column_text(s, 0).data);
        }
    }
    e = rc == SQLITE_DONE ? ERR_OK : ledger_fail(l, rc, why, r->name);
    sqlite3_finalize(s);
    *violations += n;
    return e;
}

enum err ledger_audit(struct ledger *l, ledger_violation_fn *fn, void *arg, uint64_t *violations,
                      struct why *why)
{
    // One read transaction, so that a learner at work does not change the picture between two
    // relations.
    int rc = sqlite3_exec(l->db, "BEGIN", NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        return ledger_fail(l, rc, why, "beginning to read");
    }
    uint64_t found = 0;
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < ARRAY_LEN(relations); i++) {
        e = check_relation(l, &relations[i], fn, arg, &found, why);
    }
    (void)sqlite3_exec(l->db, "ROLLBACK", NULL, NULL, NULL);
    if (e == ERR_OK) {
        *violations = found;
    }
    return e;
}
