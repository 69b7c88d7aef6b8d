//! Proves that the states that were searched are those of the image: each is one layer above the state before it.
//!
//! One operation of a build can have several results, for example after a run without the cache. So a request for an
//! operation's state may return another state than the one that the image is built on. But the kernel knows the
//! layers of a mount.

use pllb::{Chain, Output};

use super::states::{States, follows_a_link};

/// The reason why states are not proven to be those of the image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A state is not an overlay mount, so the kernel does not list its layers.
    #[error("this engine stores layers in a way that allows no proof from inside the builder")]
    NoOverlay,
    /// A state does not consist of the state before it and one more layer.
    #[error("the engine's result of step {step} is not the one that the image is built on")]
    OtherParent {
        /// The step, from 1.
        step: usize,
    },
    /// The steps do not lead from the base to the result.
    #[error("the build graph does not lead from the base image to the result")]
    NotAChain,
}

/// Proves that every step's state is one layer above the state before it, from the base to the result. Returns the
/// number of the base's layers.
///
/// Linked copies in a row are a special case: each is one layer above the state before the first of them.
pub(super) fn prove(chain: &Chain, states: &States, layers: &[Option<Vec<String>>]) -> Result<usize, Broken> {
    if layers.len() != states.len() {
        return Err(Broken::NotAChain);
    }
    let made_of = |output: &Output| -> Result<Vec<&str>, Broken> {
        let layers = states.number(output).and_then(|number| layers.get(number)).ok_or(Broken::NotAChain)?;
        Ok(layers.as_ref().ok_or(Broken::NoOverlay)?.iter().map(|layer| identity(layer)).collect())
    };
    let base = match &chain.base {
        Some(base) => made_of(&base.output)?,
        None => Vec::new(),
    };
    let (mut at, mut below) = (chain.base.as_ref().map(|base| &base.output), base.clone());
    let mut before_links = base.clone();
    for (number, step) in chain.steps.iter().enumerate() {
        if step.before.as_ref() != at {
            return Err(Broken::NotAChain);
        }
        if !follows_a_link(chain, number) {
            before_links.clone_from(&below);
        }
        let above = made_of(&step.after)?;
        // A layer that the state before has already would be an old layer in a new place.
        match above.split_first() {
            Some((new, rest)) if rest == before_links && !below.contains(new) => {}
            _ => return Err(Broken::OtherParent { step: number + 1 }),
        }
        (at, below) = (Some(&step.after), above);
    }
    if chain.result.as_ref() == at { Ok(base.len()) } else { Err(Broken::NotAChain) }
}

/// Returns the last two parts of a layer's path, which are unique in its engine. The rest of the path is shortened if
/// all paths together are too long for the kernel.
fn identity(layer: &str) -> &str {
    layer.rmatch_indices('/').nth(1).map_or(layer, |(at, _)| &layer[at + 1..])
}

#[cfg(test)]
mod tests {
    use pllb::{Base, ChainStep};

    use super::*;

    fn output(digest: &str) -> Output {
        Output { digest: digest.to_owned(), index: 0 }
    }

    /// Makes a chain: `base`, `one`, `two` and `three`, each above the one before.
    fn chain() -> Chain {
        let step = |before: &str, after: &str| ChainStep {
            digest: after.to_owned(),
            name: after.to_owned(),
            before: Some(output(before)),
            after: output(after),
            linked: false,
        };
        Chain {
            result: Some(output("three")),
            base: Some(Base { output: output("base"), identifier: "docker-image://base".to_owned() }),
            steps: vec![step("base", "one"), step("one", "two"), step("two", "three")],
            unusual: false,
        }
    }

    fn layers(of: &[&str]) -> Vec<Option<Vec<String>>> {
        of.iter().map(|list| Some(list.split(' ').map(str::to_owned).collect())).collect()
    }

    fn proven(chain: &Chain, of: &[&str]) -> Result<usize, Broken> {
        prove(chain, &States::of(chain), &layers(of))
    }

    #[test]
    fn a_chain_of_layers_is_proven() {
        assert_eq!(
            proven(&chain(), &["/l/B /l/A", "/l/C /l/B /l/A", "/l/D /l/C /l/B /l/A", "/l/E /l/D /l/C /l/B /l/A"]),
            Ok(2)
        );
    }

    #[test]
    fn an_image_from_nothing_has_no_base() {
        let mut chain = chain();
        chain.base = None;
        chain.steps[0].before = None;
        assert_eq!(proven(&chain, &["/l/C", "/l/D /l/C", "/l/E /l/D /l/C"]), Ok(0));
        assert_eq!(proven(&chain, &["/l/C /l/B", "/l/D /l/C", "/l/E /l/D /l/C"]), Err(Broken::OtherParent { step: 1 }));
    }

    /// The request for step two returned another result of this step, which the image is not built on.
    #[test]
    fn a_sibling_of_a_state_is_not_the_state() {
        let of = ["/l/A", "/l/C /l/A", "/l/X /l/C /l/A", "/l/E /l/D /l/C /l/A"];
        assert_eq!(proven(&chain(), &of), Err(Broken::OtherParent { step: 3 }));
        let of = ["/l/A", "/l/X /l/A", "/l/D /l/C /l/A", "/l/E /l/D /l/C /l/A"];
        assert_eq!(proven(&chain(), &of), Err(Broken::OtherParent { step: 2 }));
    }

    #[test]
    fn more_or_fewer_layers_than_one_are_not_a_step() {
        for third in ["/l/C /l/A", "/l/D /l/F /l/C /l/A", "/l/C /l/C /l/A", "/l/D /l/A /l/C"] {
            let of = ["/l/A", "/l/C /l/A", third, "/l/E /l/D /l/C /l/A"];
            assert_eq!(proven(&chain(), &of), Err(Broken::OtherParent { step: 2 }), "{third}");
        }
    }

    /// The chain is `base`, then two linked copies, then a step above them.
    #[test]
    fn linked_copies_in_a_row_are_one_layer_upon_what_lies_below_the_first() {
        let mut chain = chain();
        for number in [0, 1] {
            chain.steps[number].linked = true;
        }
        let good = ["/l/A", "/l/C /l/A", "/l/D /l/A", "/l/E /l/D /l/A"];
        assert_eq!(proven(&chain, &good), Ok(1));
        for (second, third, broken) in [
            ("/l/D /l/C /l/A", "/l/E /l/D /l/C /l/A", 2),
            ("/l/C /l/A", "/l/E /l/C /l/A", 2),
            ("/l/D /l/B", "/l/E /l/D /l/B", 2),
            ("/l/D /l/A", "/l/E /l/A", 3),
        ] {
            assert_eq!(
                proven(&chain, &["/l/A", "/l/C /l/A", second, third]),
                Err(Broken::OtherParent { step: broken }),
                "{second}"
            );
        }
        chain.steps[1].linked = false;
        assert_eq!(proven(&chain, &good), Err(Broken::OtherParent { step: 2 }));
    }

    #[test]
    fn what_is_no_overlay_proves_nothing() {
        let mut of = layers(&["/l/A", "/l/C /l/A", "/l/D /l/C /l/A", "/l/E /l/D /l/C /l/A"]);
        of[2] = None;
        assert_eq!(prove(&chain(), &States::of(&chain()), &of), Err(Broken::NoOverlay));
        of.pop();
        assert_eq!(prove(&chain(), &States::of(&chain()), &of), Err(Broken::NotAChain));
    }

    #[test]
    fn steps_that_do_not_lead_to_the_result_are_no_chain() {
        let mut other = chain();
        other.result = Some(output("two"));
        let of = ["/l/A", "/l/C /l/A", "/l/D /l/C /l/A", "/l/E /l/D /l/C /l/A"];
        assert_eq!(proven(&other, &of), Err(Broken::NotAChain));
        let mut gap = chain();
        gap.steps.remove(1);
        assert_eq!(proven(&gap, &of), Err(Broken::NotAChain));
    }

    #[test]
    fn long_lists_of_layers_are_written_relative_and_are_the_same() {
        for (whole, short) in [
            ("/var/lib/docker/overlay2/l/ABC", "l/ABC"),
            ("/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/12/fs", "12/fs"),
        ] {
            assert_eq!(identity(whole), identity(short));
        }
    }
}
