//! Draws the map of the layers, from the base up: one row per layer, with a bar whose length is the layer's size.

use maud::{Markup, html};
use pscan::{LayerState, LayerSummary, Report};
use pscreen::words::{counted, size};

use super::key::layer_name;
use crate::advice::without_arguments;

/// The length of the longest bar, in units of the bars.
const LONGEST: f64 = 100.0;
/// The length of the shortest bar, so that it is visible.
const SHORTEST: f64 = 0.8;
/// The maximal number of rows. More would keep a browser busy for a long time; the JSON report lists more.
const MOST_ROWS: usize = 5_000;

/// Makes the map as a section of the page, or no section if there are no layers.
pub(super) fn of(report: &Report) -> Markup {
    let largest = report.layers().iter().map(LayerSummary::bytes).max().unwrap_or(0);
    html! {
        @if !report.layers().is_empty() {
            section {
                h2 { "Layers, from the base up" }
                ul.key {
                    li { i.searched {} "nothing found" }
                    li { i.leak {} "a secret is in it" }
                    li { i.not-searched {} "not searched whole" }
                }
                ol.card.layers {
                    @for (index, layer) in report.layers().iter().enumerate().take(MOST_ROWS) {
                        li id={ "layer-" (index) } class=(layer.state().machine_name()) { (row(report, layer, largest)) }
                    }
                }
                // The page defines each texture once, and all bars use it.
                svg.textures aria-hidden="true" width="0" height="0" {
                    defs {
                        pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" {
                            path d="M-1 7 7-1M-1 1 1-1M5 7 7 5" {}
                        }
                        pattern id="dots" width="6" height="6" patternUnits="userSpaceOnUse" {
                            circle cx="3" cy="3" r="1.2" {}
                        }
                    }
                }
            }
        }
    }
}

fn row(report: &Report, layer: &LayerSummary, largest: u64) -> Markup {
    let name = layer_name(report, layer);
    let result = match layer.state() {
        LayerState::Leak => counted(layer.leaks(), "finding"),
        LayerState::NotSearched => "not searched whole".to_owned(),
        LayerState::Remembered => "searched before".to_owned(),
        LayerState::Searched => "nothing found".to_owned(),
    };
    html! {
        span.where {
            @if layer.leaks() > 0 {
                a href="#findings" data-layer=(name) { (name) }
            } @else {
                (name)
            }
        }
        span.number { (size(layer.bytes())) }
        (bar(layer, largest))
        span.tag.(layer.state().machine_name()) { (result) }
        div.made {
            code { (without_arguments(layer.instruction().unwrap_or_default())) }
            @if let Some(digest) = layer.diff_id() { span.note { (digest) } }
        }
    }
}

/// Draws the bar of a layer's size, in the colour and texture of its result.
fn bar(layer: &LayerSummary, largest: u64) -> Markup {
    // A float has all whole numbers up to 2^53, which is more than a picture needs.
    let length = (layer.bytes() as f64 / largest.max(1) as f64 * LONGEST).max(SHORTEST);
    let texture = match layer.state() {
        LayerState::Leak => Some("hatch"),
        LayerState::NotSearched => Some("dots"),
        LayerState::Searched | LayerState::Remembered => None,
    };
    let rectangle = |class: &str| {
        html! { rect class=(class) width=(format!("{length:.1}%")) height="100%" rx="3" {} }
    };
    html! {
        svg.bar aria-hidden="true" height="14" {
            (rectangle("base"))
            @if let Some(texture) = texture { (rectangle(texture)) }
        }
    }
}
