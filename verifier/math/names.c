// names.c: see names.h. The tables are short enough to be searched from the front.
#include "verifier/math/names.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct math_name commands[] = {
    {"frac", MATH_TOK_FRAC, 0},
    {"dfrac", MATH_TOK_FRAC, 0},
    {"tfrac", MATH_TOK_FRAC, 0},
    {"cfrac", MATH_TOK_FRAC, 0},
    {"sqrt", MATH_TOK_SQRT, 0},
    {"pi", MATH_TOK_CONSTANT, MATH_PI},
    {"cdot", MATH_TOK_TIMES, 0},
    {"times", MATH_TOK_TIMES, 0},
    {"text", MATH_TOK_GROUP, 0},
    {"textbf", MATH_TOK_GROUP, 0},
    {"textit", MATH_TOK_GROUP, 0},
    {"textrm", MATH_TOK_GROUP, 0},
    {"textnormal", MATH_TOK_GROUP, 0},
    {"mbox", MATH_TOK_GROUP, 0},
    {"hbox", MATH_TOK_GROUP, 0},
    {"fbox", MATH_TOK_GROUP, 0},
    {"framebox", MATH_TOK_GROUP, 0},
    {"boxed", MATH_TOK_GROUP, 0},
    {"mathrm", MATH_TOK_GROUP, 0},
    {"mathbf", MATH_TOK_GROUP, 0},
    {"mathit", MATH_TOK_GROUP, 0},
    {"mathsf", MATH_TOK_GROUP, 0},
    {"mathcal", MATH_TOK_GROUP, 0},
    {"mathbb", MATH_TOK_GROUP, 1},
    {"Bbb", MATH_TOK_GROUP, 1},
    {"bm", MATH_TOK_GROUP, 0},
    {"boldsymbol", MATH_TOK_GROUP, 0},
    {"operatorname", MATH_TOK_GROUP, 0},
    {"left", MATH_TOK_DROPPED, 1},
    {"right", MATH_TOK_DROPPED, 1},
    {"big", MATH_TOK_DROPPED, 0},
    {"Big", MATH_TOK_DROPPED, 0},
    {"bigg", MATH_TOK_DROPPED, 0},
    {"Bigg", MATH_TOK_DROPPED, 0},
    {"bigl", MATH_TOK_DROPPED, 0},
    {"bigr", MATH_TOK_DROPPED, 0},
    {"Bigl", MATH_TOK_DROPPED, 0},
    {"Bigr", MATH_TOK_DROPPED, 0},
    {"biggl", MATH_TOK_DROPPED, 0},
    {"biggr", MATH_TOK_DROPPED, 0},
    {"middle", MATH_TOK_DROPPED, 0},
    {"displaystyle", MATH_TOK_DROPPED, 0},
    {"textstyle", MATH_TOK_DROPPED, 0},
    {"scriptstyle", MATH_TOK_DROPPED, 0},
    {"limits", MATH_TOK_DROPPED, 0},
    {"nolimits", MATH_TOK_DROPPED, 0},
    {"quad", MATH_TOK_DROPPED, 0},
    {"qquad", MATH_TOK_DROPPED, 0},
    {"thinspace", MATH_TOK_DROPPED, 0},
    {"rm", MATH_TOK_DROPPED, 0},
    {"bf", MATH_TOK_DROPPED, 0},
    {"it", MATH_TOK_DROPPED, 0},
    {"ast", MATH_TOK_TIMES, 0},
    {"star", MATH_TOK_TIMES, 0},
    {"bullet", MATH_TOK_TIMES, 0},
    {"div", MATH_TOK_DIVIDE, 0},
    {"slash", MATH_TOK_DIVIDE, 0},
    {"pm", MATH_TOK_PM, 0},
    {"mp", MATH_TOK_PM, 1},
    {"binom", MATH_TOK_BINOM, 0},
    {"dbinom", MATH_TOK_BINOM, 0},
    {"tbinom", MATH_TOK_BINOM, 0},
    {"choose", MATH_TOK_CHOOSE, 0},
    {"infty", MATH_TOK_CONSTANT, MATH_INFINITY},
    {"emptyset", MATH_TOK_CONSTANT, MATH_EMPTY},
    {"varnothing", MATH_TOK_CONSTANT, MATH_EMPTY},
    {"imath", MATH_TOK_CONSTANT, MATH_I},
    {"exp", MATH_TOK_FUNC, MATH_EXP},
    {"sin", MATH_TOK_FUNC, MATH_SIN},
    {"cos", MATH_TOK_FUNC, MATH_COS},
    {"tan", MATH_TOK_FUNC, MATH_TAN},
    {"cot", MATH_TOK_FUNC, MATH_COT},
    {"sec", MATH_TOK_FUNC, MATH_SEC},
    {"csc", MATH_TOK_FUNC, MATH_CSC},
    {"arcsin", MATH_TOK_FUNC, MATH_ASIN},
    {"arccos", MATH_TOK_FUNC, MATH_ACOS},
    {"arctan", MATH_TOK_FUNC, MATH_ATAN},
    {"sinh", MATH_TOK_FUNC, MATH_SINH},
    {"cosh", MATH_TOK_FUNC, MATH_COSH},
    {"tanh", MATH_TOK_FUNC, MATH_TANH},
    {"ln", MATH_TOK_FUNC, MATH_LN},
    {"log", MATH_TOK_FUNC, MATH_LOG},
    {"lg", MATH_TOK_FUNC, MATH_LOG},
    {"gcd", MATH_TOK_FUNC, MATH_GCD},
    {"max", MATH_TOK_FUNC, MATH_MAX},
    {"min", MATH_TOK_FUNC, MATH_MIN},
    {"sum", MATH_TOK_SUM, 0},
    {"prod", MATH_TOK_SUM, 1},
    {"lbrace", MATH_TOK_OPEN, MATH_CURLY},
    {"rbrace", MATH_TOK_CLOSE, MATH_CURLY},
    {"langle", MATH_TOK_OPEN, MATH_ANGLE},
    {"rangle", MATH_TOK_CLOSE, MATH_ANGLE},
    {"lfloor", MATH_TOK_OPEN, MATH_FLOORS},
    {"rfloor", MATH_TOK_CLOSE, MATH_FLOORS},
    {"lceil", MATH_TOK_OPEN, MATH_CEILS},
    {"rceil", MATH_TOK_CLOSE, MATH_CEILS},
    {"lvert", MATH_TOK_OPEN, MATH_BARS},
    {"rvert", MATH_TOK_CLOSE, MATH_BARS},
    {"lVert", MATH_TOK_OPEN, MATH_BARS},
    {"rVert", MATH_TOK_CLOSE, MATH_BARS},
    {"lbrack", MATH_TOK_OPEN, MATH_SQUARE},
    {"rbrack", MATH_TOK_CLOSE, MATH_SQUARE},
    {"lparen", MATH_TOK_OPEN, MATH_ROUND},
    {"rparen", MATH_TOK_CLOSE, MATH_ROUND},
    {"mid", MATH_TOK_BAR, 0},
    {"vert", MATH_TOK_BAR, 0},
    {"Vert", MATH_TOK_BAR, 0},
    {"le", MATH_TOK_RELATION, MATH_LE},
    {"leq", MATH_TOK_RELATION, MATH_LE},
    {"leqslant", MATH_TOK_RELATION, MATH_LE},
    {"ge", MATH_TOK_RELATION, MATH_GE},
    {"geq", MATH_TOK_RELATION, MATH_GE},
    {"geqslant", MATH_TOK_RELATION, MATH_GE},
    {"lt", MATH_TOK_RELATION, MATH_LT},
    {"gt", MATH_TOK_RELATION, MATH_GT},
    {"ne", MATH_TOK_RELATION, MATH_NE},
    {"neq", MATH_TOK_RELATION, MATH_NE},
    {"in", MATH_TOK_RELATION, MATH_IN},
    {"cup", MATH_TOK_UNION, 0},
    {"bigcup", MATH_TOK_UNION, 0},
    {"cap", MATH_TOK_INTERSECTION, 0},
    {"setminus", MATH_TOK_SETMINUS, 0},
    {"backslash", MATH_TOK_SETMINUS, 0},
    {"lor", MATH_TOK_COMMA, 1},
    {"vee", MATH_TOK_COMMA, 1},
    {"land", MATH_TOK_COMMA, 0},
    {"wedge", MATH_TOK_COMMA, 0},
    {"colon", MATH_TOK_COLON, 0},
    {"circ", MATH_TOK_DEGREE, 0},
    {"degree", MATH_TOK_DEGREE, 0},
    {"degrees", MATH_TOK_DEGREE, 0},
    {"overline", MATH_TOK_OVERLINE, 0},
    {"bar", MATH_TOK_OVERLINE, 0},
    {"dot", MATH_TOK_OVERLINE, 1},
    {"begin", MATH_TOK_BEGIN, 0},
    {"end", MATH_TOK_FINISH, 0},
    {"angle", MATH_TOK_NAMED, 0},
    {"measuredangle", MATH_TOK_NAMED, 0},
    {"triangle", MATH_TOK_NAMED, 0},
    {"vec", MATH_TOK_NAMED, 0},
    {"hat", MATH_TOK_NAMED, 0},
    {"ldots", MATH_TOK_ELLIPSIS, 0},
    {"dots", MATH_TOK_ELLIPSIS, 0},
    {"dotsc", MATH_TOK_ELLIPSIS, 0},
    {"cdots", MATH_TOK_ELLIPSIS, 0},
    {"bmod", MATH_TOK_MOD, 0},
    {"pmod", MATH_TOK_MOD, 0},
    {"alpha", MATH_TOK_LETTER, 0},
    {"beta", MATH_TOK_LETTER, 0},
    {"gamma", MATH_TOK_LETTER, 0},
    {"delta", MATH_TOK_LETTER, 0},
    {"epsilon", MATH_TOK_LETTER, 0},
    {"varepsilon", MATH_TOK_LETTER, 0},
    {"zeta", MATH_TOK_LETTER, 0},
    {"eta", MATH_TOK_LETTER, 0},
    {"theta", MATH_TOK_LETTER, 0},
    {"vartheta", MATH_TOK_LETTER, 0},
    {"kappa", MATH_TOK_LETTER, 0},
    {"lambda", MATH_TOK_LETTER, 0},
    {"mu", MATH_TOK_LETTER, 0},
    {"nu", MATH_TOK_LETTER, 0},
    {"xi", MATH_TOK_LETTER, 0},
    {"rho", MATH_TOK_LETTER, 0},
    {"sigma", MATH_TOK_LETTER, 0},
    {"tau", MATH_TOK_LETTER, 0},
    {"phi", MATH_TOK_LETTER, 0},
    {"varphi", MATH_TOK_LETTER, 0},
    {"chi", MATH_TOK_LETTER, 0},
    {"psi", MATH_TOK_LETTER, 0},
    {"omega", MATH_TOK_LETTER, 0},
    {"Gamma", MATH_TOK_LETTER, 0},
    {"Delta", MATH_TOK_LETTER, 0},
    {"Theta", MATH_TOK_LETTER, 0},
    {"Lambda", MATH_TOK_LETTER, 0},
    {"Phi", MATH_TOK_LETTER, 0},
    {"Psi", MATH_TOK_LETTER, 0},
    {"Omega", MATH_TOK_LETTER, 0},
    {"Sigma", MATH_TOK_LETTER, 0},
    {"ell", MATH_TOK_LETTER, 0},
};

static const struct math_name words[] = {
    {"sqrt", MATH_TOK_SQRT, 0},
    {"cbrt", MATH_TOK_CBRT, 0},
    {"pi", MATH_TOK_CONSTANT, MATH_PI},
    {"inf", MATH_TOK_CONSTANT, MATH_INFINITY},
    {"infty", MATH_TOK_CONSTANT, MATH_INFINITY},
    {"infinity", MATH_TOK_CONSTANT, MATH_INFINITY},
    {"oo", MATH_TOK_CONSTANT, MATH_INFINITY},
    {"sin", MATH_TOK_FUNC, MATH_SIN},
    {"cos", MATH_TOK_FUNC, MATH_COS},
    {"tan", MATH_TOK_FUNC, MATH_TAN},
    {"cot", MATH_TOK_FUNC, MATH_COT},
    {"sec", MATH_TOK_FUNC, MATH_SEC},
    {"csc", MATH_TOK_FUNC, MATH_CSC},
    {"asin", MATH_TOK_FUNC, MATH_ASIN},
    {"acos", MATH_TOK_FUNC, MATH_ACOS},
    {"atan", MATH_TOK_FUNC, MATH_ATAN},
    {"arcsin", MATH_TOK_FUNC, MATH_ASIN},
    {"arccos", MATH_TOK_FUNC, MATH_ACOS},
    {"arctan", MATH_TOK_FUNC, MATH_ATAN},
    {"sinh", MATH_TOK_FUNC, MATH_SINH},
    {"cosh", MATH_TOK_FUNC, MATH_COSH},
    {"tanh", MATH_TOK_FUNC, MATH_TANH},
    {"ln", MATH_TOK_FUNC, MATH_LN},
    {"log", MATH_TOK_FUNC, MATH_LOG},
    {"exp", MATH_TOK_FUNC, MATH_EXP},
    {"abs", MATH_TOK_FUNC, MATH_ABS},
    {"floor", MATH_TOK_FUNC, MATH_FLOOR},
    {"ceil", MATH_TOK_FUNC, MATH_CEIL},
    {"factorial", MATH_TOK_FUNC, MATH_FACTORIAL},
    {"binomial", MATH_TOK_FUNC, MATH_BINOMIAL},
    {"binom", MATH_TOK_FUNC, MATH_BINOMIAL},
    {"gcd", MATH_TOK_FUNC, MATH_GCD},
    {"lcm", MATH_TOK_FUNC, MATH_LCM},
    {"max", MATH_TOK_FUNC, MATH_MAX},
    {"min", MATH_TOK_FUNC, MATH_MIN},
    {"and", MATH_TOK_COMMA, 0},
    {"or", MATH_TOK_COMMA, 1},
    {"to", MATH_TOK_COLON, 0},
    {"U", MATH_TOK_UNION, 0},
    {"union", MATH_TOK_UNION, 0},
    {"in", MATH_TOK_RELATION, MATH_IN},
    {"percent", MATH_TOK_PERCENT, 0},
    {"degree", MATH_TOK_DEGREE, 0},
    {"degrees", MATH_TOK_DEGREE, 0},
    {"deg", MATH_TOK_DEGREE, 0},
    {"alpha", MATH_TOK_LETTER, 0},
    {"beta", MATH_TOK_LETTER, 0},
    {"gamma", MATH_TOK_LETTER, 0},
    {"theta", MATH_TOK_LETTER, 0},
    {"lambda", MATH_TOK_LETTER, 0},
    {"sigma", MATH_TOK_LETTER, 0},
    {"omega", MATH_TOK_LETTER, 0},
    {"phi", MATH_TOK_LETTER, 0},
    {"mu", MATH_TOK_LETTER, 0},
};

static const struct {
    uint32_t c;
    struct math_name name;
} signs[] = {
    {'+', {"+", MATH_TOK_PLUS, 0}},
    {'-', {"-", MATH_TOK_MINUS, 0}},
    {0x2212, {"-", MATH_TOK_MINUS, 0}},
    {0x2013, {"-", MATH_TOK_MINUS, 0}},
    {0x2010, {"-", MATH_TOK_MINUS, 0}},
    {'*', {"*", MATH_TOK_TIMES, 0}},
    {0xD7, {"*", MATH_TOK_TIMES, 0}},
    {0xB7, {"*", MATH_TOK_TIMES, 0}},
    {0x22C5, {"*", MATH_TOK_TIMES, 0}},
    {0x2217, {"*", MATH_TOK_TIMES, 0}},
    {'/', {"/", MATH_TOK_DIVIDE, 0}},
    {0xF7, {"/", MATH_TOK_DIVIDE, 0}},
    {0x2215, {"/", MATH_TOK_DIVIDE, 0}},
    {0x2044, {"/", MATH_TOK_DIVIDE, 0}},
    {'^', {"^", MATH_TOK_POWER, 0}},
    {'_', {"_", MATH_TOK_SUBSCRIPT, 0}},
    {'!', {"!", MATH_TOK_FACTORIAL, 0}},
    {'%', {"%", MATH_TOK_PERCENT, 0}},
    {0xB0, {"deg", MATH_TOK_DEGREE, 0}},
    {0x2218, {"deg", MATH_TOK_DEGREE, 0}},
    {',', {",", MATH_TOK_COMMA, 0}},
    {';', {";", MATH_TOK_COMMA, 0}},
    {0xFF0C, {",", MATH_TOK_COMMA, 0}},
    {':', {":", MATH_TOK_COLON, 0}},
    {0x2236, {":", MATH_TOK_COLON, 0}},
    {'=', {"=", MATH_TOK_RELATION, MATH_EQ}},
    {'<', {"<", MATH_TOK_RELATION, MATH_LT}},
    {'>', {">", MATH_TOK_RELATION, MATH_GT}},
    {0x2264, {"<=", MATH_TOK_RELATION, MATH_LE}},
    {0x2A7D, {"<=", MATH_TOK_RELATION, MATH_LE}},
    {0x2265, {">=", MATH_TOK_RELATION, MATH_GE}},
    {0x2A7E, {">=", MATH_TOK_RELATION, MATH_GE}},
    {0x2260, {"!=", MATH_TOK_RELATION, MATH_NE}},
    {0x2208, {"in", MATH_TOK_RELATION, MATH_IN}},
    {0x222A, {"cup", MATH_TOK_UNION, 0}},
    {0x2229, {"cap", MATH_TOK_INTERSECTION, 0}},
    {0x2216, {"\\", MATH_TOK_SETMINUS, 0}},
    {'(', {"(", MATH_TOK_OPEN, MATH_ROUND}},
    {')', {")", MATH_TOK_CLOSE, MATH_ROUND}},
    {'[', {"[", MATH_TOK_OPEN, MATH_SQUARE}},
    {']', {"]", MATH_TOK_CLOSE, MATH_SQUARE}},
    {'{', {"{", MATH_TOK_OPEN, MATH_BRACE}},
    {'}', {"}", MATH_TOK_CLOSE, MATH_BRACE}},
    {0x27E8, {"<", MATH_TOK_OPEN, MATH_ANGLE}},
    {0x27E9, {">", MATH_TOK_CLOSE, MATH_ANGLE}},
    {0x230A, {"floor", MATH_TOK_OPEN, MATH_FLOORS}},
    {0x230B, {"floor", MATH_TOK_CLOSE, MATH_FLOORS}},
    {0x2308, {"ceil", MATH_TOK_OPEN, MATH_CEILS}},
    {0x2309, {"ceil", MATH_TOK_CLOSE, MATH_CEILS}},
    {'|', {"|", MATH_TOK_BAR, 0}},
    {0x2016, {"|", MATH_TOK_BAR, 0}},
    {'&', {"&", MATH_TOK_CELL, 0}},
    {0xB1, {"pm", MATH_TOK_PM, 0}},
    {0x2213, {"mp", MATH_TOK_PM, 1}},
    {0x221A, {"sqrt", MATH_TOK_SQRT, 0}},
    {0x221B, {"cbrt", MATH_TOK_CBRT, 0}},
    {0x221E, {"inf", MATH_TOK_CONSTANT, MATH_INFINITY}},
    {0x2205, {"empty", MATH_TOK_CONSTANT, MATH_EMPTY}},
    {0x211D, {"R", MATH_TOK_CONSTANT, MATH_REALS}},
    {0x3C0, {"pi", MATH_TOK_CONSTANT, MATH_PI}},
    {0x1D70B, {"pi", MATH_TOK_CONSTANT, MATH_PI}},
    {0x2026, {"...", MATH_TOK_ELLIPSIS, 0}},
    {0x2220, {"angle", MATH_TOK_NAMED, 0}},
};

static const struct {
    uint32_t c;
    const char *name;
} greek[] = {
    {0x3B1, "alpha"}, {0x3B2, "beta"},   {0x3B3, "gamma"}, {0x3B4, "delta"}, {0x3B5, "epsilon"},
    {0x3B8, "theta"}, {0x3BB, "lambda"}, {0x3BC, "mu"},    {0x3C1, "rho"},   {0x3C3, "sigma"},
    {0x3C4, "tau"},   {0x3C6, "phi"},    {0x3C9, "omega"}, {0x394, "Delta"}, {0x398, "Theta"},
    {0x3A3, "Sigma"}, {0x3A6, "Phi"},    {0x3A9, "Omega"},
};

static const struct {
    uint32_t c;
    long num, den;
} vulgar[] = {
    {0xBC, 1, 4},   {0xBD, 1, 2},   {0xBE, 3, 4},   {0x2153, 1, 3}, {0x2154, 2, 3},
    {0x2155, 1, 5}, {0x2156, 2, 5}, {0x2157, 3, 5}, {0x2158, 4, 5}, {0x2159, 1, 6},
    {0x215A, 5, 6}, {0x215B, 1, 8}, {0x215C, 3, 8}, {0x215D, 5, 8}, {0x215E, 7, 8},
};

#define UNIT(name, plural, quantity, num, den)                                                     \
    {name, quantity, num, den},                                                                    \
    {                                                                                              \
        plural, quantity, num, den                                                                 \
    }

static const struct math_unit units[] = {
    UNIT("mm", "millimeters", "length", 1, 1000),
    UNIT("cm", "centimeters", "length", 1, 100),
    UNIT("centimeter", "centimetres", "length", 1, 100),
    UNIT("m", "meters", "length", 1, 1),
    UNIT("meter", "meters", "length", 1, 1),
    UNIT("metre", "metres", "length", 1, 1),
    UNIT("km", "kilometers", "length", 1000, 1),
    UNIT("kilometer", "kilometres", "length", 1000, 1),
    UNIT("inch", "inches", "length", 254, 10000),
    UNIT("in", "ins", "length", 254, 10000),
    UNIT("ft", "feet", "length", 3048, 10000),
    UNIT("foot", "feet", "length", 3048, 10000),
    UNIT("yard", "yards", "length", 9144, 10000),
    UNIT("yd", "yds", "length", 9144, 10000),
    UNIT("mile", "miles", "length", 1609344, 1000),
    UNIT("mi", "mi", "length", 1609344, 1000),
    UNIT("mg", "milligrams", "mass", 1, 1000),
    UNIT("g", "grams", "mass", 1, 1),
    UNIT("gram", "grams", "mass", 1, 1),
    UNIT("kg", "kilograms", "mass", 1000, 1),
    UNIT("kilogram", "kgs", "mass", 1000, 1),
    UNIT("lb", "lbs", "mass", 45359237, 100000),
    UNIT("pound", "pounds", "mass", 45359237, 100000),
    UNIT("s", "secs", "time", 1, 1),
    UNIT("sec", "secs", "time", 1, 1),
    UNIT("second", "seconds", "time", 1, 1),
    UNIT("min", "mins", "time", 60, 1),
    UNIT("minute", "minutes", "time", 60, 1),
    UNIT("h", "hrs", "time", 3600, 1),
    UNIT("hr", "hrs", "time", 3600, 1),
    UNIT("hour", "hours", "time", 3600, 1),
    UNIT("day", "days", "time", 86400, 1),
    UNIT("week", "weeks", "time", 604800, 1),
    UNIT("cent", "cents", "money", 1, 100),
    UNIT("dollar", "dollars", "money", 1, 1),
    UNIT("$", "usd", "money", 1, 1),
    UNIT("ml", "milliliters", "volume", 1, 1000),
    UNIT("l", "litres", "volume", 1, 1),
    UNIT("liter", "liters", "volume", 1, 1),
    UNIT("mph", "miles per hour", "speed", 1, 1),
    UNIT("am", "a.m", "morning", 1, 1),
    UNIT("pm", "p.m", "evening", 1, 1),
    UNIT("sq", "square units", "", 1, 1),
    UNIT("unit", "units", "", 1, 1),
    UNIT("sq cm", "square centimeters", "", 1, 1),
    UNIT("point", "points", "", 1, 1),
    UNIT("per", "ways", "", 1, 1),
    UNIT("rad", "radians", "", 1, 1),
};

const struct math_name *math_name_command(struct pyspan name)
{
    for (size_t i = 0; i < COUNT(commands); i++) {
        if (pyspan_is(name, commands[i].name)) {
            return &commands[i];
        }
    }
    return NULL;
}

const struct math_name *math_name_word(struct pyspan word)
{
    for (size_t i = 0; i < COUNT(words); i++) {
        if (pyspan_is(word, words[i].name)) {
            return &words[i];
        }
    }
    return NULL;
}

const struct math_name *math_name_sign(uint32_t c)
{
    for (size_t i = 0; i < COUNT(signs); i++) {
        if (signs[i].c == c) {
            return &signs[i].name;
        }
    }
    return NULL;
}

const char *math_name_greek(uint32_t c)
{
    for (size_t i = 0; i < COUNT(greek); i++) {
        if (greek[i].c == c) {
            return greek[i].name;
        }
    }
    return NULL;
}

bool math_name_vulgar(uint32_t c, long *num, long *den)
{
    for (size_t i = 0; i < COUNT(vulgar); i++) {
        if (vulgar[i].c == c) {
            *num = vulgar[i].num;
            *den = vulgar[i].den;
            return true;
        }
    }
    return false;
}

int math_name_superscript(uint32_t c)
{
    switch (c) {
    case 0x2070:
        return 0;
    case 0xB9:
        return 1;
    case 0xB2:
        return 2;
    case 0xB3:
        return 3;
    case 0x207B:
        return 10;
    default:
        return c >= 0x2074 && c <= 0x2079 ? (int)(c - 0x2070) : -1;
    }
}

const struct math_unit *math_name_unit(struct pyspan name)
{
    for (size_t i = 0; i < COUNT(units); i++) {
        if (pyspan_is(name, units[i].name)) {
            return &units[i];
        }
    }
    return NULL;
}
