//! Takes a value apart: undoes its wrappings, and finds the leaves of its format.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use zeroize::Zeroizing;

use super::judge::{self, Naming};
use super::key::{self, Key, Number};
use super::tree::{Node, Text};
use super::{address, lines, program, structure, wrapping};
use crate::Searchability;
use crate::value::LONGEST_SECRET;

/// The deepest level to which a value is taken apart; each wrapping and each text within a text is one level.
const DEEPEST: usize = 6;

/// The number of bytes that are read of one value at all its levels together. No text that people write comes near
/// it.
const MOST_READ: usize = 24 * LONGEST_SECRET;

/// The least cost of each look, in bytes, so that a value of very many small texts also ends.
const LEAST_READ: usize = 64;

/// The maximal number of parts that are searched for; further parts are only counted.
pub(super) const MOST_PARTS: usize = 64;

/// A part that was found.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) value: Zeroizing<Vec<u8>>,
    /// Whether each line of the part identifies it; false if the part contains lines of public text.
    pub(super) lines_tell: bool,
}

/// The kind of content that a text was found to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Content {
    /// The text has no format that we can read.
    Opaque,
    /// The text has a readable format and holds nothing confidential.
    Public,
    /// The text is a private key and nothing else.
    Key,
    /// The text has a readable format and holds confidential parts among others.
    Mixed,
}

impl Content {
    fn is_confidential(self) -> bool {
        matches!(self, Self::Key | Self::Mixed)
    }
}

/// Whether the text that is being read is itself confidential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The text is secret: the value, or the text of a confidential name.
    Secret,
    /// The text may be secret: its leaves must show it.
    Ordinary,
}

/// The position of a text: its path, from which the part's name is made, and its level.
#[derive(Clone, Copy)]
struct Spot<'a> {
    path: &'a [String],
    depth: usize,
    standing: Standing,
}

impl<'a> Spot<'a> {
    fn deeper(self, standing: Standing) -> Self {
        Self { depth: self.depth + 1, standing, ..self }
    }

    fn at(self, path: &'a [String]) -> Self {
        Self { path, ..self }
    }
}

/// The state of taking one value apart.
pub(super) struct Taker<'a> {
    whole: &'a [u8],
    pub(super) found: Vec<Found>,
    /// The names of the parts that are too short or too common to be searched for, with the reason.
    pub(super) unprotected: Vec<(String, Searchability)>,
    /// Texts that anybody may know.
    public: Vec<Text>,
    left: usize,
    /// The digests of the parts that are not searched for because of [`MOST_PARTS`], so that each is counted once.
    left_out: BTreeSet<u64>,
    /// Whether the reading stopped before the value's end, at a limit.
    pub(super) cut: bool,
}

impl<'a> Taker<'a> {
    pub(super) fn new(whole: &'a [u8]) -> Self {
        Self {
            whole,
            found: Vec::new(),
            unprotected: Vec::new(),
            public: Vec::new(),
            left: MOST_READ,
            left_out: BTreeSet::new(),
            cut: false,
        }
    }

    /// Takes the whole value apart.
    pub(super) fn run(&mut self) -> Content {
        self.look(self.whole, Spot { path: &[], depth: 0, standing: Standing::Secret })
    }

    /// Removes the parts that are the same as a public text of the value, such as a password that is the user's name.
    /// Returns their names.
    pub(super) fn guessable(&mut self) -> Vec<String> {
        let public = std::mem::take(&mut self.public);
        let mut names = Vec::new();
        self.found.retain(|part| {
            let value = part.value.trim_ascii();
            let guessable = public.iter().any(|text| text.trim().as_bytes().eq_ignore_ascii_case(value));
            if guessable {
                names.push(part.name.clone());
            }
            !guessable
        });
        names
    }

    /// Returns the number of parts beyond those that were found.
    pub(super) fn left_out(&self) -> usize {
        self.left_out.len()
    }

    fn look(&mut self, bytes: &[u8], spot: Spot<'_>) -> Content {
        if spot.depth > DEEPEST {
            return Content::Opaque;
        }
        match self.left.checked_sub(bytes.len() + LEAST_READ) {
            Some(left) => self.left = left,
            None => {
                self.cut = true;
                return Content::Opaque;
            }
        }
        if let Some(content) = wrapping::unpacked(bytes) {
            return self.unwrapped(&content, "unpacked", true, spot);
        }
        match key::read(bytes) {
            Some(Key::Public) => return Content::Public,
            Some(Key::Private(numbers)) => return self.numbers(numbers, spot.path),
            None => {}
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text(text.strip_prefix('\u{feff}').unwrap_or(text), spot),
            Err(_) => Content::Opaque,
        }
    }

    fn text(&mut self, text: &str, spot: Spot<'_>) -> Content {
        let trimmed = text.trim();
        if trimmed.is_empty() || judge::is_public_key(trimmed) {
            return Content::Public;
        }
        let (blocks, among_others) = if text.contains("-----BEGIN ") { key::pem(text) } else { (Vec::new(), true) };
        if !among_others {
            return self.blocks(blocks, spot, among_others);
        }
        let numbers = key::putty(text).unwrap_or_else(|| key::listed(text));
        if !numbers.is_empty() {
            self.numbers(numbers, spot.path);
            return Content::Mixed;
        }
        if let Some(inside) = wrapping::unquoted(trimmed)
            && program::table(text).is_empty()
        {
            let meant = serde_json::from_str::<String>(trimmed).map(Zeroizing::new);
            let inside = meant.as_ref().map_or(inside, |meant| meant.as_str());
            return self.unwrapped(inside.as_bytes(), "unquoted", true, spot);
        }
        if let Some(rest) = wrapping::without_prefix(trimmed) {
            return self.prefixed(rest, trimmed, spot);
        }
        // This comes before assignments and logins, because hex may have colons between the bytes as they have after
        // names.
        if let Some(decoded) = wrapping::hex(trimmed) {
            return self.unwrapped(&decoded.bytes, "decoded", decoded.sure, spot);
        }
        let written = self.structure(text, spot);
        let keys = self.blocks(blocks, spot, true);
        match written.max(keys) {
            Content::Opaque => {}
            Content::Public => return Content::Public,
            Content::Key | Content::Mixed => return Content::Mixed,
        }
        if spot.standing == Standing::Secret && self.logins(trimmed, spot) {
            return Content::Mixed;
        }
        match wrapping::base64(trimmed) {
            Some(decoded) => self.unwrapped(&decoded.bytes, "decoded", decoded.sure, spot),
            None => Content::Opaque,
        }
    }

    /// Looks at the text after a word such as `Bearer`, or after a prefix such as `base64:`, which says that the text
    /// is an encoding.
    fn prefixed(&mut self, rest: &str, text: &str, spot: Spot<'_>) -> Content {
        let is_encoding = text.starts_with("base64:") || text.starts_with("hex:") || text.starts_with("data:");
        // A header's name says that the text is confidential, whatever the name before the header is: `header =
        // "Authorization: …"`.
        let is_header = wrapping::is_header(text) && judge::may_be_confidential(rest);
        let spot = if is_header { Spot { standing: Standing::Secret, ..spot } } else { spot };
        let at = self.found.len();
        let content = match wrapping::hex(rest).or_else(|| wrapping::base64(rest)).filter(|_| is_encoding) {
            Some(decoded) => self.unwrapped(&decoded.bytes, "decoded", true, spot),
            None => self.look(rest.as_bytes(), spot.deeper(spot.standing)),
        };
        match (content, spot.standing) {
            (Content::Public, _) | (Content::Opaque, Standing::Ordinary) => content,
            (Content::Opaque | Content::Key | Content::Mixed, _) => {
                let name = if is_encoding { "encoded" } else { "token" };
                self.add(at, &self.name(spot.path, name), rest.as_bytes(), content != Content::Mixed);
                Content::Mixed
            }
        }
    }

    /// Looks at the bytes that a wrapping contained, and makes them a part of their own unless they are public data.
    fn unwrapped(&mut self, bytes: &[u8], name: &str, sure: bool, spot: Spot<'_>) -> Content {
        let at = self.found.len();
        let content = self.look(bytes, spot.deeper(spot.standing));
        let text = std::str::from_utf8(bytes).ok().filter(|text| is_printable(text));
        let confidential = match (content, spot.standing) {
            (Content::Key | Content::Mixed, _) => true,
            (Content::Public, _) => return Content::Public,
            (Content::Opaque, Standing::Secret) => text.is_some() || (sure && is_varied(bytes)),
            (Content::Opaque, Standing::Ordinary) => text.is_some_and(judge::is_unguessable),
        };
        if confidential {
            self.add(at, &self.name(spot.path, name), bytes, content != Content::Mixed);
            return content.max(Content::Key);
        }
        if text.is_some() { Content::Public } else { Content::Opaque }
    }

    /// Takes the numbers of private keys from the PEM blocks of a text. The text of a private block becomes a part,
    /// too, unless this block is the whole value.
    fn blocks(&mut self, blocks: Vec<key::Block>, spot: Spot<'_>, among_others: bool) -> Content {
        let alone = blocks.len() == 1 && !among_others;
        let (mut private, mut public) = (0, 0);
        for block in blocks {
            match block.key {
                Key::Public => public += 1,
                Key::Private(numbers) => {
                    private += 1;
                    // The block may also have been a leaf of a structure; if so, its number was found already.
                    let known = numbers.first().is_some_and(|first| self.found.iter().any(|part| part.value == *first));
                    if !alone && !known {
                        self.add(self.found.len(), &self.name(spot.path, "private key"), block.text.as_bytes(), true);
                    }
                    self.numbers(numbers, spot.path);
                }
            }
        }
        match (private, public, among_others) {
            (0, 0, _) => Content::Opaque,
            (0, _, true) => Content::Opaque,
            (0, _, false) => Content::Public,
            (_, 0, false) => Content::Key,
            (_, _, _) => Content::Mixed,
        }
    }

    fn numbers(&mut self, numbers: Vec<Number>, path: &[String]) -> Content {
        let name = self.name(path, "private key");
        for number in numbers {
            self.add(self.found.len(), &name, &number, true);
        }
        Content::Key
    }

    /// Looks at a text that gives names to its values.
    fn structure(&mut self, text: &str, spot: Spot<'_>) -> Content {
        let mut content = Content::Opaque;
        if let Some(node) = structure::read(text) {
            content = self.node(&node, "", spot).max(Content::Public);
            if text.trim_start().starts_with(['{', '<']) {
                return content;
            }
        }
        // If a line of pairs is read, it is not read as an assignment, whose name would be the first one and whose
        // value would hold all other pairs.
        let mut paired = Content::Opaque;
        for piece in address::pairs(text) {
            paired = paired.max(self.named(&piece.name, &piece.name, &piece.value, spot));
        }
        content = content.max(paired);
        let assignments = if paired.is_confidential() { Vec::new() } else { lines::assignments(text) };
        let mut sections: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for one in &assignments {
            sections.entry(&one.name).or_default().insert(&one.section);
        }
        for one in &assignments {
            let several = sections.get(one.name.as_str()).is_some_and(|sections| sections.len() > 1);
            let path = if several || one.section.contains('.') {
                [spot.path, &[one.section.clone(), one.name.clone()]].concat()
            } else {
                [spot.path, std::slice::from_ref(&one.name)].concat()
            };
            let leaf = self.leaf(&one.name, &one.value, spot.at(&path));
            content = if leaf.is_confidential() { Content::Mixed } else { content };
        }
        if sections.len() > 1 {
            content = content.max(Content::Public);
        }
        for (name, value) in lines::pairs_of_words(text) {
            content = content.max(self.named(name, name, value, spot));
        }
        for password in lines::pgpass(text) {
            content = content.max(self.named("password", "password", &password, spot));
        }
        // A digest in an address is the name of a commit or a file, unless the address itself is the secret.
        let is_address = spot.standing == Standing::Secret && !text.trim().contains(char::is_whitespace);
        for piece in address::path_pieces(text) {
            let is_digest = piece.bytes().all(|byte| byte.is_ascii_hexdigit());
            if judge::is_unguessable(&piece) && (is_address || !is_digest) {
                content = content.max(self.named("path", "token", &piece, spot));
            }
        }
        for piece in address::pieces(text) {
            let found = match piece.name.as_str() {
                "user" if judge::is_unguessable(&piece.value) => self.named("user", "token", &piece.value, spot),
                name => self.named(name, name, &piece.value, spot),
            };
            content = content.max(found);
            if matches!(piece.name.as_str(), "password") {
                content = Content::Mixed;
            }
        }
        content.max(self.program(text, spot))
    }

    /// Looks at a leaf one level further down the path, and judges it by `judged_by`, which may differ from its name.
    fn named(&mut self, name: &str, judged_by: &str, text: &str, spot: Spot<'_>) -> Content {
        let path = [spot.path, &[name.to_owned()]].concat();
        let leaf = self.leaf(judged_by, text, spot.at(&path));
        if leaf.is_confidential() { Content::Mixed } else { Content::Opaque }
    }

    /// Looks for a login `user:token` on each line of the text.
    fn logins(&mut self, text: &str, spot: Spot<'_>) -> bool {
        let login = |line: &str| {
            let (user, token) = line.split_once(':')?;
            let is_user =
                !user.is_empty() && !user.contains(['/', '{', '"', '=', ',']) && !user.contains(char::is_whitespace);
            let is_token = !token.is_empty() && !token.contains(char::is_whitespace) && !token.starts_with("//");
            let is_port = token.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
            (is_user && is_token && !is_port).then(|| (user.to_owned(), Zeroizing::new(token.to_owned())))
        };
        let Some(logins) = text.lines().map(|line| login(line.trim())).collect::<Option<Vec<_>>>() else {
            return false;
        };
        let mut found = false;
        for (user, token) in logins {
            if spot.standing == Standing::Ordinary && (user == *token || !judge::may_be_password(&token)) {
                continue;
            }
            self.public.push(Zeroizing::new(user));
            found |= self.named("password", "password", &token, spot).is_confidential();
        }
        found
    }

    /// Looks at a text that may be a program, a command line or a table.
    fn program(&mut self, text: &str, spot: Spot<'_>) -> Content {
        let mut content = Content::Opaque;
        for pair in program::table(text).into_iter().chain(program::strings(text)).chain(program::commands(text)) {
            let name = if pair.name.is_empty() { "string" } else { pair.name.as_str() };
            let leaf = self.leaf(&pair.name, &pair.value, spot.at(&[spot.path, &[name.to_owned()]].concat()));
            content = if leaf.is_confidential() { Content::Mixed } else { content };
        }
        for key in program::age_keys(text).filter(|key| *key != text.trim()) {
            content = content.max(self.named("secret key", "secret key", key, spot));
        }
        if spot.standing == Standing::Secret
            && let Some(password) = program::two_lines(text)
        {
            content = content.max(self.named("password", "password", password, spot));
        }
        content
    }

    fn node(&mut self, node: &Node, name: &str, spot: Spot<'_>) -> Content {
        match node {
            Node::Nothing => Content::Public,
            Node::Text(text) => self.leaf(name, text, spot),
            Node::List(nodes) => {
                let mut content = Content::Public;
                for (at, node) in nodes.iter().enumerate() {
                    let within = match node {
                        Node::List(_) | Node::Map(_) if nodes.len() > 1 => {
                            self.node(node, name, spot.at(&[spot.path, &[at.to_string()]].concat()))
                        }
                        _ => self.node(node, name, spot),
                    };
                    content = content.max(within);
                }
                content
            }
            Node::Map(members) => self.map(node, members, name, spot),
        }
    }

    fn map(&mut self, node: &Node, members: &[(Text, Node)], name: &str, spot: Spot<'_>) -> Content {
        if node.member(&["kty"]).is_some() {
            return self.json_web_key(node, spot);
        }
        let mut content = Content::Public;
        // The shape `{"name": …, "value": …}` occurs in the variables of containers and in `NuGet.config`.
        let pair = node.member(&["name", "key"]).zip(node.member(&["value"]));
        if let Some((name, value)) = pair {
            content = content.max(self.leaf(name, value, spot.at(&[spot.path, &[name.to_owned()]].concat())));
        }
        for (member, value) in members {
            if pair.is_some() && member.eq_ignore_ascii_case("value") {
                continue;
            }
            if judge::is_unguessable(member) {
                self.add(
                    self.found.len(),
                    &self.name(&[spot.path, &["*".to_owned()]].concat(), ""),
                    member.as_bytes(),
                    true,
                );
                content = Content::Mixed;
            }
            let within = if member.is_empty() {
                self.node(value, name, spot)
            } else {
                self.node(value, member, spot.at(&[spot.path, &[member.to_string()]].concat()))
            };
            content = content.max(within);
        }
        if content.is_confidential() { Content::Mixed } else { content }
    }

    /// Looks for the private members of a JSON Web Key (RFC 7518, section 6).
    fn json_web_key(&mut self, node: &Node, spot: Spot<'_>) -> Content {
        let mut content = Content::Public;
        for member in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            let bytes = node.member(&[member]).and_then(wrapping::url_safe);
            if let Some(bytes) = bytes.as_ref().and_then(|bytes| key::number(bytes)) {
                self.numbers(vec![bytes], spot.path);
                content = Content::Mixed;
            }
        }
        content
    }

    /// Looks at a text that follows a name.
    fn leaf(&mut self, name: &str, text: &str, spot: Spot<'_>) -> Content {
        if text.trim().is_empty() {
            return Content::Public;
        }
        let at = self.found.len();
        if judge::may_name_login(name) && self.logins(text.trim(), spot.deeper(Standing::Ordinary)) {
            return Content::Mixed;
        }
        match judge::name(name) {
            Naming::Public => {
                self.public.push(Zeroizing::new(text.to_owned()));
                self.look(text.as_bytes(), spot.deeper(Standing::Ordinary)).max(Content::Public)
            }
            Naming::Confidential if judge::may_be_confidential(text) => {
                match self.look(text.as_bytes(), spot.deeper(Standing::Secret)) {
                    Content::Public => Content::Public,
                    content @ (Content::Opaque | Content::Key | Content::Mixed) => {
                        self.add(at, &self.name(spot.path, ""), text.as_bytes(), content != Content::Mixed);
                        Content::Mixed
                    }
                }
            }
            Naming::Confidential | Naming::Silent => {
                match self.look(text.as_bytes(), spot.deeper(Standing::Ordinary)) {
                    content @ (Content::Key | Content::Mixed) => {
                        self.add(at, &self.name(spot.path, ""), text.as_bytes(), content == Content::Key);
                        Content::Mixed
                    }
                    Content::Opaque if judge::is_unguessable(text) => {
                        self.look(text.as_bytes(), spot.deeper(Standing::Secret));
                        self.add(at, &self.name(spot.path, ""), text.as_bytes(), true);
                        Content::Mixed
                    }
                    Content::Opaque | Content::Public => Content::Public,
                }
            }
        }
    }

    /// Makes the name of a part: its own name, or the path to it. A part without a name is called `otherwise`.
    fn name(&self, path: &[String], otherwise: &str) -> String {
        let shown = |piece: &String| {
            let odd = piece.len() > 64 || piece.contains(char::is_control) || judge::has_unguessable_piece(piece);
            if odd || piece.contains('@') { "*".to_owned() } else { piece.clone() }
        };
        match path {
            [] => otherwise.to_owned(),
            [one] => shown(one),
            several => several.iter().map(|piece| format!("/{}", shown(piece))).collect(),
        }
    }

    /// Adds a part at the index `at`, which is before the parts that were found inside of it.
    fn add(&mut self, at: usize, name: &str, bytes: &[u8], lines_tell: bool) {
        let value = bytes.trim_ascii();
        let same = |other: &[u8]| other.trim_ascii() == value;
        if same(self.whole) || self.found.iter().any(|part| same(&part.value)) {
            return;
        }
        let judged = Searchability::of_bytes(bytes);
        if judged != Searchability::Full {
            if !self.unprotected.iter().any(|(known, _)| known == name) && self.unprotected.len() < MOST_PARTS {
                self.unprotected.push((name.to_owned(), judged));
            }
        } else if self.found.len() == MOST_PARTS {
            let mut digest = DefaultHasher::new();
            value.hash(&mut digest);
            self.left_out.insert(digest.finish());
        } else {
            let found = Found { name: name.to_owned(), value: Zeroizing::new(bytes.to_vec()), lines_tell };
            self.found.insert(at.min(self.found.len()), found);
        }
    }
}

fn is_printable(text: &str) -> bool {
    text.chars().all(|character| !character.is_control() || matches!(character, '\n' | '\r' | '\t'))
}

/// Whether bytes have enough different values not to be padding, which occurs in every image.
fn is_varied(bytes: &[u8]) -> bool {
    let mut seen = [false; 256];
    bytes.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    seen.iter().filter(|seen| **seen).count() >= 5
}
