#!/usr/bin/env python3
"""Small tokenizers of every kind that model/tokenizer reads, and what the `tokenizers` package makes of texts.

    python3 tests/tools/make_tokenizer_cases.py tests/data/tokenizer

Writes FOLDER/<kind>.json, a tokenizer.json, and FOLDER/<kind>.cases.jsonl with lines
  {"text", "special", "alone", "ids", "decoded", "decoded_skip_special"}     encoding, and decoding of its ids
  {"ids", "decoded", "decoded_skip_special"}                                 decoding of ids that no text has
special: strings of special tokens in the text become those tokens; alone: with what the post-processor adds. "decoded" is
left out where it is the text, and "decoded_skip_special" where it is the same as "decoded".

The vocabularies are trained on the sentences below, so they are of no use but for this. Run again only when a kind
or a text is added: the test reads what is committed.
"""
import json
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = [
    "The weather was fine, and the three sisters walked to the harbour to see the boats come in.",
    "A boat that carries 12 barrels makes 345 trips in a year; how many barrels is that?",
    "He said that he'd go, but they're late, she's ill, I'm tired and we'll see what you've done.",
    "Multiply 12 by 345 and you get 4140, which is 4,140.00 in another notation.",
    "def area(width, height):\n    return width * height  # in metres\n\n\tif x != y:\n\t\tpass\n",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "Le cœur déçu mais l'âme plutôt naïve, Louÿs rêva de crapaüter en canoë.",
    "Съешь ещё этих мягких французских булок, да выпей чаю.",
    "The theorem states that there is another thing, and then the other thing there.",
]

TEXTS = [
    "", " ", "a", "The boats", " the boats", "  the  boats  ", "the\tboats\n", "\n", "\n\n", "\r\n", " \n", "\n ", "\t\t x",
    "Lines end\r\nthus.\r\n\r\nAnd\rthus.\n", "   \n   \n  x", "end of line   ", "end of line \n\n\n", "a\u00a0b\u2003c\u3000d\u2028e\u0085f",
    "12", "1 2", "345 trips", "1234567", "x12y345", "  5", "½ ² Ⅳ ① ٣٤ 一二", "4,140.00", "3.14159e-10", "a1b2c3",
    "He'd, she's, they're: I'm, we'll, you've.", "HE'D SHE'S THEY'RE I'M WE'LL YOU'VE", "'s 't 'x ''s", "it'ſ", "don’t", "'", "' s",
    "Hello, World!!! (really?) -- yes...", "a+b=c; x<y>z | w ~ v ^ u $ t", "_under_score_ and-dash", "foo_bar.baz/qux\\quux",
    "Größe naïve œuvre Łódź", "e\u0301 e\u0308\u0301 \u1e69 s\u0323\u0307", "A\u030a \u212b \u00c5", "\u0301abc", "क्षि नमस्ते", "ﬁ ﬂ ǅ ʰ",
    "Съешь булок", "日本語のテキスト", "한국어 텍스트", "العربية", "שלום", "ไทย", "👍", "👩‍👩‍👧‍👦 🇩🇪 ❤️", "a👍b", "💡💡💡",
    "def area(width):\n    return width * 2\n", "\tif x:\n\t\tpass", "camelCaseWord HTTPServer XMLHttpRequest iPhone", "ABC def Ghi jKL",
    "\u2581 already \u2581marked\u2581", "<0x41> <0xFF>", "<s> </s>", "<unk>", "\u0000 nul \u0001 one", "\ufeffmark", "\ufffd", "\u200b\u200d",
    "x" * 70, "the" * 40, " " * 40 + "x", "ab" * 50 + " " + "ba" * 50, "!" * 50, "\n" * 20, "1" * 40, "é" * 40,
]
SPECIALS = [
    "<|end|>", "The<|end|>boats", "The <|end|> boats", "<|end|><|end|>", " <|end|>\n", "<|end", "<|end|>>", "a<|end|>1",
    "<tool>", "x<tool>y", "  <left> x", "x \n <left>y", "<right>  x", "<right> \n<left>", "<both>", "a  <both>  b",
    "word", "a word here", "swordfish", "word.", "words", "word1", "_word", "word word", "éword", "word\u0301",
    "Ångström", "A\u030angström", "x Ångström y", "<norm>", "a <norm> b", " <norm>", "<left><right><left>  <both>", "<<end>>", "<end>word<end>",
]


def bytes_trainer(size):
    return trainers.BpeTrainer(vocab_size=size, special_tokens=["<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                               show_progress=False)


def flags(tokenizer):
    tokenizer.add_tokens([
        AddedToken("<tool>", normalized=False), AddedToken("<left>", lstrip=True, normalized=False),
        AddedToken("<right>", rstrip=True, normalized=False), AddedToken("<both>", lstrip=True, rstrip=True, normalized=False),
        AddedToken("word", single_word=True, normalized=False), AddedToken("\u00c5ngstr\u00f6m", normalized=True),
        AddedToken("<norm>", normalized=True), AddedToken("<end>", normalized=False),
    ])
    tokenizer.add_special_tokens([AddedToken("<s2>", lstrip=True, normalized=True, special=True)])


def byte_level(pre, size=380, norm=None, template=None, flagged=False, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    if norm:
        tokenizer.normalizer = norm
    tokenizer.train_from_iterator(CORPUS, bytes_trainer(size))
    if flagged:
        flags(tokenizer)
    if template:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[("<|end|>", tokenizer.token_to_id("<|end|>"))])
    return tokenizer


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), behavior, invert), pre_tokenizers.ByteLevel(False, use_regex=False)])


CL100K = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = (r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + "+" + SUFFIX + r"|[^\r\n\p{L}\p{N}]?" + UPPER + "+" + LOWER + "*" + SUFFIX +
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def all_cuts(tokenizer):
    """The merges that conversions of SentencePiece models have: every cut of a token, by the rank of the token."""
    data = json.loads(tokenizer.to_str())
    vocab, rank = data["model"]["vocab"], {}
    for i, (left, right) in enumerate(data["model"]["merges"]):
        rank.setdefault(left + right, i)
    cuts = [(rank[t], -i, -(len(t) - i), t[:i], t[i:]) for t in rank for i in range(1, len(t)) if t[:i] in vocab and t[i:] in vocab]
    data["model"]["merges"] = [[c[3], c[4]] for c in sorted(cuts)]
    return Tokenizer.from_str(json.dumps(data))


def sentencepiece(style, fallback=True, size=520, **model):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=fallback, **model))
    specials = ["<unk>", "<|end|>", "</s>"] + (["<0x%02X>" % i for i in range(256)] if fallback else [])
    marks = decoders.Replace("\u2581", " ")
    if style == "normalizer":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")    # for training: words
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=style, split=True)
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=size, special_tokens=specials, show_progress=False))
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [t for t in data["added_tokens"] if t["id"] < 3]    # byte tokens are not matched in text
    tokenizer = all_cuts(Tokenizer.from_str(json.dumps(data)))
    if style == "normalizer":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
        tokenizer.pre_tokenizer = None
        tokenizer.decoder = decoders.Sequence([marks, decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    elif fallback:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=style, split=False)
        tokenizer.decoder = decoders.Sequence([marks, decoders.ByteFallback(), decoders.Fuse()]
                                              + ([decoders.Strip(" ", 1, 0)] if style != "never" else []))
    else:
        tokenizer.decoder = decoders.Metaspace(prepend_scheme=style)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|end|> $A </s>" if style == "always" else "<|end|> $A",
        special_tokens=[("<|end|>", tokenizer.token_to_id("<|end|>")), ("</s>", tokenizer.token_to_id("</s>"))])
    if style in ("first", "always"):
        flags(tokenizer)
    return tokenizer


KINDS = {
    "gpt2": lambda: byte_level(pre_tokenizers.ByteLevel(False), template="<|end|> $A <|end|>"),
    "gpt2-prefix": lambda: byte_level(pre_tokenizers.ByteLevel(True), unk_token="<|end|>"),
    "neox": lambda: byte_level(pre_tokenizers.ByteLevel(False), norm=normalizers.NFC(), flagged=True),
    "smollm": lambda: byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False)])),
    "digits": lambda: byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(False), pre_tokenizers.Split(",", "isolated"),
                                                          pre_tokenizers.ByteLevel(False)])),
    "olmo2": lambda: byte_level(split(CL100K % r"\p{N}{1,3}", "removed", True), flagged=True),
    "llama3": lambda: byte_level(split(CL100K % r"\p{N}{1,3}"), template="<|end|> $A", ignore_merges=True),
    "qwen2": lambda: byte_level(split(CL100K % r"\p{N}"), norm=normalizers.NFC()),
    "gpt-4o": lambda: byte_level(split(O200K), size=400),
    "partial": lambda: byte_level(split(r"[a-z]+|\d", "removed", True)),
    "llama2": lambda: sentencepiece("normalizer", fuse_unk=True),
    "mistral": lambda: sentencepiece("first", fuse_unk=True),
    "never": lambda: sentencepiece("never", fuse_unk=True),
    "metaspace": lambda: sentencepiece("always", fallback=False, size=300),
    "metaspace-fused": lambda: sentencepiece("first", fallback=False, size=300, fuse_unk=True),
}


def decoded(tokenizer, ids, text=None):
    whole, skip = tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids)
    return ({} if whole == text else {"decoded": whole}) | ({} if whole == skip else {"decoded_skip_special": skip})


def cases(tokenizer, seed):
    rng = random.Random(seed)
    pieces = TEXTS + SPECIALS
    texts = pieces + ["".join(rng.choice(pieces)[:30] for _ in range(6)) for _ in range(25)]
    for i, text in enumerate(texts):
        for special in (True, False) if "<" in text else (True,):
            tokenizer.encode_special_tokens = not special
            ids = tokenizer.encode(text, add_special_tokens=i % 3 == 0).ids
            yield {"text": text, "special": special, "alone": i % 3 == 0, "ids": ids, **decoded(tokenizer, ids, text)}
    for i in range(40):
        ids = [rng.randrange(tokenizer.get_vocab_size()) for _ in range(rng.randrange(1, 12))]
        if i % 3 == 0:    # cut in the middle of characters
            ids = tokenizer.encode(rng.choice(TEXTS), add_special_tokens=False).ids[rng.randrange(3):][:rng.randrange(1, 9)]
        yield {"ids": ids, **decoded(tokenizer, ids)}


def main(folder):
    for seed, (name, make) in enumerate(KINDS.items()):
        tokenizer = make()
        with open(f"{folder}/{name}.json", "w") as out:
            json.dump(json.loads(tokenizer.to_str()), out, ensure_ascii=False, separators=(",", ":"))
            out.write("\n")
        with open(f"{folder}/{name}.cases.jsonl", "w") as out:
            for case in cases(tokenizer, seed):
                out.write(json.dumps(case, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
