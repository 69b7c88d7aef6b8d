//! The report as one HTML page: no network, nothing loaded from anywhere, no markup from the image.
//!
//! The page says so itself: its content security policy allows its own style and script, by their digests, and nothing
//! else. Everything is in the page without the script; the script adds the filters.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

mod treemap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pscan::{Finding, LayerState, LayerSummary, Place, Report, Verdict};
use pscreen::words::{counted, size};
use sha2::{Digest as _, Sha256};

use self::treemap::{Rectangle, squarify};
use crate::{advice, sentence};

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// The map's size in its own units.
const MAP: Rectangle = Rectangle { x: 0.0, y: 0.0, width: 1140.0, height: 380.0 };
/// More cells cannot be told apart; the smallest layers are left to the table.
const MOST_CELLS: usize = 250;
/// A cell is drawn at least so large that it can be seen and met: this part of the whole.
const SMALLEST: f64 = 0.004;
/// More rows would keep a browser busy for long; the JSON report lists more.
const MOST_ROWS: usize = 5_000;

/// The report as one self-contained HTML page with a map of the layers by size.
#[must_use]
pub fn html(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = Page(report).page(&mut out);
    out
}

struct Page<'a>(&'a Report);

impl Page<'_> {
    fn page(&self, out: &mut String) -> fmt::Result {
        let subject = Text(self.0.subject().unwrap_or("image"));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
            digest(STYLE),
            digest(SCRIPT)
        );
        writeln!(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
        writeln!(out, "<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">")?;
        writeln!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
        writeln!(out, "<meta name=\"referrer\" content=\"no-referrer\">")?;
        writeln!(out, "<title>{}: {subject}</title>\n<style>{STYLE}</style>\n</head>\n<body>", self.word())?;
        self.header(out, &subject)?;
        writeln!(out, "<main>")?;
        self.unsearched(out)?;
        self.map(out)?;
        self.finding_table(out)?;
        self.remarks(out)?;
        self.layer_table(out)?;
        writeln!(out, "</main>")?;
        let version = env!("CARGO_PKG_VERSION");
        writeln!(
            out,
            "<footer>Written by pbuild {version}. It holds names and places, no value and no bytes around one.</footer>"
        )?;
        writeln!(out, "<script>{SCRIPT}</script>\n</body>\n</html>")
    }

    fn word(&self) -> &'static str {
        match self.0.verdict() {
            Verdict::Clean => "Clean",
            Verdict::Leak => "Leak",
            Verdict::Incomplete => "Incomplete",
        }
    }

    fn header(&self, out: &mut String, subject: &Text<'_>) -> fmt::Result {
        let class = self.0.verdict().machine_name();
        let lead = match self.0.verdict() {
            Verdict::Clean => "Everything was searched, and no secret was found.".to_owned(),
            Verdict::Leak => {
                let names: BTreeSet<&str> = self.0.findings().iter().map(|finding| finding.secret().as_str()).collect();
                format!(
                    "{} in {}. Whoever can pull this image can read them: change these values.",
                    counted(names.len(), "secret"),
                    counted(self.0.findings().len(), "place")
                )
            }
            Verdict::Incomplete => {
                "No secret was found, but not everything could be searched. This proves nothing.".to_owned()
            }
        };
        writeln!(
            out,
            "<header>\n<p class=\"verdict {class}\">{}</p>\n<h1>{subject}</h1>\n<p class=\"lead\">{lead}</p>",
            self.word()
        )?;
        let platforms: BTreeSet<&str> = self.0.platforms().iter().map(String::as_str).collect();
        let platforms = platforms.into_iter().collect::<Vec<_>>().join(", ");
        let seconds = format!("{}.{} s", self.0.stats().milliseconds / 1000, self.0.stats().milliseconds % 1000 / 100);
        let facts = [
            (self.0.stats().layers.to_string(), "layers".to_owned()),
            (size(self.0.stats().bytes), "searched".to_owned()),
            (self.0.stats().secrets.to_string(), format!("secrets, in {} forms", self.0.stats().forms)),
            (seconds, self.0.way().map_or("time".to_owned(), |way| format!("read from {way}"))),
            (if platforms.is_empty() { "–".to_owned() } else { platforms }, "platforms".to_owned()),
        ];
        writeln!(out, "<ul class=\"facts\">")?;
        for (fact, label) in &facts {
            writeln!(out, "<li><b>{}</b><span>{}</span></li>", Text(fact), Text(label))?;
        }
        writeln!(out, "</ul>\n</header>")
    }

    fn unsearched(&self, out: &mut String) -> fmt::Result {
        if self.0.not_searched().is_empty() {
            return Ok(());
        }
        writeln!(out, "<section>\n<h2>Not searched or not verified</h2>\n<div class=\"card\"><ul class=\"plain\">")?;
        for one in self.0.not_searched().iter().take(MOST_ROWS) {
            let layer = one.layer().map(|layer| format!("layer {layer}: ")).unwrap_or_default();
            writeln!(out, "<li>{layer}{}</li>", Text(one.why()))?;
        }
        writeln!(out, "</ul></div>\n</section>")
    }

    fn map(&self, out: &mut String) -> fmt::Result {
        let mut layers: Vec<&LayerSummary> = self.0.layers().iter().collect();
        layers.sort_by_key(|layer| std::cmp::Reverse((layer.leaks() > 0, layer.bytes())));
        layers.truncate(MOST_CELLS);
        if layers.is_empty() {
            return Ok(());
        }
        // As floats: whole bytes up to 2^53 are exact, and this is a picture.
        let total: f64 = layers.iter().map(|layer| layer.bytes() as f64).sum();
        let sizes: Vec<f64> =
            layers.iter().map(|layer| (layer.bytes() as f64).max(total * SMALLEST).max(1.0)).collect();
        let cells = squarify(&sizes, MAP);
        writeln!(out, "<section>\n<h2>Layers by size</h2>\n<div class=\"card\">")?;
        writeln!(
            out,
            "<svg class=\"map\" viewBox=\"0 0 {} {}\" role=\"group\" aria-label=\"Map of the layers: each area is a layer's size\">",
            MAP.width, MAP.height
        )?;
        writeln!(
            out,
            "<defs><pattern id=\"hatch\" width=\"10\" height=\"10\" patternUnits=\"userSpaceOnUse\"><path d=\"M-2 12 12-2M-2 2 2-2M8 12 12 8\"/></pattern><pattern id=\"dots\" width=\"10\" height=\"10\" patternUnits=\"userSpaceOnUse\"><circle cx=\"5\" cy=\"5\" r=\"1.6\"/></pattern></defs>"
        )?;
        for (layer, cell) in layers.into_iter().zip(cells) {
            self.cell(out, layer, cell)?;
        }
        writeln!(out, "</svg>\n<ul class=\"key\">")?;
        writeln!(
            out,
            "<li><i class=\"searched\"></i>searched, nothing found</li><li><i class=\"leak\"></i>a secret is in it</li><li><i class=\"not-searched\"></i>not searched whole</li>\n</ul>\n</div>\n</section>"
        )
    }

    fn cell(&self, out: &mut String, layer: &LayerSummary, cell: Rectangle) -> fmt::Result {
        let Rectangle { x, y, width, height } = cell;
        let state = layer.state().machine_name();
        let target = if layer.leaks() > 0 { "findings".to_owned() } else { self.anchor(layer) };
        let name = self.layer_name(layer);
        let what = match (layer.state(), layer.leaks()) {
            (LayerState::Leak, leaks) => counted(leaks, "finding"),
            (LayerState::NotSearched, _) => "not searched whole".to_owned(),
            (LayerState::Remembered, _) => "searched before".to_owned(),
            (LayerState::Searched, _) => "nothing found".to_owned(),
        };
        let label = format!("{name}, {}, {what}", size(layer.bytes()));
        writeln!(
            out,
            "<a class=\"{state}\" href=\"#{target}\" data-layer=\"{}\"><title>{}{}</title>",
            Text(&self.key(layer)),
            Text(&label),
            Text(&layer.instruction().map(|line| format!("\n{line}")).unwrap_or_default())
        )?;
        let corners = format!("x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"7\"");
        write!(out, "<rect class=\"base\" {corners}/>")?;
        match layer.state() {
            LayerState::Leak => write!(out, "<rect class=\"hatch\" {corners}/>")?,
            LayerState::NotSearched => write!(out, "<rect class=\"dots\" {corners}/>")?,
            LayerState::Searched | LayerState::Remembered => {}
        }
        let fits = |text: &str, up: f64| height > up && width > 7.8 * text.chars().count() as f64 + 22.0;
        for (line, (text, class)) in
            [(&name, ""), (&size(layer.bytes()), " class=\"small\""), (&what, " class=\"small\"")]
                .into_iter()
                .enumerate()
        {
            let below = 25.0 + 18.0 * line as f64;
            if fits(text, below + 8.0) {
                write!(out, "<text{class} x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 12.0, y + below, Text(text))?;
            }
        }
        writeln!(out, "</a>")
    }

    fn several(&self) -> bool {
        self.0.platforms().len() > 1
    }

    fn layer_name(&self, layer: &LayerSummary) -> String {
        match layer.platform() {
            Some(platform) if self.several() => format!("layer {} of {platform}", layer.number()),
            _ => format!("layer {}", layer.number()),
        }
    }

    /// What the filter knows a layer by.
    fn key(&self, layer: &LayerSummary) -> String {
        layer_key(layer.platform().filter(|_| self.several()), layer.number())
    }

    fn anchor(&self, layer: &LayerSummary) -> String {
        let index = self.0.layers().iter().position(|other| std::ptr::eq(other, layer)).unwrap_or_default();
        format!("layer-{index}")
    }

    fn finding_table(&self, out: &mut String) -> fmt::Result {
        if self.0.findings().is_empty() {
            return Ok(());
        }
        writeln!(out, "<section id=\"findings\">\n<h2>Findings</h2>\n<form class=\"filters\" hidden>")?;
        writeln!(
            out,
            "<label>Search<input type=\"search\" name=\"text\" placeholder=\"path, secret, form …\" autocomplete=\"off\"></label>"
        )?;
        let names: BTreeSet<&str> = self.0.findings().iter().flat_map(secret_names).collect();
        writeln!(out, "<label>Secret<select name=\"secret\"><option value=\"\">all</option>")?;
        for name in names {
            writeln!(out, "<option>{}</option>", Text(name))?;
        }
        writeln!(out, "</select></label>\n<label>Place<select name=\"layer\"><option value=\"\">all</option>")?;
        let mut keys: Vec<String> = self.0.findings().iter().map(finding_key).collect();
        keys.dedup();
        let mut seen = BTreeSet::new();
        for key in keys.iter().filter(|key| seen.insert(key.as_str())) {
            writeln!(out, "<option>{}</option>", Text(key))?;
        }
        writeln!(out, "</select></label>\n<button type=\"reset\">Show all</button><output></output>\n</form>")?;
        writeln!(
            out,
            "<div class=\"card scroll\"><table><thead><tr><th scope=\"col\">Secret</th><th scope=\"col\">Place</th><th scope=\"col\">Form</th><th scope=\"col\">Written by</th></tr></thead><tbody>"
        )?;
        for finding in self.0.findings().iter().take(MOST_ROWS) {
            row(out, finding)?;
        }
        writeln!(out, "</tbody></table></div>")?;
        let more = self.0.findings().len().saturating_sub(MOST_ROWS) as u64 + self.0.not_listed();
        if more > 0 {
            writeln!(out, "<p class=\"lead\">and {more} more; the JSON report lists up to 10000</p>")?;
        }
        writeln!(out, "</section>")
    }

    fn remarks(&self, out: &mut String) -> fmt::Result {
        let unprotected =
            self.0.unprotected().iter().map(|one| format!("{} is not searched for: {}", one.name(), one.why()));
        let absent = self
            .0
            .absent_platforms()
            .iter()
            .map(|platform| format!("{platform}: listed in the index, nothing of it is here"));
        let accepted =
            self.0.accepted().iter().map(|finding| format!("{}: accepted by the baseline", sentence(finding)));
        let stale = self.0.stale().iter().map(|what| format!("{what}: in the baseline, and not in the image any more"));
        for (title, lines) in [
            ("Unprotected", unprotected.collect::<Vec<_>>()),
            ("Absent platforms", absent.collect()),
            ("Accepted", accepted.collect()),
            ("Stale baseline entries", stale.collect()),
        ] {
            if lines.is_empty() {
                continue;
            }
            writeln!(out, "<section>\n<h2>{title}</h2>\n<div class=\"card\"><ul class=\"plain\">")?;
            for line in lines.iter().take(MOST_ROWS) {
                writeln!(out, "<li>{}</li>", Text(line))?;
            }
            writeln!(out, "</ul></div>\n</section>")?;
        }
        Ok(())
    }

    fn layer_table(&self, out: &mut String) -> fmt::Result {
        if self.0.layers().is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "<section>\n<h2>Layers</h2>\n<div class=\"card scroll\"><table><thead><tr><th scope=\"col\">Layer</th><th scope=\"col\">Size</th><th scope=\"col\">Result</th><th scope=\"col\">Made by</th></tr></thead><tbody>"
        )?;
        for (index, layer) in self.0.layers().iter().enumerate().take(MOST_ROWS) {
            let state = layer.state().machine_name();
            let word = match layer.state() {
                LayerState::Searched => "nothing found",
                LayerState::Remembered => "searched before",
                LayerState::Leak => "leak",
                LayerState::NotSearched => "not searched whole",
            };
            writeln!(
                out,
                "<tr id=\"layer-{index}\"><td>{}</td><td class=\"number\">{}</td><td><span class=\"tag {state}\">{word}</span></td><td><code>{}</code><span class=\"note\">{}</span></td></tr>",
                Text(&self.layer_name(layer)),
                Text(&size(layer.bytes())),
                Text(layer.instruction().unwrap_or_default()),
                Text(layer.diff_id().unwrap_or_default()),
            )?;
        }
        writeln!(out, "</tbody></table></div>\n</section>")
    }
}

fn row(out: &mut String, finding: &Finding) -> fmt::Result {
    let names = secret_names(finding).collect::<Vec<_>>().join(" ");
    writeln!(out, "<tr data-secret=\"{}\" data-layer=\"{}\">", Text(&names), Text(&finding_key(finding)))?;
    let equal: String = finding.same_value().iter().map(|name| format!(" = {name}")).collect();
    writeln!(out, "<td class=\"name\">{}{}</td>", Text(finding.secret().as_str()), Text(&equal))?;
    let mut notes = finding_key(finding);
    if let Some(later) = finding.deleted_in() {
        notes.push_str(&format!("; deleted in layer {later}, which leaves it readable"));
    }
    let place = match finding.place() {
        Place::Document { pointer: Some(pointer), .. } => pointer.clone(),
        place => place.to_string(),
    };
    writeln!(out, "<td><code>{}</code><span class=\"note\">{}</span></td>", Text(&place), Text(&notes))?;
    let mut form = finding.form().to_string();
    if finding.is_weak() {
        form.push_str(", weak");
    }
    if finding.times() > 1 {
        form.push_str(&format!(", {} times", finding.times()));
    }
    writeln!(out, "<td>{}</td>", Text(&form))?;
    let line = finding.line().map(|line| format!("{}:{}  ", line.file, line.line)).unwrap_or_default();
    writeln!(
        out,
        "<td><code>{}{}</code><span class=\"note\">{}</span></td></tr>",
        Text(&line),
        Text(finding.instruction().unwrap_or_default()),
        Text(&advice(finding))
    )
}

fn secret_names(finding: &Finding) -> impl Iterator<Item = &str> {
    [finding.secret()].into_iter().chain(finding.same_value()).map(|name| name.as_str())
}

/// What the filter knows a finding's container by.
fn finding_key(finding: &Finding) -> String {
    match (finding.layer(), finding.place().document()) {
        (Some(layer), _) => layer_key(finding.image(), layer),
        (None, Some(document)) => document.to_owned(),
        (None, None) => "archive".to_owned(),
    }
}

fn layer_key(platform: Option<&str>, layer: usize) -> String {
    platform.map_or_else(|| format!("layer {layer}"), |platform| format!("layer {layer} of {platform}"))
}

fn digest(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text.as_bytes()))
}

/// Text in HTML: in an element or in a quoted attribute.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
