//! Addresses that carry a password: URLs with user information or a query, and the connection strings of databases.

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use super::tree::Text;

/// A piece of an address that may be confidential.
pub(super) struct Piece {
    /// The piece's name in the address; `user` and `password` for user information.
    pub(super) name: String,
    /// One reading of the piece's text: with its escapes undone, or as it is written.
    pub(super) value: Text,
}

/// Finds the user information and the query of every URL in a text, and of addresses that have the same shape without
/// a scheme, such as `user:password@tcp(host)/database`.
///
/// This function takes the authority apart itself. Parsers of URLs refuse lists of hosts, as MongoDB and Kafka write
/// them, and passwords with a raw `#` or `/`, which people write nevertheless.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        rest = &rest[at + 3..];
        let end =
            rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`')).unwrap_or(rest.len());
        let address = &rest[..end];
        if let Some(user) = user_information(address) {
            self::user(user, &mut pieces);
        }
        let behind = address.rsplit_once('@').map_or(address, |(_, behind)| behind);
        if let Some(database) = behind.split(['?', '#']).next().and_then(|path| path.split_once('/')) {
            public(database.0, &mut pieces);
            public(database.1, &mut pieces);
        }
        if let Some((_, query)) = address.split_once('?') {
            query_pieces(query, &mut pieces);
        }
        rest = &rest[end..];
    }
    if pieces.is_empty() && !text.contains("://") && !text.contains(char::is_whitespace) {
        without_scheme(text, &mut pieces);
    }
    pieces
}

/// Returns the pieces of the paths of all URLs in a text, because the last piece of a webhook is a credential. The
/// token of a Telegram bot follows the word `bot`, which is removed.
pub(super) fn path_pieces(text: &str) -> Vec<Text> {
    let mut pieces = Vec::new();
    for behind in text.split("://").skip(1) {
        let address = behind.split(|c: char| c.is_whitespace() || "\"'<>`".contains(c)).next().unwrap_or_default();
        let path = address.split(['?', '#']).next().unwrap_or_default();
        for piece in path.split('/').skip(1) {
            let token = piece.strip_prefix("bot").filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            pieces.push(Zeroizing::new(token.unwrap_or(piece).to_owned()));
        }
    }
    pieces
}

/// Returns the user information of an address: the text before the `@`.
fn user_information(address: &str) -> Option<&str> {
    let authority = address.split(['/', '?', '#']).next().unwrap_or_default();
    if let Some((user, _)) = authority.rsplit_once('@') {
        return Some(user);
    }
    // The password may contain a raw `/`, `?` or `#`. In this case, the text after the colon is not a port.
    let (_, port) = authority.split_once(':')?;
    let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if is_port { None } else { address.rsplit_once('@').map(|(user, _)| user) }
}

fn user(information: &str, pieces: &mut Vec<Piece>) {
    let (user, password) = information.split_once(':').unwrap_or((information, ""));
    add("user", user, pieces);
    // JDBC for Oracle has a slash between user and password.
    add("password", password, pieces);
}

fn without_scheme(text: &str, pieces: &mut Vec<Piece>) {
    let text = text.strip_prefix("jdbc:oracle:thin:").unwrap_or(text);
    let Some((before, host)) = text.rsplit_once('@') else { return };
    let Some((name, password)) = before.split_once([':', '/']) else { return };
    let is_name =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if is_name(name) && !host.is_empty() {
        add("user", name, pieces);
        add("password", password, pieces);
    }
}

/// Splits `name=value&name=value`, as in the query of a URL.
fn query_pieces(query: &str, pieces: &mut Vec<Piece>) {
    for pair in query.split(['&', ';']) {
        if let Some((name, value)) = pair.split_once('=') {
            add(name, value.split('#').next().unwrap_or_default(), pieces);
        }
    }
}

/// Splits pairs with a separator between them, such as `Server=…;User Id=…;Password=…`, `host=… password=…` and
/// `user=…&token=…`.
pub(super) fn pairs(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let text = text.trim();
    if text.contains('\n') {
        return pieces;
    }
    // The address of `jdbc:sqlserver://host;user=…;password=…` is followed by pairs, too.
    let braced = text.contains("={");
    for separator in [';', '&', ' '] {
        // In connection strings, a value in braces may contain the separator.
        let mut inside = false;
        let divides = |character: char| {
            match character {
                '{' if separator == ';' && braced => inside = true,
                '}' => inside = false,
                _ => {}
            }
            character == separator && !inside
        };
        let parts: Vec<&str> = text.split(divides).map(str::trim).filter(|part| !part.is_empty()).collect();
        let pairs: Vec<(&str, &str)> = parts.iter().filter_map(|part| part.split_once('=')).collect();
        if pairs.len() >= 2 && pairs.len() + 1 >= parts.len() {
            for (name, value) in pairs {
                let name = name.rsplit(['?', '/']).next().unwrap_or(name);
                let value = value.trim_matches(['"', '\'', '{', '}']);
                if separator == '&' {
                    add(name, value, &mut pieces);
                } else {
                    pieces.push(piece(name, value));
                }
            }
            break;
        }
    }
    pieces
}

fn add(name: &str, value: &str, pieces: &mut Vec<Piece>) {
    if value.is_empty() {
        return;
    }
    let decoded = percent_decode_str(value).decode_utf8_lossy();
    if decoded != value {
        pieces.push(piece(name, &decoded));
    }
    pieces.push(piece(name, value));
}

/// Adds a piece that anybody may know. A password that is equal to such a piece is not a secret.
fn public(text: &str, pieces: &mut Vec<Piece>) {
    if !text.is_empty() {
        pieces.push(piece("host", text));
    }
}

fn piece(name: &str, value: &str) -> Piece {
    Piece { name: name.to_owned(), value: Zeroizing::new(value.to_owned()) }
}
