//! The characters that have names in HTML (WHATWG, section 13.5): ASCII punctuation and the former Latin-1.

/// The length of the longest name or number in an entity.
pub(super) const LONGEST: usize = 16;

const PUNCTUATION: &[(&str, char)] = &[
    ("Tab", '\t'),
    ("NewLine", '\n'),
    ("excl", '!'),
    ("quot", '"'),
    ("QUOT", '"'),
    ("num", '#'),
    ("dollar", '$'),
    ("percnt", '%'),
    ("amp", '&'),
    ("AMP", '&'),
    ("apos", '\''),
    ("lpar", '('),
    ("rpar", ')'),
    ("ast", '*'),
    ("midast", '*'),
    ("plus", '+'),
    ("comma", ','),
    ("period", '.'),
    ("sol", '/'),
    ("colon", ':'),
    ("semi", ';'),
    ("lt", '<'),
    ("LT", '<'),
    ("equals", '='),
    ("gt", '>'),
    ("GT", '>'),
    ("quest", '?'),
    ("commat", '@'),
    ("lsqb", '['),
    ("lbrack", '['),
    ("bsol", '\\'),
    ("rsqb", ']'),
    ("rbrack", ']'),
    ("Hat", '^'),
    ("lowbar", '_'),
    ("UnderBar", '_'),
    ("grave", '`'),
    ("DiacriticalGrave", '`'),
    ("lcub", '{'),
    ("lbrace", '{'),
    ("verbar", '|'),
    ("vert", '|'),
    ("VerticalLine", '|'),
    ("rcub", '}'),
    ("rbrace", '}'),
];

/// The names of the characters from U+00A0 on, in order.
const LATIN: &str = "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 \
sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig \
Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave \
Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave \
iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml";

/// Finds the character of a name.
pub(super) fn character(name: &[u8]) -> Option<char> {
    let of_ascii = PUNCTUATION.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, c)| *c);
    of_ascii.or_else(|| {
        let nth = LATIN.split_ascii_whitespace().position(|known| known.as_bytes() == name)?;
        char::from_u32(0xa0 + u32::try_from(nth).ok()?)
    })
}

/// Lists the names of a character.
pub(super) fn names(c: char) -> impl Iterator<Item = &'static str> {
    let latin = (c as u32).checked_sub(0xa0).and_then(|nth| LATIN.split_ascii_whitespace().nth(nth as usize));
    PUNCTUATION.iter().filter(move |(_, known)| *known == c).map(|(name, _)| *name).chain(latin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latin_names_have_their_characters() {
        assert_eq!(character(b"auml"), Some('\u{e4}'));
        assert_eq!(character(b"yuml"), Some('\u{ff}'));
        assert_eq!(character(b"nbsp"), Some('\u{a0}'));
        assert_eq!(names('=').collect::<Vec<_>>(), ["equals"]);
        assert_eq!(character(b"nothing"), None);
    }
}
