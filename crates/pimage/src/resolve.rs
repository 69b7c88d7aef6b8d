//! Finds the images that an archive's documents describe, and the blobs of their layers.

mod documents;
mod verify;

use std::collections::{HashMap, HashSet};

use crate::blob::{Blob, BlobId, Packing, printable};
use crate::contents::{Contents, Image, Kind, Layer};
use crate::digest::Digest;
use crate::options::Verify;
use crate::problem::{Fault, Problem};
use documents::{Config, Descriptor, Document, Saved, parse};

/// The maximal number of manifests that are read.
const MOST_MANIFESTS: usize = 10_000;
/// The maximal number of layers of one image that are read; ten times as many of all images together.
const MOST_LAYERS: usize = 10_000;
/// The maximal number of problems that are reported one by one.
const MOST_PROBLEMS: usize = 10_000;
/// The maximal depth of indexes that list indexes.
const DEEPEST_INDEX: usize = 8;

/// Makes the contents of the blobs that were read.
pub(crate) fn contents(
    blobs: Vec<Blob>,
    names: HashMap<String, BlobId>,
    links: &HashMap<String, String>,
    problems: Vec<Problem>,
    verify: Verify,
) -> Contents {
    let mut resolver = Resolver {
        blobs: &blobs,
        names: &names,
        links,
        told: problems.iter().cloned().collect(),
        problems,
        images: Vec::new(),
        layers: 0,
        absent: Vec::new(),
        followed: HashSet::new(),
    };
    resolver.images();
    let Resolver { mut problems, images, absent, .. } = resolver;
    if verify == Verify::Digests {
        verify::digests(&blobs, &names, &images, &mut problems);
    }
    let mut uses: HashMap<BlobId, Vec<(usize, usize)>> = HashMap::new();
    for (at, image) in images.iter().enumerate() {
        for (layer, blob) in image.layers.iter().enumerate().filter_map(|(layer, each)| Some((layer, each.blob?))) {
            uses.entry(blob).or_default().push((at, layer));
        }
    }
    let mut told = HashSet::new();
    problems.retain(|problem| told.insert(problem.clone()));
    Contents { images, blobs, problems, damaged: Vec::new(), absent, uses }
}

struct Resolver<'a> {
    blobs: &'a [Blob],
    names: &'a HashMap<String, BlobId>,
    links: &'a HashMap<String, String>,
    problems: Vec<Problem>,
    told: HashSet<Problem>,
    images: Vec<Image>,
    /// The number of layers of all images so far.
    layers: usize,
    absent: Vec<String>,
    followed: HashSet<String>,
}

impl Resolver<'_> {
    fn images(&mut self) {
        let (index, saved) = (self.find("index.json"), self.find("manifest.json"));
        if index.is_none() && saved.is_none() {
            // An archive that could not be read at all has a problem already.
            if !self.blobs.is_empty() || self.problems.is_empty() {
                self.problem(None, Fault::NoManifest);
            }
            return;
        }
        if let Some(index) = index {
            self.document("index.json", index, None, 0);
        }
        if let Some(saved) = saved {
            self.saved(saved);
        }
        // If there are other problems, they explain why there is no image.
        if self.images.is_empty() && self.problems.is_empty() {
            self.problem(None, Fault::NoImage);
        }
    }

    fn problem(&mut self, blob: Option<BlobId>, fault: Fault) {
        let mut problem = Problem { blob, fault };
        if self.problems.len() >= MOST_PROBLEMS {
            problem = Problem { blob: None, fault: Fault::Limit { what: "10000 problems" } };
        }
        if self.told.insert(problem.clone()) {
            self.problems.push(problem);
        }
    }

    /// Finds the blob with a name, and follows links.
    fn find(&self, name: &str) -> Option<BlobId> {
        let mut name = name.to_owned();
        // Old engines save a layer that occurs twice as a link to the first one.
        for _ in 0..8 {
            if let Some(blob) = self.names.get(&name) {
                return Some(*blob);
            }
            let target = self.links.get(&name)?;
            let hard = self.names.contains_key(target.as_str());
            name = if hard { target.clone() } else { beside(&name, target)? };
        }
        None
    }

    fn find_digest(&self, digest: &Digest) -> Option<BlobId> {
        self.find(&format!("blobs/sha256/{}", digest.hex()))
    }

    /// Reads an index or a manifest, and adds its images.
    fn document(&mut self, name: &str, blob: BlobId, from: Option<&Descriptor>, depth: usize) {
        if self.followed.len() >= MOST_MANIFESTS || depth > DEEPEST_INDEX {
            return self.problem(Some(blob), Fault::Limit { what: "10000 manifests, 8 deep" });
        }
        let document: Option<Document> = parse(&self.blobs[blob.0]);
        match document {
            Some(Document { manifests: Some(manifests), .. }) => self.index(&manifests, depth),
            // The list of an image without layers may be missing, or `null` as Docker writes it.
            Some(Document { layers, config, annotations, .. }) if layers.is_some() || config.is_some() => {
                let mut layers = layers.unwrap_or_default();
                self.limit_layers(blob, &mut layers);
                let manifest = Manifest { blob, layers, config, from };
                self.manifest(manifest, &annotations.unwrap_or_default());
            }
            _ => self.problem(Some(blob), Fault::BrokenDocument { name: printable(name) }),
        }
    }

    fn limit_layers<T>(&mut self, blob: BlobId, layers: &mut Vec<T>) {
        let most = MOST_LAYERS.min((10 * MOST_LAYERS).saturating_sub(self.layers));
        if layers.len() > most {
            layers.truncate(most);
            self.problem(Some(blob), Fault::Limit { what: "10000 layers of one image, 100000 of all" });
        }
        self.layers += layers.len();
    }

    fn index(&mut self, manifests: &[Descriptor], depth: usize) {
        let before = self.images.len();
        let mut absent = Vec::new();
        for descriptor in manifests {
            let Some(digest) = self.digest(descriptor) else { continue };
            match self.find_digest(&digest) {
                // The same manifest may be listed twice, or again and again in a circle of indexes.
                Some(_) if !self.followed.insert(digest.to_string()) => {}
                Some(blob) => {
                    self.size(blob, descriptor);
                    self.document(digest.as_str(), blob, Some(descriptor), depth + 1);
                }
                None => absent.push((digest, descriptor)),
            }
        }
        // If some platforms of an index are present, the engine does not have the others. If none is present, a blob
        // is missing.
        let some_present = self.images.len() > before && depth > 0;
        for (digest, descriptor) in absent {
            match descriptor.platform_text() {
                Some(platform) if some_present => self.absent.push(platform),
                None if some_present && descriptor.is_attestation() => {}
                _ => self.problem(None, Fault::Missing { name: digest.to_string() }),
            }
        }
    }

    fn manifest(&mut self, manifest: Manifest<'_>, annotations: &HashMap<String, String>) {
        let Manifest { blob, layers, config, from } = manifest;
        let config_type = config.as_ref().and_then(|config| config.media_type.clone()).unwrap_or_default();
        let attests = from.is_some_and(Descriptor::is_attestation)
            || (!layers.is_empty() && layers.iter().all(Descriptor::is_statement));
        let kind = if attests {
            Kind::Attestation
        } else if config_type.is_empty()
            || config_type.contains("image.config")
            || config_type.contains("container.image")
        {
            Kind::Image
        } else {
            Kind::Artifact
        };
        let config = config.and_then(|descriptor| self.blob_of(&descriptor));
        let blobs = layers.iter().map(|descriptor| self.blob_of(descriptor)).collect();
        let digest = from.and_then(|from| Digest::parse(&from.digest));
        let tag = |key: &str| {
            from.and_then(|from| from.annotations.as_ref()?.get(key)).or_else(|| annotations.get(key)).cloned()
        };
        let tags = tag("io.containerd.image.name").or_else(|| tag("org.opencontainers.image.ref.name"));
        let platform = from.and_then(Descriptor::platform_text);
        let tags = tags.map(|tag| printable(&tag)).into_iter().collect();
        self.image(Image { kind, tags, platform, digest, manifest: Some(blob), config, layers: Vec::new() }, blobs);
    }

    /// Adds the images that `docker save` lists in `manifest.json`.
    fn saved(&mut self, blob: BlobId) {
        let Some(saved) = parse::<Vec<Saved>>(&self.blobs[blob.0]) else {
            return self.problem(Some(blob), Fault::BrokenDocument { name: "manifest.json".to_owned() });
        };
        for saved in saved {
            if self.images.len() >= MOST_MANIFESTS {
                return self.problem(Some(blob), Fault::Limit { what: "10000 manifests, 8 deep" });
            }
            let config = self.find_listed(&saved.config);
            let mut layers = saved.layers.unwrap_or_default();
            self.limit_layers(blob, &mut layers);
            let layers: Vec<_> = layers.iter().map(|layer| self.find_listed(layer)).collect();
            let tags = saved.repo_tags.unwrap_or_default().iter().map(|tag| printable(tag)).collect::<Vec<_>>();
            let same = |image: &&mut Image| {
                image.config == config && image.layers.iter().map(Layer::blob).eq(layers.iter().copied())
            };
            // In archives of newer engines, the OCI layout lists the same images again.
            if let Some(image) = self.images.iter_mut().find(same) {
                for tag in tags {
                    if !image.tags.contains(&tag) {
                        image.tags.push(tag);
                    }
                }
                continue;
            }
            let image = Image {
                kind: Kind::Image,
                tags,
                platform: None,
                digest: None,
                manifest: Some(blob),
                config,
                layers: Vec::new(),
            };
            self.image(image, layers);
        }
    }

    /// Adds an image with these blobs as its layers, in the order of its configuration.
    fn image(&mut self, mut image: Image, blobs: Vec<Option<BlobId>>) {
        let config: Option<Config> = image.config.and_then(|blob| parse(&self.blobs[blob.0]));
        if let (Kind::Image, Some(blob), None) = (image.kind, image.config, &config) {
            let name = self.blobs[blob.0].name.clone();
            self.problem(Some(blob), Fault::BrokenDocument { name });
        }
        let config = config.unwrap_or_default();
        image.platform = image.platform.or_else(|| config.platform_text());
        let diff_ids = config.diff_ids().to_vec();
        if image.kind == Kind::Image && image.config.is_some() && diff_ids.len() != blobs.len() {
            self.problem(image.config, Fault::LayerCount);
        }
        let mut made = config.instructions();
        image.layers = blobs
            .into_iter()
            .enumerate()
            .map(|(at, blob)| Layer {
                blob,
                diff_id: diff_ids.get(at).and_then(|digest| Digest::parse(digest)),
                created_by: made.next().flatten(),
            })
            .collect();
        if image.kind == Kind::Image {
            for blob in image.layers.iter().filter_map(Layer::blob) {
                self.must_be_a_layer(blob);
            }
        }
        self.images.push(image);
    }

    /// Reports a layer that could not be unpacked or is not a tar, because the search did not see the files that a
    /// container would see.
    fn must_be_a_layer(&mut self, id: BlobId) {
        let blob = &self.blobs[id.0];
        match blob.packing {
            Packing::Unopened(format) => self.problem(Some(id), Fault::NotOpened { format }),
            _ if !blob.is_tar && blob.whole => {
                self.problem(Some(id), Fault::NotATar);
            }
            Packing::Plain | Packing::Gzip | Packing::Zstd | Packing::Xz | Packing::Bzip2 => {}
        }
    }

    fn find_listed(&mut self, name: &str) -> Option<BlobId> {
        let found = self.find(name.strip_prefix("./").unwrap_or(name));
        if found.is_none() {
            self.problem(None, Fault::Missing { name: printable(name) });
        }
        found
    }

    fn blob_of(&mut self, descriptor: &Descriptor) -> Option<BlobId> {
        let digest = self.digest(descriptor)?;
        let found = self.find_digest(&digest);
        match found {
            Some(blob) => self.size(blob, descriptor),
            None if descriptor.is_foreign() => self.problem(None, Fault::Foreign { digest: digest.to_string() }),
            None => self.problem(None, Fault::Missing { name: digest.to_string() }),
        }
        found
    }

    fn digest(&mut self, descriptor: &Descriptor) -> Option<Digest> {
        let digest = Digest::parse(&descriptor.digest);
        if digest.is_none() {
            self.problem(None, Fault::UnknownDigest { digest: printable(&descriptor.digest) });
        }
        digest
    }

    fn size(&mut self, blob: BlobId, descriptor: &Descriptor) {
        if descriptor.size.is_some_and(|size| size != self.blobs[blob.0].stored) {
            self.problem(Some(blob), Fault::WrongSize);
        }
    }
}

/// An image manifest that is being added.
struct Manifest<'a> {
    blob: BlobId,
    layers: Vec<Descriptor>,
    config: Option<Descriptor>,
    from: Option<&'a Descriptor>,
}

/// Resolves the link `target` of the member `name`. Returns `None` if the link leaves the archive (A16).
fn beside(name: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
