//! The inner loop of the filter: it finds the windows of a text that a map may know. There is one loop for each kind
//! of processor, and all have the same results.
//!
//! This is the only module of the crate with `unsafe` code. Its conditions are checked in safe code before each call:
//! the processor has the instructions, the map has a word for every index that a hash can have, and no load reads
//! past the text's end.
#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "vector loads, gathers and calls of vector code"))]

/// The factor of the hash. It is odd and its bits are well mixed, so the multiplication carries every bit of a window
/// into the upper half.
const FACTOR: u64 = 0x85eb_ca77_c2b2_ae3d;

/// The number of bytes that a loop looks at in one go.
const BLOCK: usize = 64;

/// The kind of loop that looks at every window. All kinds give the same hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Plain code, for every processor.
    Scalar,
    /// AVX2: four windows at a time.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512: eight windows at a time.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Engine {
    /// Lists the engines that this processor supports, the fastest last.
    #[must_use]
    pub fn available() -> Vec<Self> {
        [
            Some(Self::Scalar),
            #[cfg(target_arch = "x86_64")]
            is_x86_feature_detected!("avx2").then_some(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq")).then_some(Self::Avx512),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Returns the fastest engine that this processor supports.
    pub(crate) fn best() -> Self {
        Self::available().last().copied().unwrap_or(Self::Scalar)
    }
}

/// A set of windows that may say yes by chance. Each window has two bits in one word.
pub(crate) struct Map {
    words: Vec<u64>,
    /// The shift that reduces a hash to an index of `words`.
    shift: u32,
    /// The bits that no window has. With them, many windows of programs are ruled out: bytes of ASCII text never have
    /// their highest bit.
    foreign: u64,
    knows_zero: bool,
    engine: Engine,
}

impl Map {
    /// Makes an empty map of `1 << bits` bits. The engine must be one of [`Engine::available`].
    pub(crate) fn new(bits: u32, engine: Engine) -> Self {
        assert!((7..32).contains(&bits), "a map of at least two words");
        assert!(Engine::available().contains(&engine), "this processor has the engine");
        Self { words: vec![0; 1 << (bits - 6)], shift: 64 - (bits - 6), foreign: u64::MAX, knows_zero: false, engine }
    }

    pub(crate) fn insert(&mut self, window: u64) {
        let (word, mask) = place(window, self.shift);
        self.words[word] |= mask;
        self.foreign &= !window;
        self.knows_zero |= window == 0;
    }

    /// Calls `hit` with the offset of every window that the map may know. Windows have `WIDTH` bytes, 4 or 8, and
    /// begin at the multiples of `WIDTH`.
    pub(crate) fn scan<const WIDTH: usize>(&self, text: &[u8], hit: &mut dyn FnMut(usize)) {
        const { assert!(WIDTH == 4 || WIDTH == 8, "a load of eight bytes holds whole windows") };
        let (blocks, rest) = text.as_chunks::<BLOCK>();
        match self.engine {
            Engine::Scalar => self.scan_plain::<WIDTH>(blocks, hit),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `new` checked that the processor has the instructions.
            Engine::Avx2 => unsafe { self.scan_avx2::<WIDTH>(blocks, hit) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `new` checked that the processor has the instructions.
            Engine::Avx512 => unsafe { self.scan_avx512::<WIDTH>(blocks, hit) },
        }
        let begin = text.len() - rest.len();
        for (nth, bytes) in rest.chunks_exact(WIDTH).enumerate() {
            if self.may_know(window::<WIDTH>(bytes)) {
                hit(begin + nth * WIDTH);
            }
        }
    }

    #[inline(always)]
    fn may_know(&self, window: u64) -> bool {
        if window & self.foreign != 0 || window == 0 && !self.knows_zero {
            return false;
        }
        let (word, mask) = place(window, self.shift);
        self.words[word] & mask == mask
    }

    fn scan_plain<const WIDTH: usize>(&self, blocks: &[[u8; BLOCK]], hit: &mut dyn FnMut(usize)) {
        for (nth, block) in blocks.iter().enumerate() {
            let mut hits = 0_u32;
            for (nth, bytes) in block.chunks_exact(WIDTH).enumerate() {
                hits |= u32::from(self.may_know(window::<WIDTH>(bytes))) << nth;
            }
            each_bit(hits, |bit| hit(nth * BLOCK + bit * WIDTH));
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn scan_avx2<const WIDTH: usize>(&self, blocks: &[[u8; BLOCK]], hit: &mut dyn FnMut(usize)) {
        use std::arch::x86_64::{
            __m256i, _mm_cvtsi32_si128, _mm256_add_epi64, _mm256_and_si256, _mm256_andnot_si256, _mm256_castsi256_pd,
            _mm256_cmpeq_epi64, _mm256_i64gather_epi64, _mm256_loadu_si256, _mm256_movemask_pd, _mm256_mul_epu32,
            _mm256_or_si256, _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_slli_epi64, _mm256_sllv_epi64,
            _mm256_srl_epi64, _mm256_srli_epi64,
        };
        let factor = _mm256_set1_epi64x(FACTOR.cast_signed());
        let factor_high = _mm256_srli_epi64::<32>(factor);
        let shift = _mm_cvtsi32_si128(self.shift.cast_signed());
        let (one, low_bits) = (_mm256_set1_epi64x(1), _mm256_set1_epi64x(63));
        let low_half = _mm256_set1_epi64x(0xffff_ffff);
        let foreign = _mm256_set1_epi64x(self.foreign.cast_signed());
        let are_zero = |windows: __m256i| {
            let zero = _mm256_cmpeq_epi64(windows, _mm256_setzero_si256());
            _mm256_movemask_pd(_mm256_castsi256_pd(zero)).cast_unsigned()
        };
        let known = |windows: __m256i| {
            let zeros = if self.knows_zero { 0 } else { are_zero(windows) };
            let plausible = are_zero(_mm256_and_si256(windows, foreign)) & !zeros;
            if plausible == 0 {
                return 0;
            }
            // The lower 64 bits of the product are computed from three products of halves.
            let crossed = _mm256_add_epi64(
                _mm256_mul_epu32(windows, factor_high),
                _mm256_mul_epu32(_mm256_srli_epi64::<32>(windows), factor),
            );
            let mixed = _mm256_add_epi64(_mm256_mul_epu32(windows, factor), _mm256_slli_epi64::<32>(crossed));
            let bit = |from: __m256i| _mm256_sllv_epi64(one, _mm256_and_si256(from, low_bits));
            let mask = _mm256_or_si256(bit(_mm256_srli_epi64::<32>(mixed)), bit(_mm256_srli_epi64::<26>(mixed)));
            let index = _mm256_srl_epi64(mixed, shift);
            // SAFETY: `shift` leaves only as many bits as an index of `words` has, so every index is valid.
            let words = unsafe { _mm256_i64gather_epi64::<8>(self.words.as_ptr().cast(), index) };
            are_zero(_mm256_andnot_si256(words, mask)) & plausible
        };
        for (nth, block) in blocks.iter().enumerate() {
            // SAFETY: both halves lie within the block's 64 bytes.
            let (first, second) = unsafe {
                let begin = block.as_ptr().cast::<__m256i>();
                (_mm256_loadu_si256(begin), _mm256_loadu_si256(begin.add(1)))
            };
            let both = |windows: [__m256i; 2]| known(windows[0]) | known(windows[1]) << 4;
            if WIDTH == 8 {
                each_bit(both([first, second]), |bit| hit(nth * BLOCK + bit * 8));
            } else {
                let low = [_mm256_and_si256(first, low_half), _mm256_and_si256(second, low_half)];
                let high = [_mm256_srli_epi64::<32>(first), _mm256_srli_epi64::<32>(second)];
                each_bit(both(low), |bit| hit(nth * BLOCK + bit * 8));
                each_bit(both(high), |bit| hit(nth * BLOCK + bit * 8 + 4));
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn scan_avx512<const WIDTH: usize>(&self, blocks: &[[u8; BLOCK]], hit: &mut dyn FnMut(usize)) {
        use std::arch::x86_64::{
            __m512i, _mm_cvtsi32_si128, _mm512_and_si512, _mm512_andnot_si512, _mm512_i64gather_epi64,
            _mm512_loadu_si512, _mm512_mullo_epi64, _mm512_or_si512, _mm512_rolv_epi64, _mm512_set1_epi64,
            _mm512_srl_epi64, _mm512_srli_epi64, _mm512_test_epi64_mask, _mm512_testn_epi64_mask,
        };
        let factor = _mm512_set1_epi64(FACTOR.cast_signed());
        let shift = _mm_cvtsi32_si128(self.shift.cast_signed());
        let one = _mm512_set1_epi64(1);
        let low_half = _mm512_set1_epi64(0xffff_ffff);
        let foreign = _mm512_set1_epi64(self.foreign.cast_signed());
        let known = |windows: __m512i| {
            let others = if self.knows_zero { u8::MAX } else { _mm512_test_epi64_mask(windows, windows) };
            let plausible = _mm512_testn_epi64_mask(windows, foreign) & others;
            if plausible == 0 {
                return 0;
            }
            let mixed = _mm512_mullo_epi64(windows, factor);
            // The rotation counts modulo 64, so no mask is needed.
            let bit = |from: __m512i| _mm512_rolv_epi64(one, from);
            let mask = _mm512_or_si512(bit(_mm512_srli_epi64::<32>(mixed)), bit(_mm512_srli_epi64::<26>(mixed)));
            let index = _mm512_srl_epi64(mixed, shift);
            // SAFETY: `shift` leaves only as many bits as an index of `words` has, so every index is valid.
            let words = unsafe { _mm512_i64gather_epi64::<8>(index, self.words.as_ptr().cast()) };
            let missing = _mm512_andnot_si512(words, mask);
            u32::from(_mm512_testn_epi64_mask(missing, missing) & plausible)
        };
        for (nth, block) in blocks.iter().enumerate() {
            // SAFETY: the block has 64 bytes.
            let bytes = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
            if WIDTH == 8 {
                each_bit(known(bytes), |bit| hit(nth * BLOCK + bit * 8));
            } else {
                each_bit(known(_mm512_and_si512(bytes, low_half)), |bit| hit(nth * BLOCK + bit * 8));
                each_bit(known(_mm512_srli_epi64::<32>(bytes)), |bit| hit(nth * BLOCK + bit * 8 + 4));
            }
        }
    }
}

/// Returns the index of a window's word, and the window's bits in it.
#[inline(always)]
fn place(window: u64, shift: u32) -> (usize, u64) {
    let mixed = window.wrapping_mul(FACTOR);
    ((mixed >> shift) as usize, 1 << ((mixed >> 32) & 63) | 1 << ((mixed >> 26) & 63))
}

/// Reads the first `WIDTH` bytes as a number.
#[inline(always)]
pub(crate) fn window<const WIDTH: usize>(bytes: &[u8]) -> u64 {
    let mut window = [0; 8];
    window[..WIDTH].copy_from_slice(&bytes[..WIDTH]);
    u64::from_le_bytes(window)
}

#[inline(always)]
fn each_bit(mut bits: u32, mut each: impl FnMut(usize)) {
    while bits != 0 {
        each(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hits<const WIDTH: usize>(engine: Engine, bits: u32, known: &[u64], text: &[u8]) -> Vec<usize> {
        let mut map = Map::new(bits, engine);
        known.iter().for_each(|window| map.insert(*window));
        let mut hits = Vec::new();
        map.scan::<WIDTH>(text, &mut |at| hits.push(at));
        hits.sort_unstable();
        hits
    }

    fn all_alike<const WIDTH: usize>(bits: u32, known: &[u64], text: &[u8]) {
        let plain = hits::<WIDTH>(Engine::Scalar, bits, known, text);
        for engine in Engine::available() {
            assert_eq!(hits::<WIDTH>(engine, bits, known, text), plain, "{engine:?}");
        }
        for (nth, bytes) in text.chunks_exact(WIDTH).enumerate() {
            assert!(!known.contains(&window::<WIDTH>(bytes)) || plain.contains(&(nth * WIDTH)), "window {nth}");
        }
    }

    proptest! {
        /// All engines report the same windows, and none of the known windows is missing.
        #[test]
        fn every_engine_tells_the_same(
            text in proptest::collection::vec(prop_oneof![8 => 0_u8..4, 1 => Just(0x80_u8), 1 => any::<u8>()], 0..700),
            zeros in 0_usize..690,
            from in 0_usize..16,
            known in proptest::collection::vec(0_usize..690, 0..30),
            bits in 7_u32..20,
        ) {
            let mut text = text.get(from..).unwrap_or_default().to_vec();
            // A row of zeros is reported if the map knows the window of zeros, and skipped if not.
            text.iter_mut().skip(zeros).take(40).for_each(|byte| *byte = 0);
            let text = text.as_slice();
            let windows = |width: usize| -> Vec<u64> {
                let at = known.iter().filter_map(|at| text.get(*at..*at + width));
                at.map(|bytes| if width == 8 { window::<8>(bytes) } else { window::<4>(bytes) }).collect()
            };
            all_alike::<8>(bits, &windows(8), text);
            all_alike::<4>(bits, &windows(4), text);
        }
    }

    /// An attacker can write a text in which every window is known.
    #[test]
    fn text_of_nothing_but_hits_is_told_wholly() {
        for engine in Engine::available() {
            let text = vec![0; 1000];
            assert_eq!(hits::<8>(engine, 7, &[0], &text).len(), 125, "{engine:?}");
            assert_eq!(hits::<4>(engine, 7, &[0], &text).len(), 250, "{engine:?}");
        }
    }
}
