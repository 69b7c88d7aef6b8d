//! Judges whether a text is confidential: by the name before it, or by how hard it is to guess.

mod random;

/// The judgement of a text by the name before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// The text is confidential.
    Confidential,
    /// The text is not confidential: a user, an address, a certificate, the id of a key.
    Public,
    /// The name says neither, so the text itself must be judged.
    Silent,
}

/// Words that make a name public wherever they occur in it, because they name the halves of keys that everybody may
/// have.
const PUBLIC_ANYWHERE: &[&str] = &[
    "public",
    "publishable",
    "pub",
    "certificate",
    "certificates",
    "cert",
    "certs",
    "crt",
    "fingerprint",
    "thumbprint",
    "modulus",
    "digest",
    "checksum",
    "integrity",
];

/// Words that make a name public at its end, whatever precedes them: `token_uri`, `private_key_id`.
const PUBLIC_AT_THE_END: &[&str] = &[
    "account",
    "address",
    "alg",
    "algorithm",
    "arn",
    "aud",
    "audience",
    "bucket",
    "ca",
    "class",
    "comment",
    "commit",
    "count",
    "created",
    "database",
    "date",
    "db",
    "dbname",
    "description",
    "domain",
    "driver",
    "email",
    "enabled",
    "endpoint",
    "env",
    "etag",
    "exp",
    "expiration",
    "expires",
    "expiry",
    "field",
    "file",
    "filename",
    "format",
    "group",
    "hint",
    "host",
    "hostname",
    "id",
    "ids",
    "image",
    "ip",
    "iss",
    "issuer",
    "kid",
    "kind",
    "label",
    "language",
    "length",
    "level",
    "lifetime",
    "locale",
    "login",
    "machine",
    "mail",
    "method",
    "mode",
    "name",
    "namespace",
    "path",
    "platform",
    "plugin",
    "policy",
    "port",
    "profile",
    "project",
    "protocol",
    "provider",
    "realm",
    "ref",
    "region",
    "registry",
    "repository",
    "required",
    "revision",
    "role",
    "scheme",
    "scope",
    "scopes",
    "server",
    "sha",
    "sha1",
    "sha256",
    "sha512",
    "size",
    "source",
    "status",
    "subject",
    "tag",
    "tenant",
    "time",
    "timeout",
    "timestamp",
    "title",
    "ttl",
    "type",
    "updated",
    "uri",
    "url",
    "user",
    "username",
    "uuid",
    "version",
    "x5c",
    "x5t",
    "zone",
];

/// Words that make a name confidential, also within a longer word (`PGPASSWORD`).
const CONFIDENTIAL: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "apikey",
    "authtoken",
    "accesstoken",
    "privatekey",
    "secretkey",
    "accesskey",
    "clientkey",
    "accountkey",
    "signingkey",
    "encryptionkey",
    "masterkey",
    "sessionkey",
    "sharedkey",
    "deploykey",
    "licensekey",
    "appkey",
    "sshkey",
    "servicekey",
    "tlskey",
    "credential",
    "webhook",
    "token",
];

/// Words that make a name confidential if they are whole words of it.
const CONFIDENTIAL_ALONE: &[&str] = &[
    "pass",
    "pwd",
    "passcode",
    "auth",
    "authorization",
    "bearer",
    "cookie",
    "jwt",
    "pat",
    "psk",
    "otp",
    "mnemonic",
    "requirepass",
    "masterauth",
];

/// Judges a name.
pub(super) fn name(name: &str) -> Naming {
    let words = words(name);
    let (Some(last), joined) = (words.last(), words.concat()) else { return Naming::Silent };
    let is = |list: &[&str], word: &String| list.contains(&word.as_str());
    // The `secret_id` is the confidential half of an AppRole's login, although its name ends in `id`.
    if joined.ends_with("secretid") {
        return Naming::Confidential;
    }
    if words.iter().any(|word| is(PUBLIC_ANYWHERE, word)) || is(PUBLIC_AT_THE_END, last) {
        return Naming::Public;
    }
    if CONFIDENTIAL.iter().any(|word| joined.contains(word)) || words.iter().any(|word| is(CONFIDENTIAL_ALONE, word)) {
        return Naming::Confidential;
    }
    Naming::Silent
}

/// Splits a name into words in lower case, at characters other than letters and digits, and before the capitals of
/// camel case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut small = false;
    for character in name.chars().take(256) {
        let begins = character.is_ascii_uppercase() && small;
        if (!character.is_ascii_alphanumeric() || begins) && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if character.is_ascii_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.push(character.to_ascii_lowercase());
        }
        small = character.is_ascii_lowercase() || character.is_ascii_digit();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether a text under a confidential name can be a credential, and is not a switch, an address or a placeholder
/// that is filled in later.
pub(super) fn may_be_confidential(text: &str) -> bool {
    let text = text.trim();
    let is_url = text.contains("://") && !text.contains('@') && !has_unguessable_piece(text);
    !(is_url
        || is_wordy_path(text)
        || is_placeholder(text)
        || is_media_type(text)
        || is_date(text)
        || is_access_key_id(text)
        || text.starts_with("arn:"))
}

/// Whether a text without a telling name is so hard to guess that it must be a credential.
pub(super) fn is_unguessable(text: &str) -> bool {
    const SHORTEST: usize = 16;
    const LONGEST: usize = 8192;
    let text = text.trim();
    if !(SHORTEST..=LONGEST).contains(&text.len()) || !text.bytes().all(is_of_tokens) {
        return false;
    }
    let is_public = is_uuid(text)
        || is_host(text)
        || is_wordy_path(text)
        || is_placeholder(text)
        || is_media_type(text)
        || is_digest(text)
        || is_access_key_id(text)
        || text.starts_with("arn:")
        || text.contains("://")
        || text.contains('@');
    !is_public && is_random(text)
}

/// Whether a piece of an address is unguessable, such as the path of a webhook or a signature in its query.
pub(super) fn has_unguessable_piece(address: &str) -> bool {
    address.split(['/', '?', '&', '=', ':', '@']).any(is_unguessable)
}

fn is_of_tokens(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=_~.-:".contains(&byte)
}

/// Whether a text has none of the patterns that names have.
fn is_random(text: &str) -> bool {
    let has = |class: fn(&u8) -> bool| text.bytes().any(|byte| class(&byte));
    let (small, capital, digit) = (has(u8::is_ascii_lowercase), has(u8::is_ascii_uppercase), has(u8::is_ascii_digit));
    let count = text.bytes().filter(u8::is_ascii_alphanumeric).count();
    match (small, capital) {
        // Short camel-case names look random, so a text with letters of both cases must be longer than one with
        // digits, too.
        (true, true) if digit => count >= 16 && random::is_mixed_at_random(text),
        (true, true) => text.len() >= 20 && random::is_mixed_at_random(text),
        (true, false) | (false, true) if digit => random::is_hex_at_random(text) || count >= 20 && alternates(text),
        _ => false,
    }
}

/// Whether letters and digits alternate in the longest piece between other characters, if this piece has at least 16:
/// in names they rarely do, in random text all the time.
fn alternates(text: &str) -> bool {
    let pieces = text.as_bytes().split(|byte| !byte.is_ascii_alphanumeric());
    let Some(longest) = pieces.max_by_key(|piece| piece.len()).filter(|piece| piece.len() >= 16) else { return false };
    let changes = longest.windows(2).filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit()).count();
    changes * 4 >= longest.len()
}

/// Whether a text that is a password by its place only can be a password: not a word, a group or a version.
pub(super) fn may_be_password(text: &str) -> bool {
    let has = |class: fn(&u8) -> bool| text.bytes().any(|byte| class(&byte));
    text.len() >= 8 && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic) && may_be_confidential(text)
}

/// Whether the value after a name and a blank may be a password or a login.
pub(super) fn may_hold_password(name: &str) -> bool {
    self::name(name) == Naming::Confidential || may_name_login(name)
}

/// Whether a name is one under which some programs keep the user's name, and others `user:password`.
pub(super) fn may_name_login(name: &str) -> bool {
    let words = words(name);
    let is_user = words.last().is_some_and(|last| ["user", "username", "login", "userpwd"].contains(&last.as_str()));
    // The latter is Bundler's syntax, such as `BUNDLE_GEMS__EXAMPLE__COM`.
    is_user || name.starts_with("BUNDLE_") && name.contains("__")
}

fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.trim_matches(['{', '}']).split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|b| b.is_ascii_hexdigit() || b"-{}".contains(&b))
}

/// Whether a text is the name of a host, perhaps with a port or a path: labels with dots between them, the last of
/// letters only.
pub(super) fn is_host(text: &str) -> bool {
    let host = text.split(['/', ':']).next().unwrap_or_default();
    let Some((_, top)) = host.rsplit_once('.') else { return false };
    (2..=24).contains(&top.len())
        && top.bytes().all(|b| b.is_ascii_lowercase())
        && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b))
}

/// Whether a text is a path: it begins with a slash, a dot, a tilde or a drive, and its pieces are words.
fn is_wordy_path(text: &str) -> bool {
    let begins = text.starts_with(['/', '~', '.']) || text.get(1..3).is_some_and(|drive| drive == ":\\");
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/\\~._-: ".contains(&b));
    begins && text.contains(['/', '\\']) && plain && !is_random(text)
}

/// Whether a text is a placeholder that another program fills in, such as `${NAME}`, `$NAME`, `{{ name }}`, `<name>`
/// and `%NAME%`, or is masked, such as `***`.
fn is_placeholder(text: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    (text.starts_with("${") && text.ends_with('}'))
        || (text.starts_with("$(") && text.ends_with(')'))
        || text.strip_prefix('$').is_some_and(is_name)
        || (text.starts_with("{{") && text.ends_with("}}"))
        || (text.starts_with("<%") && text.ends_with("%>"))
        || (text.starts_with('<') && text.ends_with('>') && !text.contains(char::is_whitespace))
        || text.strip_prefix('%').and_then(|rest| rest.strip_suffix('%')).is_some_and(is_name)
        || (!text.is_empty() && (text.bytes().all(|b| b == b'*') || text.bytes().all(|b| b"xX".contains(&b))))
        || ["env:", "ENV[", "secret://", "secretref:", "op://", "vault:", "!reference"]
            .iter()
            .any(|head| text.starts_with(head))
}

fn is_media_type(text: &str) -> bool {
    const KINDS: [&str; 9] =
        ["application", "audio", "font", "image", "message", "model", "multipart", "text", "video"];
    text.split_once('/').is_some_and(|(kind, _)| KINDS.contains(&kind))
}

fn is_digest(text: &str) -> bool {
    ["sha1:", "sha256:", "sha384:", "sha512:", "md5:", "sha1-", "sha256-", "sha384-", "sha512-", "SHA256:", "MD5:"]
        .iter()
        .any(|head| text.contains(head))
}

/// Whether a text is the id of an AWS key: such ids look like secrets but are public.
fn is_access_key_id(text: &str) -> bool {
    text.len() == 20
        && ["AKIA", "ASIA", "AROA", "AIDA"].iter().any(|head| text.starts_with(head))
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 10
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && bytes.iter().all(|b| b.is_ascii_digit() || b"-:TZ.+ ".contains(b))
}

/// Whether each line of a text is a public SSH key.
pub(super) fn is_public_key(text: &str) -> bool {
    const KINDS: [&str; 5] = ["ssh-rsa ", "ssh-dss ", "ssh-ed25519 ", "ecdsa-sha2-", "sk-"];
    !text.trim().is_empty()
        && text.trim().lines().all(|line| KINDS.iter().any(|kind| line.starts_with(kind) && line.contains("AAAA")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_is_confidential() {
        for confidential in [
            "password",
            "DB_PASSWORD",
            "PGPASSWORD",
            "passwd",
            "pwd",
            "_authToken",
            "_auth",
            "private_key",
            "privateKey",
            "aws_secret_access_key",
            "api_key",
            "apiKey",
            "API-KEY",
            "client-key-data",
            "tls.key",
            "auth",
            "ClearTextPassword",
            "//registry.example/:_authToken",
            "oauth_token",
            "secret_id",
            "Authorization",
            "APP_KEY",
        ] {
            assert_eq!(name(confidential), Naming::Confidential, "{confidential}");
        }
        for public in [
            "client_email",
            "type",
            "region",
            "AWS_REGION",
            "host",
            "user",
            "username",
            "private_key_id",
            "client_id",
            "token_uri",
            "auth_uri",
            "client-certificate-data",
            "certificate-authority-data",
            "public_key",
            "publicKey",
            "aws_access_key_id",
            "project_id",
            "password_file",
            "secretName",
            "token_type",
            "auth_provider_x509_cert_url",
            "modulus",
            "kid",
            "tokenExpiry",
        ] {
            assert_eq!(name(public), Naming::Public, "{public}");
        }
        for silent in ["key", "value", "APP_DEBUG", "data", "text"] {
            assert_eq!(name(silent), Naming::Silent, "{silent}");
        }
    }

    #[test]
    fn random_text_is_told_from_names_of_things() {
        for random in [
            "ghp_9fKq2LmZr8Kc1Vb4NyT9xWq2LmKq",
            "9fkq2lmzr8kc1vb4nyt9x",
            "q7Xz1K9vB2m4N6p8/Rt3Yw5Ua+Tg==",
            "3f786850e387550fdab836ed7e6dc881",
            "sk_live_51H8x2LmZr8Kc1Vb4NyT9xWq2",
        ] {
            assert!(is_unguessable(random), "{random}");
        }
        for plain in [
            "7f3c2a10-9b1d-4c2e-8f00-1a2b3c4d5e6f",
            "registry.internal.example.com:5000/team/app",
            "/usr/lib/x86_64-linux-gnu",
            "application/vnd.oci.image.manifest.v1+json",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "AKIAQ7XZ1K9VB2M4N6P8",
            "eu-central-1-production",
            "OAuth2ClientCredentialsGrant",
            "2024-01-01T00:00:00Z",
            "debian-bookworm-20240101-slim",
            "ci@project.iam.gserviceaccount.com",
            "https://www.googleapis.com/oauth2/v1/certs",
            "spring.datasource.hikari.maximumPoolSize",
            "ThisIsAnOrdinaryCamelCaseName",
        ] {
            assert!(!is_unguessable(plain), "{plain}");
        }
    }

    #[test]
    fn what_is_filled_in_later_is_no_secret() {
        for later in [
            "${NPM_TOKEN}",
            "$NPM_TOKEN",
            "{{ token }}",
            "<token>",
            "%TOKEN%",
            "********",
            "/run/secrets/db_password",
            "https://oauth2.googleapis.com/token",
            "application/json",
        ] {
            assert!(!may_be_confidential(later), "{later}");
        }
        for now in
            ["p4ss-9fKq2LmZr8", "correct.horse.battery", "$2b$12$abcdefghijklmnop", "/9fKq2LmZr8Kc1Vb4/NyT9xWq2LmKq=="]
        {
            assert!(may_be_confidential(now), "{now}");
        }
    }
}
