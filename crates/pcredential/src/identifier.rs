//! Names of roles and databases, made from a project's name.

/// The longest that every server takes: MySQL's user names end at 32 characters, and `_a` is added.
const LONGEST: usize = 28;
/// Names that a server reserves or that its image uses for itself.
const RESERVED: [&str; 10] =
    ["admin", "default", "information_schema", "local", "mysql", "postgres", "public", "root", "sys", "template1"];

/// Makes a role's or database's name for a project: `my-shop` becomes `my_shop`.
///
/// Lowercase letters, digits and `_`, beginning with a letter, at most 28 characters, never a name that a server
/// reserves; so it needs no quoting in any of the servers' languages.
pub(crate) fn of_project(project: &str) -> String {
    let mut name: String = project
        .chars()
        .map(|character| match character.to_ascii_lowercase() {
            lower @ ('a'..='z' | '0'..='9') => lower,
            _ => '_',
        })
        .take(LONGEST)
        .collect();
    let valid = name.starts_with(|first: char| first.is_ascii_lowercase());
    if !valid || name.starts_with("pg_") || RESERVED.contains(&name.as_str()) {
        name.insert_str(0, "app_");
        name.truncate(LONGEST);
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_stays_readable() {
        assert_eq!(of_project("shop"), "shop");
        assert_eq!(of_project("My-Shop.2"), "my_shop_2");
        assert_eq!(of_project("7up"), "app_7up");
        assert_eq!(of_project("postgres"), "app_postgres");
        assert_eq!(of_project("pg_things"), "app_pg_things");
    }

    proptest! {
        #[test]
        fn whatever_the_project_the_name_needs_no_quotes(project in ".{0,80}") {
            let name = of_project(&project);
            prop_assert!((1..=LONGEST).contains(&name.len()));
            prop_assert!(name.starts_with(|first: char| first.is_ascii_lowercase()));
            prop_assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
            prop_assert!(!RESERVED.contains(&name.as_str()));
        }
    }
}
