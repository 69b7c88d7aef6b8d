//! Tells variables that are plain configuration from credentials, by their names and values.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::{PartChoice, Parts, UserSecret};

/// Whether neither the name nor the value of a variable indicates that it is confidential.
///
/// This is the judgement by which an env file that is one secret is [taken apart](Parts): `APP_NAME=Laravel` is
/// public. `APP_KEY=…` is not public, whatever its value; a random text is not public, whatever its name.
///
/// ```
/// let value = |text: &str| psecret::UserSecret::new(text.as_bytes().to_vec());
///
/// assert!(psecret::looks_public("APP_NAME", &value("Laravel")));
/// assert!(!psecret::looks_public("DB_PASSWORD", &value("hunter2")));
/// assert!(!psecret::looks_public("ANYTHING", &value("9fKq2LmZr8Kc1Vb4NyT9")));
/// ```
#[must_use]
#[expect(clippy::disallowed_methods, reason = "door 66: a value is judged together with its name")]
pub fn looks_public(name: &str, value: &UserSecret) -> bool {
    let Ok(text) = std::str::from_utf8(value.expose()) else { return false };
    let Ok(document) = serde_json::to_vec(&BTreeMap::from([(name, text)])).map(Zeroizing::new) else { return false };
    let parts = Parts::of(&UserSecret::new(document.to_vec()), &PartChoice::All);
    parts.is_empty() && parts.unsearched().is_empty() && parts.left_out() == 0 && !parts.is_cut()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(entry: &str) -> bool {
        let (name, value) = entry.split_once('=').unwrap();
        looks_public(name, &UserSecret::new(value.as_bytes().to_vec()))
    }

    #[test]
    fn what_frameworks_write_into_env_files_is_told_from_credentials() {
        for entry in [
            "APP_NAME=Laravel",
            "APP_ENV=local",
            "APP_DEBUG=true",
            "APP_URL=http://localhost",
            "LOG_CHANNEL=stack",
            "DB_CONNECTION=mysql",
            "DB_HOST=127.0.0.1",
            "DB_PORT=3306",
            "DB_DATABASE=laravel",
            "DB_USERNAME=root",
            "REDIS_CLIENT=phpredis",
            "MAIL_FROM_ADDRESS=hello@example.com",
            "AWS_DEFAULT_REGION=us-east-1",
            "VITE_APP_NAME=${APP_NAME}",
            "RAILS_ENV=production",
            "DJANGO_SETTINGS_MODULE=shop.settings.production",
            "ALLOWED_HOSTS=shop.example,www.shop.example",
            "NEXT_PUBLIC_API_URL=https://api.shop.example/v1",
            "SESSION_LIFETIME=120",
        ] {
            assert!(public(entry), "{entry}");
        }
        for entry in [
            "APP_KEY=base64:Zr8Kc1Vb4NyT9xWq2Lm5Zr8Kc1Vb4NyT9xWq2Lm5abc=",
            "DB_PASSWORD=hunter2",
            "DB_PASSWORD=password",
            "SECRET_KEY_BASE=short",
            "DJANGO_SECRET_KEY=django-insecure-abc",
            "SETTING=9fKq2LmZr8Kc1Vb4NyT9",
            // A password that anybody could guess is still a password.
            "DATABASE_URL=postgres://app:app@db/app",
            "DATABASE_URL=postgres://shop:p4ss-9fKq2LmZr8@db:5432/shop",
            "GREETING=-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----\n",
        ] {
            assert!(!public(entry), "{entry}");
        }
    }

    #[test]
    fn what_is_no_text_is_not_public() {
        assert!(!looks_public("NAME", &UserSecret::new(vec![0xff; 9])));
    }
}
