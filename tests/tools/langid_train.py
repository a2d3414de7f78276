#!/usr/bin/env python3
"""langid_train.py: makes verifier/langid_model.inc, the tables behind verifier/langid.c.

A linear classifier over one- to three-letter runs is trained to answer what langdetect 1.0.9
answers. That program is the teacher: it is asked through its public interface about texts of our
own making, and only the answers it is sure of are used, nothing of its profiles. The texts are
sentences of freely licensed software translations (LibreOffice, Firefox: MPL-2.0; VLC: LGPL;
Django: BSD) and of English documentation (WordNet, Perl, fortunes, LibreOffice help), cut,
shuffled, upper-cased, mixed and damaged by program, since that is what replies of small models
look like. None of them is kept: the tables hold weights alone.

  mkdir pkg root && cd pkg && apt-get download $(python3 ../langid_train.py packages) &&
      for d in *.deb; do dpkg-deb -x $d ../root/${d%%_*}; done; cd ..    # nothing is installed
  pip install langdetect==1.0.9 numpy scipy django                       # in a venv
  python3 langid_train.py corpus --root root --out corpus      # one sentence a line, by language
  python3 langid_train.py sample --corpus corpus --seed 1 --out s1.tsv   # texts and answers
  python3 langid_train.py sample --corpus corpus --seed 2 --out s2.tsv
  cat s1.tsv s2.tsv > samples.tsv
  python3 langid_train.py fit --samples samples.tsv --out verifier/langid_model.inc

Every step is seeded. On one core a `sample` takes about six minutes, `fit` about three. The rules
of features() are those of langid.c and have to stay so.
"""
import argparse
import collections
import glob
import html
import os
import random
import re
import struct
import unicodedata
import zipfile

LATIN = ("af ca cs cy da de en es et fi fr hr hu id it lt lv nl no pl pt ro sk sl so sq sv sw tl tr"
         " vi").split()
GROUPS = [  # name, first and last code points, languages written in it
    ("latin", [], LATIN),
    ("cyrillic", [(0x400, 0x52F)], ["bg", "mk", "ru", "uk"]),
    ("arabic", [(0x600, 0x61E), (0x620, 0x65F), (0x66E, 0x77F)], ["ar", "fa", "ur"]),
    ("devanagari", [(0x900, 0x964), (0x966, 0x97F)], ["hi", "mr", "ne"]),
    ("han", [(0x4E00, 0x9FFF), (0x3000, 0x3011), (0xFF08, 0xFF0D), (0xFF1A, 0xFF1D)],
     ["ja", "ko", "zh-cn", "zh-tw"]),
    ("greek", [(0x388, 0x3FF)], ["el"]),
    ("hebrew", [(0x5D0, 0x5EA)], ["he"]),
    ("bengali", [(0x980, 0x9FF)], ["bn"]),
    ("gurmukhi", [(0xA00, 0xA7F)], ["pa"]),
    ("gujarati", [(0xA80, 0xAFF)], ["gu"]),
    ("tamil", [(0xB80, 0xBFF)], ["ta"]),
    ("telugu", [(0xC00, 0xC7F)], ["te"]),
    ("kannada", [(0xC80, 0xCFF)], ["kn"]),
    ("malayalam", [(0xD00, 0xD7F)], ["ml"]),
    ("thai", [(0xE01, 0xE3E), (0xE40, 0xE4E)], ["th"]),
    ("kana", [(0x3040, 0x30FF)], ["ja"]),
    ("hangul", [(0xAC00, 0xD7AF)], ["ko"]),
]
LANGS = sorted({code for _, _, codes in GROUPS for code in codes})
HAN = ["ja", "ko", "zh-cn", "zh-tw"]
ROWS = {"latin": 5200, "cyrillic": 700, "arabic": 450, "devanagari": 450, "han": 1500}
OTHER = "\uffff"
NAMES = {"nb": "no", "nn": None, "pa_IN": "pa", "zh_CN": "zh-cn", "zh_TW": "zh-tw",
         "zh_Hans": "zh-cn", "zh_Hant": "zh-tw", "pt_BR": "pt", "pt_PT": "pt", "es_ES": "es",
         "sv_SE": "sv", "en_GB": "en", "bn_IN": "bn", "gu_IN": "gu", "hi_IN": "hi", "ne_NP": "ne"}

# ---- corpus ----------------------------------------------------------------------------------


def packages():
    locales = ("af ar bg bn ca cs cy da de el en-gb es et fa fi fr gu he hi hr hu id it ja kn ko lt"
               " lv mk ml mr nb ne nl pa-in pl pt pt-br ro ru sk sl sv ta te th tr uk vi zh-cn"
               " zh-tw").split()
    return ["libreoffice-l10n-" + x for x in locales] + [
        "vlc-l10n", "firefox-esr-l10n-tl", "firefox-esr-l10n-sq", "firefox-esr-l10n-ur",
        "firefox-esr-l10n-ne-np", "wordnet-base", "fortunes", "perl-doc", "bible-kjv-text",
        "libreoffice-help-en-us"]


def mo_strings(path):
    """The translations of a gettext catalogue."""
    data = open(path, "rb").read()
    if len(data) < 28 or struct.unpack_from("<I", data)[0] != 0x950412DE:
        return
    count, _, table = struct.unpack_from("<III", data, 8)
    for i in range(count):
        length, offset = struct.unpack_from("<II", data, table + 8 * i)
        for part in data[offset:offset + length].decode("utf-8", "replace").split("\0"):
            yield part


def cleaned(text):
    """A catalogue string without its mark-up, or None when it is no sentence."""
    text = html.unescape(re.sub(r"<[^>]*>", " ", text.replace("~", "").replace("_", "")))
    text = re.sub(r"[%$&]\(?[\w.-]*\)?[sd]?|\{[^}]*\}|\\n", " ", text)
    text = re.sub(r"\s+", " ", text).strip()
    if not 12 <= len(text) <= 600 or sum(c.isalpha() for c in text) < 0.6 * len(text):
        return None
    return text


def omni_strings(path):
    """The messages of a Mozilla language pack."""
    with zipfile.ZipFile(path) as z:
        for name in z.namelist():
            if name.endswith((".ftl", ".properties")):
                for line in z.read(name).decode("utf-8", "replace").split("\n"):
                    if "=" in line and not line.startswith("#"):
                        yield line.split("=", 1)[1]


def english(root):
    for path in sorted(glob.glob(root + "/wordnet-base/usr/share/wordnet/data.*")):
        for line in open(path, encoding="utf-8", errors="replace"):
            if not line.startswith(" ") and "|" in line:
                for part in line.split("|", 1)[1].split(";"):
                    yield part.strip().strip('"')
    for path in sorted(glob.glob(root + "/fortunes/usr/share/games/fortunes/*")):
        if "." not in os.path.basename(path):
            for part in open(path, encoding="utf-8", errors="replace").read().split("\n%\n"):
                yield from re.split(r"(?<=[.!?])\s+", part)
    for path in sorted(glob.glob(root + "/perl-doc/usr/share/perl/*/pod/*.pod")):
        for part in open(path, encoding="utf-8", errors="replace").read().split("\n\n"):
            if part[:1] not in (" ", "=", "\t"):
                part = re.sub(r"[A-Z]<+\s*([^>]*?)\s*>+", r"\1", part)
                yield from re.split(r"(?<=[.!?])\s+", part)
    for path in sorted(glob.glob(root + "/libreoffice-help-en-us/**/*.html", recursive=True)):
        body = open(path, encoding="utf-8", errors="replace").read()
        for part in re.findall(r"<p[^>]*>(.*?)</p>", body, re.S):
            yield from re.split(r"(?<=[.!?])\s+", part)


def corpus(root, out, limit=400000):
    found = {code: set() for code in LANGS}
    places = [(p, r"/resource/([A-Za-z_]+)/LC_MESSAGES/") for p in
              glob.glob(root + "/libreoffice-l10n-*/**/*.mo", recursive=True)]
    places += [(p, r"/locale/([A-Za-z_]+)/LC_MESSAGES/") for p in
               glob.glob(root + "/vlc-l10n/**/*.mo", recursive=True)]
    try:
        import django
        places += [(p, r"/locale/([A-Za-z_]+)/LC_MESSAGES/") for p in
                   glob.glob(os.path.dirname(django.__file__) + "/**/*.mo", recursive=True)]
    except ImportError:
        pass
    for path, where in sorted(places):
        name = re.search(where, path)
        code = NAMES.get(name.group(1), name.group(1)) if name else None
        if code in found:
            found[code].update(filter(None, map(cleaned, mo_strings(path))))
    for path in sorted(glob.glob(root + "/firefox-esr-l10n-*/**/*.xpi", recursive=True)):
        code = re.search(r"l10n-([a-z]+)", path).group(1)
        if code in found:
            found[code].update(filter(None, map(cleaned, omni_strings(path))))
    found["en"].update(filter(None, map(cleaned, english(root))))
    found["so"].update(SOMALI)
    os.makedirs(out, exist_ok=True)
    for code, lines in found.items():
        lines = sorted(lines)
        random.Random(code).shuffle(lines)
        size = 0
        with open(f"{out}/{code}.txt", "w", encoding="utf-8") as f:
            for line in lines:
                if not (code != "en" and looks_english(line)):
                    f.write(line + "\n")
                    size += len(line)
                if size > (4000000 if code == "en" else limit):
                    break
        print(code, size)


def looks_english(line):
    common = {"the", "of", "and", "to", "is", "for", "you", "this", "are"}
    return sum(w in common for w in re.findall(r"[a-z]+", line.lower())) > 1


# Written for this file: no translated software carries Somali.
SOMALI = """Waxaan rabaa inaan aado suuqa maanta si aan u soo iibiyo khudaar iyo caano.
Ardaydu waxay dhigtaan buugaagta miiska dushiisa marka ay casharku dhammaado.
Roobku wuu da'ayaa, dadkuna waxay ku sugayaan guriga gudihiisa.
Macallinku wuxuu yiri waa inaan akhrinno qoraalka oo aan su'aalaha ka jawaabno.
Hooyaday waxay karisay cunto macaan oo ay ku jiraan bariis iyo hilib.
Dalka waxaa ku yaal buuro dhaadheer iyo webiyo waaweyn oo biyo badan leh.
Qof kasta wuxuu xaq u leeyahay inuu si xor ah u hadlo oo uu fikirkiisa sheego.
Magaaladu way weyn tahay, waxaana ku nool dad badan oo ka yimid meelo kala duwan.
Shaqadu waxay bilaabataa subaxdii hore, waxayna dhammaataa galabtii.
Carruurtu waxay ku ciyaarayaan banaanka iskuulka iyagoo faraxsan.
Dowladda cusub ayaa ballan qaaday in ay dhisi doonto waddooyin iyo isbitaallo.
Waa maxay magacaagu, xaggeed ka timid, maxaadse halkan ka qabanaysaa?
Beeralaydu waxay sheegeen in sannadkan dalaggu uu aad u wanaagsan yahay.
Gaarigii wuu jabay, markaa waxaan ku soconnay lugta ilaa tuulada xigta.
Xisbiga ayaa doortay guddoomiye cusub ka dib shir socday saddex maalmood.
Luqadda Soomaaliga waxaa ku hadla malaayiin qof oo ku nool Geeska Afrika.
Walaalkay wuxuu ka shaqeeyaa warshad lagu sameeyo dharka iyo kabaha.
Kubbadda cagta waa ciyaarta ugu caansan, dhallinyaraduna aad bay u jecel yihiin.
Markii ay qorraxdu dhacday ayaa xoolihii lagu soo celiyay xerada.
Haddii aad rabto inaad wax barato waa inaad waqti badan geliso buugaagta.
Taariikhda dalku waa mid dheer oo ay ku jiraan dagaallo iyo nabad.
Dhakhtarku wuxuu ii sheegay inaan biyo badan cabbo oo aan nasto.
Waddanka waqooyi ayay ka soo jeedaan qoysaskan, waxayna yimaadeen gu'gii hore.
Badda ayuu ku dabaashay, ka dibna wuxuu fadhiistay geed hoostiis.""".split("\n")

# ---- samples ---------------------------------------------------------------------------------


def mutate_case(r, text):
    way = r.random()
    if way < 0.45:
        return text.upper()
    if way < 0.65:
        return text.lower()
    if way < 0.75:
        return text.title()
    if way < 0.85:
        return text.swapcase()
    return " ".join(w.upper() if r.random() < 0.3 else w for w in text.split(" "))


def mutate_form(r, text, extra):
    words = text.split(" ")
    way = r.randrange(14)
    if way == 0:
        r.shuffle(words)
        return " ".join(words)
    if way == 1:
        return text.replace(" ", "")
    if way == 2:
        return "\n".join(words)
    if way == 3:
        return '{"name": "' + text + '", "values": [3, false, 0.1]}'
    if way == 4:
        return "\n".join(r.choice(("* ", "- ", "1. ", "** ")) + w for w in text.split(". "))
    if way == 5:
        return (text + " ") * r.randint(2, 4)
    if way == 6:
        for _ in range(r.randint(1, 3)):
            words.insert(r.randrange(len(words) + 1), r.choice(extra))
        return " ".join(words)
    if way == 7:
        return re.sub(r"[aeiou]", lambda m: "" if r.random() < 0.15 else m.group(), text)
    if way == 8:
        k = r.randrange(len(text))
        return text[:k] + r.choice("abcdefghijklmnopqrstuvwxyz.,'\"*_-[](){}<> ") * 2 + text[k:]
    if way == 9:
        return r.choice(("Of course, this is it:\n", "Happy to help.\n\n", "I think so. ",
                         "Title: ", "PS: ", "# Heading\n", "Question: ", "Note: ", "Answer: ")) + text
    if way == 10:
        return re.sub(r"\w+", lambda m: m.group()[::-1] if r.random() < 0.2 else m.group(), text)
    if way == 11:
        w = r.choice(words)
        return " ".join(w for _ in range(r.randint(3, 20)))
    if way == 12:
        return "```\n" + text.replace(". ", ";\n    ") + "\n```"
    return " ".join(w[:r.randint(1, 6)] for w in words)


def documents(folder, seed, n_english, n_other):
    r = random.Random(seed)
    lines = {code: open(f"{folder}/{code}.txt", encoding="utf-8").read().split("\n")[:-1]
             for code in LANGS}
    lines = {code: [x for x in v if x] for code, v in lines.items()}
    extra = [r.choice(r.choice(lines[code]).split(" ")) for code in LANGS for _ in range(6)]

    def text_of(code):
        k = r.choice((1, 1, 1, 2, 3, 5, 8)) if code == "en" else r.choice((1, 1, 2))
        text = r.choice((" ", " ", "\n\n")).join(r.choice(lines[code]) for _ in range(k))
        return text[:1].upper() + text[1:]

    for i in range(n_english + n_other * len(LANGS)):
        code = "en" if i < n_english else r.choice(LANGS + HAN * 3)
        text = text_of(code)
        if r.random() < (0.5 if code == "en" else 0.15):
            text = mutate_form(r, text, extra)
        if r.random() < 0.3:
            k = r.choice((3, 8, 15, 25, 40, 80))
            start = r.randrange(max(1, len(text) - k)) if r.random() < 0.5 else 0
            text = text[start:start + r.randint(1, k)]
        if r.random() < (0.5 if code == "en" else 0.2):
            text = mutate_case(r, text)
        if r.random() < 0.02:
            other = text_of(r.choice(LANGS))
            text = text + " " + other[:r.randint(1, len(other))]
        text = re.sub(r"[\0\t\r]", " ", text)[:1500]
        if text.strip():
            yield text


def sample(folder, out, seed, n_english, n_other):
    import langdetect
    langdetect.DetectorFactory.seed = 1
    kept = 0
    with open(out, "w", encoding="utf-8") as f:
        for text in documents(folder, seed, n_english, n_other):
            try:
                best = langdetect.detect_langs(text)[0]
            except langdetect.LangDetectException:
                continue
            if best.prob > 0.98:
                f.write(best.lang + "\t" + text.replace("\\", " ").replace("\n", "\\n") + "\n")
                kept += 1
    print(kept, "texts")


# ---- features --------------------------------------------------------------------------------

URL = re.compile(r"https?://[-_.?&~;+=/#0-9A-Za-z]{1,2076}")
MAIL = re.compile(r"[-_.0-9A-Za-z]{1,64}@[-_0-9A-Za-z]{1,255}[-_.0-9A-Za-z]{1,255}")
CACHE = {}


def normal(c):
    """A character as it counts: (letter, group number, upper case); a blank is (' ', -1, False)."""
    if c in CACHE:
        return CACHE[c]
    u = ord(c)
    group, letter = None, c
    if u < 0x80:
        letter, group = (c, 0) if c.isalpha() else (" ", -1)
    elif u in (0xA0, 0xAB, 0xB0, 0xBB) or 0x2000 <= u <= 0x206F:
        letter, group = " ", -1
    elif 0xC0 <= u < 0x250 and u not in (0xD7, 0xF7) or 0x1E00 <= u <= 0x1EFF:
        group = 0
        letter = {0x219: "\u015f", 0x21B: "\u0163"}.get(u, "\u1ec3" if u >= 0x1EA0 else c)
    else:
        for i, (_, ranges, _) in enumerate(GROUPS):
            if any(a <= u <= b for a, b in ranges):
                group = i
        if u == 0x6CC:
            letter = "\u064a"
        elif 0x3040 <= u <= 0x309F:
            letter = "\u3042"
        elif 0x30A0 <= u <= 0x30FF:
            letter = "\u30a2"
        elif 0xAC00 <= u <= 0xD7AF:
            letter = "\uac00"
    result = (OTHER, None, False) if group is None else (letter, group, letter.isupper())
    CACHE[c] = result
    return result


def prepared(text):
    text = MAIL.sub(" ", URL.sub(" ", text))
    text = re.sub("([AEIOUYaeiouy\u00c2\u00ca\u00d4\u00e2\u00ea\u00f4\u0102\u0103\u01a0\u01a1"
                  "\u01af\u01b0])([\u0300\u0301\u0303\u0309\u0323])",
                  lambda m: unicodedata.normalize("NFC", m.group()), text)[:10000]
    latin = sum("A" <= c <= "z" for c in text)
    rest = sum(c >= "\u0300" and not "\u1e00" <= c <= "\u1eff" for c in text)
    if 2 * latin < rest:
        text = "".join(c for c in text if not "A" <= c <= "z")
    return text


def features(text):
    """Letter runs and their groups: [(run, group number)]."""
    out = []
    before, last, group_before, group_last, capital, upper_last = "", " ", -1, -1, False, False
    for c in prepared(text):
        letter, group, upper = normal(c)
        if last == " ":
            before, group_before, capital = "", -1, False
            if letter == " ":
                continue
        capital = upper and (upper_last or capital)
        if group is not None and not capital:
            if letter != " ":
                out.append((letter, group))
            if group_last is not None:
                pair = max(group, group_last)
                if group < 0 or group_last < 0 or group == group_last:
                    out.append((last + letter, pair))
                    if before and group_before is not None:
                        if group_before < 0 or group_before == pair:
                            out.append((before + last + letter, pair))
        before, group_before = last, group_last
        last, group_last, upper_last = letter, group, upper
    return out


STEP = 0.24     # of a weight, one character of a row
FRACTION = 16   # of that, the unit of a script's row
REACH = 45      # characters on either side of zero

# ---- fit -------------------------------------------------------------------------------------


def read_samples(path):
    labels, rows = [], []
    for line in open(path, encoding="utf-8", newline="\n"):
        label, text = line.rstrip("\n").split("\t", 1)
        f = features(text.replace("\\n", "\n"))
        if f and label in LANGS:
            labels.append(LANGS.index(label))
            rows.append(f)
    return labels, rows


def candidates(rows, factor):
    """The runs that may become table rows: the most frequent of each group."""
    seen = {name: collections.Counter() for name in ROWS}
    for f in rows:
        for run, group in set(f):
            if GROUPS[group][0] in seen and (GROUPS[group][0] != "han" or len(run) == 1):
                seen[GROUPS[group][0]][run] += 1
    return [(run, name) for name in ROWS for run, n in
            seen[name].most_common(int(ROWS[name] * factor)) if n > 2]


def matrix(rows, index, n_columns):
    import numpy as np
    import scipy.sparse as sp
    indptr, indices, data = [0], [], []
    for f in rows:
        count = {}
        for run, group in f:
            k = index.get(run)
            if k is not None:
                count[k] = count.get(k, 0) + 1
            count[group] = count.get(group, 0) + 1
        scale = 1.0 / len(f) ** 0.5
        indices.extend(count)
        data.extend(v * scale for v in count.values())
        indptr.append(len(indices))
    return sp.csr_matrix((np.array(data, dtype=np.float32), indices, indptr),
                         shape=(len(rows), n_columns))


def train(X, y, mask, epochs, decay, W=None, seed=0):
    """Softmax regression by Adam over mini-batches; mask says which weights may differ from 0."""
    import numpy as np
    g = np.random.default_rng(seed)
    n, f = X.shape
    if W is None:
        W = np.zeros((f, len(LANGS)), dtype=np.float32)
    m, v = np.zeros_like(W), np.zeros_like(W)
    step = 0
    for epoch in range(epochs):
        order, wrong = g.permutation(n), 0
        rate = 0.03 * (1 - epoch / epochs) + 0.001
        for a in range(0, n, 2048):
            pick = order[a:a + 2048]
            B = X[pick]
            z = B @ W
            wrong += int((z.argmax(1) != y[pick]).sum())
            z -= z.max(1, keepdims=True)
            np.exp(z, out=z)
            z /= z.sum(1, keepdims=True)
            z[np.arange(len(pick)), y[pick]] -= 1
            d = ((B.T @ z) / len(pick) + decay * W) * mask
            step += 1
            m += 0.1 * (d - m)
            v += 0.01 * (d * d - v)
            W -= rate * (m / (1 - 0.9 ** step)) / (np.sqrt(v / (1 - 0.99 ** step)) + 1e-7)
            np.clip(W[len(GROUPS):], -REACH * STEP, REACH * STEP, out=W[len(GROUPS):])
        print(f"epoch {epoch}: {wrong / n:.4f} wrong", flush=True)
    return W


def fit(samples, out, epochs):
    import numpy as np
    labels, rows = read_samples(samples)
    y = np.array(labels)
    print(len(rows), "texts")
    runs = candidates(rows, 2.0)
    W = None
    for stage in range(2):
        base = len(GROUPS)
        index = {run: base + i for i, (run, _) in enumerate(runs)}
        mask = np.zeros((base + len(runs), len(LANGS)), dtype=np.float32)
        mask[:base] = 1
        members = {name: [LANGS.index(c) for c in codes] for name, _, codes in GROUPS}
        for i, (_, name) in enumerate(runs):
            mask[base + i, members[name]] = 1
        X = matrix(rows, index, base + len(runs))
        print(stage, X.shape, X.nnz)
        W = train(X, y, mask, epochs, 2e-7, W)
        if stage == 0:
            share = np.asarray(X.mean(0)).ravel()[base:]
            worth = [(share[i] * np.std(W[base + i, members[name]]), i, name)
                     for i, (_, name) in enumerate(runs)]
            keep = sorted(i for name in ROWS for _, i, n in
                          sorted((w for w in worth if w[2] == name), reverse=True)[:ROWS[name]])
            W = np.concatenate([W[:base], W[[base + i for i in keep]]])
            runs = [runs[i] for i in keep]
    write(out, W, runs, members)


def row_text(weights):
    """Weights as characters from '#' to '~' around 'P'; quotes, backslashes, trigraphs avoided."""
    out = ""
    for w in weights:
        k = ord("P") + max(-REACH, min(REACH, round(float(w) / STEP)))
        out += {"?": "@", "\\": "]"}.get(chr(k), chr(k))
    return out


def write(out, W, runs, members):
    base = len(GROUPS)
    rows = {"latin": [], "small": []}
    for i, (run, name) in sorted(enumerate(runs), key=lambda x: x[1]):
        text = '{"%s", "%s"},' % (run, row_text(W[base + i, members[name]]))
        rows["latin" if name == "latin" else "small"].append(text)
    with open(out, "w", encoding="utf-8") as f:
        f.write(HEAD)
        f.write("static const char *const codes[N_LANGUAGES] = {\n")
        write_wrapped(f, ['"%s",' % c for c in LANGS])
        f.write("};\n\n// The languages written in a script, in the order of its rows' weights.\n")
        f.write("static const struct {\n    uint8_t n, language[N_LATIN];\n"
                "} members[N_SCRIPTS] = {\n")
        for name, _, _ in GROUPS:
            write_wrapped(f, ["{%d, {%s}}," % (len(members[name]),
                                               ", ".join(map(str, members[name])))])
        f.write("};\n\n// What every run of a script says for and against each language.\n")
        f.write("static const int16_t script_rows[N_SCRIPTS][N_LANGUAGES] = {\n")
        for i, (name, _, _) in enumerate(GROUPS):
            f.write("    {\n")
            write_wrapped(f, ["%d," % round(float(w) / STEP * FRACTION) for w in W[i]], 8)
            f.write("    },\n")
        f.write("};\n\nstatic const struct latin_row latin_rows[] = {\n")
        write_wrapped(f, rows["latin"])
        f.write("};\n\nstatic const struct small_row small_rows[] = {\n")
        write_wrapped(f, rows["small"])
        f.write("};\n")


HEAD = """// langid_model.inc: the tables of langid.c, made by tests/tools/langid_train.py.
//
// Learned figures, one row for each run of letters; the script says from which texts. Not for
// editing and not for clang-format: train again instead.

"""


def write_wrapped(f, items, indent=4):
    line = " " * indent
    for item in items:
        while len(item) > 100 - indent:     # the languages of the Latin script
            cut = item.rindex(" ", 0, 100 - indent)
            f.write(" " * indent + item[:cut] + "\n")
            item = item[cut + 1:]
        if len(line) + len(item) > 99 and line.strip():
            f.write(line.rstrip() + "\n")
            line = " " * indent
        line += item + " "
    f.write(line.rstrip() + "\n")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("step", choices=("packages", "corpus", "sample", "fit"))
    p.add_argument("--root", default="root")
    p.add_argument("--corpus", default="corpus")
    p.add_argument("--samples", default="samples.tsv")
    p.add_argument("--out")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--english", type=int, default=100000)
    p.add_argument("--other", type=int, default=1500)
    p.add_argument("--epochs", type=int, default=12)
    a = p.parse_args()
    if a.step == "packages":
        print(" ".join(packages()))
    elif a.step == "corpus":
        corpus(a.root, a.out or a.corpus)
    elif a.step == "sample":
        sample(a.corpus, a.out or a.samples, a.seed, a.english, a.other)
    else:
        fit(a.samples, a.out, a.epochs)


if __name__ == "__main__":
    main()
