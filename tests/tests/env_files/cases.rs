//! Generators of the files that are compared.

/// A random generator that makes the same files in every run (Marsaglia's xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % most as u64).expect("less than most")
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// Names as people write them, and unusual ones that both dialects and all tools accept.
const NAMES: &[&str] = &["A", "B", "C_1", "d", "_E", "INHERITED", "f.g", "H-I", "1J"];

/// Texts that an env file may have to the right of a `=`. None of them has a `$`, because only we read it literally.
const PIECES: &[&str] = &[
    "x",
    "y z",
    "\"",
    "'",
    "\\",
    "\\\"",
    "\\'",
    "\\\\",
    "\\n",
    "\\t",
    "\\r",
    "\\a",
    "\\b",
    "\\f",
    "\\v",
    "\\q",
    "\\0",
    "\\08",
    "\\012",
    "\\0101",
    "\\0377",
    "\\0400",
    "#",
    " #",
    "\t#",
    " # c",
    "=",
    ":",
    " ",
    "\t",
    "\r",
    "\u{a0}",
    "\u{2003}",
    "\u{85}",
    "\u{b}",
    "\u{c}",
    "\u{e4}",
    "\u{1f511}",
    "{\"a\":\"b\"}",
    "it's",
    "C:\\x",
    "export ",
    "\u{feff}",
];

/// Texts that may stand before a name, between a name and its value, and after a line.
const BEFORE: &[&str] = &["", "", "", "", " ", "\t", "\r", "\u{a0}", "\u{b}"];
const EQUALS: &[&str] = &["=", "=", "=", "=", "=", "=", ""];
const ENDS: &[&str] = &["\n", "\n", "\n", "\r\n", "\n\n", "\n# comment = \"\n", "\n  \t# comment\n"];

/// Makes files for the dialect `docker`. It accepts nearly everything, so the files contain nearly everything.
pub(crate) fn docker(random: &mut Random) -> Vec<u8> {
    let mut text = String::new();
    if random.below(12) == 0 {
        text.push('\u{feff}');
    }
    for _ in 0..=random.below(4) {
        text += random.pick(BEFORE);
        text += random.pick(NAMES);
        text += random.pick(EQUALS);
        for _ in 0..random.below(5) {
            text += random.pick(PIECES);
            text += if random.below(20) == 0 { "$" } else { "" };
        }
        text += random.pick(ENDS);
    }
    text.into_bytes()
}

/// Makes files for the dialect `dotenv`.
pub(crate) fn dotenv(random: &mut Random) -> Vec<u8> {
    let mut text = String::new();
    for _ in 0..=random.below(4) {
        text += random.pick(&["", "", "", "", " ", "\t", "export ", "export \t "]);
        text += random.pick(NAMES);
        text += random.pick(&["=", "=", "=", " = ", "\t=", "= \t", "=\u{a0}", ": ", " :"]);
        // A value in quotes consists of the same pieces, so quotes open and close in every place.
        let quote = random.pick(&["", "", "\"", "'"]);
        text += quote;
        for _ in 0..random.below(5) {
            text += random.pick(PIECES);
            text += if quote.is_empty() || random.below(6) > 0 { "" } else { random.pick(&["\n", "\r\n", "\nZ=1\n"]) };
        }
        text += quote;
        text += random.pick(&["", "", "", " ", " # c", "\t# c", "#c"]);
        text += random.pick(ENDS);
    }
    text.into_bytes()
}

/// Makes files as people and programs write them. All three readers of dotenv files agree on these.
pub(crate) fn tidy(random: &mut Random) -> Vec<u8> {
    const VALUES: &[&str] = &[
        "x",
        "hunter2",
        "a b c",
        "p4ss/w+rd=",
        "postgres://u:p@h:5432/d?x=1",
        "x#y",
        "{\"a\":1}",
        "it's",
        "C:\\dir\\new",
        "\u{e4}\u{1f511}",
        "!@%^&*()",
        "1,2;3",
        "pa$$word",
        "$HOME",
        "${NAME}",
        "`id`",
        "a=b=c",
        "",
    ];
    const DOUBLE: &[&str] =
        &["x # y", "a\\nb", "tab\\there", "say \\\"hi\\\"", "back\\\\slash", "two\nlines", "it's", "$5", ""];
    const SINGLE: &[&str] = &["x # y", "a\nb\nc", "say \"hi\"", "it\\'s", "${NAME}", "{\"a\":\"b\"}", ""];
    let mut text = String::new();
    for _ in 0..=random.below(6) {
        text += random.pick(&["", "", "", "export ", "  "]);
        text += random.pick(NAMES);
        text += random.pick(&["=", "=", "=", " = "]);
        match random.below(3) {
            0 => text += random.pick(VALUES),
            1 => text += &format!("\"{}\"", random.pick(DOUBLE)),
            _ => text += &format!("'{}'", random.pick(SINGLE)),
        }
        // Compose does not read a comment after an empty bare value as a comment.
        text += if text.ends_with(['=', ' ']) { "" } else { random.pick(&["", "", " ", " # a comment"]) };
        text += random.pick(&["\n", "\n", "\r\n", "\n\n# a comment\n"]);
    }
    text.into_bytes()
}
