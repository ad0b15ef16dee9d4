//! What the fuzz targets share: taking an input apart, counting memory, making the first inputs.
//!
//! Each file in `targets/` is one target and says at its top what it feeds to whom and what must hold. `fuzz/run` builds
//! and runs them; README.md says how.

// The program's own loader, by a symbolic link: the whole program would only make the build long.
pub mod config;
pub mod meter;
pub mod seeds;

/// An input that is taken apart from the front. Where it has ended it gives zeros, which mean "the simplest".
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// All of the fuzzer's bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    /// A length, at most 65,535.
    pub fn length(&mut self) -> usize {
        usize::from(u16::from_be_bytes([self.byte(), self.byte()]))
    }

    /// As many bytes as asked for and there.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        front
    }

    /// Bytes with their length in front.
    pub fn counted(&mut self) -> &'a [u8] {
        let length = self.length();
        self.take(length)
    }

    /// Everything that is left.
    #[must_use]
    pub const fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// The reverse of [`Input::counted`], for seeds.
#[must_use]
pub fn counted(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("seeds are short");
    [&length.to_be_bytes(), bytes].concat()
}

/// Sets the checksum of every batch in a run of batches, so that what comes after the checksum's check is reached.
pub fn correct_batches(mut bytes: &mut [u8]) {
    const LENGTH_AT: usize = 8;
    const LENGTH_END: usize = 12;
    const CRC_AT: usize = 17;
    const CRC_END: usize = 21;
    while bytes.len() > CRC_END {
        let claimed = i32::from_be_bytes(bytes[LENGTH_AT..LENGTH_END].try_into().expect("it is four bytes"));
        let length = usize::try_from(claimed).unwrap_or(0).saturating_add(LENGTH_END).min(bytes.len());
        let (batch, rest) = bytes.split_at_mut(length);
        if batch.len() > CRC_END {
            let crc = crc32c::crc32c(&batch[CRC_END..]);
            batch[CRC_AT..CRC_END].copy_from_slice(&crc.to_be_bytes());
        }
        bytes = rest;
    }
}
