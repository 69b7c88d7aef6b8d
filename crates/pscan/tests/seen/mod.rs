//! The forms of one secret that are found in a text.

use pscan::{NeedleSet, NeedleSetBuilder, Searcher};
use psecret::{SecretName, UserSecret};

pub(crate) fn needles(value: &[u8]) -> NeedleSet {
    let name = SecretName::parse("SECRET").expect("a name");
    NeedleSetBuilder::new().secret(&name, &UserSecret::new(value.to_vec())).build().expect("few forms")
}

/// Lists the forms that are found in a text that arrives in chunks.
pub(crate) fn seen(needles: &NeedleSet, text: &[u8], chunk: usize) -> Vec<&'static str> {
    let mut searcher = Searcher::new(needles);
    let mut forms = Vec::new();
    for piece in text.chunks(chunk) {
        searcher.push(piece, &mut |hit| forms.push(hit.form().machine_name()));
    }
    searcher.finish(&mut |hit| forms.push(hit.form().machine_name()));
    forms.sort_unstable();
    forms.dedup();
    forms
}
