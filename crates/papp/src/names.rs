//! Which names are taken where.

/// Whether a text is a variable's name as every shell reads it: `[A-Za-z_][A-Za-z0-9_]*`.
pub(crate) fn is_variable(text: &str) -> bool {
    text.len() <= 255
        && text.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
        && text.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
}

/// Whether a text can be a secret's name: any name that an environment can carry, for docker takes ids like
/// `npm-token`.
pub(crate) fn is_secret(text: &str) -> bool {
    let forbidden = |c: char| c == '=' || c.is_whitespace() || c.is_control();
    (1..=255).contains(&text.len()) && !text.contains(forbidden)
}

/// The rule of [`is_label`].
pub(crate) const LABEL: &str =
    "be lower case letters, digits and `-`, begin with a letter and have at most 32 characters";

/// Whether a text can name a service or an init command: the name becomes a host name and part of volume names.
pub(crate) fn is_label(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(|b| b == b'-' || b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// The rule of [`is_project`].
pub(crate) const PROJECT: &str =
    "be lower case letters, digits, `-` and `_`, begin with a letter or digit and have at most 48 characters";

/// Whether a text can name a project: the name becomes part of network, volume and container names.
pub(crate) fn is_project(text: &str) -> bool {
    (1..=48).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| matches!(b, b'-' | b'_') || b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// The rule of [`is_reference`].
pub(crate) const REFERENCE: &str = "be an image reference such as `registry.example/shop:1.4`";

/// Whether an image reference may be meant; the engine has the last word.
#[must_use]
pub fn is_reference(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'=')
}
