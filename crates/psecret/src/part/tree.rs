//! The common result of the readers of structured text: names and texts, whatever their format was.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

/// Text that is wiped when it is dropped.
pub(super) type Text = Zeroizing<String>;

/// A value of a structured text.
pub(super) enum Node {
    /// A text, or a number as it is written.
    Text(Text),
    /// Values in order.
    List(Vec<Node>),
    /// Values under names; the same name may occur twice.
    Map(Vec<(Text, Node)>),
    /// A value that cannot be confidential: true, false, null.
    Nothing,
}

impl Node {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(Zeroizing::new(text.to_owned()))
    }

    /// Returns the text under one of the names, if the node is a map that has it.
    pub(super) fn member(&self, names: &[&str]) -> Option<&str> {
        let Self::Map(members) = self else { return None };
        members.iter().find_map(|(name, value)| match value {
            Self::Text(text) if names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted)) => Some(text.as_str()),
            _ => None,
        })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Text(Zeroizing::new(number.to_string())))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Text(Zeroizing::new(number.to_string())))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node::text(text))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Node, E> {
        Ok(Node::Text(Zeroizing::new(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some((name, node)) = map.next_entry::<String, Node>()? {
            members.push((Zeroizing::new(name), node));
        }
        Ok(Node::Map(members))
    }
}
