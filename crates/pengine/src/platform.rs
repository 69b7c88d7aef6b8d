//! The names of platforms, such as `linux/arm64`.

/// Returns a platform in its normal spelling. Equal platforms have equal normal spellings.
///
/// Sources: containerd/platforms (`normalizeArch`, `normalizeOS`): `aarch64` is `arm64`, and the default variant of
/// an architecture is left out, except for `arm`, which is `arm/v7`.
///
/// ```
/// assert_eq!(pengine::platform::normal("Linux/aarch64/v8"), "linux/arm64");
/// assert_eq!(pengine::platform::normal("linux/arm"), "linux/arm/v7");
/// ```
#[must_use]
pub fn normal(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    let mut parts = text.split('/').map(str::trim);
    let mut part = || parts.next().unwrap_or_default();
    let (os, architecture, variant) = (part(), part(), part());
    let os = if os == "macos" { "darwin" } else { os };
    let (architecture, variant) = match (architecture, variant) {
        ("x86_64" | "x86-64" | "amd64", "v1" | "") => ("amd64", ""),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("i386", _) => ("386", ""),
        ("aarch64" | "arm64", "8" | "v8" | "") => ("arm64", ""),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) | ("arm", "6") => ("arm", "v6"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    let parts = [os, architecture, variant];
    parts[..if variant.is_empty() { 2 } else { 3 }].join("/")
}

/// Returns whether a machine that builds for one platform can also run the programs of another one without an
/// emulator.
///
/// Sources: containerd/platforms (`platformVector`): an arm64 machine runs 32-bit arm programs, an amd64 machine runs
/// programs for `386`, and each machine runs programs for lower variants.
#[must_use]
pub fn runs(machine: &str, program: &str) -> bool {
    let (machine, program) = (normal(machine), normal(program));
    let split = |text: &str| {
        let mut parts = text.splitn(3, '/').map(str::to_owned);
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    };
    let level = |variant: &str, least: u32| variant.trim_start_matches('v').parse().unwrap_or(least);
    let ((os, own, have), (other_os, other, need)) = (split(&machine), split(&program));
    os == other_os
        && match (own.as_str(), other.as_str()) {
            ("arm", "arm") => level(&have, 7) >= level(&need, 7),
            ("amd64", "amd64") => level(&have, 1) >= level(&need, 1),
            ("amd64", "386") => true,
            ("arm64", "arm") => level(&need, 7) <= 8,
            (own, other) => own == other && have == need,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_platforms_are_equal_texts() {
        for (text, expected) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm64/", "linux/arm64"),
            ("linux/arm64/v9", "linux/arm64/v9"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("macos/arm64", "darwin/arm64"),
            ("linux/riscv64", "linux/riscv64"),
        ] {
            assert_eq!(normal(text), expected, "{text}");
            assert_eq!(normal(&normal(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_machine_runs_what_needs_less() {
        for (machine, program, expected) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/amd64", "linux/386", true),
            ("linux/386", "linux/amd64", false),
            ("linux/amd64/v3", "linux/amd64/v2", true),
            ("linux/amd64", "linux/amd64/v2", false),
            ("linux/arm64", "linux/arm/v7", true),
            ("linux/arm64", "linux/amd64", false),
            ("linux/arm/v6", "linux/arm/v7", false),
            ("linux/riscv64", "linux/riscv64", true),
            ("windows/amd64", "linux/amd64", false),
        ] {
            assert_eq!(runs(machine, program), expected, "{program} on {machine}");
        }
    }
}
