#!/usr/bin/env python3
"""rows.py SUITE N SEED: rows for compare-verify.sh, as `caravan verify` reads them.

Replies as a small model writes them, made here from a small vocabulary, so that the bench needs no
data set: SUITE is math (prose, an answer in a box or in a phrase, right about half the time, often
written otherwise than the truth), ifeval22 (the ids of IFEval that ask for no language) or ifeval
(all 25, equally often). The same arguments give the same rows.
"""
import json
import random
import sys

NOUNS = ("garden river teacher letter window story engine market summer bridge village answer"
         " morning").split()
VERBS = "follows describes explains changes carries needs shows keeps finds opens".split()
ADJECTIVES = "small bright quiet useful early simple warm careful modern strange".split()
OTHERS = {
    "de": "Der alte Garten hinter dem Haus ist im Sommer voller Blumen und sehr ruhig.",
    "fr": "Le vieux jardin derrière la maison est plein de fleurs en été et très calme.",
    "es": "El viejo jardín detrás de la casa está lleno de flores en verano y es tranquilo.",
    "pt": "O velho jardim atrás da casa fica cheio de flores no verão e não tem ruído.",
    "it": "Il vecchio giardino dietro la casa è pieno di fiori in estate ed è molto calmo.",
    "ru": "Старый сад за домом летом полон цветов, и там всегда очень тихо.",
    "hi": "घर के पीछे का पुराना बगीचा गर्मियों में फूलों से भरा रहता है और बहुत शांत है।",
    "ar": "الحديقة القديمة خلف المنزل مليئة بالزهور في الصيف وهي هادئة جدا.",
    "ko": "집 뒤의 오래된 정원은 여름에 꽃으로 가득하고 아주 조용합니다.",
}


def sentence(r):
    noun, other = r.sample(NOUNS, 2)
    form = r.randrange(5)
    if form == 0:
        return f"The {r.choice(ADJECTIVES)} {noun} {r.choice(VERBS)} the {other}, and it is fine."
    if form == 1:
        return f"Why does Dr. Hill think that a {noun} {r.choice(VERBS)} every {other}?"
    if form == 2:
        return f"In {r.randint(1900, 2020)} about {r.randint(2, 90)} people saw this {noun}."
    if form == 3:
        adjective = r.choice(ADJECTIVES)
        return f'"It {r.choice(VERBS)} our {noun}," she said, "but it isn\'t {adjective}."'
    return f"However, the {noun} of the {other} {r.choice(VERBS)} what we want to know."


def reply(r):
    kind = r.randrange(6)
    text = " ".join(sentence(r) for _ in range(r.randint(3, 9)))
    if kind == 0:
        return "\n\n".join(sentence(r) + " " + sentence(r) for _ in range(3))
    if kind == 1:
        return "Here is a list:\n" + "\n".join("* " + sentence(r) for _ in range(r.randint(2, 6)))
    if kind == 2:
        noun, other = r.sample(NOUNS, 2)
        return f"**{noun.title()}**\n\n{text}\n\nP.S. Do not forget the {other}."
    if kind == 3:
        return "Section 1\n" + text + "\nSection 2\n" + sentence(r)
    if kind == 4:
        return f"<<The {r.choice(NOUNS)}>>\n{text} *{sentence(r)}* [name] [date]"
    return text


def ifeval_kwargs(r):
    relation = r.choice(("less than", "at least"))
    words = r.sample(NOUNS, 2)
    return {
        "keywords:existence": {"keywords": words},
        "keywords:frequency": {"keyword": words[0], "frequency": 2, "relation": relation},
        "keywords:forbidden_words": {"forbidden_words": words},
        "keywords:letter_frequency": {"letter": r.choice("aehst"), "let_frequency": 20,
                                      "let_relation": relation},
        "length_constraints:number_sentences": {"num_sentences": 6, "relation": relation},
        "length_constraints:number_words": {"num_words": 60, "relation": relation},
        "length_constraints:number_paragraphs": {"num_paragraphs": 2},
        "length_constraints:nth_paragraph_first_word": {"num_paragraphs": 3, "nth_paragraph": 2,
                                                        "first_word": "the"},
        "detectable_content:number_placeholders": {"num_placeholders": 2},
        "detectable_content:postscript": {"postscript_marker": r.choice(("P.S.", "P.P.S"))},
        "detectable_format:number_bullet_lists": {"num_bullets": 4},
        "detectable_format:constrained_response": {},
        "detectable_format:number_highlighted_sections": {"num_highlights": 1},
        "detectable_format:multiple_sections": {"section_spliter": "Section", "num_sections": 2},
        "detectable_format:json_format": {},
        "detectable_format:title": {},
        "combination:two_responses": {},
        "combination:repeat_prompt": {"prompt_to_repeat": "The garden"},
        "startend:end_checker": {"end_phrase": "it is fine."},
        "change_case:capital_word_frequency": {"capital_frequency": 3,
                                               "capital_relation": relation},
        "punctuation:no_comma": {},
        "startend:quotation": {},
    }


def ifeval22(r):
    options = ifeval_kwargs(r)
    check = r.choice(sorted(options))
    return {"checks": [{"id": check, "kwargs": options[check]}], "response": reply(r)}


def language(r):
    check = r.choice(("language:response_language", "change_case:english_capital",
                      "change_case:english_lowercase"))
    text = reply(r)
    kwargs = {}
    if check == "change_case:english_capital":
        text = text.upper() if r.random() < 0.7 else text
    elif check == "change_case:english_lowercase":
        text = text.lower() if r.random() < 0.7 else text
    else:
        code = r.choice(sorted(OTHERS))
        kwargs = {"language": code}
        text = " ".join([OTHERS[code]] * 4) if r.random() < 0.5 else text
    return {"checks": [{"id": check, "kwargs": kwargs}], "response": text}


def ifeval(r):
    return language(r) if r.randrange(25) < 3 else ifeval22(r)


def answer(r):
    """A truth and the same thing written otherwise."""
    a, b, c = r.randint(2, 60), r.randint(2, 12), r.randint(2, 9)
    kind = r.randrange(9)
    if kind == 0:
        return str(a), r.choice((str(a), f"{a}.0", f"\\frac{{{a * b}}}{{{b}}}"))
    if kind == 1:
        return f"\\frac{{{a}}}{{{a + 1}}}", r.choice((f"{a}/{a + 1}", f"\\dfrac{{{a}}}{{{a + 1}}}"))
    if kind == 2:
        return f"{a}.5", r.choice((f"\\frac{{{2 * a + 1}}}{{2}}", f"{a}.50"))
    if kind == 3:
        return f"{c}\\sqrt{{2}}", f"\\sqrt{{{2 * c * c}}}"
    if kind == 4:
        return f"({a}, {b})", f"({a},{b})"
    if kind == 5:
        return f"x^2+{b + c}x+{b * c}", f"(x+{b})(x+{c})"
    if kind == 6:
        return f"[{c},{c + a}]", f"[{c}, {c + a}]"
    if kind == 7:
        return f"{a},{b:03d}", f"{a}{b:03d}"
    return f"\\{{{a}, {a + b}\\}}", f"\\{{{a + b}, {a}\\}}"


def math(r):
    truth, same = answer(r)
    given = r.choice((truth, same)) if r.random() < 0.5 else answer(r)[0]
    work = " ".join(f"We know that ${r.randint(2, 9)}x + {r.randint(1, 30)} = {r.randint(31, 99)}$."
                    " " + sentence(r) for _ in range(r.randint(1, 4)))
    end = r.choice(("So the answer is $\\boxed{%s}$.", "Therefore \\boxed{%s}",
                    "The final answer is $%s$."))
    return {"checks": [{"id": "math_equiv"}], "ground_truth": truth,
            "response": work + "\n" + end % given}


def main():
    suite, n, seed = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    r = random.Random(suite + seed)
    make = {"math": math, "ifeval": ifeval, "ifeval22": ifeval22}[suite]
    for _ in range(n):
        print(json.dumps(make(r), ensure_ascii=False))


if __name__ == "__main__":
    main()
