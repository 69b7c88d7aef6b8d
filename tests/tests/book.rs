//! The book of `docs/`: it builds, every page is in its contents, and no link or anchor of it, or of the pages in the
//! root and below `examples`, leads nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

/// The repository, as pages of the book name files that are none of its own.
const REPOSITORY: &str = "https://github.com/OWNER/pbuild/blob/main/";

/// Pages that mdbook makes of nothing of ours.
const MADE_BY_MDBOOK: [&str; 2] = ["404.html", "toc.html"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Lists the files below a folder that end so, by their paths below it.
fn files(folder: &Path, ending: &str) -> BTreeSet<PathBuf> {
    let (mut found, mut open) = (BTreeSet::new(), vec![folder.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a folder of the repository") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.insert(path.strip_prefix(folder).expect("below the folder").to_owned());
            }
        }
    }
    found
}

/// A book that mdbook has built: its pages, and the anchors of each.
struct Book {
    folder: tempfile::TempDir,
    pages: BTreeMap<PathBuf, String>,
    anchors: BTreeMap<PathBuf, BTreeSet<String>>,
}

impl Book {
    /// Builds the book whose `book.toml` lies in the folder.
    fn build(source: &Path) -> Self {
        let check = std::env::var("PBUILD_TEST_CHECK_JSONSCHEMA").expect("run scripts/test");
        let mdbook = Path::new(&check).with_file_name("mdbook");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = Command::new(mdbook).arg("build").arg(source).arg("--dest-dir").arg(folder.path()).output();
        let output = output.expect("mdbook, which scripts/test installs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success() && !said.contains("WARN") && !said.contains("ERROR"), "{said}");
        let names = files(folder.path(), ".html");
        let names = names.into_iter().filter(|name| MADE_BY_MDBOOK.iter().all(|made| name != Path::new(made)));
        let pages: BTreeMap<_, _> = names.map(|name| (name.clone(), read(&folder.path().join(&name)))).collect();
        let anchors = pages.iter().map(|(name, text)| (name.clone(), attributes(text, "id").collect())).collect();
        Self { folder, pages, anchors }
    }

    /// Says why a link of a page leads nowhere.
    fn fault(&self, page: &Path, link: &str) -> Option<String> {
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let target = if path.is_empty() { page.to_owned() } else { joined(page, path) };
        if !self.folder.path().join(&target).exists() {
            return Some(format!("{}: {link} names no page or file", page.display()));
        }
        let known = anchor.is_empty() || self.anchors.get(&target).is_none_or(|anchors| anchors.contains(anchor));
        (!known).then(|| format!("{}: {link} names no heading there", page.display()))
    }

    /// Lists the links that lead nowhere.
    fn faults(&self) -> Vec<String> {
        let links = self.pages.iter().flat_map(|(page, text)| attributes(text, "href").map(move |link| (page, link)));
        links
            .filter_map(
                |(page, link)| if is_elsewhere(&link) { fault_outside(page, &link) } else { self.fault(page, &link) },
            )
            .collect()
    }
}

/// Finds the values of an attribute.
fn attributes(html: &str, name: &str) -> impl Iterator<Item = String> {
    let opening = format!(" {name}=\"");
    let values: Vec<String> =
        html.split(opening.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect();
    values.into_iter()
}

fn is_elsewhere(link: &str) -> bool {
    link.contains("://") || link.starts_with("mailto:")
}

/// Says why a link to a file of the repository leads nowhere; what others host is not asked for.
fn fault_outside(page: &Path, link: &str) -> Option<String> {
    let path = link.strip_prefix(REPOSITORY)?;
    let (path, anchor) = path.split_once('#').unwrap_or((path, ""));
    let file = root().join(path);
    let known = file.exists() && (anchor.is_empty() || headings(&read(&file)).contains(anchor));
    (!known).then(|| format!("{}: {link} names no file or heading of the repository", page.display()))
}

/// The path that a link means in a page, without `..`.
fn joined(page: &Path, link: &str) -> PathBuf {
    let mut target = page.parent().map(Path::to_owned).unwrap_or_default();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => {
                target.pop();
            }
            Component::CurDir => {}
            part => target.push(part),
        }
    }
    target
}

/// The anchors of the headings of a Markdown page, as GitHub and mdbook make them.
fn headings(page: &str) -> BTreeSet<String> {
    let titles = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |title: &str| {
        let kept = title.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
    };
    titles.map(anchor).collect()
}

/// Finds the targets of a Markdown page's links; what stands in blocks of code is none.
fn links(page: &str) -> Vec<String> {
    let prose: Vec<&str> = page.split("```").step_by(2).collect();
    let prose = prose.join("\n");
    prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

#[test]
fn the_book_builds_and_no_link_or_anchor_leads_nowhere() {
    let book = Book::build(&root().join("docs"));
    let mut faults = book.faults();
    // Pages that people read beside the book, which lead into it.
    let outside = files(&root().join("examples"), ".md").into_iter().map(|page| Path::new("examples").join(page));
    let of_root =
        fs::read_dir(root()).expect("the root").map(|entry| PathBuf::from(entry.expect("an entry").file_name()));
    for page in outside.chain(of_root.filter(|name| name.extension().is_some_and(|ending| ending == "md"))) {
        for link in links(&read(&root().join(&page))).into_iter().filter(|link| !is_elsewhere(link)) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { page.clone() } else { joined(&page, path) };
            let of_book = target.strip_prefix("docs").ok().map(|page| page.with_extension("html"));
            let known = match of_book.and_then(|page| book.anchors.get(&page)) {
                Some(anchors) => anchor.is_empty() || anchors.contains(anchor),
                None if anchor.is_empty() => root().join(&target).exists(),
                None => headings(&read(&root().join(&target))).contains(anchor),
            };
            if !known {
                faults.push(format!("{}: {link} names no file or heading", page.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(book.pages.len() > 30, "the pages of the book were looked at");
}

#[test]
fn every_page_is_in_the_contents() {
    let docs = root().join("docs");
    let listed: BTreeSet<PathBuf> = links(&read(&docs.join("SUMMARY.md"))).into_iter().map(PathBuf::from).collect();
    let mut there = files(&docs, ".md");
    there.remove(Path::new("SUMMARY.md"));
    let missing: Vec<_> = there.symmetric_difference(&listed).collect();
    assert!(missing.is_empty(), "docs/SUMMARY.md and the pages differ in {missing:?}");
}

/// A prompt promises that somebody has run the line: each page that has one is read by a test that runs its commands.
#[test]
fn every_page_with_a_prompt_is_followed_by_a_test() {
    let folder = root().join("tests/tests");
    let tests = files(&folder, ".rs").into_iter().filter(|name| name != Path::new("book.rs"));
    let tests: String = tests.map(|name| read(&folder.join(name))).collect();
    let pages = files(&root().join("docs"), ".md").into_iter();
    let with_prompt = pages.filter(|page| read(&root().join("docs").join(page)).contains("```console"));
    let names: Vec<String> = with_prompt.map(|page| page.with_extension("").display().to_string()).collect();
    assert!(names.len() > 10, "{names:?}");
    let is_named = |name: &String| {
        let short = name.trim_start_matches("quickstart-");
        tests.contains(&format!("{name}.md\"")) || tests.contains(&format!("\"{short}\""))
    };
    let missing: Vec<_> = names.iter().filter(|name| !is_named(name)).collect();
    assert!(missing.is_empty(), "no test runs the commands of {missing:?}");
}

/// A page that mdbook does not know stays Markdown, and a heading that was renamed is missing.
#[test]
fn a_link_that_leads_nowhere_is_noticed() {
    let source = tempfile::tempdir().expect("a temporary folder");
    let page = "# Page\n\n[here](#page) [there](other.md#other) [gone](gone.md) [file](app.json)\n\n[renamed](other.md#former)\n\
                [ours](https://github.com/OWNER/pbuild/blob/main/LICENSE) [none](https://github.com/OWNER/pbuild/blob/main/NONE)\n";
    for (name, text) in [
        ("book.toml", "[book]\ntitle = \"A\"\nsrc = \".\"\n"),
        ("SUMMARY.md", "# Summary\n\n- [Page](page.md)\n- [Other](other.md)\n"),
        ("page.md", page),
        ("other.md", "# Other\n"),
        ("app.json", "{}\n"),
    ] {
        fs::write(source.path().join(name), text).expect("a file in a new folder");
    }
    let mut faults = Book::build(source.path()).faults();
    faults.retain(|fault| fault.starts_with("page.html"));
    let faults: Vec<&str> = faults.iter().filter_map(|fault| fault.split(' ').nth(1)).collect();
    assert_eq!(faults, ["gone.html", "other.html#former", "https://github.com/OWNER/pbuild/blob/main/NONE"]);
}

/// What the page quotes is looked for in what the tools are made of, and in their screens.
#[test]
fn the_messages_that_are_explained_are_ones_that_the_tools_print() {
    let sources = files(&root().join("crates"), ".rs").into_iter().map(|path| Path::new("crates").join(path));
    let screens = files(&root().join("tests/tests/snapshots"), ".snap").into_iter();
    let screens = screens.map(|path| Path::new("tests/tests/snapshots").join(path));
    let known: Vec<String> = sources.chain(screens).map(|path| read(&root().join(path))).collect();
    let page = read(&root().join("docs/troubleshooting.md"));
    let quoted = page.lines().filter_map(|line| line.strip_prefix("### `")).filter_map(|line| line.strip_suffix('`'));
    let mut unknown = Vec::new();
    for message in quoted {
        let mut pieces = message.split('…').map(str::trim).filter(|piece| !piece.is_empty());
        if !pieces.all(|piece| known.iter().any(|text| text.contains(piece))) {
            unknown.push(message);
        }
    }
    assert!(unknown.is_empty(), "no tool prints {unknown:#?}");
}
