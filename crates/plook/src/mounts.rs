//! Reads the layers of a state, which are the lower layers of its overlay mount, from `/proc/self/mountinfo`.

/// Finds the lower layers of the overlay that is mounted at a folder, the newest first. Returns `None` if no overlay
/// is mounted there.
///
/// If several file systems are mounted at the folder, the last one counts, because it hides the others.
#[must_use]
pub fn layers_below(mountinfo: &str, folder: &[u8]) -> Option<Vec<String>> {
    let mount = mountinfo.lines().filter_map(Mount::parse).rfind(|mount| mount.point == folder)?;
    if mount.kind != "overlay" {
        return None;
    }
    let mut layers = Vec::new();
    for option in split(mount.options, b',') {
        // Linux 6.13 lists layers that were added one by one in this way.
        let (list, single) = match (option.strip_prefix("lowerdir="), option.strip_prefix("lowerdir+=")) {
            (Some(list), _) => (list, false),
            (_, Some(layer)) => (layer, true),
            (None, None) => continue,
        };
        let parts = if single { vec![list] } else { split(list, b':') };
        // Data-only layers follow `::` and contain no names. A builder never makes such a mount.
        if parts.iter().any(|part| part.is_empty()) {
            return None;
        }
        layers.extend(parts.into_iter().map(str::to_owned));
    }
    (!layers.is_empty()).then_some(layers)
}

struct Mount<'a> {
    point: Vec<u8>,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// Parses a line in the format of proc_pid_mountinfo(5): ids, device, root, mount point, options, optional
    /// fields, `-`, type, source, options.
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let kind = system.next()?;
        Some(Self { point: unescaped(mount.split(' ').nth(4)?), kind, options: system.nth(1)? })
    }
}

/// Decodes blanks, tabs, line ends and backslashes, which are written with three octal digits.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.first_chunk::<3>().filter(|digits| *byte == b'\\' && digits.iter().all(is_octal));
        let number = digits.map(|digits| digits.iter().fold(0_u32, |sum, digit| sum * 8 + u32::from(digit - b'0')));
        match number.and_then(|number| u8::try_from(number).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[3..];
            }
            None => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    out
}

fn is_octal(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'7')
}

/// Splits at each separator that does not follow a backslash. The parts are not decoded.
fn split(text: &str, separator: u8) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut parts, mut from, mut at) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            byte if byte == separator => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(&text[from..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(point: &str, kind: &str, options: &str) -> String {
        format!("41 30 0:50 / {point} rw,relatime shared:7 master:1 - {kind} overlay {options}\n")
    }

    #[test]
    fn the_layers_of_the_last_mount_count() {
        let text = line("/states/1", "overlay", "rw,lowerdir=/l/A")
            + &line("/states/1", "overlay", "rw,lowerdir=/l/B:/l/A,upperdir=/u,workdir=/w,xino=off")
            + &line("/states/10", "overlay", "rw,lowerdir=/l/C");
        assert_eq!(layers_below(&text, b"/states/1"), Some(vec!["/l/B".to_owned(), "/l/A".to_owned()]));
    }

    #[test]
    fn layers_that_were_added_one_by_one_are_listed_too() {
        let text = line("/s", "overlay", "rw,lowerdir+=/l/B:x,lowerdir+=/l/A");
        assert_eq!(layers_below(&text, b"/s"), Some(vec!["/l/B:x".to_owned(), "/l/A".to_owned()]));
    }

    #[test]
    fn escapes_do_not_split() {
        let text = line(r"/a\040b", "overlay", r"rw,lowerdir=/x\:1:/y\,2,upperdir=/u");
        assert_eq!(layers_below(&text, b"/a b"), Some(vec![r"/x\:1".to_owned(), r"/y\,2".to_owned()]));
    }

    #[test]
    fn what_is_no_overlay_is_made_of_nothing_that_we_know() {
        for (kind, options) in
            [("ext4", "rw,lowerdir=/l/A"), ("overlay", "rw"), ("overlay", "rw,lowerdir=/l/A::/l/B"), ("btrfs", "rw")]
        {
            assert_eq!(layers_below(&line("/s", kind, options), b"/s"), None, "{kind} {options}");
        }
        assert_eq!(layers_below("", b"/s"), None);
        assert_eq!(layers_below("no line of the kernel's", b"/s"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "[ -~\n\\\\]{0,200}") {
            let _ = layers_below(&text, b"/s");
        }
    }
}
