//! Fuzzes our own reader of Dockerfiles.

use pbuild::fuzzing;

/// Checks that instructions begin on lines of the text, in order, and contain no character that the text does not
/// contain. Other line ends or a byte order mark must change nothing. Instructions that are written again, one per
/// line, must be read as the same instructions.
pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (escape, instructions) = fuzzing::dockerfile(data);
    let count = text.split('\n').count();
    assert!(instructions.is_sorted_by(|(one, _), (other, _)| one < other), "each begins in a line of its own");
    assert!(instructions.iter().all(|(line, _)| (1..=count).contains(line)), "each begins in a line of the text");
    let mut characters = text.chars();
    let in_order = |wanted: char| characters.any(|found| found == wanted);
    assert!(instructions.iter().flat_map(|(_, text)| text.chars()).all(in_order), "nothing is made up");

    if !text.contains('\r') {
        assert_eq!(fuzzing::dockerfile(text.replace('\n', "\r\n").as_bytes()), (escape, instructions.clone()));
    }
    if !text.starts_with('\u{feff}') {
        assert_eq!(fuzzing::dockerfile(format!("\u{feff}{text}").as_bytes()), (escape, instructions.clone()));
    }
    again(escape, &instructions);
}

/// Writes the instructions again, and reads them. Instructions with a heredoc are left out, because its body is lost,
/// and so are those that end in an escape, which would continue the line.
fn again(escape: char, instructions: &[(usize, String)]) {
    let mut texts: Vec<&str> = instructions.iter().map(|(_, text)| text.as_str()).collect();
    texts.retain(|text| !text.is_empty());
    if texts.iter().any(|text| text.contains("<<") || text.ends_with(escape) || text.starts_with('#')) {
        return;
    }
    let anew = format!("# escape={escape}\n{}", texts.join("\n"));
    let (_, read) = fuzzing::dockerfile(anew.as_bytes());
    assert_eq!(read.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), texts, "{anew:?}");
}
