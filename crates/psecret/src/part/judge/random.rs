//! Tells random texts of letters and digits from names that somebody made.
//!
//! Two models compute how many bits a text takes. By the first model, every letter and digit is as likely as any
//! other. The second knows how people write names: small letters follow small letters, capitals begin words or follow
//! each other, digits follow each other, and some letters follow a letter more often than others do. A text that
//! takes fewer bits by the first model is random. There is no list of words: the figures come from the names of some
//! 40,000 packages of all kinds.

/// The bits that a letter takes after another letter, whatever their case, with a row for each first letter. Seven
/// stands for higher numbers as well, because abbreviations have any letters.
const LETTER_BEHIND: [&[u8; 26]; 26] = [
    b"75357757577443747343576766",
    b"37673777457377357447377767",
    b"47774773574477277453577777",
    b"35752567364577377567577767",
    b"45456767777443767234766477",
    b"47774477277377377464477747",
    b"57672655277465477357477777",
    b"27772777477777375573577757",
    b"55455557777452457543757676",
    b"37673777577767576717576777",
    b"36742657377676577536477767",
    b"37752777277477367745377757",
    b"25662777377557347757577767",
    b"37443537476776467732567777",
    b"66547657776442457254565677",
    b"37762775477377357365577747",
    b"77777777777277767566177777",
    b"37562757475656367644567757",
    b"57453674476567446742667757",
    b"37572774377667367445677737",
    b"55654737477443757343777577",
    b"37671757277777577756477777",
    b"37672776377774377536777777",
    b"67474777477647637761677757",
    b"55665667777454517744776777",
    b"47771777477677377776377755",
];

/// All figures below are in hundredths of a bit.
const LETTER: i32 = 440;
const DIGIT: i32 = 332;

/// The bits of any of the 62 letters and digits, by the first model.
const ANY: i32 = 595;

/// The effect of a character other than a letter or digit: random text seldom has one, and names have many.
const SIGN: i32 = -100;

/// A text with a sum of at least this is random. Of random texts of 20 letters and digits, 1 in 2,000 is below this.
/// Of the names of C functions, which are the oddest, 1 in 80 of those with letters of both cases is above it.
const RANDOM: i32 = -400;

/// A text with a piece of at least this is random, too, whatever words precede the piece.
const RANDOM_PIECE: i32 = 1800;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Small,
    Capital,
    Digit,
    Sign,
}

impl Class {
    fn of(byte: u8) -> Self {
        match byte {
            b'a'..=b'z' => Self::Small,
            b'A'..=b'Z' => Self::Capital,
            b'0'..=b'9' => Self::Digit,
            _ => Self::Sign,
        }
    }

    /// Returns the bits that a character of the class `next` takes after a character of this class.
    fn before(self, next: Self) -> i32 {
        match (self, next) {
            (Self::Small, Self::Small) => 15,
            (Self::Small, Self::Capital) => 360,
            (Self::Small, Self::Digit) => 650,
            (Self::Capital, Self::Small) => 120,
            (Self::Capital, Self::Capital) => 100,
            (Self::Digit, Self::Digit) => 60,
            (Self::Digit, Self::Small | Self::Capital) => 320,
            (Self::Capital | Self::Sign, Self::Digit) => 500,
            (Self::Sign, Self::Small | Self::Capital) => 100,
            (_, Self::Sign) => 0,
        }
    }
}

/// Whether a text with letters of both cases is random.
pub(super) fn is_mixed_at_random(text: &str) -> bool {
    let (mut all, mut piece, mut longest) = (0, 0, 0);
    let (mut class, mut last) = (Class::Sign, b'-');
    for byte in text.bytes() {
        let next = Class::of(byte);
        let more = match next {
            Class::Sign => SIGN,
            Class::Digit => class.before(next) + DIGIT - ANY,
            Class::Small | Class::Capital => {
                let begins =
                    matches!(class, Class::Digit | Class::Sign) || (class, next) == (Class::Small, Class::Capital);
                class.before(next) + if begins { LETTER } else { behind(last, byte) } - ANY
            }
        };
        all += more;
        piece = piece.max(0) + more;
        longest = longest.max(piece);
        (class, last) = (next, byte);
    }
    all >= RANDOM || longest >= RANDOM_PIECE
}

fn behind(one: u8, other: u8) -> i32 {
    let letter = |byte: u8| usize::from(byte.to_ascii_lowercase() - b'a');
    i32::from(LETTER_BEHIND[letter(one)][letter(other)] - b'0') * 100
}

/// Whether a text of nothing but hex digits is random: it has at least 32 digits of 8 kinds, with a letter among
/// them, and few of the digits count up or down.
pub(super) fn is_hex_at_random(text: &str) -> bool {
    const LEAST: usize = 32;
    const LEAST_KINDS: usize = 8;
    if text.len() < LEAST || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return false;
    }
    let mut kinds: Vec<u8> = text.bytes().map(|byte| byte.to_ascii_lowercase()).collect();
    let value = |digit: &u8| char::from(*digit).to_digit(16).unwrap_or_default();
    let counts = |pair: &&[u8]| value(&pair[0]).abs_diff(value(&pair[1])) == 1;
    let counting = kinds.windows(2).filter(counts).count();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.len() >= LEAST_KINDS && counting * 2 < text.len() && kinds.iter().any(u8::is_ascii_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::super::is_unguessable;

    /// Counts how many of `count` random texts are judged guessable.
    fn missed(letters: &[u8], length: usize, count: usize) -> usize {
        let mut state = 0x5eed_0013_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            letters[usize::try_from(state >> 33).expect("31 bits") % letters.len()]
        };
        let texts = (0..count).map(|_| String::from_utf8((0..length).map(|_| next()).collect()).expect("letters"));
        texts.filter(|text| !is_unguessable(text)).count()
    }

    #[test]
    fn hardly_any_random_text_is_taken_for_a_name() {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        const COUNT: usize = 50_000;
        for (what, letters, length) in [
            ("20 letters and digits", &LETTERS[..62], 20),
            ("24 letters and digits", &LETTERS[..62], 24),
            ("40 letters and digits", &LETTERS[..62], 40),
            ("base64 of 16 bytes for URLs", LETTERS, 22),
            ("base64 of 32 bytes for URLs", LETTERS, 43),
            ("32 hex digits", b"0123456789abcdef", 32),
            ("32 hex digits in capitals", b"0123456789ABCDEF", 32),
            ("64 hex digits", b"0123456789abcdef", 64),
        ] {
            let missed = missed(letters, length, COUNT);
            assert!(missed * 1000 < COUNT, "{missed} of {COUNT}: {what}");
        }
    }

    #[test]
    fn what_people_name_is_guessable() {
        for name in [
            "OAuth2ClientCredentialsGrant",
            "ThisIsAnOrdinaryCamelCaseName",
            "XMLHttpRequestEventTarget",
            "org.springframework.boot.autoconfigure.SpringBootApplication",
            "com.mysql.cj.jdbc.MysqlDataSource",
            "org.hibernate.dialect.PostgreSQL10Dialect",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_CHACHA20_POLY1305_SHA256",
            "ECDHE-RSA-AES256-GCM-SHA384",
            "diffie-hellman-group-exchange-sha256",
            "Microsoft.EntityFrameworkCore.SqlServer",
            "Asia/Ho_Chi_Minh+07:00",
            "America/Argentina/Buenos_Aires",
            "Mozilla/5.0",
            "arm64-v8a_armeabi-v7a_x86_64",
            "x86_64-unknown-linux-gnu",
            "aarch64-apple-darwin23.1.0",
            "debian-bookworm-20240101-slim",
            "v1.28.3-gke.1203001",
            "2024-01-01T00:00:00.000Z",
            "2024-01-01T00:00:00+01:00",
            "20240101123456-create-users",
            "shop-production-eu-central-1",
            "registry.internal.example.com:5000/team/App_Backend:v2.14.0",
            "/usr/lib/x86_64-linux-gnu/libXrandr.so.2.2.0",
            "/opt/App/Library/PrivateFrameworks",
            "C:\\Program Files\\Common Files",
            "spring.datasource.hikari.maximumPoolSize",
            "GeschwindigkeitsBegrenzung",
            "DonaudampfschifffahrtsGesellschaft",
            "ArrayIndexOutOfBoundsException",
            "NSAttributedStringFromHTML",
            "getElementsByTagNameNS",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "Content-Security-Policy-Report-Only",
            "ROLE_ADMIN:ROLE_USER:ROLE_SUPPORT",
            "kube-system/CoreDNS-5.1.2",
            "00000000000000000000000000000000",
            "0123456789abcdef0123456789abcdef",
            "deadbeefdeadbeefdeadbeefdeadbeef",
            "11111111-2222-3333-4444-555555555555",
            "100200300400500600700800900000",
            "HelloWorldHelloWorldHelloWorld",
            "sha256-RFWPLDbv2BY-rCkDzsE-0fr8ylGr2R2faWMhq4lfEQc",
        ] {
            assert!(!is_unguessable(name), "{name}");
        }
    }
}
