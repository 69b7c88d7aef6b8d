//! The map of the layers, from the base up: a row for each, with a bar as long as the layer is large.

use maud::{Markup, html};
use pscan::{LayerState, LayerSummary, Report};
use pscreen::words::{counted, size};

use super::key::layer_name;
use crate::advice::without_arguments;

/// The length of the longest bar in its own units.
const LONGEST: f64 = 100.0;
/// The least length of a bar, so that it can be seen.
const SHORTEST: f64 = 0.8;
/// More rows would keep a browser busy for long; the JSON report lists more.
const MOST_ROWS: usize = 5_000;

/// Makes the map as a section of the page; nothing without a layer.
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
                // Bars share the textures; a page has each of them once.
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

/// Draws a layer's size, in the colour and the texture of its result.
fn bar(layer: &LayerSummary, largest: u64) -> Markup {
    // A float holds whole bytes up to 2^53 exactly, which is more than a picture needs.
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
