//! Which instructions do the work, found at run time.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::arch;
use super::matrix::Matrix;
use super::portable;

/// A set of machine instructions for which there is a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Plain Rust, for every machine.
    Portable,
    /// ARMv8 with NEON, 16 bytes at a time.
    Neon,
    /// x86-64 with SSSE3, 16 bytes at a time.
    Ssse3,
    /// x86-64 with AVX2, 32 bytes at a time.
    Avx2,
    /// x86-64 with GFNI and AVX2, 32 bytes at a time.
    Gfni256,
    /// x86-64 with GFNI and AVX-512, 64 bytes at a time.
    Gfni512,
}

impl Level {
    /// Every level, slowest first.
    const ALL: &[Self] = &[
        Self::Portable,
        Self::Neon,
        Self::Ssse3,
        Self::Avx2,
        Self::Gfni256,
        Self::Gfni512,
    ];

    fn is_detected(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Ssse3 => is_x86_feature_detected!("ssse3"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && Self::Ssse3.is_detected(),
            #[cfg(target_arch = "x86_64")]
            Self::Gfni256 => is_x86_feature_detected!("gfni") && is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Gfni512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && Self::Gfni256.is_detected()
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }
}

/// A kernel that this machine can run. The only way to get one is to have it detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel(Level);

impl Kernel {
    /// The kernel of the level, or `None` if this machine lacks the instructions.
    #[must_use]
    pub fn new(level: Level) -> Option<Self> {
        level.is_detected().then_some(Self(level))
    }

    /// All the kernels that this machine can run, slowest first.
    #[must_use]
    pub fn available() -> Vec<Self> {
        Level::ALL
            .iter()
            .filter_map(|&level| Self::new(level))
            .collect()
    }

    /// The fastest kernel of this machine.
    #[must_use]
    pub fn best() -> Self {
        #[cfg(test)]
        if let Some(forced) = super::tests::forced() {
            return forced;
        }
        Level::ALL
            .iter()
            .rev()
            .find_map(|&level| Self::new(level))
            .unwrap_or(Self(Level::Portable))
    }

    /// The instructions that it uses.
    #[must_use]
    pub fn level(self) -> Level {
        self.0
    }

    /// `outputs[r]` = sum over c of `coefficients[c * stride + first + r] * inputs[c]`, overwriting.
    ///
    /// # Panics
    /// If the rows are not all of one length, or the coefficients too few.
    pub(crate) fn apply(
        self,
        coefficients: &[u8],
        stride: usize,
        first: usize,
        inputs: &[&[u8]],
        outputs: &mut [&mut [u8]],
    ) {
        let last = first.checked_add(outputs.len());
        assert!(
            last.is_some_and(|last| last <= stride),
            "at most as many outputs as rows"
        );
        self.run(
            Matrix::<1>::new(coefficients, stride).skip_rows(first),
            inputs,
            outputs,
        );
    }

    /// `outputs[r]` = sum over c of `words[255 * r + c] * inputs[c]`, overwriting: the bytes of code
    /// words are the factors, and there is an output for each word.
    ///
    /// # Panics
    /// If the rows are not all of one length, or `words` is too short.
    pub(crate) fn apply_words(self, words: &[u8], inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        self.run(Matrix::<255>::new(words, 1), inputs, outputs);
    }

    fn run<const ROW: usize>(
        self,
        matrix: Matrix<'_, ROW>,
        inputs: &[&[u8]],
        outputs: &mut [&mut [u8]],
    ) {
        let length = outputs.first().map_or(0, |row| row.len());
        if length == 0 && outputs.iter().all(|row| row.is_empty()) {
            return;
        }
        assert!(
            inputs.iter().all(|row| row.len() == length),
            "inputs and outputs of one length"
        );
        assert!(
            outputs.iter().all(|row| row.len() == length),
            "outputs of one length"
        );
        assert!(
            matrix.has(outputs.len(), inputs.len()),
            "at most as many inputs as columns"
        );
        // SAFETY: a kernel exists only where its instructions were detected, and what is asked of the
        // shapes was asserted just now.
        #[allow(unsafe_code)]
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Ssse3 => unsafe { arch::ssse3::two::apply(matrix, inputs, outputs) },
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { arch::avx2::two::apply(matrix, inputs, outputs) },
            #[cfg(target_arch = "x86_64")]
            Level::Gfni256 => unsafe { arch::gfni256::two::apply(matrix, inputs, outputs) },
            #[cfg(target_arch = "x86_64")]
            Level::Gfni512 => unsafe { arch::gfni512::two::apply(matrix, inputs, outputs) },
            #[cfg(target_arch = "aarch64")]
            Level::Neon => unsafe { arch::neon::two::apply(matrix, inputs, outputs) },
            _ => portable::apply(matrix, inputs, outputs),
        }
    }
}
