//! The rules for names.

/// Returns true if a text is a variable's name in every shell: `[A-Za-z_][A-Za-z0-9_]*`.
pub(crate) fn is_variable(text: &str) -> bool {
    text.len() <= 255
        && text.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
        && text.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
}

/// Returns true if a text can be a secret's name. Any name that an environment can hold is allowed, because docker
/// accepts ids such as `npm-token`.
pub(crate) fn is_secret(text: &str) -> bool {
    let forbidden = |c: char| c == '=' || c.is_whitespace() || c.is_control();
    (1..=255).contains(&text.len()) && !text.contains(forbidden)
}

/// The rule that [`is_label`] checks, as the end of "`key` must …".
pub(crate) const LABEL: &str =
    "be lower case letters, digits and `-`, begin with a letter and have at most 32 characters";

/// Returns true if a text can name a service or an init command. The name becomes a host name, and a part of volume
/// names.
pub(crate) fn is_label(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(|b| b == b'-' || b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// The rule that [`is_project`] checks.
pub(crate) const PROJECT: &str =
    "be lower case letters, digits, `-` and `_`, begin with a letter or digit and have at most 48 characters";

/// Returns true if a text can name a project. The name becomes a part of the names of networks, volumes and
/// containers.
pub(crate) fn is_project(text: &str) -> bool {
    (1..=48).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| matches!(b, b'-' | b'_') || b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// The rule that [`is_reference`] checks.
pub(crate) const REFERENCE: &str = "be an image reference such as `registry.example/shop:1.4`";

/// Returns true if a text may be an image reference. This check is rough; the engine makes the full one.
#[must_use]
pub fn is_reference(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'=')
}
