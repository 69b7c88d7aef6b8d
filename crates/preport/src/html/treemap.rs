//! A squarified treemap: rectangles whose areas are sizes, as square as they can be.
//!
//! The method is that of Bruls, Huizing and van Wijk, "Squarified Treemaps" (2000): rows are laid along the shorter
//! side, and a row takes one more cell as long as that makes its worst cell squarer.

/// A rectangle; the origin is the upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rectangle {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Lays the sizes out, the largest first, and returns the rectangle of each in the order of the sizes. A size of zero
/// gets no area.
pub(super) fn squarify(sizes: &[f64], within: Rectangle) -> Vec<Rectangle> {
    let total: f64 = sizes.iter().sum();
    let area = within.width * within.height;
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|a, b| sizes[*b].total_cmp(&sizes[*a]));
    let scaled = |index: usize| if total > 0.0 { sizes[index] / total * area } else { 0.0 };

    let mut placed = vec![Rectangle { width: 0.0, height: 0.0, ..within }; sizes.len()];
    let mut free = within;
    let mut rest = order.as_slice();
    while let Some(first) = rest.first() {
        let side = free.width.min(free.height);
        let (mut length, mut sum, mut least) = (1, scaled(*first), scaled(*first));
        let largest = scaled(*first);
        while let Some(next) = rest.get(length).map(|index| scaled(*index)) {
            if worst(side, sum + next, largest, least.min(next)) > worst(side, sum, largest, least) {
                break;
            }
            (sum, least, length) = (sum + next, least.min(next), length + 1);
        }
        let (row, others) = rest.split_at(length);
        free = lay(row, &scaled, sum, free, &mut placed);
        rest = others;
    }
    placed
}

/// Returns the worst ratio of sides in a row of this area along a side.
fn worst(side: f64, sum: f64, largest: f64, least: f64) -> f64 {
    if sum <= 0.0 || least <= 0.0 {
        return f64::INFINITY;
    }
    let (side, sum) = (side * side, sum * sum);
    (side * largest / sum).max(sum / (side * least))
}

/// Places one row, and returns the space that is left free.
fn lay(row: &[usize], area: &impl Fn(usize) -> f64, sum: f64, free: Rectangle, placed: &mut [Rectangle]) -> Rectangle {
    let upright = free.width >= free.height;
    let side = if upright { free.height } else { free.width };
    let depth = if side > 0.0 { sum / side } else { 0.0 };
    let mut along = 0.0;
    for index in row {
        let length = if depth > 0.0 { area(*index) / depth } else { 0.0 };
        placed[*index] = if upright {
            Rectangle { x: free.x, y: free.y + along, width: depth, height: length }
        } else {
            Rectangle { x: free.x + along, y: free.y, width: length, height: depth }
        };
        along += length;
    }
    if upright {
        Rectangle { x: free.x + depth, width: (free.width - depth).max(0.0), ..free }
    } else {
        Rectangle { y: free.y + depth, height: (free.height - depth).max(0.0), ..free }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIELD: Rectangle = Rectangle { x: 10.0, y: 20.0, width: 600.0, height: 400.0 };

    /// The example of the paper: 6, 6, 4, 3, 2, 2, 1 in 6 by 4.
    #[test]
    fn the_paper_s_own_example_comes_out_as_printed() {
        let field = Rectangle { x: 0.0, y: 0.0, width: 6.0, height: 4.0 };
        let placed = squarify(&[6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0], field);
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(placed[0].width, 3.0) && close(placed[0].height, 2.0), "{placed:?}");
        assert!(close(placed[1].width, 3.0) && close(placed[1].y, 2.0), "{placed:?}");
        assert!(close(placed[2].x, 3.0) && close(placed[2].height, 7.0 / 3.0), "{placed:?}");
    }

    proptest! {
        #[test]
        fn areas_are_sizes_and_nothing_overlaps_or_leaves_the_field(sizes in prop::collection::vec(0_u32..1_000_000, 1..60)) {
            let sizes: Vec<f64> = sizes.into_iter().map(f64::from).collect();
            let total: f64 = sizes.iter().sum();
            let placed = squarify(&sizes, FIELD);
            prop_assert_eq!(placed.len(), sizes.len());
            for (size, cell) in sizes.iter().zip(&placed) {
                let expected = if total > 0.0 { size / total * FIELD.width * FIELD.height } else { 0.0 };
                prop_assert!((cell.width * cell.height - expected).abs() < 1e-6 * FIELD.width * FIELD.height);
                prop_assert!(cell.x >= FIELD.x - 1e-6 && cell.x + cell.width <= FIELD.x + FIELD.width + 1e-6);
                prop_assert!(cell.y >= FIELD.y - 1e-6 && cell.y + cell.height <= FIELD.y + FIELD.height + 1e-6);
            }
            for (at, one) in placed.iter().enumerate() {
                for other in &placed[at + 1..] {
                    let wide = (one.x + one.width).min(other.x + other.width) - one.x.max(other.x);
                    let high = (one.y + one.height).min(other.y + other.height) - one.y.max(other.y);
                    prop_assert!(wide < 1e-6 || high < 1e-6, "{one:?} {other:?}");
                }
            }
        }
    }
}
