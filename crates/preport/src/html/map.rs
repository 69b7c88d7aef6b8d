//! The map of the layers: each area is a layer's size.

use maud::{Markup, html};
use pscan::{LayerState, LayerSummary, Report};
use pscreen::words::{counted, size};

use super::key::layer_name;
use super::treemap::{Rectangle, squarify};

/// The map's size in its own units.
const MAP: Rectangle = Rectangle { x: 0.0, y: 0.0, width: 1140.0, height: 380.0 };
/// More cells cannot be told apart; the smallest layers are left to the table.
const MOST_CELLS: usize = 250;
/// The least part of the map that a cell gets, so that it can be seen and clicked.
const SMALLEST: f64 = 0.004;

/// Makes the map as a section of the page; nothing without a layer.
pub(super) fn of(report: &Report) -> Markup {
    let mut layers: Vec<(usize, &LayerSummary)> = report.layers().iter().enumerate().collect();
    layers.sort_by_key(|(_, layer)| std::cmp::Reverse((layer.leaks() > 0, layer.bytes())));
    layers.truncate(MOST_CELLS);
    // A float holds whole bytes up to 2^53 exactly, which is more than a picture needs.
    let total: f64 = layers.iter().map(|(_, layer)| layer.bytes() as f64).sum();
    let least = (total * SMALLEST).max(1.0);
    let sizes: Vec<f64> = layers.iter().map(|(_, layer)| (layer.bytes() as f64).max(least)).collect();
    let corners = format!("0 0 {} {}", MAP.width, MAP.height);
    html! {
        @if !layers.is_empty() {
            section {
                h2 { "Layers by size" }
                div.card {
                    svg.map viewBox=(corners) role="group" aria-label="Map of the layers: each area is a layer's size" {
                        defs {
                            pattern id="hatch" width="10" height="10" patternUnits="userSpaceOnUse" {
                                path d="M-2 12 12-2M-2 2 2-2M8 12 12 8" {}
                            }
                            pattern id="dots" width="10" height="10" patternUnits="userSpaceOnUse" {
                                circle cx="5" cy="5" r="1.6" {}
                            }
                        }
                        @for ((index, layer), at) in layers.iter().zip(squarify(&sizes, MAP)) {
                            (cell(report, *index, layer, at))
                        }
                    }
                    ul.key {
                        li { i.searched {} "searched, nothing found" }
                        li { i.leak {} "a secret is in it" }
                        li { i.not-searched {} "not searched whole" }
                    }
                }
            }
        }
    }
}

fn cell(report: &Report, index: usize, layer: &LayerSummary, at: Rectangle) -> Markup {
    let name = layer_name(report, layer);
    let bytes = size(layer.bytes());
    let result = match layer.state() {
        LayerState::Leak => counted(layer.leaks(), "finding"),
        LayerState::NotSearched => "not searched whole".to_owned(),
        LayerState::Remembered => "searched before".to_owned(),
        LayerState::Searched => "nothing found".to_owned(),
    };
    let target = if layer.leaks() > 0 { "#findings".to_owned() } else { format!("#layer-{index}") };
    let texture = match layer.state() {
        LayerState::Leak => Some("hatch"),
        LayerState::NotSearched => Some("dots"),
        LayerState::Searched | LayerState::Remembered => None,
    };
    let lines = [(&name, None), (&bytes, Some("small")), (&result, Some("small"))];
    html! {
        a class=(layer.state().machine_name()) href=(target) data-layer=(name) {
            title {
                (name) ", " (bytes) ", " (result)
                @if let Some(instruction) = layer.instruction() { "\n" (instruction) }
            }
            (rectangle("base", at))
            @if let Some(texture) = texture { (rectangle(texture, at)) }
            @for (number, (text, class)) in lines.into_iter().enumerate() {
                @let below = 25.0 + 18.0 * number as f64;
                @if fits(text, below + 8.0, at) {
                    text class=[class] x=(decimal(at.x + 12.0)) y=(decimal(at.y + below)) { (text) }
                }
            }
        }
    }
}

fn rectangle(class: &str, at: Rectangle) -> Markup {
    let Rectangle { x, y, width, height } = at;
    html! {
        rect class=(class) x=(decimal(x)) y=(decimal(y)) width=(decimal(width)) height=(decimal(height)) rx="7" {}
    }
}

/// Whether a line of text fits into a cell that is filled down to this height.
fn fits(text: &str, down: f64, at: Rectangle) -> bool {
    at.height > down && at.width > 7.8 * text.chars().count() as f64 + 22.0
}

fn decimal(number: f64) -> String {
    format!("{number:.1}")
}
