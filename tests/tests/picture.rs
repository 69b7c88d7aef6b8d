//! The README's picture shows what pbuild prints today: it is drawn anew, and compared.

use std::fs;
use std::path::{Path, PathBuf};

use ptest::{Engine, Flavour, Scene};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns a picture's text, and the style of each of its pieces, with everything masked that differs from run to run. The line
/// of the base image is left out: it comes first or last, as BuildKit happens to end with it, and
/// another build of the engine may have given it its number.
fn shown(scene: &Scene, picture: &Path) -> (Vec<String>, Vec<String>) {
    let screen = scene.tool("/bin/cat").arg(picture).run().expect_code(0).screen(&[]);
    let (_, text) = screen.split_once("<desc id=\"text\">").expect("the text");
    let (text, drawn) = text.split_once("</desc>").expect("the end of the text");
    let line = |line: &str| line.trim_end_matches("<time>").trim_end_matches("cached").trim_end().to_owned();
    let piece = |piece: &str| {
        let (place, text) = piece.split_once('>')?;
        let class = place.split_once("class=\"").map_or("", |(_, rest)| rest.trim_end_matches('"'));
        Some(format!("{class}: {}", text.split_once("</text>")?.0))
    };
    let is_base =
        |piece: &String| piece.contains(" FROM ") || piece.ends_with(": cached") || piece.ends_with(": <time>");
    let pieces = drawn.split("<text ").skip(1).filter_map(piece).filter(|piece| !is_base(piece));
    let text = text.lines().map(line).filter(|line| !line.contains("] FROM "));
    (text.collect(), pieces.collect())
}

#[test]
fn the_picture_of_the_readme_is_what_pbuild_prints() {
    let engine = Engine::get(Flavour::Modern);
    let scene = Scene::on(&engine);
    let fresh = scene.project().join("leak.svg");
    let binaries = ptest::binaries();
    let drawn = scene.tool(root().join("scripts/picture")).arg(&fresh).env("PBUILD_TEST_BINARIES", binaries).run();
    drawn.expect_code(0);
    let (text, pieces) = shown(&scene, &fresh);
    let (known, known_pieces) = shown(&scene, &root().join("docs/leak.svg"));
    assert_eq!(text, known, "scripts/picture draws it anew");
    assert_eq!(pieces, known_pieces, "scripts/picture draws it anew");
    for line in ["bold bad: error", "advice: help", "dim: exit code 10"] {
        assert!(pieces.iter().any(|piece| piece.starts_with(line)), "{line}: {pieces:?}");
    }
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    assert!(readme.contains("](docs/leak.svg)"), "the README shows it");
    let picture = fs::read_to_string(root().join("docs/leak.svg")).expect("the picture");
    assert!(picture.contains("prefers-color-scheme: dark"), "it follows the reader's scheme");
}
