//! Says how to invalidate a leaked value, for the known kinds of tokens.

use pscan::{Finding, Place};

/// The kinds that are known by a secret's name: words of the name, in the order of precedence, and the way to a new
/// value.
const BY_NAME: &[(&[&str], &str)] = &[
    (&["NPM", "NODE_AUTH"], "npm: delete the token below Access Tokens on npmjs.com, or with `npm token revoke`"),
    (&["GITHUB", "GH"], "GitHub: Settings, Developer settings, Personal access tokens; delete it there"),
    (&["GITLAB", "CI_JOB"], "GitLab: Access tokens of the user, the project or the group; revoke it there"),
    (&["BITBUCKET"], "Bitbucket: revoke it below the access tokens of the repository or the workspace"),
    (&["PYPI", "TWINE", "UV_PUBLISH", "POETRY_PYPI_TOKEN"], "PyPI: Account settings, API tokens; remove it there"),
    (&["CARGO_REGISTRY", "CARGO_REGISTRIES", "CRATES"], "crates.io: Account Settings, API Tokens; revoke it there"),
    (&["RUBYGEMS", "GEM_HOST"], "RubyGems: Settings, API keys on rubygems.org; delete it there"),
    (&["NUGET"], "NuGet: API Keys on nuget.org; delete it there"),
    (&["DOCKERHUB", "DOCKER"], "Docker Hub: Account settings, Personal access tokens; delete it there"),
    (&["AWS"], "AWS: `aws iam create-access-key`, then `aws iam delete-access-key` for the old one"),
    (&["AZURE", "ARM_CLIENT"], "Azure: App registrations, Certificates & secrets; delete it there"),
    (&["GOOGLE", "GCP", "GCLOUD", "FIREBASE"], "Google Cloud: IAM, Service accounts, Keys; delete it there"),
    (&["STRIPE"], "Stripe: Developers, API keys in the dashboard; roll the key there"),
    (&["SLACK"], "Slack: the app's own page on api.slack.com, OAuth & Permissions; revoke it there"),
    (&["OPENAI"], "OpenAI: API keys on platform.openai.com; delete it there"),
    (&["ANTHROPIC"], "Anthropic: API keys in the console; delete it there"),
    (&["HF", "HUGGINGFACE", "HUGGING_FACE"], "Hugging Face: Settings, Access Tokens; delete it there"),
    (&["SENTRY"], "Sentry: Settings, Auth Tokens; revoke it there"),
    (&["SENDGRID"], "SendGrid: Settings, API Keys; delete it there"),
    (&["TWILIO"], "Twilio: Account, API keys & tokens in the console; make a new one there"),
    (&["CLOUDFLARE", "CF"], "Cloudflare: My Profile, API Tokens; roll it there"),
    (&["DIGITALOCEAN"], "DigitalOcean: API, Tokens in the control panel; delete it there"),
    (&["VERCEL"], "Vercel: Account Settings, Tokens; delete it there"),
    (&["NETLIFY"], "Netlify: User settings, Applications, Personal access tokens; delete it there"),
    (&["HEROKU"], "Heroku: `heroku authorizations:revoke`"),
    (&["FLY"], "Fly.io: `fly tokens revoke`"),
    (&["COMPOSER_AUTH"], "Composer: it may hold several tokens; revoke each of them where it was made"),
    (&["BUNDLE"], "Bundler: revoke it at the server of the gems, and make a new one"),
    (&["SECRET_KEY_BASE"], "Rails: `bin/rails secret` makes a new one; every session ends"),
    (&["RAILS_MASTER_KEY"], "Rails: make new credentials with a new key, and change every value that they held"),
    (&["APP_KEY"], "Laravel: `php artisan key:generate`; put the old key into APP_PREVIOUS_KEYS to read old data"),
    (
        &["SECRET_KEY", "DJANGO"],
        "Django: set a new one, with the old one in SECRET_KEY_FALLBACKS until sessions have ended",
    ),
    (
        &["DATABASE_URL", "DB", "PG", "PGPASSWORD", "POSTGRES", "MYSQL", "MARIADB", "MONGO", "MONGODB", "REDIS"],
        "database: change the password of this user in the server",
    ),
];

/// Returns a sentence, without its full stop, about where the value of a leaked secret is invalidated and replaced.
/// The kind is known by the secret's name, or by a file that only one kind of tool writes. The value itself is not
/// examined.
#[must_use]
pub fn revocation(finding: &Finding) -> &'static str {
    let name = finding.secret().as_str().to_ascii_uppercase();
    by_name(&name)
        .or_else(|| by_file(finding.place()))
        .or_else(|| by_ending(&name))
        .unwrap_or("revoke it where it was made, and make a new one")
}

fn by_name(name: &str) -> Option<&'static str> {
    let name = format!("_{name}_");
    let known = BY_NAME.iter().find(|(words, _)| words.iter().any(|word| name.contains(&format!("_{word}_"))));
    known.map(|(_, way)| *way)
}

fn by_file(place: &Place) -> Option<&'static str> {
    let (folder, file) = place.path()?.rsplit_once('/').unwrap_or(("", place.path()?));
    match file {
        ".npmrc" | ".yarnrc.yml" => Some("package registry: revoke the token there, and make a new one"),
        ".pypirc" | "pip.conf" => Some("package index: revoke the token there, and make a new one"),
        ".git-credentials" | ".netrc" | ".gitmodules" => Some("git: revoke the token at the host of the repository"),
        "config" if folder.ends_with("/.git") => Some("git: revoke the token at the host of the repository"),
        "config.json" if folder.ends_with("/.docker") => Some("registry: revoke the token there, and make a new one"),
        _ if folder.ends_with("/.ssh") => {
            Some("SSH: remove the public key wherever it is accepted, and make a new pair with `ssh-keygen`")
        }
        _ => None,
    }
}

fn by_ending(name: &str) -> Option<&'static str> {
    match name.rsplit('_').next()? {
        "PASSWORD" | "PASS" | "PASSPHRASE" | "PWD" => Some("change the password where it is checked"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_known_by_whole_words_of_the_name() {
        let kind = |name: &str| by_name(name).and_then(|way| way.split(':').next());
        for (name, expected) in [
            ("NPM_TOKEN", Some("npm")),
            ("MY_GITHUB_PAT", Some("GitHub")),
            ("AWS_SECRET_ACCESS_KEY", Some("AWS")),
            ("APP_KEY", Some("Laravel")),
            ("DJANGO_SECRET_KEY", Some("Django")),
            ("SECRET_KEY_BASE", Some("Rails")),
            ("DB_PASSWORD", Some("database")),
            ("PGPASSWORD", Some("database")),
            ("TOKEN", None),
            ("HIGHNPMISH", None),
            ("GHOST_KEY", None),
        ] {
            assert_eq!(kind(name), expected, "{name}");
        }
    }
}
