//! Moving a CRC-32C past bytes without reading them.
//!
//! A CRC is the remainder of a polynomial division, so appending n bytes multiplies the part before them by x^(8n). With the
//! powers x^(2^k) at hand that is some twenty multiplications, whatever n is. (The `crc32c` crate's `combine` takes about
//! 90 µs for the same; see the bench `validate/… LogAppendTime` of `core/log`.)

/// CRC-32C's polynomial, lowest power in the highest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The polynomial 1.
const ONE: u32 = 1 << 31;

/// `a` times `b`, modulo the polynomial.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = ONE;
    while bit != 0 {
        if a & bit != 0 {
            product ^= b;
        }
        bit >>= 1;
        b = if b & 1 == 0 { b >> 1 } else { (b >> 1) ^ POLYNOMIAL };
    }
    product
}

/// x^(2^k) for every k; the powers repeat after 2^31, so 32 are enough for any length.
const POWERS: [u32; 32] = {
    let mut powers = [ONE >> 1; 32];
    let mut k = 1;
    while k < powers.len() {
        powers[k] = multiply(powers[k - 1], powers[k - 1]);
        k += 1;
    }
    powers
};

/// What the difference `crc` of two CRCs becomes after `bytes` more bytes, the same for both.
pub(super) fn shift(crc: u32, bytes: usize) -> u32 {
    let mut factor = ONE;
    let mut rest = bytes as u64;
    // Bytes are eight bits: x^8 is the third power.
    let mut k = 3;
    while rest != 0 {
        if rest & 1 == 1 {
            factor = multiply(POWERS[k & 31], factor);
        }
        rest >>= 1;
        k += 1;
    }
    multiply(factor, crc)
}

#[cfg(test)]
mod tests {
    use super::shift;

    #[test]
    fn shifting_agrees_with_reading() {
        for len in [0usize, 1, 2, 7, 8, 63, 64, 1000, 65_537, 1 << 20] {
            let tail: Vec<u8> = (0..len).map(|n| (n * 31) as u8).collect();
            let (a, b) = (crc32c::crc32c(b"one beginning"), crc32c::crc32c(b"another one"));
            let (a_end, b_end) = (crc32c::crc32c_append(a, &tail), crc32c::crc32c_append(b, &tail));
            assert_eq!(a_end ^ shift(a ^ b, len), b_end, "{len}");
        }
    }
}
