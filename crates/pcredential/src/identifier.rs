//! Names of roles and databases, derived from a project's name.

/// The longest name. MySQL's user names have at most 32 characters, and `_a` is appended to some names.
const LONGEST: usize = 28;
/// Names that a server reserves, or that its image uses for itself.
const RESERVED: [&str; 10] =
    ["admin", "default", "information_schema", "local", "mysql", "postgres", "public", "root", "sys", "template1"];

/// Makes the name of a role or a database from a project's name: `my-shop` becomes `my_shop`.
///
/// The name has lowercase letters, digits and `_`, begins with a letter, has at most 28 characters, and is never a
/// name that a server reserves. It therefore needs no quotes in the language of any of the servers.
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
