//! Secrets that are composed of other values: which of them can be composed, in which order, and how long each will
//! be.
//!
//! All faults are found with names and lengths alone, before any value is composed. A manifest may come from a
//! stranger, so it must not be able to cause endless recursion or a value that is longer than allowed.

use std::collections::BTreeMap;

use crate::template::Part;
use crate::{Delivery, Secret, Template};

/// The greatest depth of composed secrets that are made of other composed secrets.
const DEEPEST: usize = 16;

/// The composed secrets, in the order in which they can be composed.
#[derive(Debug, Default)]
pub struct Composition<'a> {
    /// The secrets that can be composed. Each comes once, after the secrets that it is made of.
    pub ready: Vec<Composed<'a>>,
    /// The secrets that need an unknown name, in the order in which they were given.
    pub deferred: Vec<Deferred<'a>>,
}

/// A secret that can be composed.
#[derive(Clone, Copy, Debug)]
pub struct Composed<'a> {
    /// The secret.
    pub secret: &'a Secret,
    template: &'a Template,
    length: usize,
}

/// A secret that cannot be composed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deferred<'a> {
    /// The secret.
    pub secret: &'a Secret,
    /// The unknown name that the secret needs, directly or through other composed secrets.
    pub needs: &'a str,
}

/// The reason why secrets cannot be composed as the manifest says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompositionError {
    /// A secret is made of itself.
    #[error("secret `{}` is made of itself: {}", names[0], names.join(" → "))]
    Circle {
        /// The names along the circle. The first name is repeated at the end: `A`, `B`, `A`.
        names: Vec<String>,
        /// The line that declares the first secret of the circle.
        line: usize,
    },
    /// Composed secrets are made of each other in a chain that is longer than allowed.
    #[error("secret `{name}` is made of secrets that are made of others, more than {DEEPEST} deep")]
    TooDeep {
        /// The secret.
        name: String,
        /// The line that declares the secret.
        line: usize,
    },
    /// The value would be longer than its delivery allows.
    #[error("secret `{name}` would be longer than the {most} bytes that {} may have", shape(*delivery))]
    TooLong {
        /// The secret.
        name: String,
        /// The line that declares the secret.
        line: usize,
        /// The way in which the secret is delivered.
        delivery: Delivery,
        /// The most bytes that its value may have.
        most: usize,
    },
}

fn shape(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Variable => "its variable",
        Delivery::File => "a file",
    }
}

impl CompositionError {
    /// Returns the manifest's line that declares the secret.
    #[must_use]
    pub fn line(&self) -> usize {
        match self {
            Self::Circle { line, .. } | Self::TooDeep { line, .. } | Self::TooLong { line, .. } => *line,
        }
    }

    /// Returns advice about the fault, without its place.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Circle { .. } => "break the circle of `${…}`",
            Self::TooDeep { .. } => "name fewer in turn in `${…}`",
            Self::TooLong { delivery: Delivery::Variable, .. } => "make it of fewer names, or deliver it as = \"file\"",
            Self::TooLong { delivery: Delivery::File, .. } => "make it of fewer names",
        }
    }
}

impl<'a> Composition<'a> {
    /// Orders the composed secrets among `secrets`, and leaves all other secrets out.
    ///
    /// `known` returns the length of the value of a name, if the value exists already; such a secret is not composed
    /// again. `most` returns the greatest length that a secret's value may have.
    ///
    /// # Errors
    ///
    /// Returns the first [`CompositionError`]. A deferred secret is never too long, because its length is unknown.
    pub fn of(
        secrets: impl IntoIterator<Item = &'a Secret>,
        known: impl Fn(&str) -> Option<usize>,
        most: impl Fn(&Secret) -> usize,
    ) -> Result<Self, CompositionError> {
        let composed = secrets.into_iter().filter_map(|secret| Some((secret, secret.value.as_ref()?)));
        let composed: Vec<_> = composed.filter(|(secret, _)| known(&secret.name).is_none()).collect();
        let by_name = composed.iter().map(|&(secret, template)| (secret.name.as_str(), (secret, template))).collect();
        let mut work = Work { by_name, known, most, done: BTreeMap::new(), under_way: Vec::new(), ready: Vec::new() };
        let mut deferred = Vec::new();
        for &(secret, template) in &composed {
            if let Size::Unknown { needs } = work.visit(secret, template)?.0 {
                deferred.push(Deferred { secret, needs });
            }
        }
        Ok(Self { ready: work.ready, deferred })
    }
}

/// The length of a value.
#[derive(Clone, Copy)]
enum Size<'a> {
    Known(usize),
    Unknown { needs: &'a str },
}

/// The state while the secrets are ordered.
struct Work<'a, K, M> {
    by_name: BTreeMap<&'a str, (&'a Secret, &'a Template)>,
    known: K,
    most: M,
    /// The secrets whose length was determined, with the depth of their composition.
    done: BTreeMap<&'a str, (Size<'a>, usize)>,
    under_way: Vec<&'a Secret>,
    ready: Vec<Composed<'a>>,
}

impl<'a, K: Fn(&str) -> Option<usize>, M: Fn(&Secret) -> usize> Work<'a, K, M> {
    /// Determines the length and the depth of a secret, after those of the secrets that it is made of.
    fn visit(&mut self, secret: &'a Secret, template: &'a Template) -> Result<(Size<'a>, usize), CompositionError> {
        if let Some(done) = self.done.get(secret.name.as_str()) {
            return Ok(*done);
        }
        if let Some(start) = self.under_way.iter().position(|earlier| earlier.name == secret.name) {
            let circle = &self.under_way[start..];
            let names = circle.iter().copied().chain([secret]).map(|secret| secret.name.clone()).collect();
            return Err(CompositionError::Circle { names, line: secret.line });
        }
        // The depth is checked before the next recursive call, because the longest chain in a manifest would overflow
        // the stack.
        if let Some(first) = self.under_way.first().filter(|_| self.under_way.len() > DEEPEST) {
            return Err(too_deep(first));
        }
        self.under_way.push(secret);
        let (mut size, mut depth) = (Size::Known(0), 0);
        for part in template.parts() {
            let (more, inner) = match part {
                Part::Literal(text) => (Size::Known(text.len()), 0),
                Part::Name(name) => self.name(name)?,
            };
            depth = depth.max(inner);
            size = match (size, more) {
                (Size::Known(one), Size::Known(other)) => Size::Known(one.saturating_add(other)),
                (Size::Unknown { needs }, _) | (_, Size::Unknown { needs }) => Size::Unknown { needs },
            };
        }
        self.under_way.pop();
        if depth > DEEPEST {
            return Err(too_deep(secret));
        }
        if let Size::Known(length) = size {
            let most = (self.most)(secret);
            if length > most {
                let (name, delivery) = (secret.name.clone(), secret.delivery);
                return Err(CompositionError::TooLong { name, line: secret.line, delivery, most });
            }
            self.ready.push(Composed { secret, template, length });
        }
        self.done.insert(&secret.name, (size, depth));
        Ok((size, depth))
    }

    fn name(&mut self, name: &'a str) -> Result<(Size<'a>, usize), CompositionError> {
        if let Some(length) = (self.known)(name) {
            return Ok((Size::Known(length), 0));
        }
        match self.by_name.get(name) {
            Some(&(secret, template)) => self.visit(secret, template).map(|(size, depth)| (size, depth + 1)),
            None => Ok((Size::Unknown { needs: name }, 0)),
        }
    }
}

fn too_deep(secret: &Secret) -> CompositionError {
    CompositionError::TooDeep { name: secret.name.clone(), line: secret.line }
}

impl Composed<'_> {
    /// Appends the composed value to `text`. The buffer grows once at most, so that no copy of a part is left in
    /// memory.
    ///
    /// `value` appends the value of a name. It is called for names that were known, and for secrets that were
    /// composed before.
    pub fn fill(&self, text: &mut Vec<u8>, mut value: impl FnMut(&str, &mut Vec<u8>)) {
        text.reserve_exact(self.length);
        for part in self.template.parts() {
            match part {
                Part::Literal(literal) => text.extend_from_slice(literal.as_bytes()),
                Part::Name(name) => value(name, text),
            }
        }
    }
}

#[cfg(test)]
mod tests;
