//! YAML as a plain tree in the order of the text, read within limits.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A node of the tree.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Yaml {
    Nothing,
    Boolean(bool),
    /// A text, or a number as text.
    Text(String),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

/// The error about a text that is not YAML. It holds only the position, because the parser's own message may quote
/// the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: not YAML that can be read here")]
pub(super) struct YamlError {
    line: u64,
    column: u64,
}

impl Yaml {
    /// Reads one document. Anchors and merge keys are resolved within the parser's limits.
    pub(super) fn read(text: &str) -> Result<Self, YamlError> {
        serde_saphyr::from_str(text).map_err(|error| {
            let place = error.location();
            YamlError {
                line: place.as_ref().map_or(0, |place| place.line()),
                column: place.as_ref().map_or(0, |place| place.column()),
            }
        })
    }

    /// Returns the value of a key in a map.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Returns the entries of a map. For any other node, returns no entries.
    pub(super) fn entries(&self) -> &[(String, Self)] {
        match self {
            Self::Map(entries) => entries,
            Self::Nothing | Self::Boolean(_) | Self::Text(_) | Self::List(_) => &[],
        }
    }

    /// Returns the items of a list. Any other node is returned as a list of one item, because Compose accepts a
    /// single value for a list in many places.
    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            Self::Nothing => &[],
            other => std::slice::from_ref(other),
        }
    }

    /// Returns a scalar as text.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Boolean(boolean) => Some(boolean.to_string()),
            Self::Nothing | Self::List(_) | Self::Map(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Node)
    }
}

struct Node;

impl<'de> Visitor<'de> for Node {
    type Value = Yaml;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a YAML node")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Yaml, E> {
        Ok(Yaml::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Yaml, E> {
        Ok(Yaml::Text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Yaml, E> {
        Ok(Yaml::Text(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Yaml, E> {
        Ok(Yaml::Text(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Yaml, E> {
        Ok(Yaml::Text(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Yaml, E> {
        Ok(Yaml::Text(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Yaml, E> {
        Ok(Yaml::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Nothing)
    }

    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        Yaml::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Yaml, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Yaml::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Yaml, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = access.next_entry::<Yaml, Yaml>()? {
            entries.push((key.text().unwrap_or_default(), value));
        }
        Ok(Yaml::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_numbers_anchors_and_merge_keys_survive() {
        let text = "b: &x {p: 3000, q: null}\na: {<<: *x, z: true}\nc: [1, 'two']\n";
        let yaml = Yaml::read(text).unwrap();
        let names: Vec<&str> = yaml.entries().iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["b", "a", "c"]);
        let a = yaml.get("a").unwrap();
        assert_eq!(a.get("p"), Some(&Yaml::Text("3000".into())));
        assert_eq!((a.get("z"), a.get("q")), (Some(&Yaml::Boolean(true)), Some(&Yaml::Nothing)));
        assert_eq!(yaml.get("c").unwrap().items().len(), 2);
    }

    #[test]
    fn a_text_that_is_no_yaml_is_placed_and_not_repeated_c9() {
        let error = Yaml::read("a: 1\nb: [c4n4ry-9f3b27e1\n").unwrap_err().to_string();
        assert!(!error.contains("c4n4ry") && error.starts_with("line "), "{error}");
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        assert!(Yaml::read(&text).is_err());
    }
}
