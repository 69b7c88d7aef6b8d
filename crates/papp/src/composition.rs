//! Secrets made of other names: which can be made, in what order, and how long each will be.
//!
//! Everything that can go wrong is found with names and lengths alone, before a byte of any value is put together: a
//! manifest from a stranger may make the tools neither recurse without end nor write more than a value may have.

use std::collections::BTreeMap;

use crate::template::Part;
use crate::{Delivery, Secret, Template};

/// How deep secrets may be made of secrets that are made of others.
const DEEPEST: usize = 16;

/// The composed secrets in the order in which they can be made.
#[derive(Debug, Default)]
pub struct Composition<'a> {
    /// Each once, behind those that it is made of.
    pub ready: Vec<Composed<'a>>,
    /// The secrets that need a name that nobody has, in the order in which they were given.
    pub deferred: Vec<Deferred<'a>>,
}

/// A secret that can be made.
#[derive(Clone, Copy, Debug)]
pub struct Composed<'a> {
    /// The secret.
    pub secret: &'a Secret,
    template: &'a Template,
    length: usize,
}

/// A secret that cannot be made yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deferred<'a> {
    /// The secret.
    pub secret: &'a Secret,
    /// A name that it needs, be it by way of others, and nobody has.
    pub needs: &'a str,
}

/// Why secrets cannot be composed as the manifest says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompositionError {
    /// A secret that needs itself.
    #[error("secret `{}` is made of itself: {}", names[0], names.join(" → "))]
    Circle {
        /// The names along the circle. The first name is repeated at the end: `A`, `B`, `A`.
        names: Vec<String>,
        /// The line that declares the first.
        line: usize,
    },
    /// A longer chain than anybody needs.
    #[error("secret `{name}` is made of secrets that are made of others, more than {DEEPEST} deep")]
    TooDeep {
        /// The secret.
        name: String,
        /// The line that declares it.
        line: usize,
    },
    /// More than its shape carries.
    #[error("secret `{name}` would be longer than the {most} bytes that {} may have", shape(*delivery))]
    TooLong {
        /// The secret.
        name: String,
        /// The line that declares it.
        line: usize,
        /// How it is delivered.
        delivery: Delivery,
        /// How many bytes its value may have.
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
    /// The manifest's line that declares the secret.
    #[must_use]
    pub fn line(&self) -> usize {
        match self {
            Self::Circle { line, .. } | Self::TooDeep { line, .. } | Self::TooLong { line, .. } => *line,
        }
    }

    /// Advises what to do about the fault, without a place.
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
    /// Orders the composed ones among `secrets`; the others are left out.
    ///
    /// `known` tells how long the value of a name is that exists already; such a secret is not made again. `most` tells
    /// how long a secret's value may be.
    ///
    /// # Errors
    ///
    /// The first [`CompositionError`]. A deferred secret is not too long before its last name is known.
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

/// How long a value will be.
#[derive(Clone, Copy)]
enum Size<'a> {
    Known(usize),
    Unknown { needs: &'a str },
}

/// An order in the making.
struct Work<'a, K, M> {
    by_name: BTreeMap<&'a str, (&'a Secret, &'a Template)>,
    known: K,
    most: M,
    /// The secrets that were sized already, each once, with the depth of their composition.
    done: BTreeMap<&'a str, (Size<'a>, usize)>,
    under_way: Vec<&'a Secret>,
    ready: Vec<Composed<'a>>,
}

impl<'a, K: Fn(&str) -> Option<usize>, M: Fn(&Secret) -> usize> Work<'a, K, M> {
    /// Looks at one, behind those that it is made of; gives back how deep it is.
    fn visit(&mut self, secret: &'a Secret, template: &'a Template) -> Result<(Size<'a>, usize), CompositionError> {
        if let Some(done) = self.done.get(secret.name.as_str()) {
            return Ok(*done);
        }
        if let Some(start) = self.under_way.iter().position(|earlier| earlier.name == secret.name) {
            let circle = &self.under_way[start..];
            let names = circle.iter().copied().chain([secret]).map(|secret| secret.name.clone()).collect();
            return Err(CompositionError::Circle { names, line: secret.line });
        }
        // Before any deeper call: a chain as long as a manifest allows would not fit the stack.
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
    /// Writes the text to the end of `text`, which grows once, so that no copy of a part is left behind.
    ///
    /// `value` appends the value of a name. It is asked for names that were known, and for secrets made before.
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
