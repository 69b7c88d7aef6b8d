//! Text with a grammar of its own: JSON, YAML, TOML and XML, each read by its usual parser.

use std::borrow::Cow;
use std::collections::BTreeMap;

use granit_parser::{Event, Parser};
use zeroize::Zeroizing;

use super::tree::{Node, Text};

/// The deepest nesting of YAML and XML that is read. A text that nests deeper is read as neither. (JSON and TOML keep
/// the limits of their own parsers.)
const DEEPEST: usize = 96;

/// A YAML or XML text with more values than this is not read. A text of half a megabyte only has more if it was made
/// for this.
const MOST_NODES: usize = 100_000;

/// The number of bytes that the aliases of a YAML text may copy.
const MOST_COPIED: usize = 64 * 1024;

/// Reads the values of a text that is JSON, YAML, TOML or XML as a whole.
pub(super) fn read(text: &str) -> Option<Node> {
    let trimmed = text.trim();
    match trimmed.as_bytes().first()? {
        b'{' | b'[' | b'"' if let Some(node) = json(trimmed) => Some(node),
        b'<' => xml(trimmed),
        _ => toml(trimmed).or_else(|| yaml(text)),
    }
}

/// Reads one JSON value, or several as in a log of JSON lines.
fn json(text: &str) -> Option<Node> {
    let mut nodes = Vec::new();
    for node in serde_json::Deserializer::from_str(text).into_iter::<Node>() {
        nodes.push(node.ok()?);
    }
    match nodes.len() {
        0 => None,
        1 => nodes.pop(),
        _ => Some(Node::List(nodes)),
    }
}

fn toml(text: &str) -> Option<Node> {
    text.contains('=').then(|| toml::from_str(text).ok()).flatten()
}

/// Reads a mapping or a sequence of YAML. A single scalar is not accepted as YAML, because every text is one.
fn yaml(text: &str) -> Option<Node> {
    if ![": ", ":\n", ":\r", "- "].iter().any(|mark| text.contains(mark)) && !text.trim_end().ends_with(':') {
        return None;
    }
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        builder.event(event.ok()?.0)?;
    }
    let mut documents = builder.done;
    documents.retain(|node| matches!(node, Node::List(_) | Node::Map(_)));
    match documents.len() {
        0 => None,
        1 => documents.pop(),
        _ => Some(Node::List(documents)),
    }
}

/// A builder that makes nodes of YAML's events. An alias of a text becomes this text, because its name may tell more
/// than the name at the anchor. Other aliases become [`Node::Nothing`]: their content was read already, and without
/// copies no alias can make a text grow.
#[derive(Default)]
struct Builder {
    /// The texts that have an anchor.
    anchored: BTreeMap<usize, Text>,
    /// The number of bytes that aliases copied.
    copied: usize,
    open: Vec<Open>,
    done: Vec<Node>,
    nodes: usize,
}

enum Open {
    List(Vec<Node>),
    Map(Vec<(Text, Node)>, Option<Text>),
}

impl Builder {
    fn event(&mut self, event: Event<'_>) -> Option<()> {
        match event {
            Event::Scalar(text, _, anchor, _) => {
                if anchor > 0 {
                    self.anchored.insert(anchor, Zeroizing::new(text.to_string()));
                }
                self.add(Node::text(&text))
            }
            Event::Alias(anchor) => {
                let text = self.anchored.get(&anchor).filter(|text| self.copied + text.len() <= MOST_COPIED);
                let node = text.map_or(Node::Nothing, |text| Node::text(text));
                self.copied += if let Node::Text(text) = &node { text.len() } else { 0 };
                self.add(node)
            }
            Event::SequenceStart(..) => self.open(Open::List(Vec::new())),
            Event::MappingStart(..) => self.open(Open::Map(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => {
                let node = match self.open.pop()? {
                    Open::List(nodes) => Node::List(nodes),
                    Open::Map(members, _) => Node::Map(members),
                };
                self.add(node)
            }
            _ => Some(()),
        }
    }

    fn open(&mut self, open: Open) -> Option<()> {
        (self.open.len() < DEEPEST).then(|| self.open.push(open))
    }

    fn add(&mut self, node: Node) -> Option<()> {
        self.nodes += 1;
        match self.open.last_mut() {
            None => self.done.push(node),
            Some(Open::List(nodes)) => nodes.push(node),
            Some(Open::Map(members, name)) => match name.take() {
                Some(name) => members.push((name, node)),
                // If a name is not a text, the member gets an empty name.
                None => *name = Some(if let Node::Text(text) = node { text } else { Text::default() }),
            },
        }
        (self.nodes <= MOST_NODES).then_some(())
    }
}

/// Reads XML. An element becomes a map of its attributes and child elements, with its text under the empty name; an
/// element without attributes and children becomes its text. Document type definitions are refused, because their
/// entities can make a text grow without a limit.
fn xml(text: &str) -> Option<Node> {
    if !nests_little(text) {
        return None;
    }
    let options = roxmltree::ParsingOptions { allow_dtd: false, nodes_limit: u32::try_from(MOST_NODES).ok()? };
    let document = roxmltree::Document::parse_with_options(text, options).ok()?;
    let root = document.root_element();
    Some(Node::Map(vec![(Zeroizing::new(root.tag_name().name().to_owned()), element(root))]))
}

fn element(element: roxmltree::Node<'_, '_>) -> Node {
    let named = |name: &str, node: Node| (Zeroizing::new(name.to_owned()), node);
    // In Apple's property lists, each name is an element before its value.
    if element.has_tag_name("dict") {
        let mut name = None;
        let mut members = Vec::new();
        for child in element.children().filter(roxmltree::Node::is_element) {
            if child.has_tag_name("key") {
                name = child.text().map(str::trim);
            } else {
                members.push(named(name.take().unwrap_or_default(), self::element(child)));
            }
        }
        return Node::Map(members);
    }
    let mut members: Vec<(Text, Node)> = element
        .attributes()
        .map(|attribute| named(attribute.name(), Node::text(attribute.value())))
        .chain(
            element
                .children()
                .filter(|child| child.is_element())
                .map(|child| named(child.tag_name().name(), self::element(child))),
        )
        .collect();
    let text: Cow<'_, str> = element.text().unwrap_or_default().trim().into();
    if members.is_empty() {
        return Node::text(&text);
    }
    if !text.is_empty() {
        members.push(named("", Node::text(&text)));
    }
    Node::Map(members)
}

/// Whether the elements nest no deeper than [`DEEPEST`]. They are counted without a parser, so the count may be too
/// high but never too low.
fn nests_little(text: &str) -> bool {
    let (mut depth, mut deepest) = (0_usize, 0);
    for piece in text.split('<').skip(1) {
        if piece.starts_with('/') {
            depth = depth.saturating_sub(1);
        } else if !piece.starts_with(['?', '!']) && !piece.split('>').next().is_some_and(|tag| tag.ends_with('/')) {
            depth += 1;
            deepest = deepest.max(depth);
        }
    }
    deepest <= DEEPEST
}
