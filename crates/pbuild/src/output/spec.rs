//! Reads outputs in docker's own spelling and by its rules (buildx `util/buildflags`, `build/opt.go`).

use std::collections::BTreeMap;

use super::destination::{Destination, Format, Target};
use super::error::OutputError;
use super::extent::Extent;
use super::registry::RegistryOutput;
use crate::plan::ImageName;
use crate::plan::comma_separated;

/// A flag that stands for an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shorthand {
    /// No flag.
    None,
    /// `--push`.
    Push,
    /// `--push` and `--load`.
    PushAndLoad,
    /// `--load`.
    Load,
}

/// The engine's own store as a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Store {
    /// The attributes of the store's exporter, without names.
    pub(super) attributes: BTreeMap<String, String>,
    /// Whether the image is pushed from the store.
    pub(super) push: bool,
    /// Whether the image also comes into the engine, if another builder pushes it.
    pub(super) load: bool,
    /// Whether the flag asks for the builder's store, of any kind (`type=image`), and not for the engine's
    /// (`type=docker`).
    pub(super) of_builder: bool,
}

/// The destinations of a build's result. They are checked as far as that is possible before the build.
#[derive(Debug)]
pub(crate) struct Outputs {
    pub(super) store: Option<Store>,
    pub(super) places: Vec<Destination>,
    names: Vec<String>,
    pub(super) registry: Option<RegistryOutput>,
    pub(super) loads: bool,
    /// The attributes of the archive that the engine loads.
    pub(super) load_attributes: BTreeMap<String, String>,
    /// Whether the user named a destination.
    pub(super) asked: bool,
    /// How much of the image these outputs receive.
    pub(super) extent: Extent,
}

impl Store {
    /// Returns the attributes of the store's exporter, without names.
    pub(crate) fn attributes(&self) -> &BTreeMap<String, String> {
        &self.attributes
    }

    /// Returns whether the image is pushed from the store.
    pub(crate) fn is_pushed(&self) -> bool {
        self.push
    }
}

impl Outputs {
    /// Reads the flags.
    ///
    /// `terminal` tells whether standard output is a terminal.
    ///
    /// # Errors
    /// Returns an [`OutputError`] that names the flag.
    pub(crate) fn parse(texts: &[String], shorthand: Shorthand, terminal: bool) -> Result<Self, OutputError> {
        let mut outputs = Self {
            store: None,
            places: Vec::new(),
            names: Vec::new(),
            registry: None,
            loads: false,
            load_attributes: BTreeMap::new(),
            asked: shorthand != Shorthand::None,
            extent: Extent::Whole,
        };
        for text in texts {
            outputs.add(text, terminal)?;
            outputs.asked = true;
        }
        match shorthand {
            Shorthand::Push => outputs.store.get_or_insert_default().push = true,
            Shorthand::PushAndLoad => {
                let store = outputs.store.get_or_insert_default();
                (store.push, store.load) = (true, true);
            }
            Shorthand::Load => {
                outputs.store.get_or_insert_default();
            }
            Shorthand::None if !outputs.asked => {
                outputs.store.get_or_insert_default();
            }
            Shorthand::None => {}
        }
        if outputs.places.iter().filter(|place| place.is_standard_output()).count() > 1 {
            return Err(OutputError::OutputTwice);
        }
        Ok(outputs)
    }

    /// Makes the outputs of one part of a build that several nodes carry out.
    ///
    /// # Errors
    /// Returns [`OutputError::NotJoined`] for a kind of output whose parts cannot be joined.
    pub(crate) fn part(&self) -> Result<Self, OutputError> {
        if let Some(place) = self.places.iter().find(|place| !place.can_be_joined()) {
            return Err(OutputError::NotJoined(place.to_string()));
        }
        Ok(Self {
            store: self.store.clone(),
            places: self.places.iter().map(Destination::part).collect::<Result<_, _>>()?,
            names: self.names.clone(),
            registry: self.registry.clone(),
            loads: self.loads,
            load_attributes: self.load_attributes.clone(),
            asked: self.asked,
            extent: Extent::Part,
        })
    }

    /// Returns the engine's store, unless the user named only other destinations.
    pub(crate) fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// Returns how much of the image these outputs receive.
    pub(crate) fn extent(&self) -> Extent {
        self.extent
    }

    /// Returns the files, folders and streams that receive a result.
    pub(crate) fn places(&self) -> &[Destination] {
        &self.places
    }

    /// Takes the destinations, once the builder knows them.
    pub(crate) fn take_places(&mut self) -> Vec<Destination> {
        std::mem::take(&mut self.places)
    }

    /// Takes the names that the outputs themselves give to the image, in addition to the names of `-t`.
    pub(crate) fn take_names(&mut self) -> Vec<String> {
        std::mem::take(&mut self.names)
    }

    /// Returns the registries to which a builder without an engine pushes the image itself.
    pub(crate) fn registry(&self) -> Option<&RegistryOutput> {
        self.registry.as_ref()
    }

    /// Returns whether an engine loads the image of a builder without an engine.
    pub(crate) fn loads(&self) -> bool {
        self.loads
    }

    /// Iterates over the attributes of all outputs, in the user's spelling.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (&String, &String)> {
        let store = self.store.iter().flat_map(|store| &store.attributes);
        let registry = self.registry.iter().flat_map(RegistryOutput::attributes);
        store.chain(registry).chain(&self.load_attributes).chain(self.places.iter().flat_map(Destination::attributes))
    }

    /// Checks the settings that depend on the image's names, and passes the names to the archives.
    ///
    /// # Errors
    /// Returns an error for a push without a name.
    pub(crate) fn name(&mut self, tags: &[ImageName]) -> Result<(), OutputError> {
        if tags.is_empty() && self.names.is_empty() && self.store.as_ref().is_some_and(|store| store.push) {
            return Err(OutputError::NoName);
        }
        if !tags.is_empty() {
            let names: Vec<String> = tags.iter().map(ImageName::whole).collect();
            for place in &mut self.places {
                place.name(&names.join(","));
            }
        }
        Ok(())
    }

    fn add(&mut self, text: &str, terminal: bool) -> Result<(), OutputError> {
        if !text.starts_with("type=") && comma_separated::fields(text).is_some_and(|fields| fields == [text]) {
            // A single word is a folder, or `-` for standard output.
            let (format, destination) = if text == "-" { (Format::Tar, "-") } else { (Format::Local, text) };
            return self.add_place(format, Some(destination), BTreeMap::new(), terminal);
        }
        let pairs = comma_separated::pairs(text).map_err(OutputError::Format)?;
        let (mut kind, mut destination, mut attributes) = (None, None, BTreeMap::new());
        for (name, value) in pairs {
            match name.as_str() {
                "type" => kind = Some(value),
                "dest" => destination = Some(value),
                _ => drop(attributes.insert(name, value)),
            }
        }
        let kind = kind.ok_or_else(|| OutputError::NoKind(text.to_owned()))?;
        let format = match kind.as_str() {
            "cacheonly" => return Ok(()),
            "image" | "registry" => return self.add_store(&kind, attributes),
            "docker" if destination.is_none() => return self.add_store(&kind, attributes),
            "docker" => Format::Docker,
            "oci" => Format::Oci,
            "tar" => Format::Tar,
            "local" => Format::Local,
            _ => return Err(OutputError::Kind(kind)),
        };
        self.add_place(format, destination.as_deref(), attributes, terminal)
    }

    fn add_store(&mut self, kind: &str, mut attributes: BTreeMap<String, String>) -> Result<(), OutputError> {
        let is = |value: Option<String>| value.as_deref().and_then(comma_separated::truth);
        let push = is(attributes.remove("push")).unwrap_or(kind == "registry");
        if is(attributes.remove("push-by-digest")) == Some(true) && push {
            return Err(OutputError::ByDigest);
        }
        // The image gets its names only when it is found clean.
        let names = attributes.remove("name").unwrap_or_default();
        self.names.extend(names.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
        let store = self.store.get_or_insert_default();
        store.push |= push;
        store.of_builder |= kind != "docker";
        store.attributes.extend(attributes);
        Ok(())
    }

    fn add_place(
        &mut self,
        format: Format,
        destination: Option<&str>,
        mut attributes: BTreeMap<String, String>,
        terminal: bool,
    ) -> Result<(), OutputError> {
        let name = format.name();
        let tar = attributes.remove("tar");
        let is_layout = matches!(format, Format::Docker | Format::Oci)
            && tar.as_deref().and_then(comma_separated::truth) == Some(false);
        let destination = destination.filter(|destination| !destination.is_empty());
        let target = match (format, destination) {
            (_, None) if is_layout => return Err(OutputError::NoDestination(name)),
            (_, Some("-")) if is_layout => return Err(OutputError::NotToOutput(name)),
            (_, Some(folder)) if is_layout => Target::layout(folder.into())?,
            (Format::Local, None) => return Err(OutputError::NoDestination(name)),
            (Format::Local, Some("-")) => return Err(OutputError::NotToOutput(name)),
            (Format::Local, Some(folder)) => Target::folder(folder.into())?,
            (_, None | Some("-")) if terminal => return Err(OutputError::Terminal(name)),
            (_, None | Some("-")) => Target::standard_output(),
            (_, Some(file)) => Target::file(file.into())?,
        };
        self.places.push(Destination::new(format, target, attributes)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(outputs: &[&str], terminal: bool) -> Result<Outputs, OutputError> {
        let outputs: Vec<String> = outputs.iter().map(|text| (*text).to_owned()).collect();
        Outputs::parse(&outputs, Shorthand::None, terminal)
    }

    #[test]
    fn outputs_are_spelled_as_docker_spells_them() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let shown = |texts: &[&str]| {
            let outputs = parse(texts, false).unwrap();
            let places: Vec<String> = outputs.places.iter().map(ToString::to_string).collect();
            (outputs.store, places)
        };
        let store = |push| Some(Store { push, ..Store::default() });
        let of_builder = |push| Some(Store { push, of_builder: true, ..Store::default() });
        assert_eq!(shown(&[]), (store(false), vec![]));
        assert_eq!(shown(&["type=docker"]), (store(false), vec![]));
        assert_eq!(shown(&["type=image,push=true"]), (of_builder(true), vec![]));
        assert_eq!(shown(&["type=registry"]), (of_builder(true), vec![]));
        assert_eq!(shown(&["type=registry,push=false"]), (of_builder(false), vec![]));
        assert_eq!(shown(&["type=cacheonly"]), (None, vec![]));
        assert_eq!(shown(&[&at("out")]), (None, vec![format!("type=local,dest={}", at("out"))]));
        assert_eq!(shown(&["-"]), (None, vec!["type=tar,dest=-".to_owned()]));
        assert_eq!(shown(&["type=oci"]), (None, vec!["type=oci,dest=-".to_owned()]));
        let both = shown(&["type=image,compression=zstd", &format!("type=docker,dest={}", at("a.tar"))]);
        assert_eq!(both.0.unwrap().attributes["compression"], "zstd");
        assert_eq!(both.1, [format!("type=docker,dest={}", at("a.tar"))]);
    }

    #[test]
    fn what_cannot_be_is_told_before_anything_runs() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        for (outputs, terminal, says) in [
            (vec!["type=nothing".to_owned()], false, "there is no type"),
            (vec!["dest=x,name=y".to_owned()], false, "type is required"),
            (vec!["type=tar,loose".to_owned()], false, "invalid --output"),
            (vec!["type=local".to_owned()], false, "dest is required"),
            (vec!["type=local,dest=-".to_owned()], false, "dest cannot be"),
            (vec!["type=tar".to_owned()], true, "is a terminal"),
            (vec!["-".to_owned(), "type=oci".to_owned()], false, "two results"),
            (vec![format!("type=oci,dest={}", at("absent/a.tar"))], false, "dest="),
            (vec![format!("type=oci,dest={}", folder.path().display())], false, "dest="),
            (vec![at("file")], false, "dest="),
            (vec![at("file/below")], false, "dest="),
            (vec!["type=oci,tar=false,dest=-".to_owned()], false, "dest cannot be"),
            (vec!["type=oci,tar=false".to_owned()], false, "dest is required"),
            (vec![format!("type=oci,tar=false,dest={}", at("file"))], false, "dest="),
            (vec!["type=image,push=true,push-by-digest=true".to_owned()], false, "push-by-digest"),
        ] {
            let texts: Vec<&str> = outputs.iter().map(String::as_str).collect();
            let error = parse(&texts, terminal).expect_err(&outputs.join(" ")).to_string();
            assert!(error.contains(says), "{outputs:?}: {error}");
        }
    }

    #[test]
    fn a_push_needs_a_name() {
        assert!(matches!(parse(&["type=registry"], false).unwrap().name(&[]), Err(OutputError::NoName)));
        let named = ImageName::parse("r.example/shop:1").unwrap();
        parse(&["type=registry"], false).unwrap().name(&[named]).unwrap();
        let mut own = parse(&["type=image,\"name=r.example/a,r.example/b\",push=true"], false).unwrap();
        own.name(&[]).unwrap();
        assert_eq!(own.names, ["r.example/a", "r.example/b"]);
    }
}
