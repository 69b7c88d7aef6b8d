//! Writes platforms as docker does.

use bollard_buildkit_proto::pb;

/// Writes a platform as docker does, such as `linux/amd64` or `linux/arm/v7`.
#[must_use]
pub fn platform_text(platform: &pb::Platform) -> String {
    let mut text = format!("{}/{}", platform.os, platform.architecture);
    if !platform.variant.is_empty() {
        text.push('/');
        text.push_str(&platform.variant);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_written_where_there_is_one() {
        let platform = |variant: &str| pb::Platform {
            os: "linux".into(),
            architecture: "arm".into(),
            variant: variant.into(),
            ..pb::Platform::default()
        };
        assert_eq!(platform_text(&platform("")), "linux/arm");
        assert_eq!(platform_text(&platform("v7")), "linux/arm/v7");
    }
}
