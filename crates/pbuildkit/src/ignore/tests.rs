//! Facts about moby/patternmatcher: the effect of a pattern on a path.

use proptest::prelude::*;

use super::*;

fn matcher(patterns: &[&str]) -> Matcher {
    Matcher::new(patterns).unwrap()
}

/// Matches a path as a walk does, which comes to the path from the folders above it.
fn matches_walking(matcher: &Matcher, path: &[u8]) -> bool {
    let mut parent = ParentMatch::default();
    for (index, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
        parent = matcher.matches_below(&path[..index], &parent).1;
    }
    matcher.matches_below(path, &parent).0
}

#[track_caller]
fn check(patterns: &[&str], path: &str, expected: bool) {
    let matcher = matcher(patterns);
    assert_eq!(matcher.matches(path.as_bytes()), expected, "{patterns:?} {path:?}");
    assert_eq!(matches_walking(&matcher, path.as_bytes()), expected, "walking, {patterns:?} {path:?}");
}

#[test]
fn two_stars_cross_folders_and_one_does_not() {
    let hits = "
        ** file|** file/|**/ file|**/ file/|** /|**/ /|** dir/file|**/ dir/file|** dir/file/|**/ dir/file/
        **/** dir/file|**/** dir/file/|dir/** dir/file|dir/** dir/file/|dir/** dir/dir2/file|dir/** dir/dir2/file/
        **/dir dir|**/dir dir/file|**/dir2/* dir/dir2/file|**/dir2/* dir/dir2/file/
        **/dir2/** dir/dir2/dir3/file|**/dir2/** dir/dir2/dir3/file/
        **file file|**file dir/file|**/file dir/file|**file dir/dir/file|**/file dir/dir/file
        **/file* dir/dir/file|**/file* dir/dir/file.txt|**/file*txt dir/dir/file.txt
        **/file*.txt dir/dir/file.txt|**/file*.txt* dir/dir/file.txt|**/**/*.txt dir/dir/file.txt
        **/*.txt file.txt|**/**/*.txt file.txt|a**/*.txt a/file.txt|a**/*.txt a/dir/file.txt
        a**/*.txt a/dir/dir/file.txt|a/*.txt a/file.txt|a/*.txt** a/file.txt
        **/foo/bar foo/bar|**/foo/bar dir/foo/bar|**/foo/bar dir/dir2/foo/bar
        abc/** abc/def|abc/** abc/def/ghi|**/.foo .foo";
    let misses = "**/**/*.txt2 dir/dir/file.txt|a/*.txt a/dir/file.txt|abc/** abc|**/.foo bar.foo";
    for (cases, expected) in [(hits, true), (misses, false)] {
        for case in cases.lines().flat_map(|line| line.split('|')).map(str::trim).filter(|case| !case.is_empty()) {
            let (pattern, path) = case.split_once(' ').unwrap();
            check(&[pattern], path, expected);
        }
    }
}

#[test]
fn characters_of_regular_expressions_are_themselves() {
    for (pattern, path, expected) in [
        (".*", ".foo", true),
        (".*", "foo", false),
        ("abc.def", "abcdef", false),
        ("abc.def", "abc.def", true),
        ("abc.def", "abcZdef", false),
        ("a\\\\", "a\\", true),
        ("a(b)c/def", "a(b)c/def", true),
        ("a(b)c/def", "a(b)c/xyz", false),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
        (
            "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
            "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
            true,
        ),
        ("dist/*.whl", "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", true),
        ("a\\*b", "a*b", true),
        ("a\\*b", "ab", false),
    ] {
        check(&[pattern], path, expected);
    }
}

#[test]
fn go_s_own_table_of_patterns_holds() {
    for (pattern, path, expected) in [
        ("abc", "abc", true),
        ("*", "abc", true),
        ("*c", "abc", true),
        ("a*", "a", true),
        ("a*", "abc", true),
        // The folder `ab` matches, and so does everything below it.
        ("a*", "ab/c", true),
        ("a*/b", "abc/b", true),
        ("a*/b", "a/c/b", false),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
        ("a*b?c*x", "abxbbxdbxebxczzx", true),
        ("a*b?c*x", "abxbbxdbxebxczzy", false),
        ("ab[c]", "abc", true),
        ("ab[b-d]", "abc", true),
        ("ab[e-g]", "abc", false),
        ("ab[^c]", "abc", false),
        ("ab[^b-d]", "abc", false),
        ("ab[^e-g]", "abc", true),
        ("a[b-d]e", "ae", false),
        ("a[b-d]e", "ace", true),
        ("a[b-d]e", "aae", false),
        ("a[^b-d]e", "aze", true),
        ("abc?def", "abcZdef", true),
        ("abc?def", "abcdef", false),
        ("a?b", "a☺b", true),
        ("a[^a]b", "a☺b", true),
        ("a???b", "a☺b", false),
        ("a[^a][^a][^a]b", "a☺b", false),
        ("[a-ζ]*", "α", true),
        ("*[a-ζ]", "A", false),
        ("a?b", "a/b", false),
        ("a*b", "a/b", false),
        ("[\\]a]", "]", true),
        ("[\\-]", "-", true),
        ("[x\\-]", "x", true),
        ("[x\\-]", "-", true),
        ("[x\\-]", "z", false),
        ("[\\-x]", "x", true),
        ("[\\-x]", "-", true),
        ("[\\-x]", "a", false),
        ("*x", "xxx", true),
    ] {
        check(&[pattern], path, expected);
    }
}

#[test]
fn patterns_that_are_not_valid_are_refused_by_name() {
    for pattern in
        ["[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[", "[^", "[^bc", "a[", "!", "a\\", "[Local-Only]/", "!a["]
    {
        assert_eq!(Matcher::new(&[pattern]).unwrap_err(), PatternError { pattern: pattern.into() });
    }
}

#[test]
fn the_last_pattern_that_matches_decides() {
    let wheel = "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl";
    let turned = format!("!{wheel}");
    check(&["**", "!util/docker/web"], "util/docker/web/foo", false);
    check(&["**", "!util/docker/web", "util/docker/web/foo"], "util/docker/web/foo", true);
    check(&["**", &turned], wheel, false);
    check(&["**", "!dist/*.whl"], wheel, false);
    check(&["!fileutils.go", "*.go"], "fileutils.go", true);
    check(&["*.go", "!fileutils.go"], "fileutils.go", false);
    for folder in ["docs", "docs/", "docs/*"] {
        check(&[folder, "!docs/README.md"], "docs/README.md", false);
        check(&[folder, "!docs/README.md"], "docs/other", true);
        check(&[folder, " !docs/README.md  "], "docs/README.md", false);
    }
}

#[test]
fn a_folder_that_was_turned_back_before_anything_matched_is_forgotten_when_walking() {
    // This is a quirk of moby, which has the same two ways to match. A walk decides which files are sent.
    let matcher = matcher(&["a/*", "!?"]);
    assert!(!matcher.matches(b"a/b"));
    assert!(matches_walking(&matcher, b"a/b"));
}

#[test]
fn empty_patterns_count_for_nothing() {
    assert!(matcher(&["", "  "]).is_empty());
    check(&["docs", "", "config"], "config", true);
}

#[test]
fn names_that_are_not_utf_8_are_matched_byte_by_byte() {
    let matcher = matcher(&["a?c", "x*"]);
    assert!(matcher.matches(b"a\xffc"));
    assert!(!matcher.matches(b"a\xff\xfec"));
    assert!(matcher.matches(b"x\xff"));
}

fn path() -> impl Strategy<Value = String> {
    proptest::collection::vec("[ab.]{1,2}", 1..5)
        .prop_map(|parts| parts.join("/"))
        .prop_filter("clean", |path| pattern::clean(path) == *path && !path.starts_with(".."))
}

fn patterns() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec("!?(a|b|ab|\\*|\\*\\*|[?]|\\[ab\\]|[.]){1,2}(/(a|b|\\*|\\*\\*|\\*a)){0,3}", 1..5)
}

proptest! {
    /// Without `!`, matching during a walk gives the same answer as matching the path alone.
    #[test]
    fn walking_and_asking_agree(patterns in patterns(), path in path()) {
        let patterns: Vec<&str> = patterns.iter().map(|pattern| pattern.trim_start_matches('!')).collect();
        if let Ok(matcher) = Matcher::new(&patterns) {
            prop_assert_eq!(matcher.matches(path.as_bytes()), matches_walking(&matcher, path.as_bytes()));
        }
    }

    /// A folder that a walk skips holds no file that would have been sent.
    #[test]
    fn a_folder_is_left_out_only_when_nothing_below_it_counts(patterns in patterns(), path in path()) {
        let Ok(matcher) = Matcher::new(&patterns) else { return Ok(()) };
        let whole = matches_walking(&matcher, path.as_bytes());
        for (index, _) in path.match_indices('/') {
            let folder = &path.as_bytes()[..index];
            let matched = matches_walking(&matcher, folder);
            if !matched && !matcher.may_match_below(folder) {
                prop_assert!(!whole, "{:?} hides {path:?}", &path[..index]);
            }
            if matched && !matcher.may_turn_back_below(folder) {
                prop_assert!(whole, "{:?} keeps {path:?}", &path[..index]);
            }
        }
    }

    /// No text makes the parser panic, and every accepted pattern can be matched.
    #[test]
    fn any_text_is_a_pattern_or_an_error(text in "[a-z!*?/.\\\\\\[\\]^\\-\u{e9}]{0,12}", path in "[a-z/]{0,8}") {
        if let Ok(matcher) = Matcher::new(&[text]) {
            let _ = matcher.matches(path.as_bytes());
        }
    }
}
