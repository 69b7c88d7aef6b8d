//! Fuzzes the redactor with any chunks.

use psecret::{Form, Redactor, RedactorBuilder, SecretName, Shape, UserSecret, forms};

/// A terminal control sequence that is inserted between the bytes of a form.
const CONTROL: &[u8] = b"\x1b[1m";

/// Makes text and secrets from the data; see [`Scenario::parse`].
///
/// - The output does not depend on how the text is cut into pieces.
/// - No form of any secret is left in the output, or in what a terminal shows of it.
pub(crate) fn run(data: &[u8]) {
    let scenario = Scenario::parse(data);
    let Some(redactor) = scenario.redactor() else { return };
    let whole = redactor.redact_bytes(&scenario.text);
    assert!(scenario.in_pieces(&redactor, |_| 1) == whole, "byte by byte");
    let mut state = u32::from(scenario.seed) * 2 + 1;
    let random = |most: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % most + 1
    };
    let most = [3, 17, 90, 700][usize::from(scenario.seed % 4)];
    let mut random = random;
    assert!(scenario.in_pieces(&redactor, |_| random(most) as usize) == whole, "in pieces");
    for shape in &scenario.shapes {
        assert!(!holds(&whole, bytes_of(shape)), "{} is left", shape.form());
    }
    if scenario.controls_are_ours {
        let shown = without(&whole, CONTROL);
        for shape in &scenario.shapes {
            assert!(!holds(&shown, bytes_of(shape)), "{} is left in what is shown", shape.form());
        }
    }
    let _ = redactor.labels_in(&scenario.text);
}

#[derive(Default)]
struct Scenario {
    secrets: Vec<UserSecret>,
    /// The forms that cannot be a part of a mark.
    shapes: Vec<Shape>,
    text: Vec<u8>,
    seed: u8,
    /// Whether all terminal control in text and forms is [`CONTROL`], inserted between the bytes of a form.
    controls_are_ours: bool,
}

impl Scenario {
    /// Reads the data: a seed; the number of secrets (1 to 3), for each its length (1 to 64) and its bytes; then the
    /// text, in which these bytes have a meaning:
    ///
    /// - 255, secret, form: the form;
    /// - 254, secret, form, length: the form's beginning;
    /// - 253, secret, form, length: the form, with terminal control after this many bytes;
    /// - 252, count: the last byte, this many times;
    /// - any other byte: the byte itself.
    fn parse(data: &[u8]) -> Self {
        let mut bytes = data.iter().copied();
        let mut next = || bytes.next();
        let mut scenario = Self { seed: next().unwrap_or_default(), controls_are_ours: true, ..Self::default() };
        for _ in 0..=next().unwrap_or_default() % 3 {
            let length = usize::from(next().unwrap_or_default() % 64) + 1;
            scenario.secrets.push(UserSecret::new((0..length).map_while(|_| next()).collect()));
        }
        let all: Vec<Vec<Shape>> = scenario.secrets.iter().map(forms).collect();
        let form = |secret: Option<u8>, number: Option<u8>| -> &[u8] {
            let of = &all[usize::from(secret.unwrap_or_default()) % all.len()];
            of.get(usize::from(number.unwrap_or_default()) % of.len().max(1)).map_or(b"", bytes_of)
        };
        while let Some(byte) = next() {
            match byte {
                255 => scenario.text.extend_from_slice(form(next(), next())),
                254 | 253 => {
                    let form = form(next(), next());
                    let (head, tail) = form.split_at(usize::from(next().unwrap_or_default()).min(form.len()));
                    scenario.text.extend_from_slice(head);
                    if byte == 253 {
                        scenario.text.extend_from_slice(CONTROL);
                        scenario.text.extend_from_slice(tail);
                    }
                }
                252 => {
                    let last = scenario.text.last().copied().unwrap_or(b' ');
                    scenario.controls_are_ours &= !is_control(last);
                    scenario.text.extend(vec![last; usize::from(next().unwrap_or_default())]);
                }
                byte => {
                    scenario.controls_are_ours &= !is_control(byte);
                    scenario.text.push(byte);
                }
            }
        }
        // A mark consists of stars and a letter, so together with its neighbours it could make a form with a star
        // again. Lists of numbers are left out, because they are not masked.
        let masked = |shape: &Shape| !bytes_of(shape).contains(&b'*') && shape.form() != Form::Decimal;
        scenario.shapes = all.into_iter().flatten().filter(masked).collect();
        scenario.controls_are_ours &=
            !scenario.shapes.iter().any(|shape| bytes_of(shape).iter().any(|b| is_control(*b)));
        scenario
    }

    fn redactor(&self) -> Option<Redactor> {
        let names = ["A", "B", "C"].map(|name| SecretName::parse(name).expect("a name"));
        let secrets = names.iter().zip(&self.secrets);
        secrets.fold(RedactorBuilder::new(), |builder, (name, value)| builder.secret(name, value)).build().ok()
    }

    fn in_pieces(&self, redactor: &Redactor, mut length: impl FnMut(usize) -> usize) -> Vec<u8> {
        let mut stream = redactor.stream();
        let (mut out, mut rest) = (Vec::new(), self.text.as_slice());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(length(rest.len()).min(rest.len()));
            out.extend(stream.push(piece));
            rest = after;
        }
        out.extend(stream.finish());
        out
    }
}

#[expect(clippy::disallowed_methods, reason = "door 90: a fuzz target plants the forms of values that it made up")]
fn bytes_of(shape: &Shape) -> &[u8] {
    shape.expose()
}

fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\n' && byte != b'\t') || byte == 0x7f
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn without(text: &[u8], part: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some((byte, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(part) {
            rest = after;
        } else {
            out.push(*byte);
            rest = after;
        }
    }
    out
}
