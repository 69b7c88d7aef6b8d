//! Dockerfiles, as far as the product reads them itself.

use pbuild::fuzzing;

/// Instructions begin in lines of the text, one after the other, and hold nothing that the text does not hold. The ends
/// of lines and a byte order mark change nothing, and instructions that are written anew, a line each, are the same
/// instructions.
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

/// Writes the instructions anew and reads them again. A heredoc's body is gone, and an escape that ended the text would
/// continue the line, so these cannot be written anew.
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
