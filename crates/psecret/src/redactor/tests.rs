mod naive;

use super::*;
use proptest::prelude::*;

fn redactor(secrets: &[(&str, &[u8])]) -> Redactor {
    secrets
        .iter()
        .fold(RedactorBuilder::new(), |builder, (name, value)| {
            // The redactor masks only the values, because other tests cover their parts.
            let (name, value) = (SecretName::parse(name).unwrap(), UserSecret::new(value.to_vec()));
            builder.taken_apart(&name, &value, &Parts::default())
        })
        .build()
        .unwrap()
}

fn text(redactor: &Redactor, input: &[u8]) -> String {
    String::from_utf8_lossy(&redactor.redact_bytes(input)).into_owned()
}

#[test]
fn masks_every_form_l10() {
    let value = b"s3cr3t/\"value'+ <\\key>\n\xc3\xa4";
    let redactor = redactor(&[("KEY", value)]);
    for shape in form::shapes(value).into_iter().filter(|shape| shape.form() != Form::Decimal) {
        let (before, after) = (&b"log: "[..], &b" !\n"[..]);
        let masked = redactor.redact_bytes(&[before, &shape.bytes_for_tests(), after].concat());
        let shown = String::from_utf8_lossy(&masked).into_owned();
        assert!(shown.starts_with("log:") && shown.contains("***KEY***") && shown.ends_with("!\n"), "{}", shape.form());
    }
}

#[test]
fn whatever_escapes_a_writer_uses_the_value_is_masked_l10() {
    let secrets =
        [("KEY", &b"Zr8Kc1/Vb4Ny+T9xWq2Lm5=="[..]), ("PHRASE", b"it's-a-pass&word<9x+Q"), ("PW", b"pa%ss@w0rd:Q7zk9x")];
    let redactor = redactor(&secrets);
    for (text, shown) in [
        ("at https://ci:Zr8Kc1%2FVb4Ny+T9xWq2Lm5%3D%3D@host/", "at https://ci:***KEY***@host/"),
        ("{\"key\":\"it\\u0027s-a-pass\\u0026word\\u003C9x+Q\"}", "{\"key\":\"***PHRASE***\"}"),
        ("password = pa%%ss@w0rd:Q7zk9x\n", "password = ***PW***\n"),
        ("<m c=\"Zr8Kc1&#x2F;Vb4Ny&#43;T9xWq2Lm5&#x3D;&equals;\">", "<m c=\"***KEY***\">"),
        ("url=Zr8Kc1%252FVb4Ny%252BT9xWq2Lm5%253D%253D", "url=***KEY***"),
        ("s: it''s-a-pass&word<9x+Q", "s: ***PHRASE***"),
        ("Zr8Kc1\\/Vb4Ny\\u002BT9xWq2Lm5=- is another", "Zr8Kc1\\/Vb4Ny\\u002BT9xWq2Lm5=- is another"),
    ] {
        assert_eq!(redactor.redact(text), shown);
        for cut in 0..text.len() {
            let out = in_pieces(&redactor, text.as_bytes(), &[cut.max(1), 1000]);
            assert_eq!(String::from_utf8_lossy(&out), shown, "cut at {cut}");
        }
        assert_eq!(String::from_utf8_lossy(&in_pieces(&redactor, text.as_bytes(), &[1])), shown, "byte by byte");
        assert_eq!(redactor.labels_in(text.as_bytes()).is_empty(), !shown.contains("***"));
    }
}

#[test]
fn one_value_within_another_leaves_no_tail_s7() {
    let redactor = redactor(&[("SHORT", b"abc12345"), ("LONG", b"abc12345xyz")]);
    assert_eq!(redactor.redact("<abc12345xyz>"), "<***LONG***>");
    assert_eq!(redactor.redact("<abc12345xy>"), "<***SHORT***xy>");
}

#[test]
fn one_value_of_two_names_shows_both_s8() {
    let redactor = redactor(&[("ONE", b"abc12345"), ("TWO", b"abc12345")]);
    assert_eq!(redactor.redact("<abc12345>"), "<***ONE,TWO***>");
    assert_eq!(redactor.labels_in(b"x=abc12345"), ["ONE", "TWO"]);
    let again = self::redactor(&[("ONE", b"abc12345"), ("TWO", b"abc12345"), ("ONE", b"abc12345")]);
    assert_eq!(again.redact("<abc12345>"), "<***ONE,TWO***>");
}

#[test]
fn overlapping_values_are_masked_as_their_union_s9() {
    let redactor = redactor(&[("ONE", b"abcdefgh"), ("TWO", b"efghijkl")]);
    assert_eq!(redactor.redact("<abcdefghijkl>"), "<***ONE***>");
    assert_eq!(redactor.redact("<abcdefghabcdefgh>"), "<***ONE******ONE***>");
}

#[test]
fn unprotected_values_pass_and_weak_ones_are_masked_s2_s4_s5() {
    let redactor = redactor(&[("SHORT", b"abc"), ("WORD", b"password"), ("WEAK", b"q7xz")]);
    assert_eq!(redactor.redact("abc password q7xz aq7xzb"), "abc password ***WEAK*** a***WEAK***b");
}

#[test]
fn lines_of_a_value_are_masked_one_by_one_s10() {
    let redactor = redactor(&[("KEY", b"first line of it\nsecond line of it\nend\n")]);
    assert_eq!(redactor.redact("1: first line of it\n2: second line of it\n"), "1: ***KEY***\n2: ***KEY***\n");
    assert_eq!(redactor.redact("<first line of it\nsecond line of it\nend>"), "<***KEY***>");
}

#[test]
fn finds_a_value_cut_at_every_byte_l1() {
    let redactor = redactor(&[("KEY", b"cut-me-anywhere")]);
    let input = b"before cut-me-anywhere after cut-me-any";
    for cut in 0..input.len() {
        let mut stream = redactor.stream();
        let mut out = stream.push(&input[..cut]);
        out.extend(stream.push(&input[cut..]));
        out.extend(stream.finish());
        assert_eq!(String::from_utf8_lossy(&out), "before ***KEY*** after cut-me-any", "cut at {cut}");
    }
}

#[test]
fn streams_do_not_mix_l2() {
    let redactor = redactor(&[("KEY", b"cut-me-anywhere")]);
    let (mut stdout, mut stderr) = (redactor.stream(), redactor.stream());
    assert_eq!(stdout.push(b"cut-me-"), b"");
    assert_eq!(stderr.push(b"warning\n"), b"warning\n");
    assert_eq!(stdout.push(b"anywhere\n"), b"***KEY***\n");
}

#[test]
fn sees_through_terminal_control_l3() {
    let redactor = redactor(&[("KEY", b"split-by-control")]);
    for split in ["split-\x1b[31mby\x1b[0m-control", "split-by\r-control", "split-by-\x1b]0;t\x07con\x08trol"] {
        assert_eq!(redactor.redact(&format!("<{split}>\n")), "<***KEY***>\n", "{split:?}");
    }
    assert_eq!(redactor.redact("\x1b[31msplit-by-control\x1b[0m"), "\x1b[31m***KEY***\x1b[0m");
    assert_eq!(redactor.redact("\x1b[3split-by-control"), "\x1b[3***KEY***");
}

#[test]
fn control_within_a_value_of_several_lines_is_seen_through_l3() {
    let redactor = redactor(&[("KEY", b"a-first-line-of-one-word\nxy")]);
    assert_eq!(redactor.redact("<a-first-line-of-one-word\nx\x1b[0my>"), "<***KEY***>");
}

#[test]
fn a_wrapped_line_counts_from_its_beginning_s16() {
    let redactor = redactor(&[("KEY", b"QWxhZGRpbjpvcGVuIHNlc2FtZQ12345")]);
    // The line is long enough to be wrapped, but its pieces before and after the BEL are not.
    let text = b"aaaaaaaaaa\x07bbbbbbQWxh\nZGRpbjpvcGVuIHNlc2FtZQ12345.";
    for cuts in [&[1][..], &[10, 100], &[11, 100], &[100]] {
        let shown = in_pieces(&redactor, text, cuts);
        assert_eq!(String::from_utf8_lossy(&shown), "aaaaaaaaaa\x07bbbbbb***KEY***.", "{cuts:?}");
    }
}

#[test]
fn sees_through_line_wrapping_s16() {
    let value = b"a-value-long-enough-to-be-wrapped-by-an-encoder-into-lines";
    let redactor = redactor(&[("KEY", value)]);
    let encoded = crate::form::base64_for_tests(&[b"user:", &value[..], b" and more"].concat());
    for width in [16, 20, 60, 64, 76] {
        for end in ["\n", "\r\n", "\n    "] {
            let wrapped: Vec<&str> =
                encoded.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
            let shown = redactor.redact(&wrapped.join(end));
            assert!(shown.contains("***KEY***") && shown.len() < 60, "width {width}: {} left", shown.len());
        }
    }
}

#[test]
fn the_end_of_a_stream_releases_what_was_held_l4() {
    let redactor = redactor(&[("KEY", b"cut-me-anywhere")]);
    let mut stream = redactor.stream();
    assert_eq!(stream.push(b"x cut-me-any"), b"x ");
    assert_eq!(stream.finish(), b"cut-me-any");
    assert_eq!(stream.push(b"where"), b"where", "a finished stream begins anew");
}

#[test]
fn only_what_may_begin_a_match_is_held_l5() {
    let redactor = redactor(&[("KEY", b"hunter2hunter2")]);
    let mut stream = redactor.stream();
    assert_eq!(stream.push(b"nothing to hold here\n"), b"nothing to hold here\n");
    assert_eq!(stream.push(b"the hunter"), b"the ");
    assert_eq!(stream.push(b"s came\n"), b"hunters came\n");
    assert_eq!(stream.push(b"hunter2hunter2"), b"", "its second half may begin another");
}

#[test]
fn a_whole_value_is_decided_at_once_l5() {
    let mut stream = redactor(&[("KEY", b"swordfish-7781")]).stream();
    assert_eq!(stream.push(b"password: swordfish-7781"), b"password: ***KEY***");
    let mut stream = redactor(&[("KEY", b"swordfish-7781"), ("LONGER", b"swordfish-7781-x")]).stream();
    assert_eq!(stream.push(b"password: swordfish-7781"), b"password: ");
    assert_eq!(stream.push(b"\n"), b"***KEY***\n");
}

#[test]
fn a_line_is_not_held_for_the_chance_that_its_end_begins_a_form_l5() {
    let redactor = redactor(&[("KEY", b"QWxhZGRpbjpvcGVuIHNlc2FtZQ12345")]);
    let mut stream = redactor.stream();
    let line = b"/usr/share/python3/dist-packages/QWx\n";
    assert_eq!(stream.push(line), line);
    assert_eq!(stream.push(b"hZGRpbjpvcGVuIHNlc2FtZQ12345\n"), b"***KEY***\n");
    assert_eq!(stream.push(b"/usr/share/python3/dist-packages/QWxh\n  "), b"/usr/share/python3/dist-packages/");
    assert_eq!(stream.push(b"ZGRpbjpvcGVuIHNlc2FtZQ12345\n"), b"***KEY***\n");
}

#[test]
fn a_line_without_end_is_held_in_bounded_memory_l6() {
    let redactor = redactor(&[("KEY", b"aaaaaaaa"), ("LONG", &[b'b'; 4000])]);
    for (byte, pushes) in [(b"a", 100), (b"b", 100), (b"\r", 100), (b"c", 1000)] {
        let mut stream = redactor.stream();
        let mut out = stream.push(b"a");
        let mut held = 0;
        for _ in 0..pushes {
            out.extend(stream.push(&byte.repeat(10_000)));
            held = held.max(stream.held_for_tests());
        }
        out.extend(stream.finish());
        assert!(held < 200 * 1024, "{held} bytes held");
    }
}

/// A value is found wherever the buffer's pieces cut it.
#[test]
fn a_value_is_found_in_the_midst_of_much_text_wherever_it_stands() {
    let redactor = redactor(&[("KEY", b"swordfish-7781")]);
    for value in ["swordfish-7781", "sword\x1b[0mfish-\r7781"] {
        for before in (32 * 1024 - 30..32 * 1024 + 5).chain(64 * 1024 - 20..64 * 1024 + 2) {
            let plain = "a line of a log\n".repeat(5000);
            let text = [&plain[..before], value, &plain[before..]].concat();
            assert!(redactor.redact(&text) == [&plain[..before], "***KEY***", &plain[before..]].concat(), "{before}");
        }
    }
}

#[test]
fn what_follows_a_long_value_is_held_in_bounded_memory_l6() {
    let redactor = redactor(&[("LONG", &[b'b'; 4000])]);
    let mut stream = redactor.stream();
    let (mut out, mut held) = (stream.push(&[b'b'; 600]), 0);
    for _ in 0..100 {
        out.extend(stream.push(&b"\r".repeat(10_000)));
        held = held.max(stream.held_for_tests());
    }
    out.extend(stream.finish());
    assert!(held < 200 * 1024, "{held} bytes held");
    assert_eq!(out.len(), "***LONG***".len() + 1_000_000);
}

#[test]
fn bytes_that_are_not_text_pass_unchanged_l7() {
    let redactor = redactor(&[("KEY", b"cut-me-anywhere")]);
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(redactor.redact_bytes(&bytes), bytes);
}

/// S15: an encoder may choose the case of its digits, but the value itself is another value in another case.
#[test]
fn hex_and_percent_digits_are_masked_in_both_cases_and_the_value_in_its_own_s15() {
    let redactor = redactor(&[("KEY", b"kJ/z*lo~9+Qx")]);
    for text in ["6b4a2f7a2a6c6f7e392b5178", "6B4A2F7A2A6C6F7E392B5178", "kJ%2Fz%2Alo~9%2BQx", "kJ%2fz%2alo~9%2bQx"] {
        assert_eq!(redactor.redact(text), "***KEY***", "{text}");
    }
    assert_eq!(redactor.redact("KJ/Z*LO~9+QX"), "KJ/Z*LO~9+QX");
}

#[test]
fn shell_tracing_is_masked_l9() {
    let redactor = redactor(&[("KEY", b"it's a secret")]);
    assert_eq!(redactor.redact("+ echo 'it'\\''s a secret'\n"), "+ echo '***KEY***'\n");
}

#[test]
fn parts_are_masked_under_their_secrets_name() {
    let value =
        UserSecret::new(b"[default]\nregion = eu-central-1\naws_secret_access_key = 9fKq2LmZr8Kc1Vb4\n".to_vec());
    let redactor = RedactorBuilder::new().secret(&SecretName::parse("AWS").unwrap(), &value).build().unwrap();
    assert_eq!(redactor.redact("key 9fKq2LmZr8Kc1Vb4, or OWZLcTJMbVpyOEtjMVZiNA=="), "key ***AWS***, or ***AWS***");
    assert_eq!(redactor.redact("region = eu-central-1"), "region = eu-central-1");
    assert_eq!(redactor.labels_in(b"ARG KEY=9fKq2LmZr8Kc1Vb4"), ["AWS"]);
}

#[test]
fn the_mark_never_holds_a_value_l11() {
    let redactor = redactor(&[("MY_TOKEN", b"another-value"), ("OTHER", b"MY_TOKEN")]);
    assert_eq!(redactor.redact("another-value"), "***");
    assert_eq!(redactor.redact("MY_TOKEN"), "***OTHER***");
}

#[test]
fn an_old_and_a_new_value_are_masked_alike_l12() {
    let redactor = redactor(&[("KEY", b"old-value-1"), ("KEY", b"new-value-2")]);
    assert_eq!(redactor.redact("old-value-1 new-value-2"), "***KEY*** ***KEY***");
}

#[test]
fn a_long_value_is_masked_whole_and_in_part() {
    let long: Vec<u8> = (0..3000_u32).map(|at| b'a' + (at * at % 23) as u8).collect();
    let redactor = redactor(&[("LONG", &long)]);
    assert_eq!(text(&redactor, &[b"<", &long[..], b">"].concat()), "<***LONG***>");
    assert_eq!(text(&redactor, &[b"<", &long[..600], b"-"].concat()), "<***LONG***-");
}

#[test]
fn the_guard_counts_what_an_audit_counts_s4_s10() {
    let key = b"{\n  \"type\": \"service_account\",\n  \"id\": \"0a1b2c3d4e5f60718293a4b5c6d7e8f901234567\"\n}\n";
    let redactor = redactor(&[("WEAK", b"q7xz"), ("KEY", key)]);
    assert_eq!(redactor.labels_in(b"EXPOSE aq7xz"), [""; 0]);
    assert_eq!(redactor.labels_in(b"EXPOSE q7xz_"), [""; 0]);
    assert_eq!(redactor.labels_in(b"EXPOSE=q7xz\n"), ["WEAK"]);
    assert_eq!(redactor.labels_in(b"\"type\": \"service_account\","), [""; 0]);
    assert_eq!(redactor.labels_in(b"\"id\": \"0a1b2c3d4e5f60718293a4b5c6d7e8f901234567\""), ["KEY"]);
    assert_eq!(redactor.redact("\"type\": \"service_account\", aq7xz"), "***KEY*** a***WEAK***");
}

#[test]
fn more_forms_than_memory_are_refused_with_numbers_s18() {
    let masked = || RedactorBuilder::new().mask("KEY", b"swordfish-7781").masked;
    assert!(Patterns::new(masked(), 100_000).is_ok());
    let error = Patterns::new(masked(), 100).unwrap_err();
    assert!(matches!(error, SecretError::TooManyForms { forms: 20.., bytes: 500.. }), "{error}");
}

#[test]
fn nothing_to_mask_changes_nothing() {
    assert_eq!(Redactor::none().redact("text"), "text");
    assert!(Redactor::none().labels_in(b"text").is_empty());
}

#[test]
fn debug_shows_no_byte() {
    let redactor = redactor(&[("KEY", b"cut-me-anywhere")]);
    let mut stream = redactor.stream();
    let _ = stream.push(b"cut-me");
    assert_eq!(format!("{stream:?}"), "RedactorStream(6 bytes held)");
    assert!(!format!("{redactor:?}").contains("cut"));
}

/// Makes values of few letters, so that they overlap each other and the text, or of many letters, so that most of the
/// text is plain.
fn values() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let of = |letters: &[u8], length: std::ops::Range<usize>| {
        prop::collection::vec(prop::collection::vec(prop::sample::select(letters.to_vec()), length), 1..4)
    };
    prop_oneof![
        of(b"ab\n\"", 8..14),
        of(b"ab\n\"", 4..9),
        of(b"abcdefghijklmnopqrstuvwxyz0123456789/+ ABCDEF=&'", 8..40),
        of(b"0123456789abcdef", 600..700),
    ]
}

/// Makes text of pieces of forms, control bytes, wrapped lines and noise.
fn input(values: Vec<Vec<u8>>) -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<u8>)> {
    let pieces: Vec<Vec<u8>> =
        values.iter().flat_map(|value| form::shapes(value)).map(|shape| shape.bytes_for_tests()).collect();
    let noise = prop::sample::select(
        [
            &b"a"[..],
            b"b",
            b"ab",
            b"\n",
            b"\r",
            b"\x1b[0m",
            b"\x1b",
            b"[",
            b"\\",
            b" ",
            b"61",
            b"YWJh",
            b"\\u00",
            b"%25",
            b"&#x",
            b"''",
            b"%62",
            b"&quot;",
            b"abababababababab",
            b"\0",
            b"Plain text of a log, line after line, without anything to mask.\n",
            b"sha256:9f31c0de9f31c0de9f31c0de9f31c0de\n  ",
        ]
        .map(<[u8]>::to_vec)
        .to_vec(),
    );
    let pieces = if pieces.is_empty() { vec![Vec::new()] } else { pieces };
    let shape =
        (prop::sample::select(pieces), any::<prop::sample::Index>(), 0..4_u8).prop_map(|(bytes, index, how)| {
            let at = index.index(bytes.len() + 1);
            match how {
                0 => bytes,
                1 => bytes[..at].to_vec(),
                2 => [&bytes[..at], b"\x1b[1m", &bytes[at..]].concat(),
                _ => bytes.chunks(16 + at % 5).collect::<Vec<_>>().join(&b"\n "[..]),
            }
        });
    prop::collection::vec(prop_oneof![noise, shape], 0..24).prop_map(move |parts| (values.clone(), parts.concat()))
}

/// Makes text that almost contains forms: their beginnings and ends, forms with one byte changed, with control bytes
/// or line ends inside, and forms within forms.
fn near_misses(values: Vec<Vec<u8>>) -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<u8>)> {
    let mut forms: Vec<Vec<u8>> =
        values.iter().flat_map(|value| form::shapes(value)).map(|shape| shape.bytes_for_tests()).collect();
    forms.push(b"-----".to_vec());
    let index = any::<prop::sample::Index>;
    let between = prop::sample::select(
        ["\x1b[0m", "\r", "\r\n", "\n", "\n  ", "\n\t\x1b[1m ", "\0", "\x1b]0;title\x07", "\x1b[3", "\x1b", "."]
            .to_vec(),
    );
    let piece = (prop::sample::select(forms.clone()), prop::sample::select(forms), index(), index(), between, 0..9_u8)
        .prop_map(|(form, other, one, two, between, how)| {
            let (one, two) = (one.index(form.len() + 1), two.index(form.len() + 1));
            let (one, two) = (one.min(two), one.max(two));
            let (before, inner, after) = (&form[..one], &form[one..two], &form[two..]);
            let between = between.as_bytes();
            match how {
                0 => before.to_vec(),
                1 => after.to_vec(),
                2 => inner.to_vec(),
                3 => [before, between, inner, between, after].concat(),
                4 => [before, &inner.iter().map(|byte| byte ^ 1).collect::<Vec<_>>(), after].concat(),
                5 => [before, &other, after].concat(),
                6 => [&other[..other.len().min(one)], &form].concat(),
                7 => form.chunks(16 + two % 61).collect::<Vec<_>>().join(between),
                _ => form.chunks(1 + one % 7).collect::<Vec<_>>().join(between),
            }
        });
    prop::collection::vec(piece, 0..24).prop_map(move |parts| (values.clone(), parts.concat()))
}

fn in_pieces(redactor: &Redactor, input: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut stream = redactor.stream();
    let mut out = Vec::new();
    let (mut rest, mut cut) = (input, cuts.iter().cycle());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
        out.extend(stream.push(piece));
        rest = after;
    }
    out.extend(stream.finish());
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn however_the_stream_is_cut_the_result_is_the_same_h7(
        (values, input) in values().prop_flat_map(input),
        cuts in prop::collection::vec(1_usize..40, 1..64),
    ) {
        let names = ["ONE", "TWO", "THREE"];
        let secrets: Vec<(&str, &[u8])> = names.into_iter().zip(values.iter().map(Vec::as_slice)).collect();
        let redactor = redactor(&secrets);
        let whole = redactor.redact_bytes(&input);
        prop_assert!(naive::redact(&secrets, &input) == whole, "{}", input.escape_ascii());
        // In pieces of one byte there are no windows, so each start is compared with the forms.
        prop_assert_eq!(&in_pieces(&redactor, &input, &[1]), &whole);
        prop_assert_eq!(&in_pieces(&redactor, &input, &cuts), &whole);
        for (_, value) in &secrets {
            for shape in form::shapes(value).into_iter().filter(|shape| shape.form() != Form::Decimal) {
                let bytes = shape.bytes_for_tests();
                let left = whole.windows(bytes.len()).any(|window| window == bytes);
                prop_assert!(!left, "{} is left", shape.form());
            }
        }
    }

    #[test]
    fn near_misses_are_told_from_matches_as_the_naive_redactor_tells_them(
        (values, input) in values().prop_flat_map(near_misses),
        cuts in prop::collection::vec(1_usize..400, 1..64),
    ) {
        let names = ["ONE", "TWO", "THREE"];
        let secrets: Vec<(&str, &[u8])> = names.into_iter().zip(values.iter().map(Vec::as_slice)).collect();
        let redactor = redactor(&secrets);
        let expected = naive::redact(&secrets, &input);
        prop_assert!(redactor.redact_bytes(&input) == expected, "{}", input.escape_ascii());
        prop_assert!(in_pieces(&redactor, &input, &cuts) == expected, "in pieces: {}", input.escape_ascii());
        prop_assert!(in_pieces(&redactor, &input, &[1]) == expected, "byte by byte: {}", input.escape_ascii());
    }
}
