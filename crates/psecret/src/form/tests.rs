use super::*;

fn shapes_of(value: &[u8]) -> Vec<Shape> {
    forms(&UserSecret::new(value.to_vec()))
}

fn has(shapes: &[Shape], form: Form, bytes: &[u8]) -> bool {
    shapes.iter().any(|shape| shape.form == form && shape.bytes.as_slice() == bytes)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

const TRICKY: &str = "p4ss/w\"o'rd+ & <k>y\\\u{e4}\u{1f511}$x";

#[test]
fn unprotected_values_have_no_forms_s1_s2_s5() {
    for value in ["", "abc", "password", "localhost\n"] {
        assert!(shapes_of(value.as_bytes()).is_empty(), "{value:?}");
    }
}

#[test]
fn weak_values_have_no_forms_shorter_than_themselves_s4() {
    let shapes = shapes_of(b"q7xz");
    assert!(has(&shapes, Form::Raw, b"q7xz") && has(&shapes, Form::Base64, b"cTd4eg=="));
    assert!(shapes.iter().all(|shape| shape.len() >= 4));
    assert!(shapes.iter().filter(|shape| shape.form == Form::Base64).all(|shape| shape.len() >= 8));
}

#[test]
fn no_shape_stands_twice() {
    for value in [&b"plainvalue123"[..], TRICKY.as_bytes(), b"two lines\nof value"] {
        let shapes = shapes_of(value);
        for (at, shape) in shapes.iter().enumerate() {
            assert!(!shapes[..at].iter().any(|other| other.is_like(shape)), "{shape:?}");
        }
    }
}

#[test]
fn the_plainest_form_names_a_byte_string() {
    let shapes = shapes_of(b"plainvalue123");
    assert_eq!(shapes.iter().filter(|shape| shape.bytes.as_slice() == b"plainvalue123").count(), 1);
    assert_eq!(shapes[0].form, Form::Raw);
}

#[test]
fn a_value_with_blanks_around_it_is_also_found_trimmed_s14() {
    let shapes = shapes_of(b" plainvalue123\n");
    assert!(has(&shapes, Form::Raw, b" plainvalue123\n") && has(&shapes, Form::Trimmed, b"plainvalue123"));
    assert!(has(&shapes, Form::Base64, b"cGxhaW52YWx1ZTEyMw=="));
    assert!(has(&shapes, Form::Base64, b"IHBsYWludmFsdWUxMjMK"));
}

#[test]
fn base64_is_found_whatever_stands_around_the_value_s16() {
    use ::base64::Engine as _;
    use ::base64::engine::general_purpose as alphabets;
    for value in [&b"k2345678"[..], b"k23456789", b"k234567890", b"\xff\xfe\xfb?>\xff\xff\xff~"] {
        let shapes = shapes_of(value);
        for before in 0..7 {
            for after in 0..7 {
                let text = [&b"\xa5user:-"[..before], value, &b"@host\xff\n"[..after]].concat();
                for (form, encoded) in [
                    (Form::Base64, alphabets::STANDARD.encode(&text)),
                    (Form::Base64, alphabets::STANDARD_NO_PAD.encode(&text)),
                    (Form::Base64Url, alphabets::URL_SAFE.encode(&text)),
                    (Form::Base64Url, alphabets::URL_SAFE_NO_PAD.encode(&text)),
                ] {
                    let found = shapes.iter().any(|shape| {
                        matches!(shape.form, Form::Base64 | Form::Base64Url)
                            && contains(encoded.as_bytes(), &shape.bytes)
                    });
                    assert!(found, "{form}, {before} before, {after} after");
                }
            }
        }
    }
}

#[test]
fn base64_cores_hold_no_foreign_bits() {
    // The neighbours' bits change and the core stays, because it must not depend on them.
    for alignment in 0..3 {
        let value = b"key-material-x1";
        let encode = |before: u8, after: u8| {
            let mut text = vec![before; alignment];
            text.extend_from_slice(value);
            // The text is filled up to whole groups of three, so that no padding is the same by chance.
            text.extend(vec![after; 6 - (alignment + value.len()) % 3]);
            base64::whole(&text).to_vec()
        };
        let same: Vec<bool> = encode(0, 0).iter().zip(encode(0xff, 0xff)).map(|(one, other)| *one == other).collect();
        let first = same.iter().position(|same| *same).unwrap();
        let last = same.iter().rposition(|same| *same).unwrap();
        assert!(has(&shapes_of(value), Form::Base64, &encode(0, 0)[first..=last]), "alignment {alignment}");
    }
}

/// An edge of base64 has the bits that the value determines of a shared character, and no others.
#[test]
fn the_edges_of_base64_have_the_values_bits_alone() {
    let value = b"key-material-x1";
    let shapes = shapes_of(value);
    for alignment in 0..3_usize {
        for (before, after) in [(0x00, 0xff), (0xff, 0x00), (0x5a, 0xa5)] {
            let text = [&vec![before; alignment], &value[..], &[after; 3]].concat();
            let encoded = base64::whole(&text);
            let found = shapes.iter().find_map(|shape| {
                let at = encoded.windows(shape.len()).position(|window| window == shape.bytes.as_slice())?;
                (at.abs_diff(alignment) < 2 && shape.edges() != (None, None)).then_some((shape, at))
            });
            // A value that fills five whole groups has no edges.
            let Some((shape, at)) = found else {
                assert_eq!(alignment, 0);
                continue;
            };
            let (left, right) = shape.edges();
            assert!(left.is_none_or(|edge| edge.admits(encoded[at - 1])), "before, alignment {alignment}");
            assert!(right.is_none_or(|edge| edge.admits(encoded[at + shape.len()])), "after, alignment {alignment}");
            let other = |edge: Option<Edge>| edge.is_none_or(|edge| b"AQgw/_".iter().any(|one| !edge.admits(*one)));
            assert!(other(left) && other(right), "an edge that admits everything is none");
        }
    }
}

#[test]
fn escapes_are_those_of_the_usual_writers_s12() {
    let shapes = shapes_of(TRICKY.as_bytes());
    for (form, text) in [
        // The rows are: serde_json and JavaScript; Go; PHP; Python.
        (Form::Json, "p4ss/w\\\"o'rd+ & <k>y\\\\\u{e4}\u{1f511}$x"),
        (Form::Json, "p4ss/w\\\"o'rd+ \\u0026 \\u003ck\\u003ey\\\\\u{e4}\u{1f511}$x"),
        (Form::Json, "p4ss\\/w\\\"o'rd+ & <k>y\\\\\\u00e4\\ud83d\\udd11$x"),
        (Form::Json, "p4ss/w\\\"o'rd+ & <k>y\\\\\\u00e4\\ud83d\\udd11$x"),
        (Form::JsonTwice, "p4ss/w\\\\\\\"o'rd+ & <k>y\\\\\\\\\u{e4}\u{1f511}$x"),
        // The rows are: encodeURIComponent; quote_plus; encodeURI; lower case.
        (Form::Percent, "p4ss%2Fw%22o'rd%2B%20%26%20%3Ck%3Ey%5C%C3%A4%F0%9F%94%91%24x"),
        (Form::Percent, "p4ss%2Fw%22o%27rd%2B+%26+%3Ck%3Ey%5C%C3%A4%F0%9F%94%91%24x"),
        (Form::Percent, "p4ss/w%22o'rd+%20&%20%3Ck%3Ey%5C%C3%A4%F0%9F%94%91$x"),
        (Form::Percent, "p4ss%2fw%22o%27rd%2b%20%26%20%3ck%3ey%5c%c3%a4%f0%9f%94%91%24x"),
        // The rows are: `set -x` of dash and bash; `shlex.quote`; double quotes.
        (Form::Shell, "p4ss/w\"o'\\''rd+ & <k>y\\\u{e4}\u{1f511}$x"),
        (Form::Shell, "p4ss/w\"o'\"'\"'rd+ & <k>y\\\u{e4}\u{1f511}$x"),
        (Form::Shell, "p4ss/w\\\"o'rd+ & <k>y\\\\\u{e4}\u{1f511}\\$x"),
        // Python's `repr` and PHP's `var_export` write the same bytes as bash. The other rows are SQL and YAML, then
        // CSV.
        (Form::Shell, "p4ss/w\"o\\'rd+ & <k>y\\\\\u{e4}\u{1f511}$x"),
        (Form::Doubled, "p4ss/w\"o''rd+ & <k>y\\\u{e4}\u{1f511}$x"),
        (Form::Doubled, "p4ss/w\"\"o'rd+ & <k>y\\\u{e4}\u{1f511}$x"),
        // The rows are: `html.escape` of Python and of Go; XML text.
        (Form::Xml, "p4ss/w&quot;o&#x27;rd+ &amp; &lt;k&gt;y\\\u{e4}\u{1f511}$x"),
        (Form::Xml, "p4ss/w&#34;o&#39;rd+ &amp; &lt;k&gt;y\\\u{e4}\u{1f511}$x"),
        (Form::Xml, "p4ss/w\"o'rd+ &amp; &lt;k&gt;y\\\u{e4}\u{1f511}$x"),
    ] {
        assert!(has(&shapes, form, text.as_bytes()), "{form}: {text}");
    }
}

#[test]
fn string_literals_may_span_lines_s12() {
    let shapes = shapes_of(b"it's\ntwo lines");
    assert!(has(&shapes, Form::Literal, b"it\\'s\ntwo lines"));
    assert!(has(&shapes, Form::Shell, b"it\\'s\\ntwo lines"));
}

#[test]
fn encodings_of_every_byte_are_exact_s11_s13() {
    let shapes = shapes_of(b"\x00\x01\xfe/Az~~~");
    assert!(has(&shapes, Form::Hex, b"0001fe2f417a7e7e7e") && has(&shapes, Form::Hex, b"0001FE2F417A7E7E7E"));
    assert!(has(&shapes, Form::Hex, b"00:01:fe:2f:41:7a:7e:7e:7e"));
    assert!(has(&shapes, Form::HexEscaped, b"\\x00\\x01\\xfe\\x2f\\x41\\x7a\\x7e\\x7e\\x7e"));
    assert!(has(&shapes, Form::Percent, b"%00%01%FE%2F%41%7A%7E%7E%7E"));
    let shapes = shapes_of("key\u{e4}\u{1f511}12".as_bytes());
    assert!(has(&shapes, Form::Utf16Le, b"k\0e\0y\0\xe4\0\x3d\xd8\x11\xdd1\x002\0"));
    assert!(has(&shapes, Form::Utf16Be, b"\0k\0e\0y\0\xe4\xd8\x3d\xdd\x11\x001\x002"));
}

const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEIKZ3Q9dXh8v5T0rYw2uJm1sLkE4nB7cPaGfHiOtVxW6y\n\
                   Zq0=\n-----END PRIVATE KEY-----\n";

#[test]
fn a_key_is_found_by_line_joined_and_decoded_s10() {
    let shapes = shapes_of(PEM.as_bytes());
    let lines: Vec<&Shape> = shapes.iter().filter(|shape| shape.form == Form::Line).collect();
    assert_eq!(lines.len(), 1, "headers and the short last line are no evidence");
    assert!(lines[0].bytes.starts_with(b"MC4CAQ"));
    assert!(has(&shapes, Form::LineEnds, PEM.replace('\n', "\r\n").as_bytes()));
    assert!(shapes.iter().any(|shape| shape.form == Form::Joined && shape.bytes.ends_with(b"W6yZq0=")));
    assert!(shapes.iter().any(|shape| shape.form == Form::Der && shape.bytes.starts_with(&[0x30, 0x2e, 0x02, 0x01])));
    let from_crlf = shapes_of(PEM.replace('\n', "\r\n").as_bytes());
    assert!(has(&from_crlf, Form::LineEnds, PEM.as_bytes()));
}

#[test]
fn lines_that_stand_in_innocent_files_are_no_evidence_s10() {
    let json = "{\n  \"type\": \"service_account\",\n  \"token_uri\": \"https://oauth2.googleapis.com/token\",\n  \
                \"auth_provider_x509_cert_url\": \"https://www.googleapis.com/oauth2/v1/certs\",\n  \
                \"private_key_id\": \"0a1b2c3d4e5f60718293a4b5c6d7e8f901234567\"\n}\n";
    let shapes = shapes_of(json.as_bytes());
    let lines: Vec<&Shape> = shapes.iter().filter(|shape| shape.form == Form::Line).collect();
    assert_eq!(lines.len(), 1);
    assert!(contains(&lines[0].bytes, b"private_key_id"));
}

/// A key that was made for this test only.
#[test]
fn the_line_that_all_ssh_keys_of_a_kind_share_is_no_evidence_s10() {
    let key = |second: &str| {
        format!(
            "-----BEGIN OPENSSH PRIVATE KEY-----\n\
             b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n\
             {second}\n-----END OPENSSH PRIVATE KEY-----\n"
        )
    };
    let second = "QyNTUxOQAAACBq7Xh2v9Lw0TzKc4RnY1mEo8uJdPfSgA3iVbNhQ5WxkAAAAJgTdW7oE3Vu";
    let shapes = shapes_of(key(second).as_bytes());
    let lines: Vec<&Shape> = shapes.iter().filter(|shape| shape.form == Form::Line).collect();
    assert_eq!(lines.len(), 1);
    assert!(has(&shapes, Form::Line, second.as_bytes()));
    // If the first line continues with the bytes that follow, it belongs to this key alone.
    let joined = key(second).replace("tZW\n", "tZW");
    assert!(shapes_of(joined.as_bytes()).iter().any(|shape| shape.form == Form::Line));
}

#[test]
fn a_long_value_has_bounded_forms() {
    let value: Vec<u8> =
        (0..500 * 1024).map(|at: u64| b"abcdefghijklmnopqrstuvwxyz012345"[(at * at % 31) as usize]).collect();
    let bytes: usize = shapes_of(&value).iter().map(Shape::len).sum();
    assert!(bytes < 12 * value.len(), "{bytes}");
}

#[test]
fn names_are_stable_and_distinct() {
    let names = [
        Form::Raw,
        Form::Trimmed,
        Form::LineEnds,
        Form::Indented,
        Form::Line,
        Form::Joined,
        Form::Der,
        Form::Base64,
        Form::Base64Url,
        Form::Base64OfBase64,
        Form::Base64OfHex,
        Form::Base64OfUtf16,
        Form::Base64OfGzip,
        Form::Hex,
        Form::HexEscaped,
        Form::Percent,
        Form::Json,
        Form::JsonTwice,
        Form::Shell,
        Form::Literal,
        Form::Doubled,
        Form::Xml,
        Form::QuotedPrintable,
        Form::Utf16Le,
        Form::Utf16Be,
        Form::Utf32Le,
        Form::Utf32Be,
        Form::Decimal,
        Form::Base32,
    ]
    .map(Form::machine_name);
    assert_eq!(
        names.join(" "),
        "raw trimmed line-ends indented line joined der base64 base64url base64-of-base64 base64-of-hex base64-of-utf16 \
         base64-of-gzip hex hex-escaped percent json json-twice shell literal doubled xml quoted-printable \
         utf16le utf16be utf32le utf32be decimal base32"
    );
}

#[test]
fn debug_shows_no_byte() {
    assert_eq!(format!("{:?}", shapes_of(b"plainvalue123")[0]), "Shape(raw)");
}
